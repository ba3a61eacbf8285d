//! Which senders an application may send as.

use super::DomainPattern;
use crate::mail::{Mailbox, MailboxError};
use std::fmt;

/// A pattern of senders: one, or all of a domain or below one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SenderPattern {
    /// `user@example.com`.
    Exact(Mailbox),
    /// `*@example.com`, `*@*.example.com`.
    Anyone(DomainPattern),
}

impl SenderPattern {
    /// Parses one of the three forms.
    ///
    /// # Errors
    /// What is wrong with the address or domain.
    pub fn parse(text: &str) -> Result<Self, MailboxError> {
        match text.strip_prefix("*@") {
            Some(domain) => DomainPattern::parse(domain).map(Self::Anyone),
            // A `*` may stand in a local part (RFC 5321 §4.1.2); whoever writes it here means something else.
            None if text.contains('*') => Err(MailboxError::LocalPart),
            None => Mailbox::parse(text).map(Self::Exact),
        }
    }

    /// Whether it covers `sender`; case does not matter, and both forms of a domain are the same.
    pub fn covers(&self, sender: &Mailbox) -> bool {
        match self {
            Self::Exact(mailbox) => mailbox.matches(sender),
            Self::Anyone(domain) => domain.covers(sender.domain()),
        }
    }
}

impl fmt::Display for SenderPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(mailbox) => mailbox.fmt(f),
            Self::Anyone(domain) => write!(f, "*@{domain}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_whom_they_cover() {
        let cases = [
            ("ops@example.com", "Ops@EXAMPLE.com", true),
            ("ops@example.com", "dev@example.com", false),
            ("*@example.com", "anyone@Example.Com", true),
            ("*@example.com", "anyone@sub.example.com", false),
            ("*@*.example.com", "anyone@a.sub.example.com", true),
            ("*@*.example.com", "anyone@example.com", false),
            ("*@bücher.example", "x@xn--bcher-kva.example", true),
        ];
        for (pattern, sender, covered) in cases {
            let parsed = SenderPattern::parse(pattern).unwrap();
            assert_eq!(parsed.to_string(), pattern);
            assert_eq!(parsed.covers(&Mailbox::parse(sender).unwrap()), covered, "{pattern} {sender}");
        }
        for text in ["", "*", "example.com", "@example.com", "*@", "a*@example.com", "*@*", "*@a..b", "**@x"]
        {
            assert!(SenderPattern::parse(text).is_err(), "{text}");
        }
    }
}
