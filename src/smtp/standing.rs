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

/// Whether a listener's clients log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Authentication {
    /// AUTH is not offered.
    #[default]
    None,
    /// They may.
    Optional,
    /// They must, before MAIL.
    Required,
    /// They may say what they like, and are believed nothing: for devices that insist.
    Ignore,
}

impl Authentication {
    /// The word in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Optional => "optional",
            Self::Required => "required",
            Self::Ignore => "ignore",
        }
    }

    /// Whether clients are asked who they are, and the answer is looked at.
    pub fn asks(self) -> bool {
        matches!(self, Self::Optional | Self::Required)
    }
}

/// How a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What the listener wants of TLS.
    pub encryption: Encryption,
    /// What it wants of logins.
    pub authentication: Authentication,
    /// Whether nothing between client and us leaves this host.
    pub on_this_host: bool,
    /// Whether the connection is under TLS.
    pub secure: bool,
    /// Whether the client has logged in, or been let through as if it had.
    pub authenticated: bool,
}

impl Standing {
    /// The lines of EHLO's answer behind the host's name. `message_size` is in octets (RFC 1870), `recipients` how many a
    /// message may have (RFC 9422).
    pub fn offer(&self, message_size: u64, recipients: usize) -> Vec<String> {
        let always = ["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN"];
        let mut lines: Vec<String> = always.map(str::to_owned).into();
        if self.may_start_tls() {
            lines.push("STARTTLS".to_owned());
        }
        if self.takes_logins() {
            lines.push("AUTH PLAIN LOGIN".to_owned());
            // The form of a draft from 1997, which Outlook Express and devices of its time look for. Others pass over
            // a keyword that they do not know (RFC 5321 §4.1.1.1).
            lines.push("AUTH=LOGIN PLAIN".to_owned());
        }
        lines.push(format!("LIMITS RCPTMAX={recipients}"));
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
            Command::Auth(_) if self.authentication == Authentication::None => {
                Err(replies::not_implemented())
            }
            Command::Auth(_) if self.authenticated => Err(replies::auth_twice()),
            Command::Auth(_) if !self.takes_logins() => Err(replies::auth_needs_tls()),
            Command::Mail(_) if self.authentication == Authentication::Required && !self.authenticated => {
                Err(replies::auth_first())
            }
            _ => Ok(()),
        }
    }

    /// Whether a password may be asked for here: where nobody on the way can read it, or nobody is going to look at it.
    fn takes_logins(&self) -> bool {
        let due_under_tls = self.encryption == Encryption::Required && !self.secure;
        match self.authentication {
            Authentication::None => false,
            Authentication::Optional | Authentication::Required => {
                self.secure || (self.on_this_host && !due_under_tls)
            }
            // The devices that this is for speak no TLS. Nothing of theirs is verified, so a password that they send
            // in the clear opens nothing here; whoever they are let in as, `clients` decides.
            Authentication::Ignore => !due_under_tls,
        }
    }

    fn may_start_tls(&self) -> bool {
        !self.secure && matches!(self.encryption, Encryption::Offered | Encryption::Required)
    }
}

/// What RFC 3207 §4 lets through where TLS is demanded, and what does and tells nothing. BDAT is let through to its own
/// refusal, since there can be no message: the octets behind it have to be read as what they are, not as commands.
fn comes_before_tls(command: &Command) -> bool {
    use Command::{Bdat, BdatUnclear, Ehlo, Helo, Help, Http, Noop, Quit, Rset, StartTls};
    matches!(command, Ehlo(_) | Helo(_) | StartTls | Noop | Rset | Quit | Help | Http | Bdat(_) | BdatUnclear)
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
