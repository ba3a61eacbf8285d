//! A look over the header section while it comes in (RFC 5322 §2.2).

/// What has been seen of a header section. Lines are looked at once each, however the octets arrive.
#[derive(Debug, Default)]
pub struct HeaderScan {
    /// Start of the first line not looked at.
    line: usize,
    /// Where to search for that line's end.
    search: usize,
    fields: usize,
    hops: usize,
    date: bool,
    message_id: bool,
    end: Option<End>,
}

/// Why the header section ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    EmptyLine,
    OtherLine,
}

impl HeaderScan {
    /// Looks at what is new in `content`: all canonical octets of the message so far, from the first on. Returns
    /// whether the header section has ended and the scan with it.
    pub fn advance(&mut self, content: &[u8]) -> bool {
        while self.end.is_none() {
            let Some(found) = content.get(self.search..).and_then(|rest| memchr::memchr(b'\n', rest)) else {
                self.search = content.len();
                return false;
            };
            let end = self.search + found;
            self.look_at(&content[self.line..end]);
            self.line = end + 1;
            self.search = end + 1;
        }
        true
    }

    fn look_at(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            self.end = Some(End::EmptyLine);
        } else if line[0] == b' ' || line[0] == b'\t' {
            if self.fields == 0 {
                self.end = Some(End::OtherLine);
            }
        } else if let Some(name) = field_name(line) {
            self.fields += 1;
            self.hops += usize::from(name.eq_ignore_ascii_case(b"Received"));
            self.date |= name.eq_ignore_ascii_case(b"Date");
            self.message_id |= name.eq_ignore_ascii_case(b"Message-ID");
        } else if self.fields == 0 && line.starts_with(b"From ") {
            // The first line of an mbox entry: odd, but the header section follows.
            self.fields += 1;
        } else {
            self.end = Some(End::OtherLine);
        }
    }

    /// `Received` fields.
    pub fn hops(&self) -> usize {
        self.hops
    }

    /// Whether there is a `Date`.
    pub fn has_date(&self) -> bool {
        self.date
    }

    /// Whether there is a `Message-ID`.
    pub fn has_message_id(&self) -> bool {
        self.message_id
    }

    /// Whether the message begins with its body, without the empty line that should come first; or is empty.
    pub fn needs_empty_line(&self) -> bool {
        self.fields == 0 && self.end != Some(End::EmptyLine)
    }
}

/// The name of the field that a line starts: printable ASCII up to a colon, blanks before the colon let through.
fn field_name(line: &[u8]) -> Option<&[u8]> {
    let name = line[..memchr::memchr(b':', line)?].trim_ascii_end();
    (!name.is_empty() && name.iter().all(u8::is_ascii_graphic)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_counted_in_the_header_section_only() {
        let content = b"Received: a\r\nRECEIVED: b\r\n\tfolded\r\nX: y\r\n\r\nReceived: c\r\n";
        let mut scan = HeaderScan::default();
        assert!(scan.advance(content));
        assert_eq!(scan.hops(), 2);
    }

    #[test]
    fn octet_by_octet_the_same_is_seen() {
        let content = b"Date: a\r\nMessage-ID: b\r\nReceived: c\r\n\r\n";
        let mut scan = HeaderScan::default();
        for end in 0..content.len() {
            assert!(!scan.advance(&content[..end]));
        }
        assert!(scan.advance(content));
        assert!(scan.has_date() && scan.has_message_id() && scan.hops() == 1 && !scan.needs_empty_line());
    }

    #[test]
    fn a_first_line_that_is_no_field_means_no_header_section() {
        let cases: &[(&[u8], bool)] = &[
            (b"Hello there\r\n", true),
            (b"Hello there: x\r\n", true),
            (b" Subject: x\r\n", true),
            (b": x\r\n", true),
            (b"\r\nHello\r\n", false),
            (b"Subject: x\r\nHello\r\n", false),
            (b"From me Mon\r\nSubject: x\r\n", false),
        ];
        for (content, needed) in cases {
            let mut scan = HeaderScan::default();
            scan.advance(content);
            assert_eq!(scan.needs_empty_line(), *needed, "{}", content.escape_ascii());
        }
    }
}
