//! How text travels in the values of SMTP parameters: xtext (RFC 3461 §4), and for addresses beyond ASCII
//! `\x{HEX}` (RFC 6533 §3).

use std::fmt::Write;

/// Reads xtext: `+HH` is the character with that code, in hexadecimal. `None` where the text is no xtext,
/// or decodes to anything but printable ASCII and spaces, which is all that a notification can show.
pub(super) fn decode(text: &str) -> Option<String> {
    decode_any(text).filter(|text| text.is_ascii())
}

/// As [`decode`], but octets beyond ASCII may come, and are UTF-8.
pub(super) fn decode_any(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        let octet = match octet {
            b'+' => hex(octets.next()?)? << 4 | hex(octets.next()?)?,
            b'!'..=b'~' if octet != b'=' => octet,
            128.. => octet,
            _ => return None,
        };
        out.push(octet);
    }
    String::from_utf8(out).ok().filter(|text| !text.chars().any(char::is_control))
}

/// The xtext form of printable ASCII.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'!'..=b'~' if !b"+=".contains(&octet) => out.push(char::from(octet)),
            // Writing to a String cannot fail.
            _ => drop(write!(out, "+{octet:02X}")),
        }
    }
    out
}

/// Reads an address of the type `utf-8`: characters as they are, or as `\x{HEX}`. Control characters are refused.
pub(super) fn decode_utf8(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (digits, after) = rest[at..].strip_prefix("\\x{")?.split_once('}')?;
        if !(1..=6).contains(&digits.len()) || !digits.bytes().all(|b| hex(b).is_some()) {
            return None;
        }
        out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
        rest = after;
    }
    out.push_str(rest);
    // The two that xtext would have to encode, and blanks, are to come as \x{HEX}.
    let plain = text.chars().all(|c| !" +=".contains(c));
    (plain && !out.chars().any(char::is_control)).then_some(out)
}

/// An address of the type `utf-8` in ASCII alone.
pub(super) fn encode_utf8(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '!'..='~' if !"+=\\".contains(c) => out.push(c),
            _ => drop(write!(out, "\\x{{{:02X}}}", u32::from(c))),
        }
    }
    out
}

/// The grammar has upper case alone; clients have both.
fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn xtext() {
        let cases = [
            ("", Some("")),
            ("QQ314159", Some("QQ314159")),
            ("a+2Bb+3Dc+20d@x", Some("a+b=c d@x")),
            ("a+2", None),
            ("a+2bb", Some("a+b")),
            ("a+GG", None),
            ("a=b", None),
            ("a b", None),
            ("a+0Db", None),
            ("a+FFb", None),
            ("+7F", None),
            ("é", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(decode(text).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn addresses_beyond_ascii() {
        let cases = [
            ("j\\x{FC}rgen@x", Some("jürgen@x")),
            ("jürgen@x", Some("jürgen@x")),
            ("a\\x{2B}b\\x{5C}c", Some("a+b\\c")),
            ("a+b", None),
            ("a\\b", None),
            ("a\\x{}", None),
            ("a\\x{D800}", None),
            ("a\\x{110000}", None),
            ("a\\x{0A}", None),
            ("a\\x{FC", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(decode_utf8(text).as_deref(), wanted, "{text}");
        }
    }

    proptest! {
        #![proptest_config(crate::smoke())]

        #[test]
        fn what_is_encoded_is_read_back(ascii in "[ -~]{0,40}", any in "[^\\p{Cc}]{0,40}") {
            prop_assert_eq!(decode(&encode(&ascii)), Some(ascii));
            let encoded = encode_utf8(&any);
            prop_assert!(encoded.is_ascii());
            prop_assert_eq!(decode_utf8(&encoded), Some(any));
        }
    }
}
