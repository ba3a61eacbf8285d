//! A tree held against the schema: unknown keys, wrong types, features that are not there yet.

use super::{
    diagnostics::did_you_mean,
    keys::{Key, Kind, ROOT, SECRET_FORMS},
    reader::Reader,
    tree::{Entry, Place, Value},
};
use crate::account::is_id;
use std::collections::BTreeMap;

/// Reports everything in `root` that the schema does not have, and marks what must not be shown.
pub(super) fn check(root: &BTreeMap<String, Entry>, reader: &mut Reader) {
    for entry in root.values() {
        hide_secrets(entry, reader);
    }
    table(root, ROOT, "", reader);
}

/// Masks every plain secret, and every value below a key of no known name, before anything is reported.
fn hide_secrets(entry: &Entry, reader: &mut Reader) {
    fn visit(entry: &Entry, kind: Option<Kind>, hidden: &mut Vec<Place>) {
        let keys = match (kind, &entry.value) {
            (Some(Kind::Table(keys)), Value::Table(table)) => Some((keys, table, false)),
            (Some(Kind::Map(keys)), Value::Table(table)) => Some((keys, table, true)),
            (Some(Kind::Tables(keys)), Value::List(items)) => {
                items.iter().for_each(|item| visit(item, Some(Kind::Table(keys)), hidden));
                return;
            }
            (Some(Kind::Secret), Value::Table(table)) => {
                for (name, entry) in table {
                    if !SECRET_FORMS.contains(&name.as_str()) {
                        hidden.push(entry.place.clone());
                    }
                }
                return;
            }
            (Some(Kind::Secret) | None, value) => {
                match value {
                    Value::Table(table) => table.values().for_each(|e| visit(e, None, hidden)),
                    Value::List(items) => items.iter().for_each(|e| visit(e, None, hidden)),
                    _ => hidden.push(entry.place.clone()),
                }
                return;
            }
            // A value of the wrong shape may be a secret that went astray.
            (Some(Kind::Table(_) | Kind::Map(_) | Kind::Tables(_)), _) | (_, Value::Table(_)) => {
                visit(entry, None, hidden);
                return;
            }
            _ => None,
        };
        if let Some((keys, table, ids)) = keys {
            for (name, below) in table {
                let kind = if ids {
                    Some(Kind::Table(keys))
                } else {
                    keys.iter().find(|key| key.name == name).map(|key| key.kind)
                };
                visit(below, kind, hidden);
            }
        }
    }
    let kind = ROOT.iter().find(|key| key.name == entry.path).map(|key| key.kind);
    let mut hidden = Vec::new();
    visit(entry, kind, &mut hidden);
    hidden.into_iter().for_each(|place| reader.hide(&place));
}

fn table(found: &BTreeMap<String, Entry>, keys: &[Key], within: &str, reader: &mut Reader) {
    for (name, entry) in found {
        match keys.iter().find(|key| key.name == name) {
            Some(key) => value(entry, key.kind, reader),
            None => {
                let place =
                    if within.is_empty() { "at the top level".to_owned() } else { format!("in {within}") };
                let help = did_you_mean(name, keys.iter().map(|key| key.name))
                    .unwrap_or_else(|| format!("known here: {}", names(keys)));
                misfit_key(reader, entry, format!("unknown key `{name}` {place}"), Some(help));
            }
        }
    }
}

fn names(keys: &[Key]) -> String {
    keys.iter().filter(|key| key.name != "smtp").map(|key| key.name).collect::<Vec<_>>().join(", ")
}

