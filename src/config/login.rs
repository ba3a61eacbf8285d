//! Who logs in, and how: the part of `[account.ID]` that differs by type.

use super::{
    mechanism,
    reader::{Reader, flag, text, text_of},
    secrets::Secrets,
    tree::Entry,
};
use crate::{
    account::{AccountType, Grant, Login, OAuthLogin, SignIn, presets::Preset},
    mail::Day,
};
use std::{collections::BTreeMap, net::IpAddr};
use url::{Host, Url};

type Tree = BTreeMap<String, Entry>;

const OAUTH_KEYS: [&str; 8] = [
    "client_id",
    "client_secret",
    "authorization_endpoint",
    "token_endpoint",
    "scope",
    "grant",
    "refresh_token",
    "client_secret_expires",
];

/// Reports keys that make no sense for the type.
pub(super) fn refuse_foreign_keys(kind: AccountType, table: &Tree, reader: &mut Reader) {
    let basic = kind == AccountType::Basic;
    let microsoft = kind == AccountType::Microsoft;
    for (name, entry) in table {
        let name = name.as_str();
        let (foreign, belongs) = if OAUTH_KEYS.contains(&name) {
            (basic, "it belongs to the types \"oauth2\", \"google\" and \"microsoft\"")
        } else if name == "password" {
            (!basic, "an OAuth account never logs in with a password; it belongs to the type \"basic\"")
        } else if name == "use_authentication" {
            (!basic, "an OAuth account always logs in; it belongs to the type \"basic\"")
        } else if name == "tenant" || name == "cloud" {
            (!microsoft, "it belongs to the type \"microsoft\"")
        } else {
            continue;
        };
        if foreign {
            let problem = format!("an account of the type \"{}\" has no `{name}`", kind.as_str());
            reader.error_at_key(entry, problem, Some(belongs.into()));
        }
    }
}

/// Reports a missing key by its name and the account's type.
pub(super) fn lacks(id: &str, kind: AccountType, entry: &Entry, key: &str, what: &str, reader: &mut Reader) {
    let kind = kind.as_str();
    let problem = format!("the account `{id}` lacks `{key}` ({what}), which the type \"{kind}\" needs");
    reader.error(entry, problem, None);
}

/// `tenant`, or `common`.
pub(super) fn tenant<'a>(table: &'a Tree, reader: &mut Reader) -> &'a str {
    let tenant = text(table, "tenant").unwrap_or("common");
    let valid = !tenant.is_empty() && tenant.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    if let Some(entry) = table.get("tenant").filter(|_| !valid) {
        let help = "the directory (tenant) id, a domain of the tenant, or \"common\"";
        reader.error(entry, format!("found {}", entry.value.shown()), Some(help.into()));
    }
    tenant
}

/// Who logs in; `None` where that could not be made out, which has been reported.
pub(super) fn login(
    id: &str,
    kind: AccountType,
    entry: &Entry,
    table: &Tree,
    preset: &Preset,
    secrets: &mut Secrets<'_>,
    reader: &mut Reader,
) -> Option<Login> {
    let username = text(table, "username").filter(|name| !name.is_empty());
    if kind == AccountType::Basic {
        let password = secrets.read(id, table, "password", reader);
        if !flag(table, "use_authentication", true) {
            if let Some(entry) = table.get("password") {
                reader.warn(entry, "this password is not used: `use_authentication` is false");
            }
            return Some(Login::None);
        }
        if username.is_none() {
            let problem =
                format!("the account `{id}` lacks `username` (who logs in), which the type \"basic\" needs");
            let help = "for a server that wants no login set `use_authentication = false`";
            reader.error(entry, problem, Some(help.into()));
        }
        if !table.contains_key("password") {
            lacks(id, kind, entry, "password", "the SMTP password", reader);
        }
        let mechanism = mechanism::of_password(table, reader);
        return Some(Login::Password { username: username?.to_owned(), password: password?, mechanism });
    }
    oauth(id, kind, entry, table, username, preset, secrets, reader)
        .map(|oauth| Login::OAuth(Box::new(oauth)))
}

