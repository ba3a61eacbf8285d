//! `WAXSEAL_` environment variables as a tree: `WAXSEAL_ACCOUNT__SUPPORT__PASSWORD` is `account.support.password`.
//!
//! The schema, not the value, decides the type, so that a password of digits stays text. An array is a TOML array
//! or a list with commas. Names are lower-cased; `_` in one finds an id that is written with `-` in a file.

use super::{
    document,
    keys::{Key, Kind, ROOT, SECRET_FORMS},
    tree::{Entry, Place, Value, join},
};
use std::collections::{BTreeMap, BTreeSet};

/// Before every variable.
pub(super) const PREFIX: &str = "WAXSEAL_";

/// The variable that sets the key at `path`.
pub(super) fn variable(path: &str) -> String {
    let path = path.split('[').next().unwrap_or(path);
    format!("{PREFIX}{}", path.replace('-', "_").replace('.', "__").to_uppercase())
}

/// The tree of all variables that start with `WAXSEAL_`; `ids` are the paths of tables in files.
pub(super) fn tree(
    variables: &BTreeMap<String, String>,
    index: usize,
    ids: &BTreeSet<String>,
) -> BTreeMap<String, Entry> {
    let mut root = BTreeMap::new();
    for (name, text) in variables {
        if let Some(rest) = name.strip_prefix(PREFIX).filter(|rest| !is_service_link(rest)) {
            let levels: Vec<_> = rest.split("__").map(str::to_lowercase).collect();
            insert(&mut root, &levels, "", Some(Kind::Table(ROOT)), text, (index, ids));
        }
    }
    root
}

/// Kubernetes gives every pod such variables for a service named `waxseal`; they are not meant for us.
fn is_service_link(rest: &str) -> bool {
    !rest.contains("__")
        && (rest == "PORT"
            || rest.starts_with("PORT_")
            || rest.ends_with("_PORT")
            || ["SERVICE_HOST", "SERVICE_PORT", "_PORT_"].iter().any(|part| rest.contains(part)))
}

fn insert(
    table: &mut BTreeMap<String, Entry>,
    levels: &[String],
    path: &str,
    kind: Option<Kind>,
    text: &str,
    context: (usize, &BTreeSet<String>),
) {
    let Some((level, rest)) = levels.split_first() else { return };
    let (below, name) = match kind {
        Some(Kind::Table(keys)) => (find(keys, level), level.clone()),
        Some(Kind::Map(keys)) => (Some(Kind::Table(keys)), id_in_files(level, path, context.1)),
        _ => (None, level.clone()),
    };
    let path = join(path, &name);
    let place = Place { source: context.0, span: None };
    if rest.is_empty() {
        let value = leaf(text, &path, below, context.0);
        table.insert(name, Entry { value, path, key: place.clone(), place });
        return;
    }
    let entry = table.entry(name).or_insert_with(|| Entry {
        value: Value::Table(BTreeMap::new()),
        path: path.clone(),
        key: place.clone(),
        place,
    });
    if let Value::Table(table) = &mut entry.value {
        let below = match below {
            Some(Kind::Secret) if rest.len() == 1 && SECRET_FORMS.contains(&rest[0].as_str()) => {
                Some(Kind::Text)
            }
            other => other,
        };
        insert(table, rest, &path, below, text, context);
    }
}

fn find(keys: &[Key], name: &str) -> Option<Kind> {
    keys.iter().find(|key| key.name == name).map(|key| key.kind)
}

/// The id as a file spells it, where one has it.
fn id_in_files(level: &str, map: &str, ids: &BTreeSet<String>) -> String {
    let wanted = join(map, level);
    ids.iter()
        .find(|path| path.to_lowercase().replace('-', "_") == wanted)
        .and_then(|path| path.strip_prefix(map)?.strip_prefix('.'))
        .unwrap_or(level)
        .to_owned()
}

fn leaf(text: &str, path: &str, kind: Option<Kind>, index: usize) -> Value {
    let as_text = || Value::Text(text.to_owned());
    match kind {
        Some(Kind::Flag) => text.parse().map_or_else(|_| as_text(), Value::Flag),
        Some(Kind::Integer(..)) => text.parse().map_or_else(|_| as_text(), Value::Integer),
        Some(Kind::Texts | Kind::Tables(_)) if text.trim_start().starts_with('[') => {
            document::parse_value(text, path, index).map_or_else(as_text, |entry| entry.value)
        }
        Some(Kind::Texts) => {
            let place = Place { source: index, span: None };
            let item = |text: &str| Entry {
                value: Value::Text(text.trim().to_owned()),
                path: path.to_owned(),
                key: place.clone(),
                place: place.clone(),
            };
            Value::List(text.split(',').filter(|text| !text.trim().is_empty()).map(item).collect())
        }
        _ => as_text(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> BTreeMap<String, Entry> {
        let variables = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        tree(&variables, 0, &BTreeSet::from(["account.help-desk".to_owned()]))
    }

    fn at<'a>(root: &'a BTreeMap<String, Entry>, path: &str) -> Option<&'a Value> {
        let (first, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
        let entry = root.get(first)?;
        rest.map_or(Some(&entry.value), |rest| at(entry.table()?, rest))
    }

    #[test]
    fn the_schema_decides_the_type() {
        let root = read(&[
            ("WAXSEAL_ACCOUNT__SUPPORT__PASSWORD", "12345"),
            ("WAXSEAL_ACCOUNT__SUPPORT__PORT", "465"),
            ("WAXSEAL_ACCOUNT__SUPPORT__ACTIVE", "false"),
            ("WAXSEAL_ACCOUNT__SUPPORT__USERNAME", "true"),
            ("WAXSEAL_ACCOUNT__HELP_DESK__SCOPE", "x"),
        ]);
        assert!(at(&root, "account.support.password") == Some(&Value::Text("12345".into())));
        assert!(at(&root, "account.support.port") == Some(&Value::Integer(465)));
        assert!(at(&root, "account.support.active") == Some(&Value::Flag(false)));
        assert!(at(&root, "account.support.username") == Some(&Value::Text("true".into())));
        assert!(at(&root, "account.help-desk.scope") == Some(&Value::Text("x".into())));
    }

    #[test]
    fn kubernetes_service_links_are_passed_over() {
        let root = read(&[
            ("WAXSEAL_SERVICE_HOST", "10.0.0.1"),
            ("WAXSEAL_PORT_25_TCP", "tcp://10.0.0.1:25"),
            ("WAXSEAL_ADMIN_PORT", "tcp://10.0.0.1:80"),
        ]);
        assert!(root.is_empty());
    }

    #[test]
    fn a_secret_form_is_a_level_more() {
        let root = read(&[("WAXSEAL_ACCOUNT__A__PASSWORD__FILE", "/run/secrets/a")]);
        assert!(at(&root, "account.a.password.file") == Some(&Value::Text("/run/secrets/a".into())));
    }
}
