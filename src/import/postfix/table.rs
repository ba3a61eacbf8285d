//! Postfix's lookup tables, as far as there is a text to read.

use super::main_cf::{MainCf, logical_lines};
use crate::import::{Files, ImportError, LeftOut, Place};
use std::{
    cell::Cell,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// A line of a table. No `Debug`: its value may be a login.
pub(super) struct Entry {
    /// What is looked up.
    pub(super) key: String,
    /// What is found.
    pub(super) value: Zeroizing<String>,
    /// Where it stands.
    pub(super) place: Place,
    /// Whether it has been of use.
    pub(super) used: Cell<bool>,
}

/// All tables of a parameter, one after the other.
#[derive(Default)]
pub(super) struct Table {
    /// Their lines.
    pub(super) entries: Vec<Entry>,
    /// What a `static:` table answers to everything that the ones before it do not know.
    fallback: Option<Entry>,
    /// Whether one of them could not be read.
    pub(super) has_unread: bool,
}

impl Table {
    /// Loads the tables that a parameter names; those that cannot be read are told of.
    pub(super) fn load(
        parameter: &str,
        cf: &MainCf,
        files: &dyn Files,
        left_out: &mut Vec<LeftOut>,
    ) -> Result<Self, ImportError> {
        let mut table = Self::default();
        let value = cf.value(parameter)?;
        for spec in specs(&value) {
            let place = cf.place(parameter);
            let spec = spec.strip_prefix("proxy:").unwrap_or(spec);
            let (kind, name) = match spec.split_once(':') {
                Some((kind, name)) => (kind.to_owned(), name.trim()),
                None => (cf.value("default_database_type")?.to_string(), spec),
            };
            match kind.as_str() {
                "hash" | "lmdb" | "texthash" | "btree" | "dbm" | "cdb" | "sdbm" => {
                    let path = moved(Path::new(name), cf);
                    match files.read(&path) {
                        Ok(text) => table.read(&path, &text),
                        Err(why) => {
                            let why = format!(
                                "{kind}:{}: the text that the table is made of cannot be read: {why}",
                                path.display()
                            );
                            left_out.push(LeftOut::new(place, parameter, why));
                            table.has_unread = true;
                        }
                    }
                }
                "static" if table.fallback.is_none() => {
                    let value = name.trim_start_matches('{').trim_end_matches('}').trim();
                    table.fallback = Some(entry("static", value, place));
                }
                "static" => {}
                "inline" => table.inline(name, &place),
                _ => {
                    let why = format!(
                        "{} tables are not read: write this one as text, or add its accounts with `waxseal account \
                         add`",
                        word(&kind)
                    );
                    left_out.push(LeftOut::new(place, parameter, why));
                    table.has_unread = true;
                }
            }
        }
        Ok(table)
    }

    fn read(&mut self, path: &Path, text: &str) {
        for (line, text) in logical_lines(text) {
            let (key, value) = match text.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                Some(quoted) => quoted,
                None => text.split_once([' ', '\t']).unwrap_or((&text, "")),
            };
            self.entries.push(entry(key, value.trim(), Place::new(path, line)));
        }
    }

    /// `{ key=value, { key = value with blanks } }`.
    fn inline(&mut self, text: &str, place: &Place) {
        let text = text.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        for pair in specs(text) {
            let pair = pair.strip_prefix('{').and_then(|pair| pair.strip_suffix('}')).unwrap_or(pair);
            if let Some((key, value)) = pair.split_once('=') {
                self.entries.push(entry(key.trim(), value.trim(), place.clone()));
            }
        }
    }

    /// The first of `keys` that is known.
    pub(super) fn find(&self, keys: &[&str]) -> Option<&Entry> {
        let known = |key: &&str| self.entries.iter().find(|entry| entry.key.eq_ignore_ascii_case(key));
        let found = keys.iter().find_map(known).or(self.fallback.as_ref())?;
        found.used.set(true);
        Some(found)
    }
}

fn entry(key: &str, value: &str, place: Place) -> Entry {
    Entry { key: key.to_owned(), value: Zeroizing::new(value.to_owned()), place, used: Cell::new(false) }
}

/// The type of a table, where it is a word; anything else may be a slip with a secret in it.
fn word(kind: &str) -> &str {
    let sound =
        !kind.is_empty() && kind.len() <= 16 && kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    if sound { kind } else { "foreign" }
}

/// What is separated by commas or blanks outside of braces.
fn specs(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut deep, mut start) = (0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' => deep += 1,
            '}' => deep = deep.saturating_sub(1),
            // `inline:{…}` may have a blank behind its colon.
            c if deep == 0 && (c == ',' || c.is_whitespace()) && !text[start..at].ends_with(':') => {
                found.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    found.push(&text[start..]);
    found.retain(|spec| !spec.trim().is_empty());
    found.into_iter().map(str::trim).collect()
}

/// A file below /etc/postfix where main.cf lies elsewhere: it came along with it.
fn moved(path: &Path, cf: &MainCf) -> PathBuf {
    match path.strip_prefix("/etc/postfix") {
        Ok(rest) => cf.directory().join(rest),
        Err(_) if path.is_relative() => cf.directory().join(path),
        Err(_) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_outside_of_braces() {
        assert_eq!(specs("hash:/a, lmdb:/b\tstatic:x"), ["hash:/a", "lmdb:/b", "static:x"]);
        assert_eq!(specs("inline:{ a=b, {c = d e} } hash:/x"), ["inline:{ a=b, {c = d e} }", "hash:/x"]);
        assert_eq!(specs("inline: { a=b }"), ["inline: { a=b }"]);
        assert!(specs(" , ").is_empty());
    }

    #[test]
    fn inline_and_text_tables() {
        let mut table = Table::default();
        table.inline("{ [h]=u:p, { k = v w } }", &Place::new(Path::new("m"), 3));
        table.read(Path::new("t"), "# c\n[a]:587   u:p : x\n\"k 2\" v\nlone\n");
        let found = |key: &str| table.find(&[key]).map(|entry| (entry.value.to_string(), entry.place.line));
        assert_eq!(found("[H]"), Some(("u:p".into(), 3)));
        assert_eq!(found("k"), Some(("v w".into(), 3)));
        assert_eq!(found("[a]:587"), Some(("u:p : x".into(), 2)));
        assert_eq!(found("k 2"), Some(("v".into(), 3)));
        assert_eq!((found("lone"), found("none")), (Some((String::new(), 4)), None));
    }
}
