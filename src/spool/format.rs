//! A spooled message as octets: a line with the version, the envelope as a line of JSON, the content, and a last line of
//! fixed length with the number of octets before it and their CRC-32. Pure.
//!
//! A file without that last line, or with one that does not agree, was not written to its end. Keys of the envelope are
//! only ever added; what a reader must not pass over gets a new version.

use crate::mail::{BodyType, DsnRecipient, DsnRequest, Envelope, ForwardPath, ReversePath};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The first line of every version, up to the number.
const MAGIC: &str = "waxseal spool ";
const VERSION: u32 = 1;
/// The last line, up to the numbers.
const END: &str = "waxseal end ";
/// Octets of the last line: its words, twenty digits, eight digits of hexadecimal.
pub const TRAILER: usize = END.len() + 20 + 1 + 8 + 1;
/// Octets of the first two lines that are looked at: some 40,000 recipients.
pub const HEAD_LIMIT: usize = 4 << 20;

/// Why a file is no spooled message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It does not begin like one.
    #[error("it is no spooled message")]
    Foreign,
    /// It is one of a later version.
    #[error("it is of a later version")]
    Later,
    /// Its end is missing, or does not agree with the rest.
    #[error("it was not written to its end, or is damaged")]
    Torn,
    /// The envelope cannot be read, or has an address that is none.
    #[error("its envelope cannot be read")]
    Envelope,
}

