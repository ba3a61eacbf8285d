//! Which fields there are, and which type has which.

use Shows::{First, Later, No};

/// What a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Text,
    Texts,
    Number,
    /// With what holds where nothing is written.
    Flag(bool),
    Secret,
    /// The first choice holds where nothing is written.
    Choice(&'static [&'static str]),
    /// One of the configured applications.
    Application,
}

/// Whether a type shows a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    /// Among those that make up the type.
    First,
    /// Among those that are settable all the same.
    Later,
    No,
}
pub(super) struct Field {
    pub(super) key: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    pub(super) takes: Takes,
    /// For basic, oauth2, google and microsoft.
    pub(super) shows: [Shows; 4],
}

const fn field(
    key: &'static str,
    label: &'static str,
    hint: &'static str,
    takes: Takes,
    shows: [Shows; 4],
) -> Field {
    Field { key, label, hint, takes, shows }
}

const ALL: [Shows; 4] = [First; 4];
const GENERIC: [Shows; 4] = [First, First, Later, Later];
const OAUTH: [Shows; 4] = [No, First, First, First];
const ENDPOINT: [Shows; 4] = [No, First, Later, Later];
const MORE: [Shows; 4] = [Later; 4];
const MORE_OAUTH: [Shows; 4] = [No, Later, Later, Later];

/// Every field, in the order of the page.
pub(super) const FIELDS: [Field; 36] = [
    field("name", "Name", "", Takes::Text, ALL),
    field("description", "Description", "", Takes::Text, ALL),
    field("active", "Active", "", Takes::Flag(true), ALL),
    field(
        "application",
        "Level",
        "An application's accounts come before the organization's.",
        Takes::Application,
        ALL,
    ),
    field("address", "Address", "The SMTP server.", Takes::Text, GENERIC),
    field("port", "SMTP port", "", Takes::Number, GENERIC),
    field(
        "security",
        "Security mode",
        "auto: TLS at port 465, else STARTTLS.",
        Takes::Choice(&["auto", "starttls", "tls", "none"]),
        GENERIC,
    ),
    field("certificate_validation", "Certificate validation", "", Takes::Flag(true), ALL),
    field(
        "domains",
        "Domain",
        "The sender domains that it serves, such as example.com or *.example.com; several with commas.",
        Takes::Texts,
        ALL,
    ),
    field("username", "SMTP username", "Who logs in, mostly the mailbox.", Takes::Text, ALL),
    field("use_authentication", "Use SMTP authentication", "", Takes::Flag(true), [First, No, No, No]),
    field("password", "Password", "", Takes::Secret, [First, No, No, No]),
    field("tenant", "Tenant", "Directory id or domain.", Takes::Text, [No, No, No, First]),
    field("authorization_endpoint", "Authorization endpoint", "", Takes::Text, ENDPOINT),
    field("token_endpoint", "Token endpoint", "", Takes::Text, ENDPOINT),
    field(
        "client_id",
        "Client id",
        "Of the application that is registered at the provider.",
        Takes::Text,
        OAUTH,
    ),
    field("client_secret", "Client secret", "Its value, not its id.", Takes::Secret, OAUTH),
    field("scope", "Scope", "What access is asked for.", Takes::Text, ENDPOINT),
    field("senders", "Exact senders", "Looked at before domains; several with commas.", Takes::Texts, MORE),
    field("default", "Serves every other sender of its level", "", Takes::Flag(false), MORE),
    field(
        "client_secret_expires",
        "Client secret ends on",
        "Such as 2027-05-01; warned of 60, 30 and 7 days ahead.",
        Takes::Text,
        MORE_OAUTH,
    ),
    field(
        "grant",
        "Grant",
        "",
        Takes::Choice(&["authorization_code", "device_code", "client_credentials", "service_account"]),
        MORE_OAUTH,
    ),
    field("device_authorization_endpoint", "Device authorization endpoint", "", Takes::Text, MORE_OAUTH),
    field(
        "client_certificate",
        "Client certificate",
        "A PEM file, with its key in place of a secret.",
        Takes::Text,
        [No, Later, No, Later],
    ),
    field("client_key", "Key of the client certificate", "A PEM file.", Takes::Text, [No, Later, No, Later]),
    field("service_account_file", "Key file of the service account", "", Takes::Text, [No, No, Later, No]),
    field(
        "cloud",
        "Cloud",
        "",
        Takes::Choice(&["global", "us-gov", "us-gov-dod", "china"]),
        [No, No, No, Later],
    ),
    field(
        "ca_file",
        "Further trusted roots",
        "A PEM file, in place of turning validation off.",
        Takes::Text,
        MORE,
    ),
    field("allow_plaintext_authentication", "Log in without encryption", "", Takes::Flag(false), MORE),
    field("mechanism", "Mechanism", "auto, or a word such as xoauth2 or plain.", Takes::Text, MORE),
    field(
        "sender",
        "Sender",
        "rewrite: the SMTP username in its place, the old From in Reply-To.",
        Takes::Choice(&["keep", "rewrite"]),
        MORE,
    ),
    field(
        "delivery",
        "Delivery",
        "through: the client waits for the provider's verdict.",
        Takes::Choice(&["queue", "through"]),
        MORE,
    ),
    field("max_connections", "Connections at once", "", Takes::Number, MORE),
    field("rate_limit", "Rate limit", "Such as 30/min, or none.", Takes::Text, MORE),
    field("daily_recipients", "Recipients a day", "", Takes::Number, MORE),
    field("max_recipients_per_message", "Recipients a message", "", Takes::Number, MORE),
];
