//! An account's file with some of its keys changed: whatever else is written there stays as it is, comments included.

use super::{Secret, Value};
use secrecy::ExposeSecret as _;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value as Written};
use zeroize::Zeroizing;

/// A key with its new value; without one it is taken out.
#[derive(Debug, Clone)]
pub struct Change {
    /// The key.
    pub key: &'static str,
    /// What it is to say.
    pub value: Option<Value>,
}

/// Why a file cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is not TOML. What the parser says may quote a secret, so it is not repeated.
    #[error("it is not TOML: `waxseal check` says where")]
    NotToml,
    /// `account` or `account.ID` is no table.
    #[error("`{0}` in it is not a table")]
    NoTable(String),
}

/// `text` with the changes made in `[account.ID]`, which is added where it is missing.
///
/// # Errors
/// Where the text cannot be read, or has something else in the table's place.
pub fn edit(text: &str, id: &str, changes: &[Change]) -> Result<Zeroizing<String>, EditError> {
    let mut document: DocumentMut = text.parse().map_err(|_| EditError::NotToml)?;
    let accounts = document.entry("account").or_insert_with(implicit);
    let accounts = accounts.as_table_like_mut().ok_or_else(|| EditError::NoTable("account".into()))?;
    let account = accounts.entry(id).or_insert_with(|| Item::Table(Table::new()));
    let path = format!("account.{id}");
    let account = account.as_table_like_mut().ok_or(EditError::NoTable(path))?;
    let mut left = String::new();
    for Change { key, value } in changes {
        match value {
            Some(value) => set(account, key, written(value)),
            None => left.push_str(&take_out(account, key)),
        }
    }
    let mut edited = Zeroizing::new(document.to_string());
    edited.push_str(&left);
    Ok(edited)
}

/// A table without a header of its own: `[account.ID]` says all.
fn implicit() -> Item {
    let mut table = Table::new();
    table.set_implicit(true);
    Item::Table(table)
}

/// Puts a value in a key's place, between the comments of the value before it.
fn set(account: &mut dyn toml_edit::TableLike, key: &str, mut value: Written) {
    if let Some(before) = account.get(key).and_then(Item::as_value) {
        *value.decor_mut() = before.decor().clone();
    }
    match account.get_mut(key) {
        Some(item) => *item = Item::Value(value),
        None => {
            account.insert(key, Item::Value(value));
        }
    }
}

/// Takes a key out. The comment lines above it go to the key behind it; where there is none they are given back, for
/// the end of the file.
fn take_out(account: &mut dyn toml_edit::TableLike, key: &str) -> String {
    let keys: Vec<String> = account.iter().map(|(key, _)| key.to_owned()).collect();
    let Some(at) = keys.iter().position(|known| known == key) else { return String::new() };
    let above = account.key(key).and_then(|key| key.leaf_decor().prefix()?.as_str().map(str::to_owned));
    account.remove(key);
    let Some(above) = above.filter(|above| above.contains('#')) else { return String::new() };
    let Some(mut next) = keys.get(at + 1).and_then(|next| account.key_mut(next)) else { return above };
    let own = next.leaf_decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default().to_owned();
    next.leaf_decor_mut().set_prefix(above + &own);
    String::new()
}

fn written(value: &Value) -> Written {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::Texts(texts) => Written::Array(texts.iter().map(String::as_str).collect::<Array>()),
        Value::Number(number) => i64::from(*number).into(),
        Value::Flag(flag) => (*flag).into(),
        Value::Secret(Secret::Given(secret)) => secret.expose_secret().into(),
        Value::Secret(Secret::File(path)) => reference("file", path),
        Value::Secret(Secret::Variable(name)) => reference("env", name),
        Value::Secret(Secret::Credential(name)) => reference("credential", name),
    }
}

fn reference(form: &str, name: &str) -> Written {
    let mut table = InlineTable::new();
    table.insert(form, name.into());
    Written::InlineTable(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: &'static str, value: impl Into<Value>) -> Change {
        Change { key, value: Some(value.into()) }
    }

    fn gone(key: &'static str) -> Change {
        Change { key, value: None }
    }

    #[test]
    fn comments_order_and_strangers_stay() {
        let before = "# The printer's.\n[account.a]\ntype = \"basic\"   # plain\n# why this port\nport = 25\n# who\n\
                      username = \"u\" # the user\n\n[queue]\nexpire = \"2d\"\n";
        let changes = [change("username", "v"), gone("port"), change("domain", "example.com")];
        let after = "# The printer's.\n[account.a]\ntype = \"basic\"   # plain\n# why this port\n# who\n\
                     username = \"v\" # the user\ndomain = \"example.com\"\n\n[queue]\nexpire = \"2d\"\n";
        assert_eq!(edit(before, "a", &changes).unwrap().as_str(), after);
    }

    #[test]
    fn a_comment_above_the_last_key_goes_to_the_end() {
        let before = "[account.a]\nport = 25\n# secret of 2026\npassword = \"x\"\n";
        assert_eq!(
            edit(before, "a", &[gone("password")]).unwrap().as_str(),
            "[account.a]\nport = 25\n# secret of 2026\n"
        );
    }

    #[test]
    fn an_account_that_is_missing_is_added() {
        let secret = Secret::Given("s\"ecret".into());
        let changes = [change("type", "basic"), change("port", 25), change("password", secret)];
        let after = edit("# Made in the console.\n", "a", &changes).unwrap();
        let read: toml::Table = after.parse().unwrap();
        assert_eq!(read["account"]["a"]["password"].as_str(), Some("s\"ecret"));
        assert!(
            after.contains("# Made in the console.\n") && after.contains("[account.a]\ntype = \"basic\"\n"),
            "{}",
            *after
        );
        assert!(!after.contains("[account]"));
    }

    #[test]
    fn what_cannot_be_edited_is_said_without_its_secrets() {
        let broken = edit("[account.a]\npassword = \"hunter2\nx\"", "a", &[]).unwrap_err();
        assert_eq!(broken, EditError::NotToml);
        assert!(!broken.to_string().contains("hunter2"));
        assert_eq!(edit("account = 1", "a", &[]).unwrap_err(), EditError::NoTable("account".into()));
        assert_eq!(edit("account.a = 1", "a", &[]).unwrap_err(), EditError::NoTable("account.a".into()));
    }
}
