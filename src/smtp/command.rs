//! The command grammar (RFC 5321 §4.1.1), lenient where old clients need it, total on any octets.

use super::{auth::Auth, limits::CLIENT_NAME, replies};
use crate::mail::{BodyType, DsnRecipient, DsnRequest, ForwardPath, Reply, ReversePath};
use std::str::FromStr;

/// A command as understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// EHLO, with what the client calls itself; empty where it said nothing.
    Ehlo(String),
    /// HELO, likewise.
    Helo(String),
    /// MAIL.
    Mail(Mail),
    /// RCPT.
    Rcpt(Rcpt),
    /// DATA.
    Data,
    /// BDAT (RFC 3030).
    Bdat(Chunk),
    /// BDAT, and nobody can tell where its octets end.
    BdatUnclear,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// VRFY.
    Vrfy,
    /// HELP.
    Help,
    /// QUIT.
    Quit,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth(Auth),
    /// The request line of another protocol: a browser, or a cross-protocol attack through one.
    Http,
}

/// MAIL and its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Who sends.
    pub reverse_path: ReversePath,
    /// `SIZE=` in octets (RFC 1870).
    pub size: Option<u64>,
    /// `BODY=` (RFC 6152).
    pub body: BodyType,
    /// `SMTPUTF8` (RFC 6531): addresses and header fields may be beyond ASCII.
    pub smtputf8: bool,
    /// `RET=` and `ENVID=` (RFC 3461).
    pub dsn: DsnRequest,
}

/// RCPT and its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rcpt {
    /// Who is to get it.
    pub forward_path: ForwardPath,
    /// `NOTIFY=` and `ORCPT=` (RFC 3461).
    pub dsn: DsnRecipient,
}

impl Rcpt {
    /// About how many octets of memory it takes.
    pub fn weight(&self) -> u64 {
        let path = match &self.forward_path {
            ForwardPath::Postmaster => 0,
            ForwardPath::Mailbox(mailbox) => mailbox.local_part().len() + 2 * mailbox.domain().as_str().len(),
        };
        let orcpt = self.dsn.orcpt.as_ref().map_or(0, |orcpt| orcpt.address().len());
        (size_of::<Self>() + path + orcpt + 48) as u64
    }
}

/// BDAT and what it announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Octets that follow the command; more than a `u64` holds is shown as the most that it does.
    pub octets: u64,
    /// Whether they are the last of the message.
    pub last: bool,
}

/// Understands one line without its end, or says what to answer in its place.
pub fn parse(line: &[u8]) -> Result<Command, Reply> {
    let line = line.trim_ascii();
    let verb_end = line.iter().position(|b| b.is_ascii_whitespace()).unwrap_or(line.len());
    let (verb, rest) = match line.split_at_checked(5) {
        // `AUTH=LOGIN` is what EHLO offers to old clients, and what some of them send back.
        Some((start, rest)) if start.eq_ignore_ascii_case(b"AUTH=") => (&line[..4], rest.trim_ascii_start()),
        _ => (&line[..verb_end], line[verb_end..].trim_ascii_start()),
    };
    let alone = |command| if rest.is_empty() { Ok(command) } else { Err(replies::no_parameters()) };
    let mut upper = [0u8; 8];
    let Some(upper) = upper.get_mut(..verb.len()) else {
        return Err(replies::unknown_command());
    };
    upper.copy_from_slice(verb);
    upper.make_ascii_uppercase();
    match &*upper {
        b"EHLO" => Ok(Command::Ehlo(client_name(rest))),
        b"HELO" => Ok(Command::Helo(client_name(rest))),
        b"MAIL" => mail(rest),
        b"RCPT" => rcpt(rest),
        b"DATA" => alone(Command::Data),
        b"BDAT" => Ok(chunk(rest).map_or(Command::BdatUnclear, Command::Bdat)),
        b"RSET" => alone(Command::Rset),
        b"QUIT" => alone(Command::Quit),
        b"STARTTLS" => alone(Command::StartTls),
        b"AUTH" => Auth::parse(rest).map(Command::Auth),
        b"NOOP" => Ok(Command::Noop),
        b"VRFY" => Ok(Command::Vrfy),
        b"HELP" => Ok(Command::Help),
        b"EXPN" | b"TURN" | b"ETRN" | b"ATRN" | b"SEND" | b"SOML" | b"SAML" | b"XCLIENT" | b"XFORWARD" => {
            Err(replies::not_implemented())
        }
        b"GET" | b"POST" | b"PUT" | b"HEAD" | b"CONNECT" | b"OPTIONS" | b"DELETE" | b"PATCH" | b"TRACE"
        | b"PRI" => Ok(Command::Http),
        _ => Err(replies::unknown_command()),
    }
}

