//! `grant`, and what each needs: endpoints, scope, who signs in.

use super::{
    client::client,
    login::{lacks, oauth_url},
    mechanism,
    reader::{Reader, text},
    secrets::Secrets,
    service_account::service_account,
    tree::Entry,
};
use crate::account::{AccountType, Grant, OAuthLogin, SignIn, SignInWay, presets::Preset};
use std::collections::BTreeMap;
use url::Url;

type Tree = BTreeMap<String, Entry>;

/// The words of `grant`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    AuthorizationCode,
    DeviceCode,
    ClientCredentials,
    ServiceAccount,
}

const WORDS: [(&str, Word); 4] = [
    ("authorization_code", Word::AuthorizationCode),
    ("device_code", Word::DeviceCode),
    ("client_credentials", Word::ClientCredentials),
    ("service_account", Word::ServiceAccount),
];

/// An account's table, with what its reading needs.
pub(super) struct Table<'a> {
    pub(super) id: &'a str,
    pub(super) kind: AccountType,
    pub(super) entry: &'a Entry,
    pub(super) table: &'a Tree,
    pub(super) preset: &'a Preset,
}

impl Table<'_> {
    fn lacks(&self, key: &str, what: &str, reader: &mut Reader) {
        lacks(self.id, self.kind, self.entry, key, what, reader);
    }

    /// An endpoint as configured, else as the provider's type knows it; a missing one is reported where it is `needed`.
    fn endpoint(
        &self,
        key: &str,
        known: Option<&String>,
        needed: Option<&str>,
        reader: &mut Reader,
    ) -> Option<Url> {
        match (self.table.get(key), known) {
            (Some(entry), _) => oauth_url(entry, reader),
            (None, Some(known)) => Url::parse(known).ok(),
            (None, None) => {
                if let Some(what) = needed {
                    self.lacks(key, what, reader);
                }
                None
            }
        }
    }
}

/// The OAuth half of an account; `None` where that could not be made out, which has been reported.
pub(super) fn oauth(
    of: &Table<'_>,
    username: Option<&str>,
    secrets: &mut Secrets<'_>,
    reader: &mut Reader,
) -> Option<OAuthLogin> {
    let word = word(of, reader);
    if username.is_none() {
        of.lacks("username", "the mailbox that logs in", reader);
    }
    warn_of_unused(of, word, reader);
    let mechanism = mechanism::of_token(of.kind, of.table, reader);
    let presumed = if word == Word::ClientCredentials { &of.preset.client_scope } else { &of.preset.scope };
    let scope = text(of.table, "scope").map(str::to_owned).or_else(|| presumed.clone());
    if scope.is_none() {
        of.lacks("scope", "what access is asked for", reader);
    }
    let (grant, presumed_endpoint) = match word {
        Word::ServiceAccount => {
            let (account, endpoint) = service_account(of, reader).unzip();
            (account.map(Grant::ServiceAccount), endpoint.flatten())
        }
        Word::ClientCredentials => {
            let client = client(of.id, of.kind, of.entry, of.table, true, secrets, reader);
            (client.map(Grant::ClientCredentials), None)
        }
        Word::AuthorizationCode | Word::DeviceCode => {
            let client = client(of.id, of.kind, of.entry, of.table, false, secrets, reader);
            let sign_in = sign_in(of, word, username, secrets, reader);
            (client.zip(sign_in).map(|(client, sign_in)| Grant::SignIn(client, sign_in)), None)
        }
    };
    let known = presumed_endpoint.as_ref().or(of.preset.token_endpoint.as_ref());
    let token_endpoint = of.endpoint("token_endpoint", known, Some("where tokens come from"), reader);
    Some(OAuthLogin {
        username: username?.to_owned(),
        mechanism,
        token_endpoint: token_endpoint?,
        scope: scope?,
        grant: grant?,
    })
}

