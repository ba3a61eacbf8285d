//! Where configuration comes from, and how a line of it is shown without its secrets.

use super::{keys, tree::Place};
use std::{ops::Range, path::PathBuf};

/// A file, or the environment. No `Debug`: the text holds secrets.
#[derive(Clone)]
pub(super) struct Source {
    /// The path as it was given, or `environment`.
    pub(super) label: String,
    /// The directory that relative paths in it start from; `None` is the working directory.
    pub(super) directory: Option<PathBuf>,
    /// The file's text; empty for the environment.
    pub(super) text: String,
    /// Octets never to be shown: secrets, and values of unknown keys, which may be misspelt secrets.
    pub(super) hidden: Vec<Range<usize>>,
}

impl Source {
    /// Line and column of an offset, both from 1; columns count characters.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let offset = self.text.floor_char_boundary(offset);
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// `file:line:column`, or the label alone.
    pub(super) fn locate(&self, place: &Place) -> String {
        match &place.span {
            Some(span) => {
                let (line, column) = self.position(span.start);
                format!("{}:{line}:{column}", self.label)
            }
            None => self.label.clone(),
        }
    }

    /// The line that `span` starts on, hidden octets masked, with a caret line below.
    pub(super) fn excerpt(&self, span: &Range<usize>) -> String {
        let (number, _) = self.position(span.start);
        let (start, end) = self.line_bounds(span.start);
        let mut line = String::new();
        let mut carets = String::new();
        let mut masked = false;
        for (i, c) in self.text[start..end].char_indices() {
            let at = start + i;
            if self.hidden.iter().any(|hidden| hidden.contains(&at)) {
                // One mark for the whole stretch: its length is nobody's business either.
                if !masked {
                    line.push_str("***");
                    carets.push_str(if span.contains(&at) { "^^^" } else { "   " });
                }
                masked = true;
                continue;
            }
            masked = false;
            line.push(if c == '\t' { ' ' } else { c });
            carets.push(if span.contains(&at) { '^' } else { ' ' });
        }
        framed(number, &line, carets.trim_end())
    }

    /// The line of a syntax error. Such a text has no structure to tell secrets by, so that values are shown only
    /// after keys that are known not to hold any.
    pub(super) fn broken_excerpt(&self, span: &Range<usize>) -> String {
        let (number, column) = self.position(span.start);
        let (start, end) = self.line_bounds(span.start);
        let line = self.text[start..end].replace('\t', " ");
        let multi_line = self.text.contains("\"\"\"") || self.text.contains("'''");
        let shown = match line.split_once('=') {
            _ if multi_line => return String::new(),
            Some((key, _)) if keys::is_plain_leaf(key.rsplit('.').next().unwrap_or(key).trim()) => line,
            Some((key, _)) => format!("{key}= ***"),
            None if line.trim_start().starts_with('[') => line,
            None => return String::new(),
        };
        let width = shown.chars().count();
        framed(number, &shown, &format!("{}^", " ".repeat((column - 1).min(width))))
    }

    fn line_bounds(&self, offset: usize) -> (usize, usize) {
        let offset = self.text.floor_char_boundary(offset);
        let start = self.text[..offset].rfind('\n').map_or(0, |i| i + 1);
        let end = self.text[offset..].find('\n').map_or(self.text.len(), |i| offset + i);
        (start, end)
    }
}

fn framed(number: usize, line: &str, carets: &str) -> String {
    let number = number.to_string();
    let margin = " ".repeat(number.len());
    let caret_line = if carets.is_empty() { String::new() } else { format!("\n{margin} | {carets}") };
    format!("{number} | {}{caret_line}", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { label: "w.toml".into(), directory: None, text: text.into(), hidden: Vec::new() }
    }

    #[test]
    fn a_hidden_stretch_is_masked_whatever_the_span() {
        let mut s = source("a = 1\npassword = \"hunter2\"\n");
        s.hidden.push(17..26);
        assert_eq!(s.excerpt(&(17..26)), "2 | password = ***\n  |            ^^^");
        assert_eq!(s.excerpt(&(6..14)), "2 | password = ***\n  | ^^^^^^^^");
    }

    #[test]
    fn a_broken_line_shows_values_of_plain_keys_alone() {
        assert!(
            source("password = \"hunter2\n").broken_excerpt(&(19..19)).starts_with("1 | password = ***\n")
        );
        assert!(source("paswd = hunter2\n").broken_excerpt(&(8..8)).starts_with("1 | paswd = ***"));
        assert!(source("a = { password = hunter2 }").broken_excerpt(&(17..18)).starts_with("1 | a = ***"));
        assert!(source("port = 58 7").broken_excerpt(&(10..11)).starts_with("1 | port = 58 7\n"));
        assert_eq!(source("password = \"\"\"\nport = hunter2\n").broken_excerpt(&(24..25)), "");
    }
}
