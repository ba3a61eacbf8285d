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
        b"RSET" => alone(Command::Rset),
        b"QUIT" => alone(Command::Quit),
        b"STARTTLS" => alone(Command::StartTls),
        b"AUTH" => Auth::parse(rest).map(Command::Auth),
        b"NOOP" => Ok(Command::Noop),
        b"VRFY" => Ok(Command::Vrfy),
        b"HELP" => Ok(Command::Help),
        b"EXPN" | b"TURN" | b"ETRN" | b"ATRN" | b"SEND" | b"SOML" | b"SAML" | b"BDAT" | b"XCLIENT"
        | b"XFORWARD" => Err(replies::not_implemented()),
        b"GET" | b"POST" | b"PUT" | b"HEAD" | b"CONNECT" | b"OPTIONS" | b"DELETE" | b"PATCH" | b"TRACE"
        | b"PRI" => Ok(Command::Http),
        _ => Err(replies::unknown_command()),
    }
}

/// What follows EHLO, whatever it is: nothing depends on it but the trace field.
fn client_name(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(CLIENT_NAME)]).into_owned()
}

fn mail(rest: &[u8]) -> Result<Command, Reply> {
    let (path, parameters) = path(rest, b"FROM").ok_or_else(replies::mail_syntax)?;
    let path = std::str::from_utf8(path).map_err(|_| replies::needs_smtputf8())?;
    let reverse_path = ReversePath::parse(path).map_err(|error| replies::bad_sender(&error))?;
    if reverse_path.mailbox().is_some_and(|m| m.needs_smtputf8()) {
        return Err(replies::needs_smtputf8());
    }
    let mut mail = Mail { reverse_path, size: None, body: BodyType::SevenBit, dsn: DsnRequest::default() };
    for (keyword, value) in each(parameters) {
        match keyword.to_ascii_uppercase().as_slice() {
            b"SIZE" => mail.size = Some(size(value).ok_or_else(replies::bad_parameter)?),
            b"BODY" => mail.body = body(value).ok_or_else(replies::bad_parameter)?,
            b"RET" => once(&mut mail.dsn.ret, value)?,
            b"ENVID" => once(&mut mail.dsn.envid, value)?,
            // AUTH= (RFC 4954 §5) names who wrote the message; it is trusted by nobody and so passed over.
            b"AUTH" => {}
            _ => return Err(replies::unknown_parameter()),
        }
    }
    Ok(Command::Mail(mail))
}

fn rcpt(rest: &[u8]) -> Result<Command, Reply> {
    let (path, parameters) = path(rest, b"TO").ok_or_else(replies::rcpt_syntax)?;
    let path = std::str::from_utf8(path).map_err(|_| replies::needs_smtputf8())?;
    let forward_path = ForwardPath::parse(path).map_err(|error| replies::bad_recipient(&error))?;
    if forward_path.needs_smtputf8() {
        return Err(replies::needs_smtputf8());
    }
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
    if let Some(inside) = rest.strip_prefix(b"<") {
        let end = unquoted(inside, |b| b == b'>')?;
        Some((without_route(inside[..end].trim_ascii()), &inside[end + 1..]))
    } else if rest.is_empty() {
        None
    } else {
        let end = unquoted(rest, |b| b.is_ascii_whitespace()).unwrap_or(rest.len());
        Some((without_route(&rest[..end]), &rest[end..]))
    }
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
