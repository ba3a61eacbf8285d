//! BDAT: in any chunks and pieces the content is the same, and no octet of a chunk is ever read as a command.

use super::{data::canonical, pieces::Pieces};
use bytes::Bytes;
use waxseal::{
    mail::Content,
    smtp::{ChunkDecoder, Command, LineSplitter, Progress, Split, command::parse},
};

/// The first octet says in which pieces, the second how large the chunks are; then content, which is also taken for all
/// that a client sends, commands and chunks.
pub fn holds(input: &[u8]) {
    let Some((pieces, rest)) = Pieces::first(input) else { return };
    let Some((chunks, octets)) = Pieces::first(rest) else { return };
    let content = decode(octets, chunks, pieces);
    assert_eq!(content, canonical(octets), "{}", octets.escape_ascii());
    assert!(Content::new(Bytes::from(content.clone())).is_ok());
    assert_eq!(decode(&content, chunks, pieces), content, "canonical content is kept octet for octet");
    let heard = hear(rest, pieces);
    assert_eq!(heard, hear(rest, Pieces::WHOLE), "{}", rest.escape_ascii());
    is_read_by_the_sizes(rest, &heard);
}

fn decode(octets: &[u8], chunks: Pieces, pieces: Pieces) -> Vec<u8> {
    let (mut decoder, mut content) = (ChunkDecoder::default(), Vec::new());
    for chunk in chunks.of(octets) {
        decoder.begin(chunk.len() as u64);
        let mut at = 0;
        for piece in pieces.of(chunk) {
            at += piece.len();
            let before = content.len();
            let progress = decoder.decode(piece, &mut content);
            assert_eq!(progress, Progress { consumed: piece.len(), done: at == chunk.len() });
            assert!(content.len() - before <= 2 * piece.len() + 4, "grows by more than is said");
        }
    }
    decoder.finish(&mut content);
    content
}

/// What is understood of a connection.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Command(Command),
    Nonsense,
    /// Octets of a chunk that were used up. Neighbours are one.
    Chunk(usize),
    /// Where a chunk ends nobody can tell, so nothing more is read.
    Lost,
}

/// Listens as a session does: lines, and behind a BDAT as many octets as it says.
fn hear(octets: &[u8], pieces: Pieces) -> Vec<Heard> {
    let (mut splitter, mut decoder, mut content) =
        (LineSplitter::default(), ChunkDecoder::default(), Vec::new());
    let (mut heard, mut input, mut in_chunk) = (Vec::new(), Vec::new(), false);
    for piece in pieces.of(octets) {
        input.extend_from_slice(piece);
        loop {
            if in_chunk {
                let progress = decoder.decode(&input, &mut content);
                input.drain(..progress.consumed);
                match heard.last_mut() {
                    Some(Heard::Chunk(octets)) => *octets += progress.consumed,
                    _ => heard.push(Heard::Chunk(progress.consumed)),
                }
                in_chunk = !progress.done;
                if in_chunk {
                    break;
                }
                continue;
            }
            let consumed = match splitter.split(&input) {
                Split::Line { line, consumed } => {
                    match parse(line) {
                        Ok(Command::Bdat(chunk)) => {
                            decoder.begin(chunk.octets);
                            in_chunk = true;
                            heard.push(Heard::Command(Command::Bdat(chunk)));
                        }
                        Ok(Command::BdatUnclear) => {
                            heard.push(Heard::Lost);
                            return heard;
                        }
                        Ok(command) => heard.push(Heard::Command(command)),
                        Err(_) => heard.push(Heard::Nonsense),
                    }
                    consumed
                }
                Split::TooLong { bdat: true, .. } | Split::Endless => {
                    heard.push(Heard::Lost);
                    return heard;
                }
                Split::TooLong { bdat: false, consumed } => {
                    heard.push(Heard::Nonsense);
                    consumed
                }
                Split::More { consumed } => {
                    input.drain(..consumed);
                    break;
                }
            };
            input.drain(..consumed);
        }
    }
    heard
}

/// Each chunk took as many octets as its BDAT said, or all that were left.
fn is_read_by_the_sizes(octets: &[u8], heard: &[Heard]) {
    let mut expected = None;
    for (at, one) in heard.iter().enumerate() {
        match (one, expected) {
            (Heard::Command(Command::Bdat(chunk)), _) => expected = Some(chunk.octets),
            (Heard::Chunk(taken), Some(said)) => {
                let cut_off = at + 1 == heard.len() && (*taken as u64) < said && *taken < octets.len();
                assert!(*taken as u64 == said || cut_off, "{taken} octets of {said}");
                expected = None;
            }
            (Heard::Chunk(_), None) => panic!("a chunk that nobody announced"),
            _ => assert_eq!(expected.unwrap_or_default(), 0, "a command within a chunk"),
        }
    }
}
