//! The header scanner: in any pieces it sees what a plain reading line by line sees.

use super::{data::canonical, pieces::Pieces};
use waxseal::mail::trace::{Headed, HeaderScan, Heading};

/// The first octet says in which pieces; a message follows.
pub fn holds(input: &[u8]) {
    let Some((pieces, octets)) = Pieces::first(input) else { return };
    assert_eq!(scan(octets, pieces), scan(octets, Pieces::WHOLE), "{}", octets.escape_ascii());
    let content = canonical(octets);
    let seen = scan(&content, pieces);
    if content.split(|octet| *octet == b'\n').all(|line| line.len() < NAME_LIMIT) {
        assert_eq!(seen.plainly(), by_lines(&content), "{}", content.escape_ascii());
    }
    is_cut_there(&content, seen.settled, pieces);
}

/// Below this no line's name is too long to be one.
const NAME_LIMIT: usize = 900;

/// All that is to be known of a scan.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    ended: bool,
    settled: u64,
    hops: usize,
    date: bool,
    message_id: bool,
    id: Option<String>,
    needs_empty_line: bool,
}

/// Of it, what a reading by lines tells too.
#[derive(Debug, PartialEq, Eq)]
struct Plain {
    ended: bool,
    settled: u64,
    hops: usize,
    date: bool,
    message_id: bool,
    needs_empty_line: bool,
}

impl Seen {
    fn plainly(&self) -> Plain {
        let Self { ended, settled, hops, date, message_id, needs_empty_line, .. } = *self;
        Plain { ended, settled, hops, date, message_id, needs_empty_line }
    }
}

fn scan(octets: &[u8], pieces: Pieces) -> Seen {
    let (mut scan, mut ended, mut came) = (HeaderScan::default(), false, 0);
    for piece in pieces.of(octets) {
        let (settled, was) = (scan.settled(), ended);
        ended = scan.advance(piece);
        came += piece.len() as u64;
        assert!(ended || !was, "an end is one for good");
        assert!(settled <= scan.settled() && scan.settled() <= came, "what is settled stays so");
    }
    let id = scan.message_id();
    assert!(id.as_ref().is_none_or(|id| !id.is_empty() && !id.contains(char::is_control)), "{id:?}");
    assert!(id.as_ref().is_none_or(|id| id.chars().count() <= 998), "longer than a line");
    Seen {
        ended,
        settled: scan.settled(),
        hops: scan.hops(),
        date: scan.has_date(),
        message_id: scan.has_message_id(),
        id,
        needs_empty_line: scan.needs_empty_line(),
    }
}

/// The rules (RFC 5322 §2.2) without a thought of pieces: the header section is all lines up to the first that is empty
/// or no field, where a line that starts with a blank belongs to the field before it, and a first line of mbox to none.
fn by_lines(content: &[u8]) -> Plain {
    let mut plain = Plain {
        ended: false,
        settled: 0,
        hops: 0,
        date: false,
        message_id: false,
        needs_empty_line: content.is_empty(),
    };
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        let first = plain.settled == 0;
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        match name(line) {
            _ if folded && !first => {}
            Some(name) => {
                plain.hops += usize::from(name.eq_ignore_ascii_case(b"Received"));
                plain.date |= name.eq_ignore_ascii_case(b"Date");
                plain.message_id |= name.eq_ignore_ascii_case(b"Message-ID");
            }
            None if first && starts_mbox(line) => {}
            None => {
                plain.ended = true;
                plain.needs_empty_line = first && line != b"\r\n";
                break;
            }
        }
        plain.settled += line.len() as u64;
    }
    plain
}

/// A field's name: printable octets up to the colon, blanks before that passed over.
fn name(line: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memchr(b':', line)?;
    let name = line[..colon].trim_ascii_end();
    let blanks = &line[name.len()..colon];
    let is_one = !name.is_empty()
        && name.iter().all(u8::is_ascii_graphic)
        && blanks.iter().all(|blank| matches!(blank, b' ' | b'\t'));
    is_one.then_some(name)
}

fn starts_mbox(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"From") else { return false };
    let blanks = rest.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    blanks > 0 && rest[blanks] != b'\r'
}

/// Passed on in pieces, the message is cut behind its header section and nothing of it is lost.
fn is_cut_there(content: &[u8], settled: u64, pieces: Pieces) {
    let (mut heading, mut head, mut body) = (Heading::default(), Vec::new(), Vec::new());
    let (mut pending, mut left) = (Vec::new(), content.len());
    for piece in pieces.of(content) {
        let new = pending.len();
        pending.extend_from_slice(piece);
        left -= piece.len();
        match heading.advance(&pending, new, left == 0) {
            Headed::Part(part) => head.extend(pending.drain(..part)),
            Headed::End(part) => {
                head.extend(pending.drain(..part));
                body.append(&mut pending);
            }
            Headed::Past => body.append(&mut pending),
        }
    }
    assert_eq!(head.len() as u64, settled, "{}", content.escape_ascii());
    assert_eq!([head, body].concat(), content);
}
