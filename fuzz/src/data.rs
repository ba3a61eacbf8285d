//! The data decoder: in any pieces it gives what a plain reading of the rules gives, and what the encoder wrote it gives
//! back.

use super::pieces::Pieces;
use bytes::Bytes;
use waxseal::{
    mail::{Canonicalizer, Content},
    outbound::DotStuffer,
    smtp::DataDecoder,
};

/// The first octet says in which pieces; what a client sends behind DATA follows.
pub fn holds(input: &[u8]) {
    let Some((pieces, octets)) = Pieces::first(input) else { return };
    // As it comes: mostly without an end of data, so once more with one.
    let seen = is_read_by_the_rules(octets, pieces);
    if seen.left.is_none() {
        is_read_by_the_rules(&[octets, b"\r\n.\r\n"].concat(), pieces);
    }
    comes_back(&canonical(octets), pieces);
}

/// What came of the octets behind DATA.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    content: Vec<u8>,
    /// What follows the end of data; none without an end.
    left: Option<Vec<u8>>,
    bare_lf_client: bool,
}

fn is_read_by_the_rules(wire: &[u8], pieces: Pieces) -> Seen {
    let seen = decode(wire, pieces);
    assert_eq!(seen, decode(wire, Pieces::WHOLE), "{}", wire.escape_ascii());
    if let Some(expected) = by_the_rules(wire) {
        assert!(Content::new(Bytes::from(seen.content.clone())).is_ok(), "{}", wire.escape_ascii());
        assert_eq!(seen, expected, "{}", wire.escape_ascii());
    } else {
        assert_eq!(seen.left, None, "{}", wire.escape_ascii());
    }
    seen
}

fn decode(wire: &[u8], pieces: Pieces) -> Seen {
    let (mut decoder, mut content, mut at) = (DataDecoder::default(), Vec::new(), 0);
    for piece in pieces.of(wire) {
        let before = content.len();
        let progress = decoder.decode(piece, &mut content);
        assert!(content.len() - before <= 2 * piece.len() + 4, "grows by more than is said");
        at += progress.consumed;
        if progress.done {
            let bare_lf_client = decoder.bare_lf_client();
            return Seen { content, left: Some(wire[at..].to_vec()), bare_lf_client };
        }
        assert_eq!(progress.consumed, piece.len(), "all is used up before the end of data");
    }
    Seen { content, left: None, bare_lf_client: decoder.bare_lf_client() }
}

/// The rules (RFC 5321 §4.1.1.4, §4.5.2) without a thought of speed or pieces: the end of data is CRLF.CRLF and nothing
/// else, or a dot in a line of its own where the first line ended with LF alone; a dot that starts a line goes; then
/// line ends are made canonical.
fn by_the_rules(wire: &[u8]) -> Option<Seen> {
    let first = memchr::memchr(b'\n', wire)?;
    let bare_lf_client = !wire[..first].ends_with(b"\r");
    let starts_line = |at: usize| match wire[..at] {
        [] | [.., b'\r', b'\n'] => true,
        [.., b'\n'] => bare_lf_client,
        _ => false,
    };
    let ends = |at: usize| {
        let end: &[u8] = if bare_lf_client && wire[at..].starts_with(b".\n") { b".\n" } else { b".\r\n" };
        (starts_line(at) && wire[at..].starts_with(end)).then_some((at, at + end.len()))
    };
    let (end, behind) = (0..wire.len()).find_map(ends)?;
    let stuffing = |at: usize| wire[at] == b'.' && starts_line(at);
    let unstuffed: Vec<u8> = (0..end).filter(|at| !stuffing(*at)).map(|at| wire[at]).collect();
    Some(Seen { content: canonical(&unstuffed), left: Some(wire[behind..].to_vec()), bare_lf_client })
}

pub(super) fn canonical(octets: &[u8]) -> Vec<u8> {
    let (mut canonicalizer, mut content) = (Canonicalizer::default(), Vec::new());
    canonicalizer.feed(octets, &mut content);
    canonicalizer.finish(&mut content);
    content
}

/// Encoded in pieces and decoded in pieces, content is what it was.
fn comes_back(content: &[u8], pieces: Pieces) {
    let (mut encoder, mut wire) = (DotStuffer::default(), Vec::new());
    pieces.of(content).for_each(|piece| encoder.encode(piece, &mut wire));
    encoder.finish(&mut wire);
    let expected = Seen { content: content.to_vec(), left: Some(Vec::new()), bare_lf_client: false };
    assert_eq!(decode(&wire, pieces), expected);
}
