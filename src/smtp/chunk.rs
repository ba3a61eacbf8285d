//! The content in chunks that BDAT brings (RFC 3030 §2), as an octet automaton.
//!
//! A chunk ends where its size says: no octet in it is special, and dots are not undone. What comes out is canonical,
//! as from [`super::DataDecoder`] and by the same rules: every bare CR or LF has become CRLF, and the last line is
//! ended. BINARYMIME is not offered, so that content is lines of text, and bare line ends in it are a client's
//! mistake, not octets to be kept.

use super::Progress;

/// What the octets so far ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Tail {
    /// A line's end, or nothing.
    #[default]
    LineStart,
    /// Anything else.
    Text,
    /// A CR that is not written yet.
    Cr,
    /// Two. Some Windows software ends its lines with CR CR LF: one line end, not two.
    CrCr,
}

/// Counts a chunk's octets and makes line ends canonical, across chunks. Takes its input in any pieces.
#[derive(Debug, Default)]
pub struct ChunkDecoder {
    left: u64,
    tail: Tail,
}

impl ChunkDecoder {
    /// A chunk of `octets` octets follows. What an earlier one still lacked is forgotten.
    pub fn begin(&mut self, octets: u64) {
        self.left = octets;
    }

    /// Decodes as much of `input` as belongs to the chunk and appends it to `out`, which grows by at most twice the
    /// input and four octets. `done` is whether the chunk is complete.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Progress {
        let consumed = usize::try_from(self.left).map_or(input.len(), |left| left.min(input.len()));
        self.left -= consumed as u64;
        let chunk = &input[..consumed];
        let mut at = 0;
        while at < chunk.len() {
            at = match self.tail {
                Tail::LineStart | Tail::Text => self.text(chunk, at, out),
                Tail::Cr | Tail::CrCr => self.held(chunk[at], at, out),
            };
        }
        Progress { consumed, done: self.left == 0 }
    }

    /// The last chunk is complete: ends the last line.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match self.tail {
            Tail::LineStart => {}
            Tail::Text | Tail::Cr => out.extend_from_slice(b"\r\n"),
            Tail::CrCr => out.extend_from_slice(b"\r\n\r\n"),
        }
        self.tail = Tail::LineStart;
    }

    /// Copies whole lines at once, up to something that is not simply content; gives the place behind it.
    fn text(&mut self, chunk: &[u8], start: usize, out: &mut Vec<u8>) -> usize {
        let mut search = start;
        while let Some(found) = memchr::memchr2(b'\r', b'\n', &chunk[search..]) {
            let at = search + found;
            if chunk[at] == b'\n' {
                out.extend_from_slice(&chunk[start..at]);
                out.extend_from_slice(b"\r\n");
                self.tail = Tail::LineStart;
                return at + 1;
            }
            if chunk.get(at + 1) != Some(&b'\n') {
                out.extend_from_slice(&chunk[start..at]);
                self.tail = Tail::Cr;
                return at + 1;
            }
            search = at + 2;
        }
        out.extend_from_slice(&chunk[start..]);
        self.tail = if search == chunk.len() { Tail::LineStart } else { Tail::Text };
        chunk.len()
    }

    /// Decides about CRs held back, by the octet that follows them; gives the place to go on from.
    fn held(&mut self, octet: u8, at: usize, out: &mut Vec<u8>) -> usize {
        match (self.tail, octet) {
            (Tail::Cr, b'\r') => self.tail = Tail::CrCr,
            (Tail::CrCr, b'\r') => out.extend_from_slice(b"\r\n"),
            (_, b'\n') => {
                out.extend_from_slice(b"\r\n");
                self.tail = Tail::LineStart;
            }
            (held, _) => {
                out.extend_from_slice(if held == Tail::CrCr { b"\r\n\r\n" } else { b"\r\n" });
                self.tail = Tail::LineStart;
                return at;
            }
        }
        at + 1
    }
}

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod tests;
