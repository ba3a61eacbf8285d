//! The account itself.

use super::OAuthLogin;
use crate::mail::{Domain, Mailbox, MailboxError};
use secrecy::SecretString;
use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

/// Names an account: the `ID` of `[account.ID]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(Arc<str>);

/// Names an application: the `ID` of `[application.ID]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplicationId(Arc<str>);

macro_rules! id {
    ($name:ident) => {
        impl $name {
            /// Takes the id as written in the configuration.
            pub fn new(id: &str) -> Self {
                Self(id.into())
            }

            /// The id as written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}
id!(AccountId);
id!(ApplicationId);

/// The four types that users know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountType {
    /// Basic (SMTP).
    Basic,
    /// Generic OAuth 2.0 (SMTP).
    OAuth2,
    /// Google OAuth 2.0 (SMTP).
    Google,
    /// Microsoft OAuth 2.0 (SMTP).
    Microsoft,
}

/// Whether a text can be the `ID` of a table: ASCII letters, digits, `-` and `_`.
pub fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl AccountType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Basic, Self::OAuth2, Self::Google, Self::Microsoft];

    /// The type that a word of the configuration stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::OAuth2 => "oauth2",
            Self::Google => "google",
            Self::Microsoft => "microsoft",
        }
    }
}

/// The sender domains that an account serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainPattern {
    /// `example.com`: this domain alone.
    Exact(Domain),
    /// `*.example.com`: every domain below, at any depth, not `example.com` itself.
    Below(Domain),
}

impl DomainPattern {
    /// Parses `example.com` or `*.example.com`.
    pub fn parse(text: &str) -> Result<Self, MailboxError> {
        match text.strip_prefix("*.") {
            Some(parent) => Domain::parse(parent).map(Self::Below),
            None => Domain::parse(text).map(Self::Exact),
        }
    }

    /// Whether it covers `domain`.
    pub fn covers(&self, domain: &Domain) -> bool {
        match self {
            Self::Exact(served) => served == domain,
            Self::Below(parent) => domain
                .ascii()
                .strip_suffix(parent.ascii())
                .is_some_and(|left| left.len() > 1 && left.ends_with('.')),
        }
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(d) => d.fmt(f),
            Self::Below(d) => write!(f, "*.{d}"),
        }
    }
}

/// How the connection to the server is secured. `auto` is resolved by the port when the account is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityMode {
    /// Plain text all the way.
    None,
    /// STARTTLS, demanded (RFC 3207).
    StartTls,
    /// TLS from the first octet (RFC 8314).
    Tls,
}

/// The smarthost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Host name or IP address; also the name that its certificate must bear.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is secured.
    pub security: SecurityMode,
    /// Log in although nothing protects the connection and the server is not on loopback.
    pub allow_plaintext_authentication: bool,
    /// Whether the server's certificate must be valid.
    pub certificate_validation: bool,
    /// PEM file with further trusted roots.
    pub ca_file: Option<PathBuf>,
}

/// How a password is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PasswordMechanism {
    /// The first that the server offers, in the order of those below.
    #[default]
    Auto,
    /// PLAIN (RFC 4616).
    Plain,
    /// LOGIN, which has no RFC.
    Login,
    /// CRAM-MD5 (RFC 2195): the password does not travel, but the server has to know it.
    CramMd5,
}

/// How an access token is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenMechanism {
    /// The first that the server offers, in the order of those below.
    #[default]
    Auto,
    /// XOAUTH2, Google's and Microsoft's own.
    XOAuth2,
    /// OAUTHBEARER (RFC 7628).
    OAuthBearer,
}

/// Who logs in, and how.
#[derive(Debug, Clone)]
pub enum Login {
    /// No AUTH at all.
    None,
    /// A user name and a password.
    Password {
        /// SMTP user name.
        username: String,
        /// Its password.
        password: SecretString,
        /// How it is proved.
        mechanism: PasswordMechanism,
    },
    /// A user name and an access token. Never falls back to a password.
    OAuth(Box<OAuthLogin>),
}

/// So many messages in such a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Messages.
    pub count: u32,
    /// The time in which they may leave.
    pub per: Duration,
}

/// How fast an account may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    /// Upstream connections at once; at least 1.
    pub max_connections: usize,
    /// Messages per time; `None` is no limit.
    pub rate_limit: Option<Rate>,
    /// Recipients a day; further messages wait for the next one. `None` is no limit.
    pub daily_recipients: Option<u32>,
    /// Recipients in one transaction; more are sent in further transactions.
    pub max_recipients_per_message: Option<usize>,
}

/// When a client is told that its message is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// Once the message is on stable storage.
    #[default]
    Queue,
    /// Once the provider has given its verdict, or the message is on stable storage where that takes too long.
    Through,
}

/// Who mail is from when it leaves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SenderPolicy {
    /// Whoever it came from.
    #[default]
    Keep,
    /// The account's own mailbox, in the reverse-path and in `From`; the old `From` goes into `Reply-To`.
    Rewrite(Mailbox),
}

impl SenderPolicy {
    /// The mailbox that takes the sender's place.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Keep => None,
            Self::Rewrite(mailbox) => Some(mailbox),
        }
    }
}

/// An outbound auth account.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// The name that people gave it; the id where they gave none.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Inactive accounts serve nobody.
    pub active: bool,
    /// The application it belongs to; `None` is the organization level.
    pub application: Option<ApplicationId>,
    /// Its type.
    pub kind: AccountType,
    /// Sender domains it serves.
    pub domains: Vec<DomainPattern>,
    /// Exact senders it serves, looked at before domains.
    pub senders: Vec<Mailbox>,
    /// Whether it serves senders that no other account at its level matches.
    pub default: bool,
    /// Where its mail goes.
    pub server: Server,
    /// Who logs in.
    pub login: Login,
    /// Who its mail is from when it leaves.
    pub sender: SenderPolicy,
    /// How fast it may send.
    pub pacing: Pacing,
    /// When a client is told that its message is taken.
    pub delivery: Delivery,
}

impl Account {
    /// Who logs in, where anybody does.
    pub fn username(&self) -> Option<&str> {
        match &self.login {
            Login::None => None,
            Login::Password { username, .. } => Some(username),
            Login::OAuth(oauth) => Some(&oauth.username),
        }
    }

    /// The OAuth half, for OAuth accounts.
    pub fn oauth(&self) -> Option<&OAuthLogin> {
        match &self.login {
            Login::OAuth(oauth) => Some(oauth),
            _ => None,
        }
    }
}
