//! An account of the proxy: its section, filled in by those that catch all.

use super::Server;
use crate::{
    account::AccountType,
    draft::{Draft, id_of},
    import::{
        Files, Found,
        ini::{Section, Setting},
        names,
        provider::{self, Provider, Security, set_server},
    },
};

/// What the proxy keeps for itself, encrypted with the password that the mail client logs in with.
const CACHED: [&str; 6] = [
    "access_token",
    "access_token_expiry",
    "refresh_token",
    "token_salt",
    "token_iterations",
    "last_activity",
];

/// An account's section, and the catch-all sections that fill it in.
pub(super) struct Account<'a> {
    /// Its own section.
    pub(super) section: &'a Section,
    /// Where its options are looked for, in this order.
    pub(super) sources: Vec<&'a Section>,
}

impl Account<'_> {
    /// An option, the account's own first.
    pub(super) fn option(&self, name: &str) -> Option<&Setting> {
        self.sources.iter().find_map(|section| section.option(name))
    }

    /// Its value.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.option(name).map(|option| option.value.as_str())
    }

    /// The account, on one of the servers that the configuration has.
    pub(super) fn found(&self, servers: &[Server], files: &dyn Files) -> Found {
        let token = self.value("token_url").unwrap_or_default();
        let permission = self.value("permission_url").unwrap_or_default();
        let flow = self.value("oauth2_flow").unwrap_or("authorization_code").to_ascii_lowercase();
        let mut provider = Provider::of_endpoint(if token.is_empty() { permission } else { token });
        if flow == "service_account" {
            provider = Provider::plain(AccountType::Google);
        }
        let draft = Draft::new(id_of(self.section.name.trim_start_matches('@'), "account"), provider.kind);
        let mut found = Found::new(draft, self.section.place.clone());
        self.identity(&mut found);
        provider.describe(&mut found.draft);
        self.server(&mut found.draft, &provider, servers);
        let grant = if flow == "service_account" {
            let grant = self.service_account(&mut found, files).then_some("service_account");
            found.draft.set_some("grant", grant);
            grant
        } else {
            self.client(&mut found, files);
            self.flow(&mut found, &flow)
        };
        self.endpoints(&mut found, &provider, grant);
        self.scope(&mut found, &provider, grant);
        self.rest(&mut found, grant);
        found
    }

    /// Who logs in, and whose mail it is.
    fn identity(&self, found: &mut Found) {
        let name = &self.section.name;
        match names::serves(name) {
            Some(serves) => names::serve(&mut found.draft, serves),
            None => names::must_serve(&mut found.draft),
        }
        if name.starts_with('@') {
            found.draft.lacks("username", "the mailbox that logs in: the proxy took whoever logged in to it");
        } else {
            found.draft.set("username", name.as_str());
        }
    }

    /// The proxy has no server of an account: it is the provider's, else the only one there is.
    fn server(&self, draft: &mut Draft, provider: &Provider, servers: &[Server]) {
        let preset = provider.preset();
        let token = self.value("token_url").unwrap_or_default();
        let ours = |server: &&Server| match provider.kind {
            AccountType::OAuth2 => related(&server.host, token, &self.section.name),
            kind => Provider::of_server(&server.host).kind == kind,
        };
        let foreign = |server: &&Server| Provider::of_server(&server.host).kind == AccountType::OAuth2;
        let mut others = servers.iter().filter(foreign);
        let only = match (provider.kind, others.next(), others.next()) {
            (AccountType::OAuth2, only, None) => only,
            _ => None,
        };
        match servers.iter().find(ours).or(only) {
            Some(server) => set_server(draft, &preset, &server.host, server.port, server.security),
            None if preset.host.is_some() => {}
            None => match provider::known(token) {
                Some(known) => set_server(draft, &preset, known.server, 465, Security::Tls),
                None => draft.lacks("address", "the provider's SMTP server, with `port` where it is not 587"),
            },
        }
    }

    /// The grant; `password` becomes one that a person agrees to.
    fn flow(&self, found: &mut Found, flow: &str) -> Option<&'static str> {
        let grant = match flow {
            "authorization_code" => None,
            "device" => Some("device_code"),
            "client_credentials" => Some("client_credentials"),
            _ => {
                if let Some(option) = self.option("oauth2_flow") {
                    let why = "waxseal takes no user's password for a token: sign in once, `waxseal account authorize \
                               ID`, or set `grant = \"client_credentials\"`";
                    found.leave(option.place.clone(), "oauth2_flow", why);
                }
                None
            }
        };
        found.draft.set_some("grant", grant);
        if grant == Some("client_credentials") {
            self.in_its_own_name(&mut found.draft);
        }
        grant
    }

    /// What the client credentials grant cannot do without.
    fn in_its_own_name(&self, draft: &mut Draft) {
        let somebodys = |tenant: &str| ["organizations", "consumers"].contains(&tenant);
        if draft.kind == AccountType::Microsoft && draft.text("tenant").is_none_or(somebodys) {
            draft.lacks("tenant", "the directory (tenant) id, which this grant is bound to");
        }
        if draft.get("client_secret").is_none() && draft.get("client_certificate").is_none() {
            draft.lacks("client_secret", "the client secret, which this grant needs");
        }
    }

    fn endpoints(&self, found: &mut Found, provider: &Provider, grant: Option<&str>) {
        // Google's own device endpoint gives no token for mail, so that there is another one.
        let by_device = grant == Some("device_code") && provider.kind == AccountType::Google;
        if provider.kind != AccountType::OAuth2 && !by_device {
            return;
        }
        let mut endpoint = |option: &str, key: &'static str, what: &str| match self.value(option) {
            Some(url) if provider::is_endpoint(url) => found.draft.set(key, url),
            _ => found.draft.lacks(key, what),
        };
        if !by_device {
            endpoint("token_url", "token_endpoint", "the provider's token endpoint");
        }
        match grant {
            None => endpoint("permission_url", "authorization_endpoint", "where a person signs in"),
            Some("device_code") => {
                endpoint("permission_url", "device_authorization_endpoint", "where device codes come from");
            }
            Some(_) => {}
        }
    }

    /// What is asked for, without the rights to read mail, which waxseal has no use for.
    fn scope(&self, found: &mut Found, provider: &Provider, grant: Option<&str>) {
        let Some(option) = self.option("oauth2_scope") else {
            if provider.kind == AccountType::OAuth2 {
                found.draft.lacks("scope", "what access is asked for, in the provider's words");
            }
            return;
        };
        let reads = |word: &&str| word.contains("IMAP.") || word.contains("POP.");
        let (dropped, kept): (Vec<&str>, Vec<&str>) = option.value.split_whitespace().partition(reads);
        if !dropped.is_empty() {
            let why = "the rights to read mail by IMAP and POP are not asked for";
            found.leave(option.place.clone(), "oauth2_scope", why);
        }
        let preset = provider.preset();
        let presumed = if grant == Some("client_credentials") { preset.client_scope } else { preset.scope };
        let presumed = presumed.unwrap_or_default();
        let same = |word: &&str| {
            let word = word.replace("outlook.office365.com/SMTP.", "outlook.office.com/SMTP.");
            presumed.split(' ').any(|known| known == word)
        };
        if !kept.iter().all(same) || presumed.is_empty() {
            found.draft.set("scope", kept.join(" "));
        }
    }

    /// What the proxy has and waxseal has not, or does by itself.
    fn rest(&self, found: &mut Found, grant: Option<&str>) {
        let mut cached = Vec::new();
        for option in &self.section.options {
            let why = match option.name.as_str() {
                name if CACHED.contains(&name) => {
                    cached.push(option);
                    continue;
                }
                "permission_url"
                | "token_url"
                | "oauth2_scope"
                | "oauth2_flow"
                | "client_id"
                | "client_secret"
                | "client_secret_encrypted"
                | "documentation"
                | "use_pkce" => continue,
                "redirect_uri" if grant.is_some() => continue,
                "redirect_uri" => {
                    "register waxseal's redirect URI at the provider: `waxseal check` prints it"
                }
                "redirect_listen_address" => "set `[admin] address` in waxseal.toml",
                "jwt_certificate_path" | "jwt_key_path"
                    if found.draft.get("client_certificate").is_some() =>
                {
                    continue;
                }
                "jwt_certificate_path" | "jwt_key_path" => {
                    "the account has a client secret, which goes first"
                }
                "local_address" => "set `address` of a `[[listener]]`",
                _ => "unknown to the importer",
            };
            found.leave(option.place.clone(), option.name.as_str(), why);
        }
        if let Some(first) = cached.first() {
            let all: Vec<&str> = cached.iter().map(|option| option.name.as_str()).collect();
            let way_out = match grant {
                Some("client_credentials" | "service_account") => "waxseal asks for tokens by itself",
                _ => "sign in once more: `waxseal account authorize ID`",
            };
            let why = format!("encrypted with the password that a mail client logs in with; {way_out}");
            found.leave(first.place.clone(), all.join(", "), why);
        }
    }
}

/// Whether a server is of the same house as a token endpoint, or as an account's domain.
fn related(server: &str, token_endpoint: &str, account: &str) -> bool {
    // `co.uk` and the like are nobody's house.
    let house = |host: &str| {
        let labels: Vec<&str> = host.rsplit('.').collect();
        let public = labels.len() > 2 && labels[0].len() == 2 && labels[1].len() <= 3;
        let own = labels.get(..if public { 3 } else { 2 })?;
        Some(own.join(".").to_ascii_lowercase())
    };
    let Some(ours) = house(server) else { return false };
    let endpoint = url::Url::parse(token_endpoint).ok().and_then(|url| house(url.host_str()?));
    let domain = account.rsplit('@').next().and_then(house);
    [endpoint, domain].into_iter().flatten().any(|other| other == ours)
}
