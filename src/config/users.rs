//! `[user.ID]`.

use super::{
    Application, ListenerSettings, listeners,
    reader::{Reader, text},
    secrets::Secrets,
    tree::Entry,
};
use crate::account::User;
use std::{collections::BTreeMap, sync::Arc};

type Tree = BTreeMap<String, Entry>;

/// All users that could be read, in the order of their ids.
pub(super) fn users(
    root: &Tree,
    applications: &[Application],
    secrets: &mut Secrets<'_>,
    reader: &mut Reader,
) -> Vec<User> {
    let mut users: Vec<User> = Vec::new();
    for (id, entry) in root.get("user").and_then(Entry::table).into_iter().flatten() {
        let Some(table) = entry.table() else { continue };
        let application = listeners::application(table.get("application"), applications, reader);
        let username = text(table, "username").unwrap_or(id);
        let at = table.get("username").unwrap_or(entry);
        if username.is_empty() || username.chars().any(char::is_control) {
            reader.error(at, "found no name that a client could log in with".into(), None);
        }
        if let Some(other) = users.iter().find(|user| user.username.eq_ignore_ascii_case(username)) {
            let problem = format!("`{}` logs in as {username} as well", other.id);
            reader.error(at, problem, Some("names are compared without regard to case".into()));
        }
        let Some(password) = table.get("password") else {
            let help = "a string, { file = PATH }, { env = NAME } or { credential = NAME }; an argon2 hash is recognised";
            reader.error(entry, format!("the user `{id}` has no `password`"), Some(help.into()));
            continue;
        };
        let Some(password) = secrets.local_password(id, password, reader) else { continue };
        users.push(User { id: id.as_str().into(), username: username.to_owned(), password, application });
    }
    users
}

/// Warns of users whom no listener asks for a login.
pub(super) fn check(root: &Tree, listeners: &[Arc<ListenerSettings>], reader: &mut Reader) {
    if let Some(entry) = root.get("user").filter(|_| reader.is_content())
        && !listeners.iter().any(|listener| listener.authentication.asks())
    {
        reader.warn(
            entry,
            "no listener asks these users for a login: that takes `authentication = \"optional\"` or \"required\"",
        );
    }
}
