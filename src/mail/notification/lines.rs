//! Lines that are safe whatever they are made of: cleaned, wrapped, folded, encoded.

use crate::mail::{Mailbox, trace::Rfc5322Date};
use std::time::SystemTime;

/// Columns of text for people.
const TEXT: usize = 72;
/// Columns of header lines where blanks allow it (RFC 5322 §2.1.1), and of quoted-printable (RFC 2045 §6.7).
const WIDTH: usize = 76;
/// Octets of a line at most; the standard's 998, with room for what folding adds.
const HARD: usize = 900;

/// Text on one line: control characters, and those that turn the direction of writing, become blanks, blanks in a row
/// one. Cut after `most` characters, which `...` shows.
pub(super) fn clean(text: &str, most: usize) -> String {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let text: String = text.chars().map(|c| if c.is_control() || turns(c) { ' ' } else { c }).collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(most) {
        None => text,
        Some((end, _)) => format!("{}...", text[..end].trim_end()),
    }
}

/// A clause, cleaned, with the full stop that ends a sentence; empty where there is none.
pub(super) fn stopped(clause: &str) -> String {
    let clause = clean(clause, 1000);
    let open = !clause.is_empty() && !clause.ends_with(['.', '!', '?']);
    if open { clause + "." } else { clause }
}

