//! Typed access to the checked tree; collects what is wrong on the way.

use super::{
    diagnostics::{ConfigError, ConfigErrors, did_you_mean},
    source::Source,
    tree::{Entry, Place, Value},
    units,
};
use crate::mail::Mailbox;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

/// The sources, and what was found wrong in them so far. No `Debug`: the texts hold secrets.
#[derive(Default)]
pub(super) struct Reader {
    /// Files in the order in which they were read, the environment last.
    pub(super) sources: Vec<Source>,
    /// What is wrong, with its source and offset for the order in which it is told.
    errors: Vec<((usize, usize), ConfigError)>,
    /// Whether a tree does not fit the schema, so that reading on would only find consequences of it.
    pub(super) misshapen: bool,
    /// What is valid but worth a sentence.
    pub(super) warnings: Vec<String>,
}

impl Reader {
    /// Never show what is at `place`.
    pub(super) fn hide(&mut self, place: &Place) {
        if let (Some(source), Some(span)) = (self.sources.get_mut(place.source), &place.span) {
            source.hidden.push(span.clone());
        }
    }

    /// Whether `place` is hidden. Environment variables always are.
    pub(super) fn is_hidden(&self, place: &Place) -> bool {
        match (&place.span, self.sources.get(place.source)) {
            (Some(span), Some(source)) => source.hidden.contains(span),
            _ => true,
        }
    }

    /// `file:line:column` of a place.
    pub(super) fn locate(&self, place: &Place) -> String {
        self.sources.get(place.source).map_or_else(String::new, |source| source.locate(place))
    }

    fn push(&mut self, place: &Place, path: &str, problem: String, help: Option<String>) {
        let excerpt =
            place.span.as_ref().and_then(|span| Some(self.sources.get(place.source)?.excerpt(span)));
        let key = if place.span.is_some() { path.to_owned() } else { super::environment::variable(path) };
        let error = ConfigError { location: self.locate(place), key, problem, excerpt, help };
        self.error_in(place.source, place.span.as_ref().map_or(0, |span| span.start), error);
    }

    /// An error that is made already; `offset` is its place in the source.
    pub(super) fn error_in(&mut self, source: usize, offset: usize, error: ConfigError) {
        if !self.errors.iter().any(|(_, known)| *known == error) {
            self.errors.push(((source, offset), error));
        }
    }

    /// Whether nothing has been found wrong.
    pub(super) fn is_content(&self) -> bool {
        self.errors.is_empty()
    }

    /// Fails with everything that was found wrong, in the order of the sources' text.
    pub(super) fn stop_on_errors(&mut self) -> Result<(), ConfigErrors> {
        if self.errors.is_empty() {
            return Ok(());
        }
        let mut errors = std::mem::take(&mut self.errors);
        errors.sort_by_key(|(order, _)| *order);
        Err(ConfigErrors(errors.into_iter().map(|(_, error)| error).collect()))
    }

    /// An error that points at the value.
    pub(super) fn error(&mut self, entry: &Entry, problem: String, help: Option<String>) {
        self.push(&entry.place, &entry.path, problem, help);
    }

    /// An error that points at the key.
    pub(super) fn error_at_key(&mut self, entry: &Entry, problem: String, help: Option<String>) {
        self.push(&entry.key, &entry.path, problem, help);
    }

    /// A warning that names the place.
    pub(super) fn warn(&mut self, entry: &Entry, text: &str) {
        let warning = format!("{}: {}: {text}", self.locate(&entry.key), entry.path);
        self.warnings.push(warning);
    }

    /// A path as its file means it: relative to that file's directory.
    pub(super) fn resolve(&self, entry: &Entry, path: &str) -> PathBuf {
        match self.sources.get(entry.place.source).and_then(|source| source.directory.as_deref()) {
            Some(directory) if !Path::new(path).is_absolute() => directory.join(path),
            _ => PathBuf::from(path),
        }
    }

    /// A word out of `allowed`; the index of the one found.
    pub(super) fn word(&mut self, entry: &Entry, allowed: &[&str]) -> Option<usize> {
        let Value::Text(found) = &entry.value else { return None };
        let index = allowed.iter().position(|word| word == found);
        if index.is_none() {
            let list = allowed.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
            let near = did_you_mean(found, allowed.iter().copied());
            let help = near.map_or(format!("allowed: {list}"), |near| format!("allowed: {list}; {near}"));
            self.error(entry, format!("found {}", entry.value.shown()), Some(help));
        }
        index
    }

    /// A duration, or `default` where the key is absent (or wrong, which is reported).
    pub(super) fn duration(&mut self, entry: Option<&Entry>, default: Duration) -> Duration {
        let Some(entry) = entry else { return default };
        let parsed = text_of(entry).and_then(units::parse_duration);
        if parsed.is_none() {
            let help = "a duration is a number and a unit: \"90s\", \"5m\", \"1h\", \"5d\"";
            self.error(
                entry,
                format!("found {}, which is no duration", entry.value.shown()),
                Some(help.into()),
            );
        }
        parsed.unwrap_or(default)
    }

    /// A mailbox; `None` where the key is absent or wrong, which is reported.
    pub(super) fn mailbox(&mut self, entry: Option<&Entry>) -> Option<Mailbox> {
        let entry = entry?;
        let mailbox = text_of(entry).and_then(|text| Mailbox::parse(text).ok());
        if mailbox.is_none() {
            let help = "one address, \"ops@example.com\"";
            let problem = format!("found {}, which is no address", entry.value.shown());
            self.error(entry, problem, Some(help.into()));
        }
        mailbox
    }

    /// A size in octets, or `default`.
    pub(super) fn size(&mut self, entry: Option<&Entry>, default: u64) -> u64 {
        let Some(entry) = entry else { return default };
        let parsed = match &entry.value {
            Value::Integer(octets) => u64::try_from(*octets).ok(),
            Value::Text(text) => units::parse_size(text),
            _ => None,
        };
        if parsed.is_none() {
            let help = "a size is a number and a unit: \"512KiB\", \"50MiB\", \"25MB\", \"10GiB\"";
            self.error(entry, format!("found {}, which is no size", entry.value.shown()), Some(help.into()));
        }
        parsed.unwrap_or(default)
    }
}

/// Text entries of a key that takes one string or an array of them.
pub(super) fn texts(entry: Option<&Entry>) -> Vec<(&Entry, &str)> {
    match entry.map(|entry| (entry, &entry.value)) {
        Some((entry, Value::Text(text))) => vec![(entry, text)],
        Some((_, Value::List(items))) => items.iter().filter_map(|e| Some((e, text_of(e)?))).collect(),
        _ => Vec::new(),
    }
}

/// The text of an entry.
pub(super) fn text_of(entry: &Entry) -> Option<&str> {
    match &entry.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// The text under `key`.
pub(super) fn text<'a>(table: &'a BTreeMap<String, Entry>, key: &str) -> Option<&'a str> {
    table.get(key).and_then(text_of)
}

/// The flag under `key`.
pub(super) fn flag(table: &BTreeMap<String, Entry>, key: &str, default: bool) -> bool {
    match table.get(key).map(|entry| &entry.value) {
        Some(Value::Flag(flag)) => *flag,
        _ => default,
    }
}

/// The count under `key`; the schema has checked its range.
pub(super) fn count<T: TryFrom<i64>>(table: &BTreeMap<String, Entry>, key: &str) -> Option<T> {
    match table.get(key).map(|entry| &entry.value) {
        Some(Value::Integer(number)) => T::try_from(*number).ok(),
        _ => None,
    }
}
