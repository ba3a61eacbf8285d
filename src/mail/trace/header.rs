//! A look over the header section while it comes in (RFC 5322 §2.2).

/// Octets of a `Message-ID` field's body that are kept: a line's limit (RFC 5322 §2.1.1).
const MESSAGE_ID_LIMIT: usize = 998;
/// Octets of a line in which a field's name has to end. No field has a name as long as a whole line may be.
const NAME_LIMIT: usize = 998;
/// Octets of a field's name that are kept: the longest name that is looked for, and one more.
const NAME_KEPT: usize = 11;

/// What has been seen of a header section. It takes the octets in any pieces and keeps none of them but the
/// `Message-ID`, so that it is as small behind a gibibyte of header fields as behind none.
#[derive(Default)]
pub struct HeaderScan {
    at: At,
    /// Octets looked at.
    seen: u64,
    /// Where the current line starts.
    line: u64,
    /// The first octets of the current line.
    name: Name,
    fields: usize,
    hops: usize,
    date: bool,
    /// The body of the first `Message-ID`.
    message_id: Option<Vec<u8>>,
}

impl std::fmt::Debug for HeaderScan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Header fields never reach a log, by whatever way.
        write!(f, "HeaderScan({} fields)", self.fields)
    }
}

/// Where in the header section the scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum At {
    /// At the start of a line. Whether a folded one would go on with the `Message-ID` is told.
    #[default]
    Start,
    StartBehindMessageId,
    /// Behind a CR that starts a line.
    Cr,
    /// In what may be a field's name.
    Name,
    /// In the blanks between a name and its colon.
    Blanks,
    /// In a field's body.
    Body,
    /// In that of the `Message-ID` that is kept.
    MessageId,
    /// Behind the header section.
    End(End),
}

/// Why the header section ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    EmptyLine,
    OtherLine,
}

/// The start of a field's name.
#[derive(Default)]
struct Name {
    kept: [u8; NAME_KEPT],
    octets: usize,
}

impl Name {
    fn push(&mut self, octet: u8) {
        if let Some(place) = self.kept.get_mut(self.octets) {
            *place = octet;
        }
        self.octets += 1;
    }

    fn starts_mbox(&self) -> bool {
        self.octets == 4 && self.kept.starts_with(b"From")
    }

    fn is(&self, name: &[u8]) -> bool {
        self.kept.get(..self.octets).is_some_and(|kept| kept.eq_ignore_ascii_case(name))
    }
}

impl HeaderScan {
    /// Looks at the next canonical octets of the message. Returns whether the header section has ended and the scan
    /// with it.
    pub fn advance(&mut self, octets: &[u8]) -> bool {
        let mut rest = octets;
        while let [octet, ..] = *rest {
            let used = match self.at {
                At::End(_) => return true,
                At::Body | At::MessageId => self.body(rest),
                _ => {
                    self.step(octet);
                    // The octet that ended the section belongs to what follows it.
                    usize::from(!matches!(self.at, At::End(_)))
                }
            };
            self.seen += used as u64;
            rest = &rest[used..];
            if matches!(self.at, At::Start | At::StartBehindMessageId) {
                self.line = self.seen;
                self.name.octets = 0;
            }
        }
        matches!(self.at, At::End(_))
    }

    /// How many octets, counted from the first of the message, are known to belong to the header section. Behind
    /// them, at most a line's start is still open; once the scan has ended, the empty line or the body.
    pub fn settled(&self) -> u64 {
        match self.at {
            At::Cr | At::Name | At::Blanks | At::End(_) => self.line,
            _ => self.seen,
        }
    }

    /// Takes a field's body up to the end of the line, which is the end of the field unless a folded line follows.
    fn body(&mut self, octets: &[u8]) -> usize {
        let end = memchr::memchr(b'\n', octets);
        let part = &octets[..end.unwrap_or(octets.len())];
        if self.at == At::MessageId {
            self.keep_message_id(part);
        }
        match end {
            Some(end) => {
                self.at = if self.at == At::MessageId { At::StartBehindMessageId } else { At::Start };
                end + 1
            }
            None => octets.len(),
        }
    }