/// Text with a capital first.
pub(super) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Appends clean text, wrapped between words, each line after `indent` blanks and ended by `\n`.
pub(super) fn wrap(out: &mut String, indent: usize, text: &str) {
    let mut column = 0;
    for word in text.split(' ').flat_map(pieces) {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > TEXT {
            out.push('\n');
            column = 0;
        }
        if column == 0 {
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.push('\n');
}

/// A word, cut where no line could hold it.
fn pieces(word: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = word;
    while rest.len() > HARD {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(HARD));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

/// Appends a header field with clean text, folded between words and ended by CRLF (RFC 5322 §2.2.3).
pub(super) fn text_field(out: &mut String, name: &str, text: &str) {
    out.push_str(name);
    out.push(':');
    let mut column = name.len() + 1;
    for word in text.split(' ').filter(|word| !word.is_empty()).flat_map(pieces) {
        if column + 1 + word.len() > WIDTH && column > name.len() + 1 {
            out.push_str("\r\n");
            column = 0;
        }
        out.push(' ');
        out.push_str(word);
        column += 1 + word.len();
    }
    out.push_str("\r\n");
}

/// Appends a header field whose value is known to be short and free of control characters, as it is.
pub(super) fn field(out: &mut String, name: &str, value: &str) {
    out.push_str(&format!("{name}: {value}\r\n"));
}

/// Appends a field with a date.
pub(super) fn date_field(out: &mut String, name: &str, at: SystemTime) {
    field(out, name, &Rfc5322Date(at).to_string());
}

/// A host name or address literal; what is part of neither is `?`.
pub(super) fn host(text: &str) -> String {
    let known = |c: char| if c.is_ascii_alphanumeric() || ".-_:[]".contains(c) { c } else { '?' };
    let host: String = text.chars().take(255).map(known).collect();
    if host.is_empty() { "unknown".to_owned() } else { host }
}

/// An address as header fields take it (RFC 5322 §3.4.1): a local part that is no dot-atom is quoted, and the domain
/// is in A-labels unless the local part needs SMTPUTF8 anyway (RFC 6532).
pub(super) fn address(mailbox: &Mailbox) -> String {
    let local = mailbox.local_part();
    let domain = if local.is_ascii() { mailbox.domain().ascii() } else { mailbox.domain().as_str() };
    if local.starts_with('"') || local.split('.').all(|atom| !atom.is_empty()) {
        format!("{local}@{domain}")
    } else {
        format!("\"{local}\"@{domain}")
    }
}

/// Appends octets as quoted-printable (RFC 2045 §6.7). CRLF stays a line end; a bare CR or LF is encoded, so that it
/// comes out as it went in. Ends with CRLF.
pub(super) fn quoted_printable(out: &mut Vec<u8>, octets: &[u8]) {
    let octets = octets.strip_suffix(b"\r\n").unwrap_or(octets);
    let mut start = 0;
    for end in memchr::memmem::find_iter(octets, b"\r\n").chain([octets.len()]) {
        let line = &octets[start..end];
        let mut column = 0;
        for (at, &octet) in line.iter().enumerate() {
            let last = at + 1 == line.len();
            let plain = matches!(octet, b'!'..=b'<' | b'>'..=b'~') || (b" \t".contains(&octet) && !last);
            let width = if plain { 1 } else { 3 };
            // One column is kept for the `=` of a soft line break.
            if column + width > WIDTH - 1 {
                out.extend_from_slice(b"=\r\n");
                column = 0;
            }
            if plain {
                out.push(octet);
            } else {
                out.extend_from_slice(format!("={octet:02X}").as_bytes());
            }
            column += width;
        }
        out.extend_from_slice(b"\r\n");
        start = end + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_cleaned() {
        let cases = [
            ("a\r\nBcc: x", "a Bcc: x"),
            ("  a \t b\u{2028}c ", "a b c"),
            ("\u{202e}evil\0", "evil"),
            ("0123456789", "0123456789"),
            ("01234567890", "0123456789..."),
        ];
        for (text, wanted) in cases {
            assert_eq!(clean(text, 10), wanted, "{text:?}");
        }
        assert_eq!(capitalized(&stopped("the server\nis away")), "The server is away.");
        assert_eq!(capitalized(&stopped("Gone!")), "Gone!");
        assert_eq!(capitalized(&stopped(" ")), "");
    }

    #[test]
    fn addresses_are_fit_for_header_fields() {
        let cases = [
            ("a.b@x", "a.b@x"),
            ("a..b@x", "\"a..b\"@x"),
            ("\"a b\"@x", "\"a b\"@x"),
            ("a@bücher.example", "a@xn--bcher-kva.example"),
            ("jürgen@bücher.example", "jürgen@bücher.example"),
        ];
        for (text, wanted) in cases {
            assert_eq!(address(&Mailbox::parse(text).unwrap()), wanted);
        }
    }

    #[test]
    fn quoted_printable_lines() {
        let cases: &[(&[u8], &str)] = &[
            (b"a=b\r\n", "a=3Db\r\n"),
            (b"end \r\n\tx\t\r\n", "end=20\r\n\tx=09\r\n"),
            (b"caf\xe9", "caf=E9\r\n"),
            (b"a\rb\nc\0", "a=0Db=0Ac=00\r\n"),
            (b"", "\r\n"),
        ];
        for (octets, wanted) in cases {
            let mut out = Vec::new();
            quoted_printable(&mut out, octets);
            assert_eq!(String::from_utf8(out).unwrap(), *wanted, "{}", octets.escape_ascii());
        }
        let mut out = Vec::new();
        quoted_printable(&mut out, &[b'x'; 200]);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!("{0}=\r\n{0}=\r\n{1}\r\n", "x".repeat(75), "x".repeat(50))
        );
    }

    proptest! {
        #![proptest_config(crate::smoke())]

        #[test]
        fn no_line_is_long_and_no_line_end_is_bare(text in "(\\PC|[ \r\n\t\0]){0,300}|x{0,3000}") {
            let clean = clean(&text, 5000);
            let (mut header, mut body) = (String::new(), String::new());
            text_field(&mut header, "Subject", &clean);
            wrap(&mut body, 4, &clean);
            for line in header.split_terminator("\r\n") {
                prop_assert!(line.len() < 998 && !line.contains(['\r', '\n', '\0']));
            }
            prop_assert!(header.split("\r\n").skip(1).all(|line| line.is_empty() || line.starts_with(' ')));
            prop_assert!(body.lines().all(|line| line.len() < 998 && !line.contains('\r')));
        }
    }
}
