//! The configuration as values that know where they were written.

use std::{collections::BTreeMap, ops::Range};

/// Where a value or key was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Index of its source.
    pub(super) source: usize,
    /// Octets in the source's text; `None` for environment variables.
    pub(super) span: Option<Range<usize>>,
}

/// A value of any type that TOML and the environment can express.
#[derive(Clone, PartialEq)]
pub(super) enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// True or false.
    Flag(bool),
    /// What no key takes: a float or a date, by the name of its type.
    Foreign(&'static str),
    /// An array.
    List(Vec<Entry>),
    /// A table.
    Table(BTreeMap<String, Entry>),
}

impl Value {
    /// The type with its article, for "found a string". Never the content: it may be a secret.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Flag(_) => "a boolean",
            Self::Foreign(name) => name,
            Self::List(_) => "an array",
            Self::Table(_) => "a table",
        }
    }

    /// The value as TOML, where it is short enough to quote; else its type.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) if text.len() <= 80 => format!("{text:?}"),
            Self::Integer(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            other => other.type_name().to_owned(),
        }
    }
}

/// A value, its key path and its places.
#[derive(Clone, PartialEq)]
pub(super) struct Entry {
    /// The value.
    pub(super) value: Value,
    /// `account.support.port`, `listener[0].address`.
    pub(super) path: String,
    /// Where the key was written.
    pub(super) key: Place,
    /// Where the value was written; for tables the header.
    pub(super) place: Place,
}

impl Entry {
    /// The table, where it is one.
    pub(super) fn table(&self) -> Option<&BTreeMap<String, Self>> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// Calls `f` with this entry and all below it.
    pub(super) fn walk(&self, f: &mut impl FnMut(&Self)) {
        f(self);
        match &self.value {
            Value::List(items) => items.iter().for_each(|item| item.walk(f)),
            Value::Table(table) => table.values().for_each(|entry| entry.walk(f)),
            _ => {}
        }
    }
}

/// `path` and `key` joined.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
