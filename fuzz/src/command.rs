//! The command parser: it takes any line, and what it understands it understands again from its own plain form.

use super::reply;
use waxseal::smtp::{
    Command,
    command::{Mail, Rcpt, parse},
};

/// The input is a line.
pub fn holds(line: &[u8]) {
    let command = match parse(line) {
        Ok(command) => command,
        Err(refusal) => return reply::is_fit_for_a_client(&refusal),
    };
    let Some(plain) = plain(&command) else { return };
    // What was taken goes upstream as one command: no octet of it may end the line or the path early.
    assert!(!plain.bytes().any(|octet| octet.is_ascii_control()), "{plain:?}");
    assert_eq!(parse(plain.as_bytes()), Ok(command), "{plain:?} for {:?}", line.escape_ascii().to_string());
}

/// The command as RFC 5321 and its extensions write it; of those that carry more than their name.
fn plain(command: &Command) -> Option<String> {
    match command {
        Command::Mail(Mail { reverse_path, size, body, smtputf8, dsn }) => {
            let size = size.map(|size| format!(" SIZE={size}")).unwrap_or_default();
            let body = match body {
                waxseal::mail::BodyType::SevenBit => "",
                waxseal::mail::BodyType::EightBitMime => " BODY=8BITMIME",
            };
            let utf8 = if *smtputf8 { " SMTPUTF8" } else { "" };
            let ret = dsn.ret.map(|ret| format!(" RET={ret}")).unwrap_or_default();
            let envid = dsn.envid.as_ref().map(|id| format!(" ENVID={id}")).unwrap_or_default();
            Some(format!("MAIL FROM:<{reverse_path}>{size}{body}{utf8}{ret}{envid}"))
        }
        Command::Rcpt(Rcpt { forward_path, dsn }) => {
            let notify = dsn.notify.map(|notify| format!(" NOTIFY={notify}")).unwrap_or_default();
            let orcpt = dsn.orcpt.as_ref().map(|orcpt| format!(" ORCPT={orcpt}")).unwrap_or_default();
            Some(format!("RCPT TO:<{forward_path}>{notify}{orcpt}"))
        }
        Command::Bdat(chunk) => {
            Some(format!("BDAT {}{}", chunk.octets, if chunk.last { " LAST" } else { "" }))
        }
        _ => None,
    }
}