    fn keep_message_id(&mut self, part: &[u8]) {
        let kept = self.message_id.get_or_insert_default();
        let room = MESSAGE_ID_LIMIT.saturating_sub(kept.len());
        kept.extend(part.iter().filter(|octet| **octet != b'\r').take(room));
    }

    /// Takes one octet at the start of a line.
    fn step(&mut self, octet: u8) {
        self.at = match (self.at, octet) {
            (At::Start | At::StartBehindMessageId | At::Cr, b'\n') => At::End(End::EmptyLine),
            (At::Start | At::StartBehindMessageId, b'\r') => At::Cr,
            (At::Start | At::StartBehindMessageId, b' ' | b'\t') if self.fields == 0 => {
                At::End(End::OtherLine)
            }
            (At::StartBehindMessageId, b' ' | b'\t') => {
                self.keep_message_id(&[octet]);
                At::MessageId
            }
            (At::Start, b' ' | b'\t') => At::Body,
            (At::Name | At::Blanks, b':') => self.field(),
            // Blanks before the colon are let through.
            (At::Name, b' ' | b'\t') if self.name.octets < NAME_LIMIT => At::Blanks,
            (At::Blanks, b' ' | b'\t') if self.seen - self.line < NAME_LIMIT as u64 => At::Blanks,
            (At::Start | At::StartBehindMessageId | At::Name, b'!'..=b'~')
                if octet != b':' && self.name.octets < NAME_LIMIT =>
            {
                self.name.push(octet);
                At::Name
            }
            // The first line of an mbox entry: odd, but the header section follows.
            (At::Blanks, _) if self.fields == 0 && self.name.starts_mbox() && octet != b'\r' => {
                self.fields += 1;
                At::Body
            }
            _ => At::End(End::OtherLine),
        };
    }

    /// A colon has ended a field's name.
    fn field(&mut self) -> At {
        self.fields += 1;
        self.hops += usize::from(self.name.is(b"Received"));
        self.date |= self.name.is(b"Date");
        if self.message_id.is_none() && self.name.is(b"Message-ID") {
            self.message_id = Some(Vec::new());
            return At::MessageId;
        }
        At::Body
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
        self.fields == 0 && self.at != At::End(End::EmptyLine)
    }
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
    fn fields_are_settled_as_soon_as_they_are_known_to_be_some() {
        // What has come, and how much of it belongs to the header section.
        let cases: &[(&str, usize, bool)] = &[
            ("", 0, false),
            ("Subject", 0, false),
            ("Subject ", 0, false),
            ("Subject:", 8, false),
            ("Subject: half a li", 18, false),
            ("Subject: x\r\n", 12, false),
            ("Subject: x\r\n\r", 12, false),
            ("Subject: x\r\n\r\n", 12, true),
            ("Subject: x\r\n ", 13, false),
            ("Subject: x\r\n no field", 21, false),
            ("Subject: x\r\nHello", 12, false),
            ("Subject: x\r\nHello there", 12, true),
            ("Hello\r\n", 0, true),
        ];
        for (content, settled, ended) in cases {
            let mut scan = HeaderScan::default();
            assert_eq!(
                (scan.advance(content.as_bytes()), scan.settled()),
                (*ended, *settled as u64),
                "{content:?}"
            );
        }
    }

    #[test]
    fn a_name_without_end_is_none() {
        for (octets, ended) in [(NAME_LIMIT, false), (NAME_LIMIT + 1, true)] {
            for fill in ["x", " "] {
                let mut scan = HeaderScan::default();
                assert_eq!(scan.advance(format!("A: x\r\nX{}", fill.repeat(octets - 1)).as_bytes()), ended);
                assert_eq!(scan.settled(), 6);
            }
        }
    }

    #[test]
    fn a_message_id_without_end_is_kept_in_part() {
        let mut scan = HeaderScan::default();
        scan.advance(b"Message-ID: <");
        for _ in 0..10_000 {
            scan.advance(b"x\r\n ");
        }
        assert_eq!(scan.message_id.as_ref().map(Vec::len), Some(MESSAGE_ID_LIMIT));
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
