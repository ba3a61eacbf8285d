//! The message that a notification tells of, as it goes back: its header section, or all of it (RFC 6522 §4).

use super::{Kind, header, lines};
use crate::mail::{Content, Ret};
use bytes::Bytes;

/// Octets of a message that comes back whole where nobody said RET.
const WHOLE_UNASKED: u64 = 64 << 10;
/// Octets of a message that comes back whole where RET=FULL was said.
const WHOLE_ASKED: u64 = 1 << 20;
/// Octets of a header section that come back.
const HEADER: u64 = 64 << 10;
/// Octets of a line without its end (RFC 5322 §2.1.1).
const LINE: usize = 998;

/// A message to tell of.
#[derive(Debug, Clone, Copy)]
pub struct Original<'a> {
    /// Its content from the first octet on; [`Original::octets_wanted`] says how much of it is of use.
    pub octets: &'a [u8],
    /// Octets of the whole content.
    pub size: u64,
    /// Whether it came with SMTPUTF8, so that its header section may be UTF-8 (RFC 6532).
    pub smtputf8: bool,
}

impl Original<'_> {
    /// How many octets from the first on a notification can use of a message of `size` octets: all, where it comes
    /// back whole. A whole message comes back only when it failed, up to 64 KiB, or 1 MiB where `RET=FULL` was said.
    pub fn octets_wanted(kind: Kind, ret: Option<Ret>, size: u64) -> u64 {
        let whole = match (kind, ret) {
            (Kind::Failed, None) => WHOLE_UNASKED,
            (Kind::Failed, Some(Ret::Full)) => WHOLE_ASKED,
            _ => 0,
        };
        if size <= whole { size } else { size.min(HEADER) }
    }

    /// The header section.
    pub(super) fn header(&self) -> &[u8] {
        header::section(&self.octets[..self.octets.len().min(HEADER as usize)])
    }

    /// Whether all of it is to go back, and can: RFC 2046 §5.2.1 lets only 7bit and 8bit stand in message/rfc822, which
    /// hold neither NUL nor long lines.
    fn goes_back_whole(&self, kind: Kind, ret: Option<Ret>) -> bool {
        let wanted = kind == Kind::Failed && ret != Some(Ret::Headers);
        wanted
            && self.octets.len() as u64 == self.size
            && Self::octets_wanted(kind, ret, self.size) == self.size
            && is_plain(self.octets)
    }
}

/// How the octets of a part are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    SevenBit,
    EightBit,
    QuotedPrintable,
}

impl Encoding {
    /// The name in Content-Transfer-Encoding.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SevenBit => "7bit",
            Self::EightBit => "8bit",
            Self::QuotedPrintable => "quoted-printable",
        }
    }
}

/// One part of the report.
pub(super) struct Part {
    pub(super) content_type: &'static str,
    pub(super) description: &'static str,
    pub(super) encoding: Encoding,
    /// Encoded, and ended by CRLF unless empty.
    pub(super) octets: Vec<u8>,
    /// Whether this is a message with its body.
    pub(super) whole: bool,
}

/// The part with the message, or `None` where not even a header section can be read.
pub(super) fn part(original: &Original<'_>, kind: Kind, ret: Option<Ret>) -> Option<Part> {
    let header = original.header();
    let utf8 = original.smtputf8 && !header.is_ascii() && std::str::from_utf8(header).is_ok();
    if original.goes_back_whole(kind, ret) {
        return Some(Part {
            content_type: if utf8 { "message/global" } else { "message/rfc822" },
            description: "Undelivered mail",
            encoding: if original.octets.is_ascii() { Encoding::SevenBit } else { Encoding::EightBit },
            octets: original.octets.to_vec(),
            whole: true,
        });
    }
    if header.is_empty() {
        return None;
    }
    let plain = is_plain(header);
    let encoding = match (plain, header.is_ascii()) {
        (true, true) => Encoding::SevenBit,
        (true, false) if utf8 => Encoding::EightBit,
        _ => Encoding::QuotedPrintable,
    };
    let mut octets = Vec::with_capacity(header.len());
    if encoding == Encoding::QuotedPrintable {
        lines::quoted_printable(&mut octets, header);
    } else {
        octets.extend_from_slice(header);
    }
    let content_type = if utf8 { "message/global-headers" } else { "text/rfc822-headers" };
    Some(Part { content_type, description: "Header of the mail", encoding, octets, whole: false })
}

