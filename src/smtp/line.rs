//! Command lines out of octets, with a bound (RFC 5321 §4.5.3.1.4).

use super::limits::COMMAND_LINE;

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
        /// Octets to drop from the input.
        consumed: usize,
    },
    /// No whole line yet. `consumed` octets are of no use and can be dropped now.
    More {
        /// Octets to drop from the input.
        consumed: usize,
    },
}

/// Splits input into lines ended by CRLF or LF. Holds no octets itself.
#[derive(Debug, Default)]
pub struct LineSplitter {
    skipping: bool,
}

impl LineSplitter {
    /// Looks at all input not consumed so far. Once a line is over the limit, its octets are consumed as they come.
    pub fn split<'a>(&mut self, input: &'a [u8]) -> Split<'a> {
        match memchr::memchr(b'\n', input) {
            Some(end) if self.skipping || end >= COMMAND_LINE => {
                self.skipping = false;
                Split::TooLong { consumed: end + 1 }
            }
            Some(end) => {
                let line = &input[..end];
                Split::Line { line: line.strip_suffix(b"\r").unwrap_or(line), consumed: end + 1 }
            }
            None if self.skipping || input.len() >= COMMAND_LINE => {
                self.skipping = true;
                Split::More { consumed: input.len() }
            }
            None => Split::More { consumed: 0 },
        }
    }
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
        assert_eq!(splitter.split(b"end\r\nNOOP\r\n"), Split::TooLong { consumed: 5 });
        assert_eq!(splitter.split(b"NOOP\r\n"), Split::Line { line: b"NOOP", consumed: 6 });
    }
}
