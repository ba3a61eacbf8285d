//! A message on standard input, up to its end. Pure.

use crate::mail::Canonicalizer;

/// Makes line ends canonical, and without `-i` ends the message at a line of one dot.
#[derive(Debug)]
pub struct Input {
    canonicalizer: Canonicalizer,
    /// The place in a line at which a dot would end the message; `None` where it does not.
    dot: Option<Place>,
    canonical: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    LineStart,
    BehindDot,
    BehindDotCr,
    Elsewhere,
    End,
}

impl Input {
    /// `ignore_dots` is `-i`.
    pub fn new(ignore_dots: bool) -> Self {
        let dot = (!ignore_dots).then_some(Place::LineStart);
        Self { canonicalizer: Canonicalizer::default(), dot, canonical: Vec::new() }
    }

    /// Appends what `octets` are of the message to `out`; whether more can come.
    pub fn take(&mut self, octets: &[u8], out: &mut Vec<u8>) -> bool {
        self.canonicalizer.feed(octets, &mut self.canonical);
        self.pass_on(out)
    }

    /// The end of the input.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        std::mem::take(&mut self.canonicalizer).finish(&mut self.canonical);
        self.pass_on(out);
    }

    fn pass_on(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(mut dot) = self.dot else {
            out.append(&mut self.canonical);
            return true;
        };
        for &octet in &self.canonical {
            dot = match (dot, octet) {
                (Place::End, _) => break,
                (Place::LineStart, b'.') => Place::BehindDot,
                (Place::BehindDot, b'\r') => Place::BehindDotCr,
                (Place::BehindDotCr, _) => Place::End,
                // The dot that was held back is one of the message.
                (Place::BehindDot, octet) => {
                    out.extend_from_slice(&[b'.', octet]);
                    Place::Elsewhere
                }
                (_, octet) => {
                    out.push(octet);
                    if octet == b'\n' { Place::LineStart } else { Place::Elsewhere }
                }
            };
        }
        self.canonical.clear();
        self.dot = Some(dot);
        dot != Place::End
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message, and whether it ended before its input.
    fn read(pieces: &[&[u8]], ignore_dots: bool) -> (Vec<u8>, bool) {
        let (mut input, mut out) = (Input::new(ignore_dots), Vec::new());
        for piece in pieces {
            if !input.take(piece, &mut out) {
                return (out, true);
            }
        }
        input.finish(&mut out);
        (out, false)
    }

    #[test]
    fn a_line_of_one_dot_ends_the_message_unless_it_is_ignored() {
        let cases: &[(&[u8], &[u8], &[u8])] = &[
            (b"a\n.\nb\n", b"a\r\n", b"a\r\n.\r\nb\r\n"),
            (b".\nb\n", b"", b".\r\nb\r\n"),
            (b"a\r\n.\r\nb", b"a\r\n", b"a\r\n.\r\nb\r\n"),
            (b"a\n..\n.b\n. \nc.\n", b"a\r\n..\r\n.b\r\n. \r\nc.\r\n", b"a\r\n..\r\n.b\r\n. \r\nc.\r\n"),
            (b"a\n.", b"a\r\n", b"a\r\n.\r\n"),
            (b"", b"", b""),
            (b"a", b"a\r\n", b"a\r\n"),
        ];
        for (octets, ended, ignored) in cases {
            assert_eq!(read(&[octets], false).0, *ended, "{}", octets.escape_ascii());
            assert_eq!(read(&[octets], true), (ignored.to_vec(), false), "{}", octets.escape_ascii());
            for cut in 0..octets.len() {
                let (first, second) = octets.split_at(cut);
                assert_eq!(read(&[first, second], false).0, *ended, "{} cut at {cut}", octets.escape_ascii());
            }
        }
    }
}
