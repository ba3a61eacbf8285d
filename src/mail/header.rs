//! The header section in canonical octets: where it ends, and its fields (RFC 5322 §2.2). Pure.

/// Looks for the end of the header section while it comes in. Lines are looked at once each.
#[derive(Debug, Default)]
pub struct HeaderScanner {
    /// Start of the first line not looked at.
    line: usize,
    /// Where to search for that line's end.
    search: usize,
    /// Octets before the header section: the `From ` line of an mbox entry.
    start: usize,
    fields: usize,
}

/// Where the header section is in the octets of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Its first octet.
    pub start: usize,
    /// Behind its last field.
    pub end: usize,
    /// The first octet of the body, behind the empty line where there is one.
    pub body: usize,
}

impl HeaderScanner {
    /// Looks at what is new in `octets`: all canonical octets of the message so far.
    pub fn advance(&mut self, octets: &[u8]) -> Option<Extent> {
        while let Some(found) = octets.get(self.search..).and_then(|rest| memchr::memchr(b'\n', rest)) {
            let next = self.search + found + 1;
            let line = &octets[self.line..next];
            let extent = |end, body| Some(Extent { start: self.start, end, body });
            if line == b"\r\n" {
                return extent(self.line, next);
            }
            let folded = is_blank(line[0]) && self.fields > 0;
            if self.fields == 0 && self.line == self.start && is_mbox_line(line) {
                self.start = next;
            } else if name(line).is_some() {
                self.fields += 1;
            } else if !folded {
                return extent(self.line, self.line);
            }
            (self.line, self.search) = (next, next);
        }
        self.search = octets.len();
        None
    }

    /// The extent where the message ends within its header section, or has to be taken to.
    pub fn finish(&self) -> Extent {
        Extent { start: self.start, end: self.line, body: self.line }
    }
}

/// A field with its folded lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Without the blanks before the colon.
    pub name: &'a [u8],
    /// What follows the colon, line ends included.
    pub body: &'a [u8],
    /// All of it.
    pub octets: &'a [u8],
}

impl Field<'_> {
    /// Whether it has this name.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The fields of a header section.
pub fn fields(section: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = section;
    std::iter::from_fn(move || {
        let mut end = 0;
        loop {
            end += memchr::memchr(b'\n', rest.get(end..)?).map_or(rest.len() - end, |at| at + 1);
            if !rest.get(end).is_some_and(|next| is_blank(*next)) {
                break;
            }
        }
        let (octets, after) = rest.split_at_checked(end).filter(|(octets, _)| !octets.is_empty())?;
        rest = after;
        let colon = memchr::memchr(b':', octets).unwrap_or(octets.len());
        let body = octets.get(colon + 1..).unwrap_or_default();
        Some(Field { name: octets[..colon].trim_ascii_end(), body, octets })
    })
}

/// Whether there is a field of this name.
pub fn has(section: &[u8], name: &str) -> bool {
    fields(section).any(|field| field.is(name))
}

/// `From sender Mon Nov 23 …`, which begins an entry of an mbox file, and no text that merely begins with that word.
fn is_mbox_line(line: &[u8]) -> bool {
    const DAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
    let words = line.strip_prefix(b"From ").into_iter().flat_map(|rest| rest.split(u8::is_ascii_whitespace));
    words.filter(|word| !word.is_empty()).nth(1).is_some_and(|day| DAYS.contains(&day))
}

fn is_blank(octet: u8) -> bool {
    octet == b' ' || octet == b'\t'
}

/// The name of the field that a line starts: printable ASCII up to a colon, blanks before the colon let through.
fn name(line: &[u8]) -> Option<&[u8]> {
    let name = line[..memchr::memchr(b':', line)?].trim_ascii_end();
    (!name.is_empty() && name.iter().all(u8::is_ascii_graphic)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Header section and body, with LF.
    fn split(text: &str) -> (String, String) {
        let octets = text.replace('\n', "\r\n").into_bytes();
        let mut scanner = HeaderScanner::default();
        let Extent { start, end, body } = scanner.advance(&octets).unwrap_or_else(|| scanner.finish());
        let plain = |octets: &[u8]| String::from_utf8_lossy(octets).replace("\r\n", "\n");
        // Octet by octet the same is seen.
        let mut slow = HeaderScanner::default();
        let seen =
            (0..=octets.len()).find_map(|end| slow.advance(&octets[..end])).unwrap_or_else(|| slow.finish());
        assert_eq!(seen, Extent { start, end, body }, "{text:?}");
        (plain(&octets[start..end]), plain(&octets[body..]))
    }

    #[test]
    fn where_the_header_section_ends() {
        let cases = [
            ("", "", ""),
            ("A: b\n\nbody\n", "A: b\n", "body\n"),
            ("A: b\n c\nD: e\n\n\nbody\n", "A: b\n c\nD: e\n", "\nbody\n"),
            ("A: b\n", "A: b\n", ""),
            ("\nbody\n", "", "body\n"),
            ("no header\n", "", "no header\n"),
            ("A: b\nno field\n", "A: b\n", "no field\n"),
            (" folded first\nA: b\n", "", " folded first\nA: b\n"),
            ("A: b\n \n\nbody\n", "A: b\n \n", "body\n"),
            ("From me Mon Nov 23\nA: b\n\nbody\n", "A: b\n", "body\n"),
            ("From a@b  Sun Nov  1 12:00:00 2026\nFrom c Mon x\nA: b\n\n", "A: b\n", ""),
            ("From me Mon Nov 23\nno header\n", "", "no header\n"),
            ("From here on it is text\n", "", "From here on it is text\n"),
            ("A: b\nFrom me Mon Nov 23\n\n", "A: b\n", "From me Mon Nov 23\n\n"),
            ("A : b\n\n", "A : b\n", ""),
            ("Hello there: x\n", "", "Hello there: x\n"),
        ];
        for (text, header, body) in cases {
            assert_eq!(split(text), (header.to_owned(), body.to_owned()), "{text:?}");
        }
    }
}
