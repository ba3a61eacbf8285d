//! Words beyond ASCII in header fields (RFC 2047).

use base64::{Engine, engine::general_purpose::STANDARD};

/// Octets of UTF-8 in one encoded word, so that it stays below 75 characters whatever they are.
const CHUNK: usize = 18;

/// Clean text for a field. What follows the first word beyond ASCII goes into encoded words with blanks between them.
pub(super) fn encode(text: &str) -> String {
    let Some(foreign) = text.find(|c: char| !c.is_ascii()) else { return text.to_owned() };
    let (plain, rest) = text.split_at(text[..foreign].rfind(' ').map_or(0, |blank| blank + 1));
    format!("{plain}{}", encode_all(rest))
}

/// All of a text in encoded words with blanks between them, fit for any place (RFC 2047 §5).
pub(in crate::mail) fn encode_all(text: &str) -> String {
    let mut rest = text;
    let mut words = Vec::new();
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.floor_char_boundary(CHUNK));
        let mut word = String::from("=?utf-8?Q?");
        for octet in chunk.bytes() {
            match octet {
                b' ' => word.push('_'),
                _ if octet.is_ascii_alphanumeric() => word.push(char::from(octet)),
                _ => word.push_str(&format!("={octet:02X}")),
            }
        }
        word.push_str("?=");
        words.push(word);
        rest = after;
    }
    words.join(" ")
}

/// The text of a field with its encoded words read, as far as their charset is known here: UTF-8, ASCII, ISO-8859-1
/// and what calls itself windows-1252. Others stay as they are, for a mail program to read.
pub(super) fn decode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // A character may be cut in two by the border between words, so octets of neighbours are joined first.
    let (mut pending, mut charset) = (Vec::new(), Charset::Utf8);
    let mut rest = text;
    while let Some(at) = rest.find("=?") {
        let Some((found, octets, length)) = word(&rest[at..]) else {
            charset.flush(&mut pending, &mut out);
            out.push_str(&rest[..at + 2]);
            rest = &rest[at + 2..];
            continue;
        };
        let between = &rest[..at];
        // Blanks between two encoded words are not shown (RFC 2047 §6.2).
        if pending.is_empty() || !between.trim().is_empty() || found != charset {
            let joined = !pending.is_empty() && between.trim().is_empty();
            charset.flush(&mut pending, &mut out);
            out.push_str(if joined { "" } else { between });
        }
        charset = found;
        pending.extend(octets);
        rest = &rest[at + length..];
    }
    charset.flush(&mut pending, &mut out);
    out.push_str(rest);
    out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charset {
    Utf8,
    Latin1,
}

impl Charset {
    fn flush(self, octets: &mut Vec<u8>, out: &mut String) {
        match self {
            Self::Utf8 => out.push_str(&String::from_utf8_lossy(octets)),
            Self::Latin1 => out.extend(octets.iter().map(|octet| char::from(*octet))),
        }
        octets.clear();
    }
}

/// The encoded word that `text` starts with: charset, octets, and its length.
fn word(text: &str) -> Option<(Charset, Vec<u8>, usize)> {
    let inside = text.strip_prefix("=?")?;
    let mut parts = inside.splitn(3, '?');
    let (charset, encoding, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let end = rest.find("?=")?;
    let data = &rest[..end];
    let length = 2 + charset.len() + 1 + encoding.len() + 1 + end + 2;
    // `*` starts a language (RFC 2231 §5).
    let charset = match charset.split('*').next()?.to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" | "us-ascii" => Charset::Utf8,
        "iso-8859-1" | "windows-1252" => Charset::Latin1,
        _ => return None,
    };
    if data.contains(' ') {
        return None;
    }
    let octets = match encoding {
        "B" | "b" => STANDARD.decode(data).ok()?,
        "Q" | "q" => quoted(data)?,
        _ => return None,
    };
    Some((charset, octets, length))
}

fn quoted(data: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(data.len());
    let mut input = data.bytes();
    while let Some(octet) = input.next() {
        octets.push(match octet {
            b'_' => b' ',
            b'=' => {
                let digit = |d: u8| char::from(d).to_digit(16);
                (digit(input.next()?)? * 16 + digit(input.next()?)?) as u8
            }
            other => other,
        });
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn encoded_words_are_read() {
        let cases = [
            ("plain", "plain"),
            ("=?utf-8?Q?M=C3=BCll?=", "Müll"),
            ("Re: =?UTF-8?B?TcO8bGw=?= today", "Re: Müll today"),
            ("=?iso-8859-1?q?M=FCll_x?=", "Müll x"),
            ("=?utf-8*de?Q?a?= =?utf-8?Q?b?=", "ab"),
            ("=?utf-8?Q?a=C3?=  =?utf-8?Q?=BC?=", "aü"),
            ("=?utf-8?Q?a?= b =?utf-8?Q?c?=", "a b c"),
            ("=?utf-8?Q?a?= =?iso-8859-1?Q?=FC?=", "aü"),
            ("=?koi8-r?Q?a?=", "=?koi8-r?Q?a?="),
            ("=?utf-8?X?a?=", "=?utf-8?X?a?="),
            ("=?utf-8?B?!?=", "=?utf-8?B?!?="),
            ("=?utf-8?Q?a=G0?=", "=?utf-8?Q?a=G0?="),
            ("a =? b", "a =? b"),
            ("=?", "=?"),
        ];
        for (text, wanted) in cases {
            assert_eq!(decode(text), wanted, "{text}");
        }
    }

    #[test]
    fn plain_words_in_front_stay_plain() {
        assert_eq!(encode("Undelivered mail: 10 € each"), "Undelivered mail: 10 =?utf-8?Q?=E2=82=AC_each?=");
        assert_eq!(encode("all of it"), "all of it");
    }

    proptest! {
        #![proptest_config(crate::smoke())]

        #[test]
        fn what_is_encoded_is_read_back(text in "é\\PC{0,60}") {
            let encoded = encode(&text);
            prop_assert!(encoded.is_ascii() && encoded.split(' ').all(|word| word.len() <= 75));
            prop_assert_eq!(decode(&encoded), text);
        }

        #[test]
        fn whatever_it_is_it_can_be_read(text in "([=?_ a]|utf-8|Q|B|é){0,40}") {
            decode(&text);
        }
    }
}
