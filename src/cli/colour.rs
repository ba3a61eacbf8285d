//! Colours for words that say how something stands; only on a terminal, and only where they are wanted.

use std::{
    ffi::OsStr,
    io::{self, IsTerminal},
};

/// How a word is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Heading,
    Good,
    Waiting,
    Bad,
}

impl Tone {
    /// What the contract's words of states say; none of any other word.
    fn of(word: &str) -> Option<Self> {
        match word {
            "ready" | "ok" | "✓" | "sound" => Some(Self::Good),
            "deferred" | "held" | "inactive" | "warning:" => Some(Self::Waiting),
            "failing" | "needs_authorization" | "failed" | "FAILED" | "✗" | "DAMAGED" => Some(Self::Bad),
            _ => None,
        }
    }

    /// Its parameter of SGR (ECMA-48 §8.3.117).
    const fn code(self) -> &'static str {
        match self {
            Self::Heading => "1",
            Self::Good => "32",
            Self::Waiting => "33",
            Self::Bad => "31",
        }
    }
}

/// Whether standard output is to be coloured.
pub(super) fn is_wanted() -> bool {
    let no_color = std::env::var_os("NO_COLOR");
    // Nobody has asked for none (no-color.org).
    no_color.is_none_or(|set| set.is_empty()) && obeys(&io::stdout())
}

/// Whether this is a terminal that obeys control sequences.
pub(super) fn obeys(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && knows_sequences(std::env::var_os("TERM").as_deref())
}

fn knows_sequences(term: Option<&OsStr>) -> bool {
    term.is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// A text in a tone.
pub(super) fn paint(tone: Tone, text: &str) -> String {
    format!("\x1b[{}m{text}\x1b[0m", tone.code())
}

/// A text, blanks around it included, painted where the word in it is a state's.
pub(super) fn state(text: &str) -> String {
    match Tone::of(text.trim()) {
        Some(tone) => paint(tone, text),
        None => text.to_owned(),
    }
}

/// [`state`] on a terminal that wants it.
pub(super) fn shown(text: &str) -> String {
    if is_wanted() { state(text) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_of_states_are_painted() {
        for (text, painted) in [
            ("ready", "\x1b[32mready\x1b[0m"),
            ("held   ", "\x1b[33mheld   \x1b[0m"),
            ("needs_authorization", "\x1b[31mneeds_authorization\x1b[0m"),
            ("ready-made", "ready-made"),
            ("", ""),
        ] {
            assert_eq!(state(text), painted);
        }
    }

    #[test]
    fn a_terminal_that_says_nothing_of_itself_gets_no_sequences() {
        for (term, knows) in
            [(Some("xterm-256color"), true), (Some("dumb"), false), (Some(""), false), (None, false)]
        {
            assert_eq!(knows_sequences(term.map(OsStr::new)), knows, "{term:?}");
        }
    }
}
