//! The stages of a dialogue, and how long each may take (RFC 5321 §4.5.3.2). Pure.

use std::{fmt, time::Duration};

/// Where in its dialogue a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Name resolution and TCP.
    Connect,
    /// The greeting.
    Banner,
    /// EHLO.
    Ehlo,
    /// STARTTLS (RFC 3207).
    StartTls,
    /// The TLS handshake.
    Handshake,
    /// AUTH (RFC 4954).
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA, up to its 354.
    Data,
    /// The octets of the content, and the reply to them.
    Content,
    /// The final dot is out and no reply has come: the server may have the message.
    InDoubt,
    /// RSET.
    Reset,
    /// QUIT.
    Quit,
}

impl Stage {
    /// How long a step of this stage may take: a reply, or in `Content` one block of octets.
    pub fn timeout(self) -> Duration {
        Duration::from_secs(match self {
            Self::Connect => 30,
            Self::Banner | Self::Ehlo | Self::Mail | Self::Rcpt => 5 * 60,
            Self::StartTls | Self::Auth | Self::Data => 2 * 60,
            Self::Handshake => 60,
            Self::Content => 3 * 60,
            Self::InDoubt => 10 * 60,
            Self::Reset => 30,
            Self::Quit => 5,
        })
    }

    /// Whether a transaction is under way, so that trouble may concern the message.
    pub fn in_transaction(self) -> bool {
        matches!(self, Self::Mail | Self::Rcpt | Self::Data | Self::Content | Self::InDoubt)
    }
}

impl fmt::Display for Stage {
    /// The word that completes "at ...".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Banner => "the greeting",
            Self::Ehlo => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Handshake => "the TLS handshake",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL FROM",
            Self::Rcpt => "RCPT TO",
            Self::Data => "DATA",
            Self::Content => "the content",
            Self::InDoubt => "the final dot",
            Self::Reset => "RSET",
            Self::Quit => "QUIT",
        })
    }
}
