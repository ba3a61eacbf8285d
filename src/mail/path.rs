//! Reverse-path and forward-path (RFC 5321 §4.1.2).

use super::{Mailbox, MailboxError};
use std::fmt;

/// Where notifications about a message go: a mailbox, or nobody (`<>`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReversePath {
    /// `<>`: the message is itself a notification.
    Null,
    /// `<local-part@domain>`.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// Parses the text between the angle brackets; empty is the null reverse-path.
    pub fn parse(text: &str) -> Result<Self, MailboxError> {
        if text.is_empty() { Ok(Self::Null) } else { Mailbox::parse(text).map(Self::Mailbox) }
    }

    /// The mailbox, where there is one.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Null => None,
            Self::Mailbox(m) => Some(m),
        }
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Mailbox(m) => m.fmt(f),
        }
    }
}

/// One recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardPath {
    /// `<postmaster>` without a domain, which every server takes (RFC 5321 §4.5.1).
    Postmaster,
    /// `<local-part@domain>`.
    Mailbox(Mailbox),
}

impl ForwardPath {
    /// Parses the text between the angle brackets.
    pub fn parse(text: &str) -> Result<Self, MailboxError> {
        if text.eq_ignore_ascii_case("postmaster") {
            Ok(Self::Postmaster)
        } else {
            Mailbox::parse(text).map(Self::Mailbox)
        }
    }

    /// Whether sending this path needs SMTPUTF8 (RFC 6531).
    pub fn needs_smtputf8(&self) -> bool {
        matches!(self, Self::Mailbox(m) if m.needs_smtputf8())
    }
}

impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postmaster => f.write_str("postmaster"),
            Self::Mailbox(m) => m.fmt(f),
        }
    }
}
