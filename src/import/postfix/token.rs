//! sasl-xoauth2: the token file that stands in the place of a password, and the plugin's own configuration.

use crate::{
    account::AccountType,
    import::{
        Files, Found, Place, names,
        provider::{self, Provider},
    },
};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The plugin's configuration where nobody names another.
pub(super) const CONFIGURATION: &str = "/etc/sasl-xoauth2.conf";
/// The token endpoint that the plugin presumes.
const GOOGLE: &str = "https://accounts.google.com/o/oauth2/token";

/// A JSON file of the plugin. No `Debug`: tokens are in it.
struct Json {
    path: PathBuf,
    text: zeroize::Zeroizing<String>,
    values: Map<String, Value>,
}

impl Json {
    fn read(path: &Path, files: &dyn Files) -> Result<Self, String> {
        let text = files.read(path)?;
        match serde_json::from_str(&text) {
            Ok(Value::Object(values)) => Ok(Self { path: path.to_owned(), text, values }),
            _ => Err("it is no JSON object".to_owned()),
        }
    }

    /// A value that is not empty.
    fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    fn is_on(&self, name: &str) -> bool {
        match self.values.get(name) {
            Some(Value::Bool(on)) => *on,
            Some(Value::String(word)) => names::yes(word).unwrap_or(false),
            _ => false,
        }
    }

    fn place(&self, name: &str) -> Place {
        let quoted = format!("\"{name}\"");
        let line = self.text.lines().position(|line| line.contains(&quoted)).map_or(0, |index| index + 1);
        Place::new(&self.path, line)
    }
}

/// What is known of an account with tokens: from its token file, else from the plugin's configuration.
pub(super) struct Tokens {
    token_file: Result<Json, (PathBuf, String)>,
    plugin: Result<Json, (PathBuf, String)>,
}

impl Tokens {
    /// Reads the token file at `path`, below Postfix's root where it is not here, and the plugin's configuration.
    pub(super) fn read(path: &Path, root: &Path, plugin: &Path, files: &dyn Files) -> Self {
        let below = root.join(path.strip_prefix("/").unwrap_or(path));
        let token_file = Json::read(path, files)
            .or_else(|why| Json::read(&below, files).map_err(|_| why))
            .map_err(|why| (path.to_owned(), why));
        let plugin = Json::read(plugin, files).map_err(|why| (plugin.to_owned(), why));
        Self { token_file, plugin }
    }

    fn sources(&self) -> impl Iterator<Item = &Json> {
        [&self.token_file, &self.plugin].into_iter().filter_map(|json| json.as_ref().ok())
    }

    fn text(&self, name: &str) -> Option<&str> {
        // An empty value in the token file overrides the plugin's as any other does.
        self.sources().find(|json| json.values.contains_key(name)).and_then(|json| json.text(name))
    }

    fn is_on(&self, name: &str) -> bool {
        self.sources().find(|json| json.values.contains_key(name)).is_some_and(|json| json.is_on(name))
    }

    /// The provider that the tokens are of: by the endpoint that is set, else by the server, else the plugin's own.
    pub(super) fn provider(&self, server: &str) -> Provider {
        match (self.text("token_endpoint"), Provider::of_server(server)) {
            (Some(endpoint), _) => Provider::of_endpoint(endpoint),
            (None, known) if known.kind != AccountType::OAuth2 => known,
            _ => Provider::of_endpoint(GOOGLE),
        }
    }

    /// Fills in client and tokens.
    pub(super) fn fill_in(&self, found: &mut Found, provider: &Provider) {
        provider.describe(&mut found.draft);
        match self.text("client_id") {
            Some(id) => found.draft.set("client_id", id),
            None => {
                found.draft.lacks("client_id", "the client (application) id that the tokens were made with")
            }
        }
        let own_name = self.is_on("use_client_credentials");
        match self.text("client_secret") {
            Some(secret) => found.draft.set("client_secret", names::given(secret)),
            None if provider.kind == AccountType::Google || own_name => {
                found.draft.lacks("client_secret", "the client secret");
            }
            None => {}
        }
        if own_name {
            found.draft.set("grant", "client_credentials");
            if provider.kind == AccountType::Microsoft && provider.tenant.is_none() {
                found.draft.lacks("tenant", "the directory (tenant) id, which this grant is bound to");
            }
        } else {
            self.refresh_token(found);
        }
        if provider.kind == AccountType::OAuth2 {
            self.endpoints(found, own_name);
        }
        self.left_out(found);
    }

    fn refresh_token(&self, found: &mut Found) {
        let sign_in = "sign in once: `waxseal account authorize ID`";
        match &self.token_file {
            Ok(json) => match json.text("refresh_token") {
                Some(_) if json.is_on("manage_token_externally") => {
                    let why = format!("another program makes these tokens; {sign_in}");
                    found.leave(json.place("manage_token_externally"), "manage_token_externally", why);
                }
                Some(token) => found.draft.set("refresh_token", names::given(token)),
                None => {
                    let why = format!("there is no refresh_token in it; {sign_in}");
                    found.leave(Place::new(&json.path, 0), "token file", why);
                }
            },
            Err((path, why)) => {
                let why = format!("it cannot be read: {why}; {sign_in}");
                found.leave(Place::new(path, 0), "token file", why);
            }
        }
    }

    fn endpoints(&self, found: &mut Found, own_name: bool) {
        let endpoint = self.text("token_endpoint").unwrap_or_default();
        let known = provider::known(endpoint);
        let draft = &mut found.draft;
        if provider::is_endpoint(endpoint) {
            draft.set("token_endpoint", endpoint);
        } else {
            draft.lacks("token_endpoint", "the provider's token endpoint");
        }
        match &known {
            _ if own_name => {}
            Some(known) => draft.set("authorization_endpoint", known.authorization_endpoint),
            None => draft.lacks("authorization_endpoint", "where a person signs in"),
        }
        match (self.text("scope"), known) {
            (Some(scope), _) => draft.set("scope", scope),
            (None, Some(known)) => draft.set("scope", known.scope),
            (None, None) => draft.lacks("scope", "what access is asked for, in the provider's words"),
        }
    }

    fn left_out(&self, found: &mut Found) {
        if let (Err((path, why)), true) = (&self.plugin, self.text("client_id").is_none()) {
            found.leave(Place::new(path, 0), "sasl-xoauth2.conf", format!("it cannot be read: {why}"));
        }
        for json in self.sources() {
            for name in json.values.keys() {
                let why = match name.as_str() {
                    "proxy" => "set HTTPS_PROXY in waxseal's environment: it is for token requests",
                    "ca_bundle_file" | "ca_certs_dir" => {
                        "token endpoints are trusted by the authorities of this host"
                    }
                    "refresh_window" => "waxseal refreshes in the background, well before a token ends",
                    "always_log_to_syslog" | "log_to_syslog_on_failure" | "log_full_trace_on_failure" => {
                        "waxseal logs to the journal, and never a token"
                    }
                    "access_token"
                    | "expiry"
                    | "refresh_token"
                    | "client_id"
                    | "client_secret"
                    | "token_endpoint"
                    | "manage_token_externally"
                    | "use_client_credentials"
                    | "scope"
                    | "user" => continue,
                    _ => "unknown to the importer",
                };
                found.leave(json.place(name), name.as_str(), why);
            }
        }
    }
}