#[allow(clippy::too_many_arguments, reason = "all of one account's reading, in one place")]
fn oauth(
    id: &str,
    kind: AccountType,
    entry: &Entry,
    table: &Tree,
    username: Option<&str>,
    preset: &Preset,
    secrets: &mut Secrets<'_>,
    reader: &mut Reader,
) -> Option<OAuthLogin> {
    let in_its_own_name = grant_is_the_clients(kind, table, reader);
    if username.is_none() {
        lacks(id, kind, entry, "username", "the mailbox that logs in", reader);
    }
    let client_id = text(table, "client_id").filter(|client| !client.is_empty());
    if client_id.is_none() {
        lacks(id, kind, entry, "client_id", "the registered application", reader);
    }
    let client_secret = secrets.read(id, table, "client_secret", reader);
    if kind == AccountType::Google && !table.contains_key("client_secret") {
        lacks(id, kind, entry, "client_secret", "Google gives no tokens without it", reader);
    } else if in_its_own_name && !table.contains_key("client_secret") {
        let problem =
            format!("the account `{id}` lacks `client_secret`, which the grant \"client_credentials\" needs");
        reader.error(entry, problem, None);
    }
    let mut endpoint = |key: &str, known: &Option<String>, what: &str| match (table.get(key), known) {
        (Some(entry), _) => oauth_url(entry, reader),
        (None, Some(known)) => Url::parse(known).ok(),
        (None, None) => {
            lacks(id, kind, entry, key, what, reader);
            None
        }
    };
    let authorization = (!in_its_own_name).then(|| {
        endpoint("authorization_endpoint", &preset.authorization_endpoint, "where a person signs in")
    });
    let token = endpoint("token_endpoint", &preset.token_endpoint, "where tokens come from");
    let presumed = if in_its_own_name { &preset.client_scope } else { &preset.scope };
    let scope = text(table, "scope").map(str::to_owned).or_else(|| presumed.clone());
    if scope.is_none() {
        lacks(id, kind, entry, "scope", "what access is asked for", reader);
    }
    let mechanism = mechanism::of_token(kind, table, reader);
    let first_refresh_token = secrets.read(id, table, "refresh_token", reader);
    let grant = match authorization {
        None => Grant::ClientCredentials,
        Some(endpoint) => Grant::AuthorizationCode(SignIn {
            authorization_endpoint: endpoint?,
            authorization_parameters: preset.authorization_parameters.clone(),
            first_refresh_token,
        }),
    };
    Some(OAuthLogin {
        username: username?.to_owned(),
        mechanism,
        client_id: client_id?.to_owned(),
        client_secret,
        client_secret_expires: client_secret_expires(table, reader),
        token_endpoint: token?,
        scope: scope?,
        grant,
    })
}

/// Whether the client has tokens in its own name (RFC 6749 §4.4); reports what does not go with that.
fn grant_is_the_clients(kind: AccountType, table: &Tree, reader: &mut Reader) -> bool {
    const GRANTS: [&str; 4] = ["authorization_code", "client_credentials", "device_code", "service_account"];
    let Some(entry) = table.get("grant") else { return false };
    if reader.supported_word(entry, &GRANTS, 2) != Some(1) {
        return false;
    }
    if kind == AccountType::Google {
        let help = "with Google a person signs in: \"authorization_code\"";
        let problem = format!("found {}, which Google does not have", entry.value.shown());
        reader.error(entry, problem, Some(help.into()));
        return false;
    }
    if let Some(token) = table.get("refresh_token") {
        let problem = "a client in its own name has no `refresh_token`".to_owned();
        let help = "for one that a person agreed to set `grant = \"authorization_code\"`";
        reader.error_at_key(token, problem, Some(help.into()));
    }
    if let Some(endpoint) = table.get("authorization_endpoint") {
        reader.warn(endpoint, "nobody signs in with this grant: the endpoint is not used");
    }
    let tenant = text(table, "tenant").unwrap_or("common");
    if kind == AccountType::Microsoft
        && !table.contains_key("token_endpoint")
        && ["common", "organizations", "consumers"].contains(&tenant)
    {
        let help = "set `tenant` to the directory (tenant) id or to a domain of the tenant";
        let problem =
            format!("Microsoft gives a client in its own name no token for the tenant \"{tenant}\"");
        reader.error(table.get("tenant").unwrap_or(entry), problem, Some(help.into()));
    }
    true
}

/// The last day of a secret, which must be there to end.
fn client_secret_expires(table: &Tree, reader: &mut Reader) -> Option<Day> {
    let entry = table.get("client_secret_expires")?;
    let day = text_of(entry).and_then(Day::parse);
    if day.is_none() {
        let help = "the day as the provider's page shows it, written \"2027-05-01\"";
        reader.error(entry, format!("found {}, which is no day", entry.value.shown()), Some(help.into()));
    }
    if !table.contains_key("client_secret") {
        let problem = "there is no `client_secret` that could expire".to_owned();
        reader.error_at_key(entry, problem, None);
    }
    day
}

/// An https URL, or an http one on loopback; anything else is reported.
pub(super) fn oauth_url(entry: &Entry, reader: &mut Reader) -> Option<Url> {
    let help = "an https URL, or an http one on loopback (localhost, 127.0.0.1, [::1])";
    let Some(url) = text_of(entry).and_then(|text| Url::parse(text).ok()).filter(Url::has_host) else {
        reader.error(entry, format!("found {}, which is no URL", entry.value.shown()), Some(help.into()));
        return None;
    };
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
        None => false,
    };
    let scheme = url.scheme();
    if scheme == "https" || (scheme == "http" && loopback) {
        return Some(url);
    }
    reader.error(
        entry,
        format!("found {}, where secrets would travel in the open", entry.value.shown()),
        Some(help.into()),
    );
    None
}
