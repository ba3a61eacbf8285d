//! Command lines out of octets, with a bound (RFC 5321 §4.5.3.1.4).

use super::limits::{COMMAND_LINE, LINE_SKIPPED};

/// What the start of the input is.
#[derive(Debug, PartialEq, Eq)]
pub enum Split<'a> {
    /// A line without its end; it took `consumed` octets of the input with it.
    Line {
        /// The line.
        line: &'a [u8],
        /// Octets to drop from the input.
        consumed: usize,
    },
    /// The end of a line that was too long.
    TooLong {
        /// Whether it was a BDAT: where the octets that it announced end, nobody can tell.
        bdat: bool,
        /// Octets to drop from the input.
        consumed: usize,
    },
    /// A line of which so much has come that its end is not waited for.
    Endless,
    /// No whole line yet. `consumed` octets are of no use and can be dropped now.
    More {
        /// Octets to drop from the input.
        consumed: usize,
    },
}

/// Splits input into lines ended by CRLF or LF. Holds no octets itself.
#[derive(Debug, Default)]
pub struct LineSplitter {
    /// Within a line that is too long: whether it is a BDAT, and its octets so far.
    skipping: Option<(bool, usize)>,
}

impl LineSplitter {
    /// Looks at all input not consumed so far. Once a line is over the limit, its octets are consumed as they come.
    pub fn split<'a>(&mut self, input: &'a [u8]) -> Split<'a> {
        match (memchr::memchr(b'\n', input), self.skipping) {
            (Some(end), Some((bdat, _))) => {
                self.skipping = None;
                Split::TooLong { bdat, consumed: end + 1 }
            }
            (Some(end), None) if end >= COMMAND_LINE => {
                Split::TooLong { bdat: is_bdat(input), consumed: end + 1 }
            }
            (Some(end), None) => {
                let line = &input[..end];
                Split::Line { line: line.strip_suffix(b"\r").unwrap_or(line), consumed: end + 1 }
            }
            (None, Some((_, skipped))) if skipped + input.len() > LINE_SKIPPED => Split::Endless,
            (None, Some((bdat, skipped))) => {
                self.skipping = Some((bdat, skipped + input.len()));
                Split::More { consumed: input.len() }
            }
            (None, None) if input.len() >= COMMAND_LINE => {
                self.skipping = Some((is_bdat(input), input.len()));
                Split::More { consumed: input.len() }
            }
            (None, None) => Split::More { consumed: 0 },
        }
    }
}

fn is_bdat(line: &[u8]) -> bool {
    line.trim_ascii_start().get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"))
}

/// Whether the input at the start of a line is a TLS record with a ClientHello (RFC 8446 §5.1): no command starts
/// with this octet.
pub fn is_tls_handshake(input: &[u8]) -> bool {
    input.first() == Some(&0x16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_crlf_or_lf() {
        let mut splitter = LineSplitter::default();
        assert_eq!(splitter.split(b"NOOP\r\nQUIT"), Split::Line { line: b"NOOP", consumed: 6 });
        assert_eq!(splitter.split(b"NOOP\nQUIT"), Split::Line { line: b"NOOP", consumed: 5 });
        assert_eq!(splitter.split(b"QUIT"), Split::More { consumed: 0 });
        assert_eq!(splitter.split(b""), Split::More { consumed: 0 });
        assert_eq!(splitter.split(b"\r\n"), Split::Line { line: b"", consumed: 2 });
    }

    #[test]
    fn a_long_line_is_skipped_to_its_end_without_being_kept() {
        let mut splitter = LineSplitter::default();
        assert_eq!(splitter.split(&[b'x'; COMMAND_LINE]), Split::More { consumed: COMMAND_LINE });
        assert_eq!(splitter.split(b"more"), Split::More { consumed: 4 });
        assert_eq!(splitter.split(b"end\r\nNOOP\r\n"), Split::TooLong { bdat: false, consumed: 5 });
        assert_eq!(splitter.split(b"NOOP\r\n"), Split::Line { line: b"NOOP", consumed: 6 });
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let mut splitter = LineSplitter::default();
        let piece = [b'x'; COMMAND_LINE];
        for _ in 0..LINE_SKIPPED / COMMAND_LINE {
            assert_eq!(splitter.split(&piece), Split::More { consumed: COMMAND_LINE });
        }
        assert_eq!(splitter.split(b"x"), Split::Endless);
    }

    #[test]
    fn of_a_long_line_it_is_known_whether_octets_follow_it() {
        for (verb, bdat) in [("BDAT", true), (" bdat", true), ("DATA", false)] {
            let line = format!("{verb} {}\r\n", "0".repeat(COMMAND_LINE));
            let consumed = line.len();
            assert_eq!(LineSplitter::default().split(line.as_bytes()), Split::TooLong { bdat, consumed });
            let mut splitter = LineSplitter::default();
            splitter.split(&line.as_bytes()[..COMMAND_LINE]);
            assert!(matches!(splitter.split(b"\r\n"), Split::TooLong { bdat: b, .. } if b == bdat));
        }
    }
}
