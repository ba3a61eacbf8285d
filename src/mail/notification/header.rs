//! Reading the header section of a message that may be anything (RFC 5322 §2.2).

use super::{lines, words};

/// The header section that starts the octets, without the empty line behind it. What is no field, and not the
/// continuation of one, ends it.
pub(super) fn section(octets: &[u8]) -> &[u8] {
    let mut end = 0;
    while let Some(length) = memchr::memchr(b'\n', &octets[end..]) {
        let line = &octets[end..end + length];
        let continues = end > 0 && matches!(line.first(), Some(b' ' | b'\t'));
        if !continues && name_and_value(line).is_none() {
            break;
        }
        end += length + 1;
    }
    &octets[..end]
}

/// The text of the first field with this name: unfolded, its encoded words read, cleaned, cut after `most` characters.
pub(super) fn text(section: &[u8], name: &str, most: usize) -> Option<String> {
    let raw = raw(section, name)?;
    let text = lines::clean(&words::decode(&lines::clean(&String::from_utf8_lossy(&raw), 2000)), most);
    (!text.is_empty()).then_some(text)
}

/// The value of the first field with this name, unfolded.
pub(super) fn raw(section: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut lines = section.split(|octet| *octet == b'\n');
    let first = lines.find_map(|line| {
        let (found, value) = name_and_value(line)?;
        found.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
    })?;
    let mut value = first.to_vec();
    for line in lines.take_while(|line| matches!(line.first(), Some(b' ' | b'\t'))) {
        value.extend_from_slice(line);
    }
    Some(value)
}

/// The message id `<left@right>` of the original, where it is one.
pub(super) fn message_id(section: &[u8]) -> Option<String> {
    let id = text(section, "Message-ID", 250)?;
    let inside = id.strip_prefix('<')?.strip_suffix('>')?;
    let good = inside.bytes().all(|b| b.is_ascii_graphic() && b != b'<' && b != b'>');
    (good && inside.split('@').filter(|part| !part.is_empty()).count() == 2).then_some(id)
}

/// A line as field name and value: printable ASCII up to a colon, blanks before the colon let through.
fn name_and_value(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let name = line[..colon].trim_ascii_end();
    (!name.is_empty() && name.iter().all(u8::is_ascii_graphic)).then(|| (name, &line[colon + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_ends_with_what_is_no_field() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"A: b\r\n c\r\n\r\nbody: x\r\n", b"A: b\r\n c\r\n"),
            (b"A: b\r\nno field\r\nC: d\r\n", b"A: b\r\n"),
            (b" A: b\r\n", b""),
            (b"A: b\r\ncut", b"A: b\r\n"),
            (b"\r\nA: b\r\n", b""),
            (b"", b""),
        ];
        for (octets, wanted) in cases {
            assert_eq!(section(octets), *wanted, "{}", octets.escape_ascii());
        }
    }

    #[test]
    fn fields_are_found_unfolded_and_cleaned() {
        let section = b"subject : one\r\n =?utf-8?Q?t=0D=0ABcc:_w=C3=B6?=\r\nSubject: second\r\nX:\r\n";
        assert_eq!(text(section, "Subject", 100).as_deref(), Some("one t Bcc: wö"));
        assert_eq!(text(section, "X", 100), None);
        assert_eq!(text(section, "Date", 100), None);
    }

    #[test]
    fn only_a_message_id_is_one() {
        let cases = [
            ("<a@b>", true),
            (" <a@b> ", true),
            ("a@b", false),
            ("<a b@c>", false),
            ("<a@b> <c@d>", false),
            ("<@b>", false),
            ("<a@b", false),
            ("<é@b>", false),
        ];
        for (text, good) in cases {
            let section = format!("Message-ID: {text}\r\n");
            assert_eq!(message_id(section.as_bytes()).is_some(), good, "{text}");
        }
    }
}
