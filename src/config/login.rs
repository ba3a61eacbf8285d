//! Who logs in, and how: the part of `[account.ID]` that differs by type.

use super::{
    grant, mechanism,
    reader::{Reader, flag, text, text_of},
    secrets::Secrets,
    tree::Entry,
};
use crate::account::{AccountType, Login, presets::Preset};
use std::{collections::BTreeMap, net::IpAddr};
use url::{Host, Url};

type Tree = BTreeMap<String, Entry>;

const OAUTH_KEYS: [&str; 12] = [
    "client_id",
    "client_secret",
    "client_certificate",
    "client_key",
    "service_account_file",
    "device_authorization_endpoint",
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
    let of = grant::Table { id, kind, entry, table, preset };
    grant::oauth(&of, username, secrets, reader).map(|oauth| Login::OAuth(Box::new(oauth)))
}

/// An https URL, or an http one on loopback; anything else is reported.
pub(super) fn oauth_url(entry: &Entry, reader: &mut Reader) -> Option<Url> {
    let help = "an https URL, or an http one on loopback (localhost, 127.0.0.1, [::1])";
    let Some(url) = text_of(entry).and_then(|text| Url::parse(text).ok()).filter(Url::has_host) else {
        reader.error(entry, format!("found {}, which is no URL", entry.value.shown()), Some(help.into()));
        return None;
    };
    if keeps_secrets(&url) {
        return Some(url);
    }
    reader.error(
        entry,
        format!("found {}, where secrets would travel in the open", entry.value.shown()),
        Some(help.into()),
    );
    None
}

/// Whether nobody on the way reads what goes to this URL.
pub(super) fn keeps_secrets(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}
