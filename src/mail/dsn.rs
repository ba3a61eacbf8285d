//! What a client asks for about delivery status notifications (RFC 3461 §4): RET and ENVID of MAIL, NOTIFY and ORCPT
//! of RCPT.

use super::xtext;
use std::{fmt, str::FromStr};

/// Longest ENVID as written (RFC 3461 §4.4).
const ENVID_LIMIT: usize = 100;
/// The type of addresses beyond ASCII (RFC 6533 §3).
const UTF_8: &str = "utf-8";
/// Longest ORCPT as written (RFC 3461 §4.2).
const ORCPT_LIMIT: usize = 500;

/// The value of a DSN parameter makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value of a DSN parameter is not valid")]
pub struct DsnError;

/// `RET=`: how much of the message comes back with the notification that it failed (RFC 3461 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ret {
    /// All of it.
    Full,
    /// Its header section.
    Headers,
}

impl FromStr for Ret {
    type Err = DsnError;

    fn from_str(text: &str) -> Result<Self, DsnError> {
        match text.to_ascii_uppercase().as_str() {
            "FULL" => Ok(Self::Full),
            "HDRS" => Ok(Self::Headers),
            _ => Err(DsnError),
        }
    }
}

impl fmt::Display for Ret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        })
    }
}

/// `NOTIFY=`: which events of a recipient are to be told of (RFC 3461 §4.1). None of the three is `NEVER`, which so
/// never comes together with one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notify {
    /// The message was delivered, or handed to a server that does not tell.
    pub success: bool,
    /// It will not be delivered.
    pub failure: bool,
    /// It has not been delivered for a while.
    pub delay: bool,
}

impl Notify {
    /// `NOTIFY=NEVER`.
    pub const NEVER: Self = Self { success: false, failure: false, delay: false };
}

impl FromStr for Notify {
    type Err = DsnError;

    fn from_str(text: &str) -> Result<Self, DsnError> {
        let mut notify = Self::NEVER;
        if text.eq_ignore_ascii_case("NEVER") {
            return Ok(notify);
        }
        for word in text.split(',') {
            match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => notify.success = true,
                "FAILURE" => notify.failure = true,
                "DELAY" => notify.delay = true,
                _ => return Err(DsnError),
            }
        }
        Ok(notify)
    }
}

impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.success, "SUCCESS"), (self.failure, "FAILURE"), (self.delay, "DELAY")];
        let asked: Vec<&str> = words.into_iter().filter(|(asked, _)| *asked).map(|(_, word)| word).collect();
        f.write_str(&if asked.is_empty() { "NEVER".to_owned() } else { asked.join(",") })
    }
}

/// `ENVID=`: the sender's own name for the transaction, printable ASCII and spaces (RFC 3461 §4.4). Parsed from and
/// displayed as xtext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeId(Box<str>);

impl EnvelopeId {
    /// Takes the text itself, without any encoding.
    ///
    /// # Errors
    /// Where it is empty, too long once encoded, or not printable ASCII.
    pub fn new(text: &str) -> Result<Self, DsnError> {
        xtext::encode(text).parse()
    }

    /// The decoded text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EnvelopeId {
    type Err = DsnError;

    fn from_str(text: &str) -> Result<Self, DsnError> {
        if text.is_empty() || text.len() > ENVID_LIMIT {
            return Err(DsnError);
        }
        xtext::decode(text).map(|text| Self(text.into())).ok_or(DsnError)
    }
}

impl fmt::Display for EnvelopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&xtext::encode(&self.0))
    }
}

/// `ORCPT=`: the address that the sender knows the recipient by (RFC 3461 §4.2, RFC 6533 §3). Parsed from and
/// displayed as in the parameter, the address encoded in ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalRecipient {
    /// `addr-type;address`, decoded.
    text: Box<str>,
    semicolon: usize,
}

impl OriginalRecipient {
    /// The type of the address, as written: `rfc822` as a rule.
    pub fn addr_type(&self) -> &str {
        &self.text[..self.semicolon]
    }

    /// The address, decoded: printable, and beyond ASCII in the type `utf-8` alone.
    pub fn address(&self) -> &str {
        &self.text[self.semicolon + 1..]
    }
}

impl FromStr for OriginalRecipient {
    type Err = DsnError;

