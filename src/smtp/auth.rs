//! AUTH as octets (RFC 4954, RFC 4616, and LOGIN, which has no RFC): what a client said is stepped through an exchange
//! until its user name and password are known. Lenient where devices need it.

use super::replies;
use crate::mail::Reply;
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use secrecy::SecretString;
use std::{fmt, time::Duration};
use zeroize::Zeroizing;

/// Base64 as devices write it: with padding or without, and whatever is left over in the last letter.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The longest wait before a wrong login is answered.
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// The mechanisms that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// User name and password, one after the other.
    Login,
}

impl Mechanism {
    fn named(name: &[u8]) -> Option<Self> {
        match name.to_ascii_uppercase().as_slice() {
            b"PLAIN" => Some(Self::Plain),
            b"LOGIN" => Some(Self::Login),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }
}

/// Mechanisms that others have and clients ask for.
const OTHERS: [&str; 10] = [
    "CRAM-MD5",
    "DIGEST-MD5",
    "NTLM",
    "GSSAPI",
    "XOAUTH2",
    "OAUTHBEARER",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "EXTERNAL",
    "ANONYMOUS",
];

/// AUTH and its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// The mechanism; `None` where it is none of those that there are.
    pub mechanism: Option<Mechanism>,
    /// In its place, one that others have; nothing where no mechanism is known by that name.
    pub other: Option<&'static str>,
    /// The initial response, in base64.
    pub initial: Option<Response>,
}

/// What a client answered, in base64. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Response(Zeroizing<Vec<u8>>);

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Auth {
    /// What follows the verb: a mechanism, and maybe an initial response.
    ///
    /// # Errors
    /// The reply, where there is nothing, or more than that.
    pub fn parse(rest: &[u8]) -> Result<Self, Reply> {
        let mut words = rest.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let mechanism = words.next().ok_or_else(replies::auth_syntax)?;
        let initial = words.next().map(|word| Response(word.to_vec().into()));
        if words.next().is_some() {
            return Err(replies::auth_syntax());
        }
        let other = OTHERS.into_iter().find(|name| name.as_bytes().eq_ignore_ascii_case(mechanism));
        Ok(Self { mechanism: Mechanism::named(mechanism), other, initial })
    }
}

/// Who a client says it is, and how it proves it. `Debug` shows neither: the user name may be a password that went
/// astray.
pub struct Credentials {
    /// The user name.
    pub username: Zeroizing<String>,
    /// The password.
    pub password: SecretString,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

/// What comes next in an exchange.
#[derive(Debug)]
pub enum Step {
    /// Ask with this 334; the next line is the answer.
    Ask(Exchange, Reply),
    /// The client has said all.
    Done(Credentials),
    /// It came to nothing.
    Refused(Reply),
}

/// An exchange that waits for an answer.
#[derive(Debug)]
pub struct Exchange {
    awaited: Awaited,
    /// Whether what is answered matters. Where it does not, no answer is wrong.
    matters: bool,
}

/// What is to come.
enum Awaited {
    /// PLAIN's only message.
    Message,
    /// LOGIN's user name.
    Username,
    /// LOGIN's password, behind the user name.
    Password(Zeroizing<String>),
}

impl fmt::Debug for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Message => "Message",
            Self::Username => "Username",
            Self::Password(_) => "Password",
        })
    }
}

impl Exchange {
    /// Begins. `matters` is whether the login will be looked at.
    pub fn begin(auth: Auth, matters: bool) -> Step {
        let awaited = match auth.mechanism {
            Some(Mechanism::Plain) => Awaited::Message,
            Some(Mechanism::Login) => Awaited::Username,
            None => return Step::Refused(replies::unknown_mechanism()),
        };
        let exchange = Self { awaited, matters };
        match auth.initial {
            // An empty response tells nothing, so it is asked for.
            Some(Response(initial)) if **initial != *b"=" => exchange.answer(&initial),
            _ => exchange.ask(),
        }
    }

    /// The mechanism that it is of.
    pub fn mechanism(&self) -> Mechanism {
        match self.awaited {
            Awaited::Message => Mechanism::Plain,
            Awaited::Username | Awaited::Password(_) => Mechanism::Login,
        }
    }

    /// Takes the client's answer, a line without its end.
    pub fn answer(self, line: &[u8]) -> Step {
        let line = line.trim_ascii();
        if line == b"*" {
            return Step::Refused(replies::auth_cancelled());
        }
        let Some(octets) = self.decode(line) else { return Step::Refused(replies::auth_undecodable()) };
        match self.awaited {
            Awaited::Message => match message(&octets) {
                Ok(Some(credentials)) => Step::Done(credentials),
                Ok(None) => Step::Refused(replies::auth_failed()),
                Err(()) if self.matters => Step::Refused(replies::auth_undecodable()),
                Err(()) => Step::Done(nobody()),
            },
            Awaited::Username => {
                Self { awaited: Awaited::Password(text(&octets)), matters: self.matters }.ask()
            }
            Awaited::Password(username) => {
                let password = text(&octets).as_str().into();
                Step::Done(Credentials { username, password })
            }
        }
    }

    fn ask(self) -> Step {
        let challenge = match self.awaited {
            Awaited::Message => "",
            // "Username:" and "Password:": the words that clients of LOGIN wait for.
            Awaited::Username => "VXNlcm5hbWU6",
            Awaited::Password(_) => "UGFzc3dvcmQ6",
        };
        Step::Ask(self, Reply::bare(334, challenge))
    }

    fn decode(&self, line: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let line = if line == b"=" { b"" } else { line };
        match BASE64.decode(line) {
            Ok(octets) => Some(octets.into()),
            Err(_) if self.matters => None,
            Err(_) => Some(Zeroizing::default()),
        }
    }
}

/// PLAIN's message: authorization identity, user name, password, with NUL between. `None` where the client would act
/// for somebody else; `Err` where it makes no sense.
fn message(octets: &[u8]) -> Result<Option<Credentials>, ()> {
    let mut parts: Vec<&[u8]> = octets.split(|octet| *octet == 0).collect();
    // Some clients send the NUL that ends their string along. Nobody's password is empty.
    if parts.len() == 4 && parts[3].is_empty() || matches!(*parts, [[_, ..], [_, ..], []]) {
        parts.pop();
    }
    let (identity, username, password) = match *parts.as_slice() {
        [identity, username, password] => (identity, username, password),
        // Without the first NUL: the empty identity was forgotten.
        [username, password] => (&b""[..], username, password),
        _ => return Err(()),
    };
    if !identity.is_empty() && !identity.eq_ignore_ascii_case(username) {
        return Ok(None);
    }
    let password = text(password).as_str().into();
    Ok(Some(Credentials { username: text(username), password }))
}

/// What a login that nobody looks at comes to where it makes no sense.
fn nobody() -> Credentials {
    Credentials { username: Zeroizing::default(), password: SecretString::default() }
}

/// UTF-8, or what old devices have in its place: Latin-1.
fn text(octets: &[u8]) -> Zeroizing<String> {
    match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned().into(),
        Err(_) => octets.iter().map(|octet| char::from(*octet)).collect::<String>().into(),
    }
}

/// How long after it was made the `failures`th wrong login of a session is answered, counted from 1.
pub fn wait(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(16)).min(LONGEST_WAIT)
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