/// What follows EHLO, whatever it is: nothing depends on it but the trace field.
fn client_name(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(CLIENT_NAME)]).into_owned()
}

/// `size [LAST]`, and nothing that could be read in another way: another reading ends the chunk elsewhere.
fn chunk(rest: &[u8]) -> Option<Chunk> {
    let mut words = rest.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty());
    let size = std::str::from_utf8(words.next()?).ok()?;
    if !size.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case(b"LAST") => true,
        Some(_) => return None,
    };
    // All digits: what cannot be parsed is a number that does not fit.
    words.next().is_none().then(|| Chunk { octets: size.parse().unwrap_or(u64::MAX), last })
}

fn mail(rest: &[u8]) -> Result<Command, Reply> {
    let (path, parameters) = path(rest, b"FROM").ok_or_else(replies::mail_syntax)?;
    let path = std::str::from_utf8(path).map_err(|_| replies::needs_smtputf8())?;
    let reverse_path = ReversePath::parse(path).map_err(|error| replies::bad_sender(&error))?;
    let mut mail = Mail {
        reverse_path,
        size: None,
        body: BodyType::SevenBit,
        smtputf8: false,
        dsn: DsnRequest::default(),
    };
    for (keyword, value) in each(parameters) {
        match keyword.to_ascii_uppercase().as_slice() {
            b"SIZE" => mail.size = Some(size(value).ok_or_else(replies::bad_parameter)?),
            b"BODY" => mail.body = body(value).ok_or_else(replies::bad_parameter)?,
            b"SMTPUTF8" if value.is_empty() => mail.smtputf8 = true,
            b"SMTPUTF8" => return Err(replies::bad_parameter()),
            b"RET" => once(&mut mail.dsn.ret, value)?,
            b"ENVID" => once(&mut mail.dsn.envid, value)?,
            // AUTH= (RFC 4954 §5) names who wrote the message; it is trusted by nobody and so passed over.
            b"AUTH" => {}
            _ => return Err(replies::unknown_parameter()),
        }
    }
    if !mail.smtputf8 && mail.reverse_path.mailbox().is_some_and(|m| m.needs_smtputf8()) {
        return Err(replies::needs_smtputf8());
    }
    Ok(Command::Mail(mail))
}

fn rcpt(rest: &[u8]) -> Result<Command, Reply> {
    let (path, parameters) = path(rest, b"TO").ok_or_else(replies::rcpt_syntax)?;
    let path = std::str::from_utf8(path).map_err(|_| replies::needs_smtputf8())?;
    let forward_path = ForwardPath::parse(path).map_err(|error| replies::bad_recipient(&error))?;
    let mut rcpt = Rcpt { forward_path, dsn: DsnRecipient::default() };
    for (keyword, value) in each(parameters) {
        match keyword.to_ascii_uppercase().as_slice() {
            b"NOTIFY" => once(&mut rcpt.dsn.notify, value)?,
            b"ORCPT" => once(&mut rcpt.dsn.orcpt, value)?,
            _ => return Err(replies::unknown_parameter()),
        }
    }
    Ok(Command::Rcpt(rcpt))
}