fn value(entry: &Entry, kind: Kind, reader: &mut Reader) {
    match (kind, &entry.value) {
        (Kind::Text, Value::Text(_)) | (Kind::Flag, Value::Flag(_)) => {}
        (Kind::Size, Value::Text(_) | Value::Integer(_)) => {}
        (Kind::Integer(least, most), Value::Integer(number)) if (least..=most).contains(number) => {}
        (Kind::Texts, Value::Text(_)) => {}
        (Kind::Texts, Value::List(items)) => {
            for item in items.iter().filter(|item| !matches!(item.value, Value::Text(_))) {
                wrong(item, "a string", reader);
            }
        }
        (Kind::Secret, Value::Text(_)) => {}
        (Kind::Secret, Value::Table(table)) => secret(entry, table, reader),
        (Kind::Table(keys), Value::Table(found)) => table(found, keys, &format!("[{}]", entry.path), reader),
        (Kind::Map(keys), Value::Table(found)) => {
            for (id, below) in found {
                map_item(id, below, keys, &entry.path, reader);
            }
        }
        (Kind::Tables(keys), Value::List(items)) => {
            for item in items {
                match &item.value {
                    Value::Table(found) => table(found, keys, &format!("[[{}]]", entry.path), reader),
                    _ => wrong(item, "a table", reader),
                }
            }
        }
        (Kind::Tables(_), Value::Table(_)) => misfit_key(
            reader,
            entry,
            format!("found one table `[{}]`", entry.path),
            Some(format!("there may be several: write `[[{}]]`", entry.path)),
        ),
        (kind, _) => wrong(entry, &wanted(kind, &entry.path), reader),
    }
}

fn map_item(id: &str, entry: &Entry, keys: &[Key], map: &str, reader: &mut Reader) {
    let valid = is_id(id);
    if !valid {
        let mut help = "an id is made of ASCII letters, digits, `-` and `_`".to_owned();
        if map == "user" {
            help.push_str("; what a client logs in with is `username`");
        }
        misfit_key(reader, entry, format!("`{id}` is no {map} id"), Some(help));
        return;
    }
    match &entry.value {
        Value::Table(found) => table(found, keys, &format!("[{}]", entry.path), reader),
        _ => {
            let help = format!("a table for each {map}: `[{map}.ID]`, where ID is a name of your choice");
            let known = keys.iter().any(|key| key.name == id);
            let problem = if known {
                format!("the key `{id}` belongs into `[{map}.ID]`, not `[{map}]`")
            } else {
                format!("found {}", entry.value.type_name())
            };
            misfit_key(reader, entry, problem, Some(help));
        }
    }
}

fn secret(entry: &Entry, forms: &BTreeMap<String, Entry>, reader: &mut Reader) {
    const FORMS: &str = "a secret is a string, { file = PATH }, { env = NAME } or { credential = NAME }";
    for (name, form) in forms {
        if !SECRET_FORMS.contains(&name.as_str()) {
            let help = did_you_mean(name, SECRET_FORMS).unwrap_or_else(|| FORMS.into());
            misfit_key(reader, form, format!("`{name}` is no form of a secret"), Some(help));
        } else if !matches!(form.value, Value::Text(_)) {
            wrong(form, "a string", reader);
        }
    }
    if forms.len() != 1 {
        misfit_key(reader, entry, format!("found {} forms of the secret", forms.len()), Some(FORMS.into()));
    }
}

fn wrong(entry: &Entry, wanted: &str, reader: &mut Reader) {
    let found =
        if reader.is_hidden(&entry.place) { entry.value.type_name().into() } else { entry.value.shown() };
    misfit(reader, entry, format!("found {found}, want {wanted}"), None);
}

fn wanted(kind: Kind, path: &str) -> String {
    match kind {
        Kind::Text => "a string".into(),
        Kind::Size => "a size such as \"50MiB\", or octets as an integer".into(),
        Kind::Flag => "true or false".into(),
        Kind::Integer(least, most) => format!("an integer from {least} to {most}"),
        Kind::Texts => "an array of strings".into(),
        Kind::Secret => "a string, { file = PATH }, { env = NAME } or { credential = NAME }".into(),
        Kind::Table(_) => format!("a table `[{path}]`"),
        Kind::Map(_) => format!("a table for each: `[{path}.ID]`"),
        Kind::Tables(_) => format!("tables: `[[{path}]]`"),
    }
}

fn misfit(reader: &mut Reader, entry: &Entry, problem: String, help: Option<String>) {
    reader.misshapen = true;
    reader.error(entry, problem, help);
}

fn misfit_key(reader: &mut Reader, entry: &Entry, problem: String, help: Option<String>) {
    reader.misshapen = true;
    reader.error_at_key(entry, problem, help);
}
