//! Dot transparency on the way out (RFC 5321 §4.5.2). Pure.

use memchr::memmem;

/// What the octets so far ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    LineStart,
    Cr,
    Other,
}

/// Encodes content for DATA, chunk by chunk; a line end may fall between two chunks.
#[derive(Debug)]
pub struct DotStuffer {
    tail: Tail,
}

impl Default for DotStuffer {
    fn default() -> Self {
        Self { tail: Tail::LineStart }
    }
}

impl DotStuffer {
    /// Appends `chunk` to `out` with a second dot before every dot that starts a line.
    pub fn encode(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let Some(last) = chunk.last() else { return };
        out.reserve(chunk.len() + 16);
        let mut copied = 0;
        // The dot that starts a line which an earlier chunk ended, wholly or by its CR.
        match (self.tail, chunk) {
            (Tail::LineStart, [b'.', ..]) => out.push(b'.'),
            (Tail::Cr, [b'\n', b'.', ..]) => {
                out.extend_from_slice(b"\n.");
                copied = 1;
            }
            _ => {}
        }
        for at in memmem::find_iter(chunk, b"\r\n.") {
            out.extend_from_slice(&chunk[copied..at + 2]);
            out.push(b'.');
            copied = at + 2;
        }
        out.extend_from_slice(&chunk[copied..]);
        self.tail = match last {
            b'\n' if chunk.len() == 1 && self.tail == Tail::Cr => Tail::LineStart,
            b'\n' if chunk.ends_with(b"\r\n") => Tail::LineStart,
            b'\r' => Tail::Cr,
            _ => Tail::Other,
        };
    }

    /// Appends the end of data. A last line without its CRLF gets one; no blank line is ever added.
    pub fn finish(self, out: &mut Vec<u8>) {
        if self.tail != Tail::LineStart {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(chunks: &[&[u8]]) -> Vec<u8> {
        let (mut stuffer, mut out) = (DotStuffer::default(), Vec::new());
        for chunk in chunks {
            stuffer.encode(chunk, &mut out);
        }
        stuffer.finish(&mut out);
        out
    }

    #[test]
    fn dots_that_start_a_line_are_doubled_and_nothing_else_changes() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"", b".\r\n"),
            (b"\r\n", b"\r\n.\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b".\r\n", b"..\r\n.\r\n"),
            (b"..\r\n", b"...\r\n.\r\n"),
            (b"a\r\n.\r\n.b\r\nc.\r\n", b"a\r\n..\r\n..b\r\nc.\r\n.\r\n"),
            (b"\xe9\0\r\n", b"\xe9\0\r\n.\r\n"),
            (b"no end", b"no end\r\n.\r\n"),
        ];
        for (content, wire) in cases {
            assert_eq!(encoded(&[content]), *wire, "{content:?}");
        }
    }

    #[test]
    fn chunk_boundaries_make_no_difference() {
        let content: &[u8] = b".a\r\n.\r\n..b\r\n\r\n.c\r\nd.\r\n.e\r\n";
        let whole = encoded(&[content]);
        for first in 0..=content.len() {
            for second in first..=content.len() {
                let chunks = [&content[..first], &content[first..second], &content[second..]];
                assert_eq!(encoded(&chunks), whole, "cut at {first} and {second}");
            }
        }
        let single: Vec<&[u8]> = content.chunks(1).collect();
        assert_eq!(encoded(&single), whole);
    }

    proptest::proptest! {
        #![proptest_config(crate::smoke())]

        #[test]
        fn what_is_stuffed_can_be_unstuffed(lines in proptest::collection::vec("[.ab\u{e9}]{0,4}", 0..20), cut in 0usize..100) {
            let content: String = lines.iter().flat_map(|l| [l.as_str(), "\r\n"]).collect();
            let cut = cut.min(content.len());
            let wire = encoded(&[&content.as_bytes()[..cut], &content.as_bytes()[cut..]]);
            let body = wire.strip_suffix(b".\r\n").unwrap();
            let mut back = Vec::new();
            for line in body.split_inclusive(|b| *b == b'\n') {
                back.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            }
            assert_eq!(back, content.as_bytes());
        }
    }
}
