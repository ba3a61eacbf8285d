//! Line ends made canonical (RFC 5321 §2.3.8), for content that comes from a file or a pipe and not over SMTP.

/// Makes every line end a CRLF: LF, CRLF, the CR CR LF of some Windows software, and a CR in the middle of a line, as
/// `smtp::DataDecoder` does for what comes over SMTP. Takes its input in any pieces; canonical input stays as it is.
#[derive(Debug, Clone)]
pub struct Canonicalizer {
    /// CRs held back, two at most: what follows tells what they are.
    held: u8,
    line_start: bool,
}

impl Default for Canonicalizer {
    fn default() -> Self {
        Self { held: 0, line_start: true }
    }
}

impl Canonicalizer {
    /// Appends `input` to `out`, which grows by at most twice the input and four octets.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut at = 0;
        while at < input.len() {
            if self.held > 0 {
                at += self.decide(input[at], out);
                continue;
            }
            let rest = &input[at..];
            let Some(found) = memchr::memchr2(b'\r', b'\n', rest) else {
                out.extend_from_slice(rest);
                self.line_start = false;
                return;
            };
            out.extend_from_slice(&rest[..found]);
            if rest[found] == b'\n' {
                self.end_line(out);
            } else {
                self.line_start = false;
                self.held = 1;
            }
            at += found + 1;
        }
    }

    /// The end of the input: a last line without its end gets one.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.release(out);
        if !self.line_start {
            self.end_line(out);
        }
    }

    /// Decides about CRs held back by the octet that follows them; whether that octet is used up.
    fn decide(&mut self, octet: u8, out: &mut Vec<u8>) -> usize {
        match (octet, self.held) {
            (b'\n', _) => {
                self.held = 0;
                self.end_line(out);
            }
            (b'\r', 1) => self.held = 2,
            (b'\r', _) => self.end_line(out),
            _ => {
                self.release(out);
                return 0;
            }
        }
        1
    }

    fn release(&mut self, out: &mut Vec<u8>) {
        for _ in 0..std::mem::take(&mut self.held) {
            self.end_line(out);
        }
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        self.line_start = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Content;
    use proptest::prelude::*;

    fn canonical(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut canonicalizer, mut out) = (Canonicalizer::default(), Vec::new());
        for piece in pieces {
            canonicalizer.feed(piece, &mut out);
        }
        canonicalizer.finish(&mut out);
        out
    }

    #[test]
    fn every_kind_of_line_end() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"", b""),
            (b"a", b"a\r\n"),
            (b"a\n", b"a\r\n"),
            (b"\n", b"\r\n"),
            (b"a\n\nb", b"a\r\n\r\nb\r\n"),
            (b"a\r\n.\r\n", b"a\r\n.\r\n"),
            (b"a\rb\n", b"a\r\nb\r\n"),
            (b"a\r", b"a\r\n"),
            (b"a\r\r\nb\n", b"a\r\nb\r\n"),
            (b"a\r\rb\n", b"a\r\n\r\nb\r\n"),
            (b"\xe9\0\n", b"\xe9\0\r\n"),
        ];
        for (input, wanted) in cases {
            assert_eq!(canonical(&[input]), *wanted, "{}", input.escape_ascii());
        }
    }

    proptest! {
        #![proptest_config(crate::smoke())]

        #[test]
        fn what_comes_out_is_content_however_it_is_cut(text in "[\r\na.é]{0,30}", cut in 0usize..40) {
            let octets = text.as_bytes();
            let cut = cut.min(octets.len());
            let whole = canonical(&[octets]);
            prop_assert_eq!(&canonical(&[&octets[..cut], &octets[cut..]]), &whole);
            prop_assert!(Content::new(whole.clone().into()).is_ok());
            prop_assert_eq!(canonical(&[&whole]), whole);
        }
    }
}