    fn from_str(text: &str) -> Result<Self, DsnError> {
        let (addr_type, address) = text.split_once(';').ok_or(DsnError)?;
        let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/?^_`{|}~".contains(&b);
        if addr_type.is_empty()
            || address.is_empty()
            || text.len() > ORCPT_LIMIT
            || !addr_type.bytes().all(atom)
        {
            return Err(DsnError);
        }
        let address = if addr_type.eq_ignore_ascii_case(UTF_8) {
            xtext::decode_utf8(address)
        } else if addr_type.eq_ignore_ascii_case("rfc822") {
            xtext::decode_any(address)
        } else {
            xtext::decode(address)
        };
        let address = address.ok_or(DsnError)?;
        // Postfix writes the octets of an internationalized address as xtext, and calls it rfc822.
        let addr_type = if address.is_ascii() { addr_type } else { UTF_8 };
        let text = format!("{addr_type};{address}");
        let orcpt = Self { text: text.into(), semicolon: addr_type.len() };
        // It is passed on and kept in ASCII, which is longer.
        if orcpt.to_string().len() > ORCPT_LIMIT {
            return Err(DsnError);
        }
        Ok(orcpt)
    }
}

impl fmt::Display for OriginalRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utf8 = self.addr_type().eq_ignore_ascii_case(UTF_8);
        let encode = if utf8 { xtext::encode_utf8 } else { xtext::encode };
        write!(f, "{};{}", self.addr_type(), encode(self.address()))
    }
}

/// What MAIL said about notifications.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DsnRequest {
    /// `RET=`.
    pub ret: Option<Ret>,
    /// `ENVID=`.
    pub envid: Option<EnvelopeId>,
}

/// What RCPT said about notifications.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DsnRecipient {
    /// `NOTIFY=`. `None` leaves it to us: failures are told, delays may be.
    pub notify: Option<Notify>,
    /// `ORCPT=`.
    pub orcpt: Option<OriginalRecipient>,
}

static NOTHING: DsnRequest = DsnRequest { ret: None, envid: None };
static NOTHING_OF_A_RECIPIENT: DsnRecipient = DsnRecipient { notify: None, orcpt: None };

/// What MAIL and all RCPTs said; recipients are known by their index. Never made for mail that asks for nothing, which
/// so carries a `None` of one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dsn {
    request: DsnRequest,
    /// Shorter than the recipients where the last ones ask for nothing.
    recipients: Vec<DsnRecipient>,
}

impl Dsn {
    /// Joins the parts, `recipients` in the envelope's order. `None` where nothing is asked for.
    pub fn new(request: DsnRequest, mut recipients: Vec<DsnRecipient>) -> Option<Box<Self>> {
        let asked = recipients.iter().rposition(|recipient| *recipient != NOTHING_OF_A_RECIPIENT);
        recipients.truncate(asked.map_or(0, |last| last + 1));
        if recipients.is_empty() {
            recipients = Vec::new();
        }
        let nothing = request == NOTHING && recipients.is_empty();
        (!nothing).then(|| Box::new(Self { request, recipients }))
    }

    /// What MAIL said; `dsn` may be `None`.
    pub fn request(dsn: Option<&Self>) -> &DsnRequest {
        dsn.map_or(&NOTHING, |dsn| &dsn.request)
    }

    /// What the RCPT of this index said; `dsn` may be `None`.
    pub fn recipient(dsn: Option<&Self>, index: usize) -> &DsnRecipient {
        dsn.and_then(|dsn| dsn.recipients.get(index)).unwrap_or(&NOTHING_OF_A_RECIPIENT)
    }

    /// The same for the recipients with these indexes alone, in this order.
    pub fn of(dsn: Option<&Self>, indexes: &[usize]) -> Option<Box<Self>> {
        let request = dsn?.request.clone();
        Self::new(request, indexes.iter().map(|index| Self::recipient(dsn, *index).clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How the value reads when written anew, where it is valid.
    fn again<T: FromStr + ToString>(text: &str) -> Option<String> {
        text.parse::<T>().ok().map(|value| value.to_string())
    }

    #[test]
    fn values_are_read_and_written() {
        type Case = (fn(&str) -> Option<String>, &'static str, Option<&'static str>);
        let cases: &[Case] = &[
            (again::<Ret>, "full", Some("FULL")),
            (again::<Ret>, "HDRS", Some("HDRS")),
            (again::<Ret>, "", None),
            (again::<Ret>, "BODY", None),
            (again::<Notify>, "never", Some("NEVER")),
            (again::<Notify>, "delay,Success", Some("SUCCESS,DELAY")),
            (again::<Notify>, "SUCCESS,FAILURE,DELAY", Some("SUCCESS,FAILURE,DELAY")),
            (again::<Notify>, "FAILURE,FAILURE", Some("FAILURE")),
            (again::<Notify>, "NEVER,FAILURE", None),
            (again::<Notify>, "FAILURE,NEVER", None),
            (again::<Notify>, "FAILURE,", None),
            (again::<Notify>, "", None),
            (again::<EnvelopeId>, "a+2Bb+20c", Some("a+2Bb+20c")),
            (again::<EnvelopeId>, "", None),
            (again::<EnvelopeId>, "a+0A", None),
            (again::<OriginalRecipient>, "rfc822;Bob+2Bx@b.example", Some("rfc822;Bob+2Bx@b.example")),
            (again::<OriginalRecipient>, "X400;/g=a", None),
            (again::<OriginalRecipient>, "X400;/g+3Da", Some("X400;/g+3Da")),
            (again::<OriginalRecipient>, "utf-8;j\\x{FC}rgen@b", Some("utf-8;j\\x{FC}rgen@b")),
            (again::<OriginalRecipient>, "utf-8;jürgen@b", Some("utf-8;j\\x{FC}rgen@b")),
            (again::<OriginalRecipient>, "rfc822;jürgen@b", Some("utf-8;j\\x{FC}rgen@b")),
            (again::<OriginalRecipient>, "rfc822;j+C3+BCrgen@b", Some("utf-8;j\\x{FC}rgen@b")),
            (again::<OriginalRecipient>, "rfc822;j+FCrgen@b", None),
            (again::<OriginalRecipient>, "rfc822;j+0Argen@b", None),
            (again::<OriginalRecipient>, "X400;j+C3+BCrgen", None),
            (again::<OriginalRecipient>, "rfc822", None),
            (again::<OriginalRecipient>, "rfc822;", None),
            (again::<OriginalRecipient>, ";a@b", None),
            (again::<OriginalRecipient>, "rfc 822;a@b", None),
        ];
        for (read, text, wanted) in cases {
            assert_eq!(read(text).as_deref(), *wanted, "{text}");
        }
        let orcpt: OriginalRecipient = "rfc822;a+2Bb@x".parse().unwrap();
        assert_eq!((orcpt.addr_type(), orcpt.address()), ("rfc822", "a+b@x"));
    }

    #[test]
    fn long_values_are_refused() {
        for (length, good) in [(ENVID_LIMIT, true), (ENVID_LIMIT + 1, false)] {
            assert_eq!("x".repeat(length).parse::<EnvelopeId>().is_ok(), good, "{length}");
        }
        for (length, good) in [(ORCPT_LIMIT, true), (ORCPT_LIMIT + 1, false)] {
            let text = format!("rfc822;{}", "x".repeat(length - 7));
            assert_eq!(text.parse::<OriginalRecipient>().is_ok(), good, "{length}");
        }
        // Each of these takes six characters in ASCII.
        for (count, good) in [((ORCPT_LIMIT - 6) / 6, true), (ORCPT_LIMIT / 6, false)] {
            let text = format!("utf-8;{}", "\u{fc}".repeat(count));
            assert_eq!(text.parse::<OriginalRecipient>().is_ok(), good, "{count}");
        }
    }

    #[test]
    fn mail_that_asks_for_nothing_carries_nothing() {
        assert_eq!(Dsn::new(DsnRequest::default(), vec![DsnRecipient::default(); 3]), None);
        assert_eq!(size_of::<Option<Box<Dsn>>>(), size_of::<usize>());
    }

    #[test]
    fn an_attempt_at_some_recipients_takes_their_wishes_along() {
        let never = DsnRecipient { notify: Some(Notify::NEVER), orcpt: None };
        let request = DsnRequest { ret: Some(Ret::Headers), envid: None };
        let dsn = Dsn::new(request.clone(), vec![DsnRecipient::default(), never.clone()]);
        let some = Dsn::of(dsn.as_deref(), &[1, 2]);
        assert_eq!((Dsn::request(some.as_deref()), Dsn::recipient(some.as_deref(), 0)), (&request, &never));
        assert_eq!(Dsn::recipient(some.as_deref(), 1), &DsnRecipient::default());
        assert_eq!(Dsn::of(None, &[0]), None);
    }
}