/// The parameters behind a path, keyword and value; the value is empty where there is none.
fn each(parameters: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let parameters = parameters.split(u8::is_ascii_whitespace).filter(|parameter| !parameter.is_empty());
    parameters.map(|parameter| match memchr::memchr(b'=', parameter) {
        Some(at) => (&parameter[..at], &parameter[at + 1..]),
        None => (parameter, &b""[..]),
    })
}

/// Takes the value of a parameter that may be given once.
fn once<T: FromStr>(slot: &mut Option<T>, value: &[u8]) -> Result<(), Reply> {
    let value = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
    match (slot.is_some(), value) {
        (false, Some(value)) => *slot = Some(value),
        _ => return Err(replies::bad_parameter()),
    }
    Ok(())
}

fn size(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok().filter(|v| v.bytes().all(|b| b.is_ascii_digit()))?;
    // Twenty digits are allowed (RFC 1870 §3); what does not fit is certainly too big.
    match digits.len() {
        1..=20 => Some(digits.parse().unwrap_or(u64::MAX)),
        _ => None,
    }
}

fn body(value: &[u8]) -> Option<BodyType> {
    if value.eq_ignore_ascii_case(b"7BIT") {
        Some(BodyType::SevenBit)
    } else if value.eq_ignore_ascii_case(b"8BITMIME") {
        Some(BodyType::EightBitMime)
    } else {
        None
    }
}

/// Takes `FROM:<path> parameters` apart: the path without brackets and source route, and the parameters.
fn path<'a>(rest: &'a [u8], word: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (start, rest) = rest.split_at_checked(word.len())?;
    if !start.eq_ignore_ascii_case(word) {
        return None;
    }
    let rest = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    if let Some(open) = bracket(rest) {
        let inside = &rest[open + 1..];
        let end = unquoted(inside, |b| b == b'>')?;
        let mut path = &inside[..end];
        let mut parameters = &inside[end + 1..];
        // Where an address from a header field was put between brackets, its own brackets count.
        while let Some(inner) = unquoted(path, |b| b == b'<') {
            path = &path[inner + 1..];
            parameters = parameters.strip_prefix(b">")?;
        }
        Some((without_route(path.trim_ascii()), without_comments(parameters)?))
    } else if rest.is_empty() {
        None
    } else {
        let end = unquoted(rest, |b| b.is_ascii_whitespace()).unwrap_or(rest.len());
        Some((without_route(&rest[..end]), without_comments(&rest[end..])?))
    }
}

/// Drops `(comments)` before the parameters, which some clients take along from header fields.
fn without_comments(text: &[u8]) -> Option<&[u8]> {
    let mut text = text.trim_ascii_start();
    while let Some(comment) = text.strip_prefix(b"(") {
        text = comment[memchr::memchr(b')', comment)? + 1..].trim_ascii_start();
    }
    Some(text)
}

/// Where the bracket before the address is: at the start, or behind a name as in a header field. A bracket behind an
/// address or in a parameter is none.
fn bracket(text: &[u8]) -> Option<usize> {
    let at = unquoted(text, |b| matches!(b, b'<' | b'@' | b'='))?;
    (text[at] == b'<').then_some(at)
}

/// The first octet outside a quoted string that `wanted` is true of.
fn unquoted(text: &[u8], wanted: impl Fn(u8) -> bool) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, &octet) in text.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if !quoted && wanted(octet) => return Some(at),
            _ => {}
        }
    }
    None
}

/// Drops `@a,@b:` before the mailbox (RFC 5321 §4.1.2 `A-d-l`: to be accepted and ignored).
fn without_route(path: &[u8]) -> &[u8] {
    if !path.starts_with(b"@") {
        return path;
    }
    let mut literal = false;
    let end = path.iter().position(|&b| {
        match b {
            b'[' => literal = true,
            b']' => literal = false,
            _ => {}
        }
        b == b':' && !literal
    });
    end.map_or(path, |end| &path[end + 1..])
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
