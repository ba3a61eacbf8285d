//! What a client is offered and allowed, by what its listener wants and what its session has come to (RFC 3207,
//! RFC 4954).

use super::{Command, replies};
use crate::mail::Reply;

/// How a listener is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encryption {
    /// Not at all.
    #[default]
    None,
    /// STARTTLS is offered.
    Offered,
    /// Nothing but STARTTLS gets anywhere.
    Required,
    /// TLS from the first octet (RFC 8314 §3.3).
    Implicit,
}

/// How a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What the listener wants.
    pub encryption: Encryption,
    /// Whether the connection is under TLS.
    pub secure: bool,
}

impl Standing {
    /// The lines of EHLO's answer behind the host's name. `message_size` is in octets (RFC 1870).
    pub fn offer(&self, message_size: u64) -> Vec<String> {
        let mut lines: Vec<String> =
            ["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN"].map(str::to_owned).into();
        if self.may_start_tls() {
            lines.push("STARTTLS".to_owned());
        }
        lines.push(format!("SIZE {message_size}"));
        lines
    }

    /// Whether `command` may come now.
    ///
    /// # Errors
    /// What to answer in its place.
    pub fn admit(&self, command: &Command) -> Result<(), Reply> {
        if self.encryption == Encryption::Required && !self.secure && !comes_before_tls(command) {
            return Err(replies::tls_first());
        }
        match command {
            Command::StartTls if self.secure => Err(replies::tls_twice()),
            Command::StartTls if !self.may_start_tls() => Err(replies::not_implemented()),
            _ => Ok(()),
        }
    }

    fn may_start_tls(&self) -> bool {
        !self.secure && matches!(self.encryption, Encryption::Offered | Encryption::Required)
    }
}

/// What RFC 3207 §4 lets through where TLS is demanded, and what does and tells nothing.
fn comes_before_tls(command: &Command) -> bool {
    use Command::{Ehlo, Helo, Help, Http, Noop, Quit, Rset, StartTls};
    matches!(command, Ehlo(_) | Helo(_) | StartTls | Noop | Rset | Quit | Help | Http)
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