#[derive(Serialize, Deserialize)]
struct EnvelopeLine {
    from: String,
    to: Vec<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    eight_bit: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    utf8: bool,
    /// RET, as in MAIL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ret: Option<String>,
    /// ENVID, as in MAIL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    envid: Option<String>,
    /// NOTIFY of every recipient, as in RCPT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notify: Option<String>,
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// The first two lines. Of the recipients' wishes about notifications the first one's NOTIFY is kept, for all of them.
pub fn head(envelope: &Envelope) -> Vec<u8> {
    let dsn = envelope.dsn();
    let line = EnvelopeLine {
        from: envelope.reverse_path().to_string(),
        to: envelope.forward_paths().iter().map(ToString::to_string).collect(),
        eight_bit: envelope.body() == BodyType::EightBitMime,
        utf8: envelope.smtputf8(),
        ret: dsn.ret.map(|ret| ret.to_string()),
        envid: dsn.envid.as_ref().map(ToString::to_string),
        notify: envelope.dsn_recipient(0).notify.map(|notify| notify.to_string()),
    };
    let mut head = format!("{MAGIC}{VERSION}\n").into_bytes();
    // Strings and flags can always be written.
    head.extend(serde_json::to_vec(&line).unwrap_or_default());
    head.push(b'\n');
    head
}

/// The last line of a file with so many octets before it, and this checksum of them.
pub fn trailer(octets: u64, checksum: u32) -> String {
    format!("{END}{octets:020} {checksum:08x}\n")
}

/// The checksum that the last [`TRAILER`] octets of a file of `length` octets promise for all before them.
///
/// # Errors
/// [`Damage::Torn`] where it is no such line, or the number of octets is another.
pub fn promised(trailer: &[u8], length: u64) -> Result<u32, Damage> {
    let read = || {
        let text = std::str::from_utf8(trailer).ok()?.strip_prefix(END)?.strip_suffix('\n')?;
        let (octets, checksum) = text.split_once(' ')?;
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
        if octets.len() != 20 || checksum.len() != 8 || !digits(octets) || !digits(checksum) {
            return None;
        }
        Some((octets.parse::<u64>().ok()?, u32::from_str_radix(checksum, 16).ok()?))
    };
    match read() {
        Some((octets, checksum)) if Some(octets) == length.checked_sub(TRAILER as u64) => Ok(checksum),
        _ => Err(Damage::Torn),
    }
}

/// The envelope in the first octets of a file, and where its content is in one of `length` octets.
///
/// # Errors
/// What is wrong with them.
pub fn read_head(octets: &[u8], length: u64) -> Result<(Envelope, Range<u64>), Damage> {
    let mut lines = octets.splitn(3, |octet| *octet == b'\n');
    let (Some(first), Some(second), Some(_)) = (lines.next(), lines.next(), lines.next()) else {
        return Err(if octets.starts_with(MAGIC.as_bytes()) { Damage::Torn } else { Damage::Foreign });
    };
    let version = first.strip_prefix(MAGIC.as_bytes()).ok_or(Damage::Foreign)?;
    let version = std::str::from_utf8(version).ok().and_then(|version| version.parse::<u32>().ok());
    match version {
        Some(VERSION) => {}
        Some(later) if later > VERSION => return Err(Damage::Later),
        _ => return Err(Damage::Foreign),
    }
    let content = (first.len() + second.len() + 2) as u64..length.saturating_sub(TRAILER as u64);
    if content.start > content.end {
        return Err(Damage::Torn);
    }
    let line: EnvelopeLine = serde_json::from_slice(second).map_err(|_| Damage::Envelope)?;
    Ok((envelope(&line).ok_or(Damage::Envelope)?, content))
}

fn envelope(line: &EnvelopeLine) -> Option<Envelope> {
    fn read<T: std::str::FromStr>(text: Option<&String>) -> Option<Option<T>> {
        text.map(|text| text.parse().ok()).map_or(Some(None), |value: Option<T>| value.map(Some))
    }
    let paths: Option<Vec<_>> = line.to.iter().map(|to| ForwardPath::parse(to).ok()).collect();
    let body = if line.eight_bit { BodyType::EightBitMime } else { BodyType::SevenBit };
    let envelope = Envelope::new(ReversePath::parse(&line.from).ok()?, paths?, body, line.utf8).ok()?;
    let request = DsnRequest { ret: read(line.ret.as_ref())?, envid: read(line.envid.as_ref())? };
    let wish = DsnRecipient { notify: read(line.notify.as_ref())?, orcpt: None };
    let wishes = vec![wish; envelope.forward_paths().len()];
    Some(envelope.with_dsn(request, wishes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CONTENT: &[u8] = b"Subject: x\r\n\r\nwaxseal end \r\n";

    fn sample() -> Envelope {
        let to = ["c@d", "jürgen@bücher.example"].map(|to| ForwardPath::parse(to).unwrap());
        let from = ReversePath::parse("\"a b\"@x").unwrap();
        let request = DsnRequest { ret: Some("FULL".parse().unwrap()), envid: Some("q+2B".parse().unwrap()) };
        let wish = DsnRecipient { notify: Some("DELAY".parse().unwrap()), orcpt: None };
        let envelope = Envelope::new(from, to.to_vec(), BodyType::EightBitMime, true).unwrap();
        envelope.with_dsn(request, vec![wish.clone(), wish])
    }

    fn file(envelope: &Envelope, content: &[u8]) -> Vec<u8> {
        let mut octets = [&head(envelope), content].concat();
        let end = trailer(octets.len() as u64, crc32fast::hash(&octets));
        octets.extend_from_slice(end.as_bytes());
        octets
    }

    fn read(octets: &[u8]) -> Result<(Envelope, Vec<u8>), Damage> {
        let length = octets.len() as u64;
        let end = octets.len().checked_sub(TRAILER).ok_or(Damage::Torn)?;
        let (envelope, content) = read_head(octets, length)?;
        if promised(&octets[end..], length)? != crc32fast::hash(&octets[..end]) {
            return Err(Damage::Torn);
        }
        Ok((envelope, octets[content.start as usize..content.end as usize].to_vec()))
    }

    #[test]
    fn what_is_written_is_read() {
        let null = Envelope::new(ReversePath::Null, vec![ForwardPath::Postmaster], BodyType::SevenBit, false);
        for envelope in [sample(), null.unwrap()] {
            for content in [CONTENT, b""] {
                assert_eq!(read(&file(&envelope, content)), Ok((envelope.clone(), content.to_vec())));
            }
        }
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let whole = file(&sample(), CONTENT);
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "cut at {end}");
        }
        for at in 0..whole.len() * 8 {
            let mut octets = whole.clone();
            octets[at / 8] ^= 1 << (at % 8);
            // Digits of hexadecimal may be in either case.
            let same = octets.eq_ignore_ascii_case(&whole) && at / 8 > whole.len() - 10;
            assert!(read(&octets).is_err() || same, "bit {at}");
        }
        assert!(read(&[whole.as_slice(), b"\n"].concat()).is_err());
    }

    #[test]
    fn what_is_no_spooled_message_says_why() {
        let with = |first: &str, line: &str| {
            let mut octets = format!("{first}\n{line}\n").into_bytes();
            let end = trailer(octets.len() as u64, crc32fast::hash(&octets));
            octets.extend_from_slice(end.as_bytes());
            read(&octets).map(|_| ())
        };
        let good = r#"{"from":"a@b","to":["c@d"],"later":1}"#;
        let cases = [
            ("waxseal spool 1", good, Ok(())),
            ("waxseal spool 2", good, Err(Damage::Later)),
            ("waxseal spool 2", "\x01", Err(Damage::Later)),
            ("waxseal spool 0", good, Err(Damage::Foreign)),
            ("waxseal spool x", good, Err(Damage::Foreign)),
            ("Subject: x", good, Err(Damage::Foreign)),
            ("waxseal spool 1", r#"{"from":"a@b","to":[]}"#, Err(Damage::Envelope)),
            ("waxseal spool 1", r#"{"from":"a@b"}"#, Err(Damage::Envelope)),
            ("waxseal spool 1", r#"{"from":"a\r\nb@c","to":["c@d"]}"#, Err(Damage::Envelope)),
            ("waxseal spool 1", r#"{"from":"a@b","to":["c@d>\r\nDATA"]}"#, Err(Damage::Envelope)),
            ("waxseal spool 1", r#"{"from":"a@b","to":["c@d"],"ret":"x"}"#, Err(Damage::Envelope)),
            ("waxseal spool 1", "not JSON", Err(Damage::Envelope)),
        ];
        for (first, line, wanted) in cases {
            assert_eq!(with(first, line), wanted, "{first} {line}");
        }
    }

    proptest! {
        #![proptest_config(crate::smoke())]

        #[test]
        fn the_reader_is_total(octets in proptest::collection::vec(any::<u8>(), 0..200), length in 0u64..300) {
            let _ = read_head(&octets, length);
            let _ = promised(&octets, length);
            let _ = read_head(&[b"waxseal spool 1\n".as_slice(), &octets].concat(), length);
        }
    }
}
