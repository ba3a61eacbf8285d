//! A person's name in front of an address (RFC 5322 §3.2.5, RFC 2047 §5).

use super::notification::words;
use std::fmt::Write as _;

/// Characters of a name that are kept.
const LIMIT: usize = 200;

/// A name as a `phrase`: as it is where it is atoms and blanks, else quoted, beyond ASCII in encoded words. Control
/// characters become blanks. Empty where nothing is left.
pub fn phrase(name: &str) -> String {
    let clean: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LIMIT).collect();
    let clean = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    if !clean.is_ascii() {
        return words::encode_all(&clean);
    }
    // An atom that looks like an encoded word would be read as one.
    let plain = |c: char| c.is_ascii_alphanumeric() || " !#$%&'*+-/^_`{|}~".contains(c);
    if clean.chars().all(plain) {
        return clean;
    }
    let mut out = String::from("\"");
    for c in clean.chars() {
        // Writing to a String cannot fail.
        let _ = if "\"\\".contains(c) { write!(out, "\\{c}") } else { write!(out, "{c}") };
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let cases = [
            ("", ""),
            ("Cron Daemon", "Cron Daemon"),
            ("  Cron\t Daemon\r\n", "Cron Daemon"),
            ("O'Brien", "O'Brien"),
            ("Joe Q. Public", "\"Joe Q. Public\""),
            ("Doe, Jane <x>", "\"Doe, Jane <x>\""),
            ("a \"b\" \\c", "\"a \\\"b\\\" \\\\c\""),
            ("x\r\nBcc: a@b", "\"x Bcc: a@b\""),
            ("=?utf-8?Q?x?=", "\"=?utf-8?Q?x?=\""),
            ("Jürgen, M", "=?utf-8?Q?J=C3=BCrgen=2C_M?="),
        ];
        for (name, wanted) in cases {
            assert_eq!(phrase(name), wanted, "{name:?}");
        }
    }
}
