//! Every key that the configuration knows, and its type.

/// What a key takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A string, read further by what uses it.
    Text,
    /// A string or an octet count: `"50MiB"`.
    Size,
    /// `true` or `false`.
    Flag,
    /// A whole number, at least the first, at most the second.
    Integer(i64, i64),
    /// An array of strings; one string stands for an array of one.
    Texts,
    /// A secret in one of its four forms.
    Secret,
    /// `[name]`.
    Table(&'static [Key]),
    /// `[name.ID]`.
    Map(&'static [Key]),
    /// `[[name]]`.
    Tables(&'static [Key]),
}

/// A key and what it takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// Its name.
    pub(super) name: &'static str,
    /// What it takes.
    pub(super) kind: Kind,
}

const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind }
}

/// The forms of a secret that are not a plain string.
pub(super) const SECRET_FORMS: [&str; 3] = ["file", "env", "credential"];

const COUNT: Kind = Kind::Integer(1, 1_000_000);

/// The top level.
pub(super) const ROOT: &[Key] = &[
    key("hostname", Kind::Text),
    key("state_dir", Kind::Text),
    key("listener", Kind::Tables(LISTENER)),
    key("user", Kind::Map(USER)),
    key("application", Kind::Map(APPLICATION)),
    key("account", Kind::Map(ACCOUNT)),
    key("queue", Kind::Table(QUEUE)),
    key("store", Kind::Table(STORE)),
    key("limits", Kind::Table(LIMITS)),
    key("admin", Kind::Table(ADMIN)),
    key("alert", Kind::Table(ALERT)),
    key("history", Kind::Table(HISTORY)),
    key("log", Kind::Table(LOG)),
    key("smtp", Kind::Table(LEGACY)),
];

const LISTENER: &[Key] = &[
    key("address", Kind::Text),
    key("tls", Kind::Text),
    key("certificate", Kind::Text),
    key("private_key", Kind::Text),
    key("clients", Kind::Texts),
    key("authentication", Kind::Text),
    key("application", Kind::Text),
];

const USER: &[Key] =
    &[key("username", Kind::Text), key("password", Kind::Secret), key("application", Kind::Text)];

const APPLICATION: &[Key] = &[key("clients", Kind::Texts), key("allowed_senders", Kind::Texts)];

/// `[account.ID]`.
pub(super) const ACCOUNT: &[Key] = &[
    key("name", Kind::Text),
    key("description", Kind::Text),
    key("active", Kind::Flag),
    key("application", Kind::Text),
    key("type", Kind::Text),
    key("domain", Kind::Texts),
    key("domains", Kind::Texts),
    key("senders", Kind::Texts),
    key("default", Kind::Flag),
    key("address", Kind::Text),
    key("port", Kind::Integer(1, 65535)),
    key("security", Kind::Text),
    key("allow_plaintext_authentication", Kind::Flag),
    key("certificate_validation", Kind::Flag),
    key("ca_file", Kind::Text),
    key("username", Kind::Text),
    key("use_authentication", Kind::Flag),
    key("password", Kind::Secret),
    key("client_id", Kind::Text),
    key("client_secret", Kind::Secret),
    key("client_secret_expires", Kind::Text),
    key("client_certificate", Kind::Text),
    key("client_key", Kind::Text),
    key("service_account_file", Kind::Text),
    key("authorization_endpoint", Kind::Text),
    key("token_endpoint", Kind::Text),
    key("device_authorization_endpoint", Kind::Text),
    key("scope", Kind::Text),
    key("tenant", Kind::Text),
    key("cloud", Kind::Text),
    key("grant", Kind::Text),
    key("refresh_token", Kind::Secret),
    key("mechanism", Kind::Text),
    key("sender", Kind::Text),
    key("max_connections", Kind::Integer(1, 1000)),
    key("rate_limit", Kind::Text),
    key("daily_recipients", COUNT),
    key("max_recipients_per_message", COUNT),
    key("delivery", Kind::Text),
];

const QUEUE: &[Key] = &[
    key("retry", Kind::Texts),
    key("expire", Kind::Text),
    key("keep_failed", Kind::Text),
    key("bounce", Kind::Text),
    key("postmaster", Kind::Text),
    key("through_timeout", Kind::Text),
    key("max_size", Kind::Size),
    key("min_free", Kind::Size),
    key("spool", Kind::Text),
];

const STORE: &[Key] = &[key("url", Kind::Secret), key("node", Kind::Text), key("ca_file", Kind::Text)];

const LIMITS: &[Key] = &[
    key("message_size", Kind::Size),
    key("recipients", COUNT),
    key("connections", COUNT),
    key("connections_per_client", COUNT),
    key("command_timeout", Kind::Text),
    key("data_timeout", Kind::Text),
];

const ADMIN: &[Key] = &[key("address", Kind::Text), key("public_url", Kind::Text)];

const ALERT: &[Key] = &[key("command", Kind::Texts), key("mail_to", Kind::Text)];

const HISTORY: &[Key] = &[key("keep", Kind::Text)];

const LOG: &[Key] = &[key("format", Kind::Text), key("level", Kind::Text)];

/// The form from before auth accounts.
const LEGACY: &[Key] = &[
    key("host", Kind::Text),
    key("port", Kind::Integer(1, 65535)),
    key("ssl", Kind::Flag),
    key("username", Kind::Text),
    key("password", Kind::Secret),
    key("from_domain", Kind::Text),
];

/// Whether `name` is a key that never holds a secret, nor a table that may.
pub(super) fn is_plain_leaf(name: &str) -> bool {
    fn among(keys: &[Key], name: &str) -> bool {
        keys.iter().any(|key| match key.kind {
            Kind::Table(keys) | Kind::Map(keys) | Kind::Tables(keys) => among(keys, name),
            Kind::Secret => false,
            _ => key.name == name,
        })
    }
    among(ROOT, name)
}