fn sign_in(
    of: &Table<'_>,
    word: Word,
    username: Option<&str>,
    secrets: &mut Secrets<'_>,
    reader: &mut Reader,
) -> Option<SignIn> {
    let first_refresh_token = secrets.read(of.id, of.table, "refresh_token", reader);
    let by_device = word == Word::DeviceCode;
    let what = match of.kind {
        AccountType::Google => "Google's own gives no token for mail",
        _ => "where a code is had that a person types on another device",
    };
    let known = of.preset.device_endpoint.as_ref();
    let device = of.endpoint("device_authorization_endpoint", known, by_device.then_some(what), reader);
    let way = if by_device {
        SignInWay::Device { endpoint: device? }
    } else {
        let known = of.preset.authorization_endpoint.as_ref();
        let endpoint = of.endpoint("authorization_endpoint", known, Some("where a person signs in"), reader);
        let mut parameters = of.preset.authorization_parameters.clone();
        // The page comes up with the right mailbox filled in.
        if let (AccountType::Google | AccountType::Microsoft, Some(username)) = (of.kind, username) {
            parameters.push(("login_hint", username.to_owned()));
        }
        SignInWay::Browser { endpoint: endpoint?, parameters, device_endpoint: device }
    };
    Some(SignIn { way, first_refresh_token })
}

/// The grant that is configured; what does not go with the type is reported, and the default taken then.
fn word(of: &Table<'_>, reader: &mut Reader) -> Word {
    let words = WORDS.map(|(word, _)| word);
    let Some(entry) = of.table.get("grant") else {
        if let Some(file) = of.table.get("service_account_file") {
            let problem =
                "a service account signs for itself, but this account's grant is another one".to_owned();
            reader.error_at_key(file, problem, Some("set `grant = \"service_account\"`".into()));
            return Word::ServiceAccount;
        }
        return Word::AuthorizationCode;
    };
    let Some(word) = reader.word(entry, &words).map(|index| WORDS[index].1) else {
        return Word::AuthorizationCode;
    };
    let mut refuse = |why: &str, help: &str| {
        let problem = format!("found {}, which {why}", entry.value.shown());
        reader.error(entry, problem, Some(help.into()));
    };
    match word {
        Word::ClientCredentials if of.kind == AccountType::Google => {
            refuse(
                "Google does not have",
                "\"authorization_code\", where a person signs in, or \"service_account\", where nobody does",
            );
            return Word::AuthorizationCode;
        }
        Word::ServiceAccount if of.kind != AccountType::Google => {
            refuse("is Google's", "elsewhere a client in its own name is \"client_credentials\"");
        }
        Word::ClientCredentials if of.kind == AccountType::Microsoft => {
            refuse_shared_tenants(of, entry, reader);
        }
        _ => {}
    }
    word
}

/// Microsoft gives a client in its own name tokens of one directory only.
fn refuse_shared_tenants(of: &Table<'_>, grant: &Entry, reader: &mut Reader) {
    let tenant = text(of.table, "tenant").unwrap_or("common");
    if !of.table.contains_key("token_endpoint") && ["common", "organizations", "consumers"].contains(&tenant)
    {
        let help = "set `tenant` to the directory (tenant) id or to a domain of the tenant";
        let problem =
            format!("Microsoft gives a client in its own name no token for the tenant \"{tenant}\"");
        reader.error(of.table.get("tenant").unwrap_or(grant), problem, Some(help.into()));
    }
}

/// Reports what is configured and does not go with the grant.
fn warn_of_unused(of: &Table<'_>, word: Word, reader: &mut Reader) {
    let get = |key: &str| of.table.get(key);
    let signs_in = matches!(word, Word::AuthorizationCode | Word::DeviceCode);
    if let Some(token) = get("refresh_token").filter(|_| !signs_in) {
        let problem = "where nobody signs in there is no `refresh_token`".to_owned();
        let help = "for one that a person agreed to set `grant = \"authorization_code\"`";
        reader.error_at_key(token, problem, Some(help.into()));
    }
    for key in ["authorization_endpoint", "device_authorization_endpoint"] {
        if let Some(entry) = get(key).filter(|_| !signs_in) {
            reader.warn(entry, "nobody signs in with this grant: the endpoint is not used");
        }
    }
    if word == Word::ServiceAccount {
        for key in ["client_id", "client_secret", "client_secret_expires", "client_certificate", "client_key"]
        {
            if let Some(entry) = get(key) {
                reader.warn(entry, "a service account needs no client: this is not used");
            }
        }
    } else if let Some(file) = get("service_account_file").filter(|_| get("grant").is_some()) {
        let problem = "it goes with `grant = \"service_account\"` alone".to_owned();
        reader.error_at_key(file, problem, None);
    }
}
