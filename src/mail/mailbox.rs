//! Mailboxes and domains (RFC 5321 §4.1.2, RFC 6531 §3.3, RFC 5890).

use std::fmt;

/// Longest local part in octets. RFC 5321 §4.5.3.1.1 has 64, and asks for more where that can be done: lists and
/// providers put the recipient's whole address, or a token, into their senders' local parts.
const LOCAL_PART_LIMIT: usize = 255;
/// Longest domain in octets (RFC 5321 §4.5.3.1.2).
const DOMAIN_LIMIT: usize = 255;

/// Why a text is not a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailboxError {
    /// There is no `@`, or nothing on one side of it.
    #[error("an address has the form local-part@domain")]
    Incomplete,
    /// The local part is over 255 octets or has characters that need quoting.
    #[error("the local part is not valid")]
    LocalPart,
    /// The domain is neither a host name nor an address literal.
    #[error("the domain is not valid")]
    Domain,
}

/// A domain as it was written, with the form that it is compared in.
#[derive(Clone)]
pub struct Domain {
    written: Box<str>,
    /// A-labels in lower case; `None` where the written form is that already.
    compared: Option<Box<str>>,
}

impl Domain {
    /// Parses a domain name (U-labels or A-labels, a trailing dot dropped) or an address literal in brackets.
    pub fn parse(text: &str) -> Result<Self, MailboxError> {
        if text.starts_with('[') {
            return if text.len() <= DOMAIN_LIMIT
                && text.ends_with(']')
                && text.len() > 2
                && text[1..text.len() - 1].bytes().all(|b| b.is_ascii_alphanumeric() || b".:-".contains(&b))
            {
                Ok(Self { written: text.into(), compared: Some(text.to_ascii_lowercase().into()) })
            } else {
                Err(MailboxError::Domain)
            };
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() || text.len() > DOMAIN_LIMIT {
            return Err(MailboxError::Domain);
        }
        let compared = if text.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii(text).map_err(|_| MailboxError::Domain)?
        };
        // Underscores are no part of a host name, but old devices are named with them.
        let label = |l: &str| {
            !l.is_empty()
                && l.len() <= 63
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if compared.len() > DOMAIN_LIMIT || !compared.split('.').all(label) {
            return Err(MailboxError::Domain);
        }
        let compared = if compared == text { None } else { Some(compared.into()) };
        Ok(Self { written: text.into(), compared })
    }

    /// The domain as its user wrote it.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Lower-case A-labels, the form in which domains are compared.
    pub fn ascii(&self) -> &str {
        self.compared.as_deref().unwrap_or(&self.written)
    }
}

impl PartialEq for Domain {
    fn eq(&self, other: &Self) -> bool {
        self.ascii() == other.ascii()
    }
}

impl Eq for Domain {}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// An address: a local part, kept octet for octet with its quotes, and a domain.
#[derive(Clone, PartialEq, Eq)]
pub struct Mailbox {
    local: Box<str>,
    domain: Domain,
}

impl Mailbox {
    /// Parses `local-part@domain`. Lenient where old clients need it: dots anywhere in an unquoted local part.
    pub fn parse(text: &str) -> Result<Self, MailboxError> {
        let at = if text.starts_with('"') {
            closing_quote(text).filter(|end| text.as_bytes().get(end + 1) == Some(&b'@')).map(|end| end + 1)
        } else {
            text.rfind('@')
        };
        let at = at.ok_or(MailboxError::Incomplete)?;
        let (local, domain) = (&text[..at], &text[at + 1..]);
        if local.is_empty() || domain.is_empty() {
            return Err(MailboxError::Incomplete);
        }
        if local.len() > LOCAL_PART_LIMIT || !(local.starts_with('"') || local.chars().all(is_local_char)) {
            return Err(MailboxError::LocalPart);
        }
        Ok(Self { local: local.into(), domain: Domain::parse(domain)? })
    }

    /// The local part as it came, quotes included.
    pub fn local_part(&self) -> &str {
        &self.local
    }

    /// The domain.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Whether sending this address needs SMTPUTF8 (RFC 6531).
    pub fn needs_smtputf8(&self) -> bool {
        !self.local.is_ascii() || !self.domain.as_str().is_ascii()
    }

    /// Whether both name the same mailbox for configuration's purposes: both sides without regard to case.
    pub fn matches(&self, other: &Self) -> bool {
        self.domain == other.domain && self.local.to_lowercase() == other.local.to_lowercase()
    }
}

/// The index of the quote that closes the quoted string `text` starts with.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            // Not behind a backslash either (RFC 5321 §4.1.2 `quoted-pairSMTP`): a bare CR ends a line for some servers.
            c if c.is_control() => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(i),
            _ => {}
        }
    }
    None
}

/// `atext` and the dot (RFC 5321 §4.1.2), and what is not ASCII (RFC 6531 §3.3).
fn is_local_char(c: char) -> bool {
    let plain = c.is_ascii_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~".contains(c);
    plain || !c.is_ascii() && !c.is_control() && !c.is_whitespace()
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes() {
        let cases = [
            ("a@b.example", Ok(("a", "b.example"))),
            ("A.B@Example.COM", Ok(("A.B", "example.com"))),
            ("first..last@x", Ok(("first..last", "x"))),
            ("\"a b\"@x", Ok(("\"a b\"", "x"))),
            ("\"a@b\\\"\"@x", Ok(("\"a@b\\\"\"", "x"))),
            ("x@[127.0.0.1]", Ok(("x", "[127.0.0.1]"))),
            ("x@[IPv6:::1]", Ok(("x", "[ipv6:::1]"))),
            ("x@bücher.example", Ok(("x", "xn--bcher-kva.example"))),
            ("x@my_pc", Ok(("x", "my_pc"))),
            ("x@example.com.", Ok(("x", "example.com"))),
            ("jürgen@x", Ok(("jürgen", "x"))),
            ("a", Err(MailboxError::Incomplete)),
            ("@b", Err(MailboxError::Incomplete)),
            ("a@", Err(MailboxError::Incomplete)),
            ("\"a@b", Err(MailboxError::Incomplete)),
            ("\"a\rb\"@x", Err(MailboxError::Incomplete)),
            ("\"a\\\rb\"@x", Err(MailboxError::Incomplete)),
            ("a b@x", Err(MailboxError::LocalPart)),
            ("a>b@x", Err(MailboxError::LocalPart)),
            ("a@b c", Err(MailboxError::Domain)),
            ("a@b..c", Err(MailboxError::Domain)),
            ("a@[1.2", Err(MailboxError::Domain)),
            ("a\r\n@x", Err(MailboxError::LocalPart)),
        ];
        for (text, want) in cases {
            let got = Mailbox::parse(text);
            match want {
                Ok((local, domain)) => {
                    let got = got.unwrap_or_else(|e| panic!("{text}: {e}"));
                    assert_eq!((got.local_part(), got.domain().ascii()), (local, domain), "{text}");
                }
                Err(e) => assert_eq!(got, Err(e), "{text}"),
            }
        }
    }

    #[test]
    fn long_parts_are_refused() {
        assert_eq!(Mailbox::parse(&format!("{}@x", "a".repeat(256))), Err(MailboxError::LocalPart));
        assert_eq!(Mailbox::parse(&format!("a@{}", "b.".repeat(130))), Err(MailboxError::Domain));
    }
}