/// Whether octets may be written as 7bit or 8bit.
fn is_plain(octets: &[u8]) -> bool {
    memchr::memchr(0, octets).is_none()
        && octets.split(|octet| *octet == b'\n').all(|line| line.len() <= LINE + 1)
        && Content::new(Bytes::copy_from_slice(octets)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(
        octets: &[u8],
        smtputf8: bool,
        kind: Kind,
        ret: Option<Ret>,
    ) -> Option<(&'static str, Encoding)> {
        let original = Original { octets, size: octets.len() as u64, smtputf8 };
        let part = part(&original, kind, ret)?;
        assert!(Content::new(Bytes::from(part.octets)).is_ok());
        Some((part.content_type, part.encoding))
    }

    #[test]
    fn what_goes_back_and_how() {
        use Encoding::{EightBit, QuotedPrintable, SevenBit};
        let (full, headers) = (Some(Ret::Full), Some(Ret::Headers));
        let big = [b"A: b\r\n\r\n".as_slice(), &b"x\r\n".repeat(30_000)].concat();
        let huge = [b"A: b\r\n\r\n".as_slice(), &b"x\r\n".repeat(400_000)].concat();
        let long = [b"A: b\r\n\r\n".as_slice(), &[b'x'; 999], b"\r\n"].concat();
        let long_field = [b"A: ".as_slice(), &[b'x'; 999], b"\r\n\r\n"].concat();
        let latin1: &[u8] = b"A: caf\xe9\r\n\r\nx\r\n";
        let utf8: &[u8] = "A: café\r\n\r\nx\r\n".as_bytes();
        type Case<'a> = (&'a [u8], bool, Kind, Option<Ret>, Option<(&'a str, Encoding)>);
        let cases: &[Case<'_>] = &[
            (b"A: b\r\n\r\nx\r\n", false, Kind::Failed, None, Some(("message/rfc822", SevenBit))),
            (b"A: b\r\n\r\nx\r\n", false, Kind::Failed, full, Some(("message/rfc822", SevenBit))),
            (b"A: b\r\n\r\nx\r\n", false, Kind::Failed, headers, Some(("text/rfc822-headers", SevenBit))),
            (b"A: b\r\n\r\nx\r\n", false, Kind::Delayed, full, Some(("text/rfc822-headers", SevenBit))),
            (b"A: b\r\n\r\nx\r\n", false, Kind::Relayed, None, Some(("text/rfc822-headers", SevenBit))),
            (b"A: b\r\n\r\ncaf\xe9\r\n", false, Kind::Failed, None, Some(("message/rfc822", EightBit))),
            (b"A: b\r\n\r\na\0b\r\n", false, Kind::Failed, full, Some(("text/rfc822-headers", SevenBit))),
            (&big, false, Kind::Failed, None, Some(("text/rfc822-headers", SevenBit))),
            (&big, false, Kind::Failed, full, Some(("message/rfc822", SevenBit))),
            (&huge, false, Kind::Failed, full, Some(("text/rfc822-headers", SevenBit))),
            (&long, false, Kind::Failed, full, Some(("text/rfc822-headers", SevenBit))),
            (&long_field, false, Kind::Failed, full, Some(("text/rfc822-headers", QuotedPrintable))),
            (latin1, false, Kind::Failed, None, Some(("message/rfc822", EightBit))),
            (latin1, false, Kind::Delayed, None, Some(("text/rfc822-headers", QuotedPrintable))),
            (latin1, true, Kind::Delayed, None, Some(("text/rfc822-headers", QuotedPrintable))),
            (utf8, true, Kind::Failed, None, Some(("message/global", EightBit))),
            (utf8, true, Kind::Failed, headers, Some(("message/global-headers", EightBit))),
            (utf8, false, Kind::Failed, headers, Some(("text/rfc822-headers", QuotedPrintable))),
            (b"no header\r\n", false, Kind::Delayed, None, None),
        ];
        for (octets, smtputf8, kind, ret, wanted) in cases {
            let start = &octets[..octets.len().min(40)];
            assert_eq!(describe(octets, *smtputf8, *kind, *ret), *wanted, "{} {ret:?}", start.escape_ascii());
        }
    }

    #[test]
    fn a_long_header_section_is_cut_between_lines() {
        let octets = b"A: 0123456789\r\n".repeat(10_000);
        let original = Original { octets: &octets, size: octets.len() as u64, smtputf8: false };
        let part = part(&original, Kind::Failed, Some(Ret::Headers)).unwrap();
        assert!(part.octets.len() <= HEADER as usize && part.octets.ends_with(b"9\r\n"));
    }

    #[test]
    fn no_more_is_read_than_is_of_use() {
        let (full, mebi) = (Some(Ret::Full), 1 << 20);
        let cases = [
            (Kind::Failed, None, 100, 100),
            (Kind::Failed, None, mebi, HEADER),
            (Kind::Failed, full, mebi, mebi),
            (Kind::Failed, full, 10 * mebi, HEADER),
            (Kind::Failed, Some(Ret::Headers), mebi, HEADER),
            (Kind::Delayed, full, mebi, HEADER),
        ];
        for (kind, ret, size, wanted) in cases {
            assert_eq!(Original::octets_wanted(kind, ret, size), wanted, "{kind:?} {ret:?} {size}");
        }
    }
}
