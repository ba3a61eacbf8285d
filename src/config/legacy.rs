//! The form from before auth accounts: one flat `[smtp]` table, taken as a basic account.

use super::{
    reader::{Reader, flag, text},
    tree::{Entry, Value},
};
use std::{collections::BTreeMap, fmt::Write};

type Tree = BTreeMap<String, Entry>;

/// Moves `[smtp]` to `[account.smtp]`, with a warning that shows the new form.
pub(super) fn convert(root: &mut Tree, reader: &mut Reader) {
    let Some(old) = root.remove("smtp") else { return };
    let Some(table) = old.table() else { return };
    let existing = root.get("account").and_then(Entry::table).and_then(|accounts| accounts.get("smtp"));
    if let Some(existing) = existing {
        let problem = format!(
            "the old `[smtp]` table would become the account `smtp`, which there is already ({})",
            reader.locate(&existing.place)
        );
        reader.error(&old, problem, Some("remove the `[smtp]` table".into()));
        return;
    }
    if !table.contains_key("host") {
        reader.error(&old, "the old `[smtp]` table lacks `host`".into(), None);
        return;
    }
    let ssl = flag(table, "ssl", false);
    let authenticates = table.contains_key("username");
    let mut account = Tree::new();
    let mut shown = String::from("[account.smtp]\ntype = \"basic\"\n");
    for (from, to) in
        [("from_domain", "domain"), ("host", "address"), ("port", "port"), ("username", "username")]
    {
        if let Some(entry) = table.get(from) {
            let _ = writeln!(shown, "{to} = {}", entry.value.shown());
            account.insert(to.into(), entry.clone());
        }
    }
    if let Some(entry) = table.get("password") {
        shown.push_str("password = { file = \"/etc/waxseal/secrets/smtp\" }\n");
        account.insert("password".into(), entry.clone());
    }
    let mut add = |key: &str, value: Value, show: bool| {
        if show {
            let _ = writeln!(shown, "{key} = {}", value.shown());
        }
        let entry = Entry { value, path: old.path.clone(), key: old.key.clone(), place: old.place.clone() };
        account.insert(key.into(), entry);
    };
    add("type", Value::Text("basic".into()), false);
    if !table.contains_key("port") {
        add("port", Value::Integer(25), true);
    }
    if !ssl {
        add("security", Value::Text("none".into()), true);
        // The old form logged in over plain text without asking; it goes on working, and is warned about.
        if authenticates {
            add("allow_plaintext_authentication", Value::Flag(true), true);
        }
    }
    if !authenticates {
        add("use_authentication", Value::Flag(false), true);
    }
    if text(table, "from_domain").is_none() {
        add("default", Value::Flag(true), true);
    }
    let warning = format!(
        "{}: `[smtp]` is the form from before auth accounts; it works as this account, which is better written \
         out:\n\n{shown}",
        reader.locate(&old.key)
    );
    reader.warnings.push(warning);
    let entry = Entry { value: Value::Table(account), path: "smtp".into(), ..old.clone() };
    let accounts = root.entry("account".into()).or_insert_with(|| Entry {
        value: Value::Table(Tree::new()),
        path: "account".into(),
        key: old.key.clone(),
        place: old.place.clone(),
    });
    if let Value::Table(accounts) = &mut accounts.value {
        accounts.insert("smtp".into(), entry);
    }
}
