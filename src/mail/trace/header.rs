//! A look over the header section while it comes in (RFC 5322 §2.2).

/// Octets of a `Message-ID` field's body that are kept: a line's limit (RFC 5322 §2.1.1).
const MESSAGE_ID_LIMIT: usize = 998;

/// What has been seen of a header section. Lines are looked at once each, however the octets arrive.
#[derive(Default)]
pub struct HeaderScan {
    /// Start of the first line not looked at.
    line: usize,
    /// Where to search for that line's end.
    search: usize,
    fields: usize,
    hops: usize,
    date: bool,
    /// The body of the first `Message-ID`.
    message_id: Option<Vec<u8>>,
    /// Whether a folded line goes on with it.
    within_message_id: bool,
    end: Option<End>,
}

impl std::fmt::Debug for HeaderScan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Header fields never reach a log, by whatever way.
        write!(f, "HeaderScan({} fields)", self.fields)
    }
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
            if self.within_message_id {
                self.keep_message_id(line);
            }
        } else if let Some(name) = field_name(line) {
            self.fields += 1;
            self.hops += usize::from(name.eq_ignore_ascii_case(b"Received"));
            self.date |= name.eq_ignore_ascii_case(b"Date");
            self.within_message_id = self.message_id.is_none() && name.eq_ignore_ascii_case(b"Message-ID");
            if self.within_message_id {
                self.keep_message_id(&line[memchr::memchr(b':', line).map_or(0, |colon| colon + 1)..]);
            }
        } else if self.fields == 0 && line.starts_with(b"From ") {
            // The first line of an mbox entry: odd, but the header section follows.
            self.fields += 1;
        } else {
            self.end = Some(End::OtherLine);
        }
    }

    fn keep_message_id(&mut self, part: &[u8]) {
        let kept = self.message_id.get_or_insert_default();
        let room = MESSAGE_ID_LIMIT.saturating_sub(kept.len());
        kept.extend_from_slice(&part[..part.len().min(room)]);
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
        self.message_id.is_some()
    }

    /// The message's own name, `<left@right>` where it is well formed, in printable characters: what stands between
    /// the first `<` and the last `>`, else all of the field's body. `None` where there is none, or nothing in it.
    pub fn message_id(&self) -> Option<String> {
        let text = String::from_utf8_lossy(self.message_id.as_deref()?);
        let named = match (text.find('<'), text.rfind('>')) {
            (Some(open), Some(close)) if open < close => &text[open..=close],
            _ => &text,
        };
        let name: String = named.trim().chars().filter(|c| !c.is_control()).collect();
        (!name.is_empty()).then_some(name)
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
    fn a_message_is_known_by_its_first_message_id() {
        let cases = [
            ("Message-ID: <a@b>\r\n\r\n", Some("<a@b>")),
            ("MESSAGE-ID :<a@b> (comment)\r\nMessage-ID: <c@d>\r\n\r\n", Some("<a@b>")),
            ("Message-ID:\r\n <folded@b>\r\nSubject: x\r\n y\r\n\r\n", Some("<folded@b>")),
            ("Message-ID: no brackets\t\r\n\r\n", Some("no brackets")),
            ("Message-ID: <a\x1b[2J\u{9b}@b>\r\n\r\n", Some("<a[2J@b>")),
            ("Message-ID: \r\n\r\n", None),
            ("Subject: x\r\n\r\nMessage-ID: <body@b>\r\n", None),
        ];
        for (content, wanted) in cases {
            let mut scan = HeaderScan::default();
            scan.advance(content.as_bytes());
            assert_eq!(scan.message_id().as_deref(), wanted, "{content:?}");
        }
        let mut scan = HeaderScan::default();
        scan.advance(format!("Message-ID: <{}\r\n {}>\r\n\r\n", "x".repeat(900), "y".repeat(900)).as_bytes());
        assert_eq!(scan.message_id().map(|id| id.len()), Some(997), "the blank before it is not part of it");
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
