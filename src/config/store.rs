//! `[store]`.

use super::{
    reader::{Reader, text_of},
    secrets::Secrets,
    server::ca_file,
    tree::Entry,
};
use crate::database::Settings;
use std::collections::BTreeMap;

/// Longest name of a node, in characters.
const LONGEST_NODE: usize = 64;

/// `[store]`; none where it is absent, which means this host's disk.
pub(super) fn store(
    root: &BTreeMap<String, Entry>,
    secrets: &Secrets<'_>,
    reader: &mut Reader,
) -> Option<Settings> {
    let section = root.get("store")?;
    let table = section.table()?;
    let Some(entry) = table.get("url") else {
        let help = "for example url = \"postgres://waxseal@db.example.com/waxseal\"";
        reader.error_at_key(section, "`url` is missing".into(), Some(help.into()));
        return None;
    };
    let url = secrets.single(entry, reader);
    if let Some(url) = &url {
        match Settings::check(url) {
            Err(error) => reader.error_at_key(entry, error.to_string(), Some(error.help().into())),
            Ok(()) if Settings::is_exposed(url) => reader.warn(
                entry,
                "tokens are sealed on their way to the database, but its password and its answers are for anyone on the way \
                 to read or to forge: leave out sslmode, or set verify-full",
            ),
            Ok(()) => {}
        }
    }
    let node = match table.get("node") {
        None => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        Some(entry) => {
            let node = text_of(entry).unwrap_or_default();
            let is_name = !node.is_empty()
                && node.chars().count() <= LONGEST_NODE
                && !node.chars().any(|c| c.is_control() || c.is_whitespace());
            if !is_name {
                let help =
                    format!("a short name without spaces, at most {LONGEST_NODE} characters: \"relay-1\"");
                reader.error(
                    entry,
                    format!("found {}, which is no name of a node", entry.value.shown()),
                    Some(help),
                );
            }
            node.to_owned()
        }
    };
    let ca_file = ca_file(table, reader);
    Some(Settings { url: url?, node, ca_file })
}
