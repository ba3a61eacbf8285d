//! What is written of an account, key by key, for whoever edits it: as it stands in the sources, with the source. No
//! secret, only how it is given.

use super::{
    ConfigErrors,
    keys::{ACCOUNT, Kind},
    load::{DEFAULT_PATH, join, read_sources},
    reader::Reader,
    tree::{Entry, Value},
};
use std::{collections::BTreeMap, path::Path};

/// A value as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// Text.
    Text(String),
    /// An array of texts.
    Texts(Vec<String>),
    /// A whole number.
    Number(i64),
    /// True or false.
    Flag(bool),
    /// How a secret is given: `set`, `file PATH`, `variable NAME`, `credential NAME`.
    Secret(String),
}

/// A key of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenKey {
    /// Its value.
    pub value: Written,
    /// The file that it is in, or `environment`.
    pub source: String,
}

/// The keys of an account; none where it is configured nowhere.
///
/// # Errors
/// Where the sources cannot be read.
pub fn written_account(
    main: Option<&Path>,
    id: &str,
    env: impl Iterator<Item = (String, String)>,
) -> Result<BTreeMap<String, WrittenKey>, ConfigErrors> {
    let env: BTreeMap<_, _> = env.collect();
    let mut reader = Reader::default();
    let trees = read_sources(main.unwrap_or(Path::new(DEFAULT_PATH)), &[], &env, &mut reader);
    reader.stop_on_errors()?;
    let root = join(&trees, &mut reader);
    let table = root.get("account").and_then(Entry::table).and_then(|accounts| accounts.get(id)?.table());
    let mut keys = BTreeMap::new();
    for (name, entry) in table.into_iter().flatten() {
        let secret = ACCOUNT.iter().any(|key| key.name == name && matches!(key.kind, Kind::Secret));
        if let Some(value) = if secret { Some(given(entry)) } else { shown(&entry.value) } {
            let source = reader.sources.get(entry.place.source).map(|source| source.label.clone());
            keys.insert(name.clone(), WrittenKey { value, source: source.unwrap_or_default() });
        }
    }
    Ok(keys)
}

fn shown(value: &Value) -> Option<Written> {
    match value {
        Value::Text(text) => Some(Written::Text(text.clone())),
        Value::Integer(number) => Some(Written::Number(*number)),
        Value::Flag(flag) => Some(Written::Flag(*flag)),
        Value::List(items) => Some(Written::Texts(
            items
                .iter()
                .filter_map(|item| match &item.value {
                    Value::Text(text) => Some(text.clone()),
                    _ => None,
                })
                .collect(),
        )),
        Value::Foreign(_) | Value::Table(_) => None,
    }
}

fn given(entry: &Entry) -> Written {
    let by_reference = entry.table().and_then(|table| {
        let (form, entry) = table.first_key_value()?;
        let Value::Text(name) = &entry.value else { return None };
        let form = if form == "env" { "variable" } else { form };
        Some(format!("{form} {name}"))
    });
    Written::Secret(by_reference.unwrap_or_else(|| "set".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_sources_override_single_keys_and_no_secret_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        let main = directory.path().join("waxseal.toml");
        std::fs::write(&main, "[account.a]\ntype = \"basic\"\nport = 25\npassword = \"hunter2\"\n").unwrap();
        let conf_d = directory.path().join("conf.d");
        std::fs::create_dir(&conf_d).unwrap();
        std::fs::write(conf_d.join("a.toml"), "[account.a]\nport = 26\ndomains = [\"x.example\"]\n").unwrap();
        let env = [("WAXSEAL_ACCOUNT__A__DEFAULT".to_owned(), "true".to_owned())];
        let keys = written_account(Some(&main), "a", env.into_iter()).unwrap();
        assert_eq!(keys["port"].value, Written::Number(26));
        assert!(
            keys["port"].source.ends_with("conf.d/a.toml") && keys["type"].source.ends_with("waxseal.toml")
        );
        assert_eq!(keys["domains"].value, Written::Texts(vec!["x.example".to_owned()]));
        assert_eq!(
            (&keys["default"].value, keys["default"].source.as_str()),
            (&Written::Flag(true), "environment")
        );
        assert_eq!(keys["password"].value, Written::Secret("set".to_owned()));
        assert!(!format!("{keys:?}").contains("hunter2"));
        assert!(written_account(Some(&main), "b", std::iter::empty()).unwrap().is_empty());
    }
}
