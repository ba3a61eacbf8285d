//! `[alert]`.

use super::{
    AlertSettings,
    reader::{Reader, texts},
    sections::section,
    tree::Entry,
};
use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, path::Path};

type Tree = BTreeMap<String, Entry>;

/// `[alert]`; the program is looked for now, so that a wrong path is found at `waxseal check` and not in trouble.
pub(super) fn alert(root: &Tree, reader: &mut Reader) -> AlertSettings {
    let empty = Tree::new();
    let table = section(root, "alert", &empty);
    let mail_to = reader.mailbox(table.get("mail_to"));
    AlertSettings {
        command: table.get("command").map_or_else(Vec::new, |entry| command(entry, reader)),
        mail_to,
    }
}

fn command(entry: &Entry, reader: &mut Reader) -> Vec<String> {
    const HELP: &str = "the program and its arguments: [\"/usr/local/bin/page-me\", \"--urgent\"]";
    let words = texts(Some(entry));
    let Some((at, program)) = words.first().filter(|(_, program)| !program.is_empty()) else {
        reader.error(entry, "found no program".into(), Some(HELP.into()));
        return Vec::new();
    };
    // A pager's key may be among the arguments.
    words.iter().skip(1).for_each(|(argument, _)| reader.hide(&argument.place));
    let path = reader.resolve(at, program);
    let path = std::path::absolute(&path).unwrap_or(path);
    if let Some(why) = unusable(&path) {
        let help = (!program.contains('/')).then(|| {
            "a program is named by its path, absolute or relative to this file; PATH is not searched"
                .to_owned()
        });
        reader.error(at, format!("{} cannot be run: {why}", path.display()), help);
    }
    let arguments = words.iter().skip(1).map(|(_, word)| (*word).to_owned());
    std::iter::once(path.display().to_string()).chain(arguments).collect()
}

/// Why a file is no program, where it is none.
fn unusable(path: &Path) -> Option<String> {
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => Some("it is no file".into()),
        Ok(found) if found.permissions().mode() & 0o111 == 0 => Some("it is not executable".into()),
        Ok(_) => None,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some("it does not exist".into()),
        Err(error) => Some(error.to_string()),
    }
}
