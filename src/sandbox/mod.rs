//! A mail provider in a box, on loopback: an OAuth 2.0 authorization server and SMTP submission with STARTTLS,
//! for `waxseal demo` and for tests. Strict where a provider would be strict, and faulty on demand.

mod assertion;
mod certificates;
mod device;
mod faults;
mod oauth;
mod provider;
mod received;
mod session;
mod submission;
mod token_endpoint;
mod tokens;

pub use faults::{Fault, Faults, Point};
pub use provider::SandboxProvider;
pub use received::Received;
pub use tokens::Grants;

use std::{path::PathBuf, time::Duration};

/// How the sandbox's SMTP port is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SandboxSecurity {
    /// In the clear, for good.
    None,
    /// STARTTLS is offered, and AUTH only after it.
    #[default]
    StartTls,
    /// TLS from the first octet.
    Tls,
}

/// What the sandbox is to be.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// How SMTP is secured.
    pub security: SandboxSecurity,
    /// The user who may log in.
    pub username: String,
    /// The user's password, for PLAIN and LOGIN.
    pub password: String,
    /// AUTH mechanisms that EHLO names; empty is no AUTH, and mail is taken without.
    pub mechanisms: Vec<&'static str>,
    /// What `SIZE` says, in octets; 0 is no limit.
    pub size: u64,
    /// Whether PIPELINING is offered.
    pub pipelining: bool,
    /// Whether SMTPUTF8 is offered.
    pub smtputf8: bool,
    /// Whether DSN is offered (RFC 3461).
    pub dsn: bool,
    /// Host names and addresses in the server's certificate.
    pub certificate_names: Vec<String>,
    /// Whether the server's certificate ended yesterday.
    pub certificate_expired: bool,
    /// OAuth client id.
    pub client_id: String,
    /// OAuth client secret; `None` is a public client.
    pub client_secret: Option<String>,
    /// The public key, an uncompressed point of P-256, of those who sign assertions: the client in place of a secret, or a
    /// service account.
    pub assertion_key: Option<Vec<u8>>,
    /// The redirect URI that is registered; `None` takes any on loopback.
    pub redirect_uri: Option<String>,
    /// Whether the authorization endpoint consents by itself instead of showing its page.
    pub auto_approve: bool,
    /// Life of access tokens.
    pub expires_in: Duration,
    /// Whether every refresh hands out a new refresh token and ends the old one.
    pub rotate: bool,
    /// How long a rotated refresh token still works.
    pub rotation_grace: Duration,
    /// TCP port of SMTP on 127.0.0.1; 0 is any free one.
    pub smtp_port: u16,
    /// TCP port of the authorization server on 127.0.0.1; 0 is any free one.
    pub http_port: u16,
    /// Where messages are written, one file each, besides being kept in memory.
    pub directory: Option<PathBuf>,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            security: SandboxSecurity::StartTls,
            username: "support@example.com".to_owned(),
            password: "sandbox-password".to_owned(),
            mechanisms: vec!["XOAUTH2", "PLAIN", "LOGIN"],
            size: 50 * 1024 * 1024,
            pipelining: true,
            smtputf8: true,
            dsn: false,
            certificate_names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            certificate_expired: false,
            client_id: "sandbox-client".to_owned(),
            client_secret: Some("sandbox-secret".to_owned()),
            assertion_key: None,
            redirect_uri: None,
            auto_approve: false,
            expires_in: Duration::from_secs(3600),
            rotate: false,
            rotation_grace: Duration::ZERO,
            smtp_port: 0,
            http_port: 0,
            directory: None,
        }
    }
}
