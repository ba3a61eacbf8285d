//! One TOML text, parsed with its spans.

use super::{
    diagnostics::ConfigError,
    source::Source,
    tree::{Entry, Place, Value, join},
};
use std::{collections::BTreeMap, ops::Range};
use toml::de::{DeTable, DeValue};

/// Parses the text of `source`, which is number `index`.
pub(super) fn parse(source: &Source, index: usize) -> Result<BTreeMap<String, Entry>, ConfigError> {
    let document = DeTable::parse(&source.text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        let (line, column) = source.position(span.start);
        ConfigError {
            location: format!("{}:{line}:{column}", source.label),
            key: String::new(),
            problem: format!("this is not TOML: {}", error.message()),
            excerpt: Some(source.broken_excerpt(&span)).filter(|excerpt| !excerpt.is_empty()),
            help: None,
        }
    })?;
    Ok(table(document.get_ref(), "", index))
}

/// Parses one TOML value from an environment variable; its places have no span.
pub(super) fn parse_value(text: &str, path: &str, index: usize) -> Option<Entry> {
    let parsed = DeValue::parse(text).ok()?;
    let mut entry = entry(parsed.get_ref(), path.to_owned(), 0..0, 0..0, index);
    forget_spans(&mut entry);
    Some(entry)
}

fn forget_spans(entry: &mut Entry) {
    entry.key.span = None;
    entry.place.span = None;
    match &mut entry.value {
        Value::List(items) => items.iter_mut().for_each(forget_spans),
        Value::Table(table) => table.values_mut().for_each(forget_spans),
        _ => {}
    }
}

fn table(table: &DeTable<'_>, path: &str, index: usize) -> BTreeMap<String, Entry> {
    table
        .iter()
        .map(|(key, value)| {
            let name = key.get_ref().to_string();
            let below = join(path, &name);
            (name, entry(value.get_ref(), below, key.span(), value.span(), index))
        })
        .collect()
}

fn entry(value: &DeValue<'_>, path: String, key: Range<usize>, span: Range<usize>, index: usize) -> Entry {
    let mut place = span;
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Foreign("an integer out of range"), Value::Integer),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Float(_) => Value::Foreign("a float"),
        DeValue::Datetime(_) => Value::Foreign("a date"),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .enumerate()
                .map(|(i, item)| {
                    entry(item.get_ref(), format!("{path}[{i}]"), item.span(), item.span(), index)
                })
                .collect(),
        ),
        DeValue::Table(below) => {
            // A table is best pointed at by its name in the header.
            if !path.ends_with(']') {
                place = key.clone();
            }
            Value::Table(table(below, &path, index))
        }
    };
    Entry {
        value,
        path,
        key: Place { source: index, span: Some(key) },
        place: Place { source: index, span: Some(place) },
    }
}
