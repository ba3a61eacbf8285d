//! `waxseal import`.

use super::{
    arguments::{Import, Tool as Named},
    check::{login, server},
    conf_d::{self, NewAccount},
    output::{complain, say, say_json},
};
use crate::{
    account::{Account, AccountType},
    draft::{Shown, write},
    import::{Files, Found, Imported, LeftOut, Tool},
};
use serde_json::json;
use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
};
use zeroize::Zeroizing;

/// A configuration file is never larger.
const LARGEST: u64 = 4 * 1024 * 1024;

pub(super) fn import(config: Option<&Path>, arguments: &Import) -> ExitCode {
    let tool = match arguments.tool {
        Named::Postfix => Tool::Postfix,
        Named::Msmtp => Tool::Msmtp,
        Named::Emailproxy => Tool::EmailProxy,
        Named::Ssmtp => Tool::Ssmtp,
    };
    let mut imported = match tool.import(&arguments.paths, &Host) {
        Ok(imported) => imported,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    if arguments.no_default {
        imported.accounts.iter_mut().for_each(Found::refuse_default);
    }
    if imported.accounts.is_empty() {
        complain(&format!("no account of {} was found there; nothing was written", tool.name()));
        imported.left_out.iter().for_each(|note| complain(&note.to_string()));
        return ExitCode::FAILURE;
    }
    let origin = |found: &Found| format!("Imported from {}: {}", tool.name(), found.place);
    let new: Vec<NewAccount> =
        imported.accounts.iter().map(|found| NewAccount::new(config, &found.draft, &origin(found))).collect();
    if arguments.dry_run {
        return dry_run(&imported, &new, arguments.json, origin);
    }
    let loaded = match conf_d::check(config, &new) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    if let Err(problem) = conf_d::put(&new) {
        complain(&problem);
        complain("nothing was written");
        return ExitCode::FAILURE;
    }
    if arguments.json {
        imported.left_out.iter().for_each(|note| complain(&note.to_string()));
        return say_json(&as_json(&imported, &new));
    }
    for (found, account) in imported.accounts.iter().zip(&new) {
        if let Some(made) = loaded.config.accounts.iter().find(|made| made.id.as_str() == account.id) {
            tell(found, account, made);
        }
    }
    notes("left out, of no account", &imported.left_out, "");
    if !imported.left_out.is_empty() {
        say("");
    }
    next(&imported);
    ExitCode::SUCCESS
}

/// The TOML as it would be written, but for secrets; what is left out follows, as comments.
fn dry_run(
    imported: &Imported,
    new: &[NewAccount],
    json: bool,
    origin: impl Fn(&Found) -> String,
) -> ExitCode {
    if json {
        imported.left_out.iter().for_each(|note| complain(&note.to_string()));
        return say_json(&as_json(imported, new));
    }
    for (found, account) in imported.accounts.iter().zip(new) {
        say(&format!("# {}", account.path.display()));
        say(&write(&found.draft, &origin(found), Shown::Hidden));
        notes("# left out", &found.left_out, "#");
    }
    notes("# left out, of no account", &imported.left_out, "#");
    ExitCode::SUCCESS
}

/// One account: where it is now, what it does, and what it lacks.
fn tell(found: &Found, new: &NewAccount, account: &Account) {
    say(&format!("{}: {}, from {}", account.id, account.kind.as_str(), found.place));
    let line = |name: &str, text: &str| say(&format!("  {name:<8} {text}"));
    line("file", &new.path.display().to_string());
    line("server", &server(account));
    line("login", &login(account));
    let mut serves: Vec<_> = account.senders.iter().map(ToString::to_string).collect();
    serves.extend(account.domains.iter().map(ToString::to_string));
    if account.default {
        serves.push("everything else (default)".into());
    }
    if !serves.is_empty() {
        line("serves", &serves.join(", "));
    }
    if found.draft.get("refresh_token").is_some() {
        line("token", "its refresh token came along");
    }
    if !account.active {
        say("  inactive until these are written into its file, and `active` is gone from it");
        for gap in &found.draft.gaps {
            say(&format!("    {}: {}", gap.key, gap.way_out));
        }
    }
    notes("  left out", &found.left_out, "  ");
    say("");
}

fn notes(head: &str, notes: &[LeftOut], margin: &str) {
    if !notes.is_empty() {
        say(head);
        notes.iter().for_each(|note| say(&format!("{margin}  {note}")));
    }
}

/// What is left to do, in the order in which to do it.
fn next(imported: &Imported) {
    let inactive: Vec<_> = imported
        .accounts
        .iter()
        .filter(|found| !found.draft.is_complete())
        .map(|found| found.draft.id.as_str())
        .collect();
    // Whoever has a refresh token has signed in already.
    let signs_in = |found: &&Found| {
        let draft = &found.draft;
        let by_itself = matches!(draft.text("grant"), Some("client_credentials" | "service_account"));
        draft.kind != AccountType::Basic && !by_itself && draft.get("refresh_token").is_none()
    };
    say("next");
    if !inactive.is_empty() {
        say(&format!("  complete {}", inactive.join(", ")));
    }
    say("  waxseal check");
    say("  waxseal reload");
    for found in imported.accounts.iter().filter(signs_in) {
        say(&format!("  waxseal account authorize {}", found.draft.id));
    }
}

fn as_json(imported: &Imported, new: &[NewAccount]) -> serde_json::Value {
    let objects = imported.accounts.iter().zip(new).map(|(found, new)| {
        let draft = &found.draft;
        let left_out = found.left_out.iter().map(|note| {
            json!({ "file": note.place.file, "line": note.place.line, "name": note.name, "why": note.why })
        });
        let missing = draft.gaps.iter().map(|gap| json!({ "key": gap.key, "way_out": gap.way_out }));
        json!({
            "id": draft.id,
            "type": draft.kind.as_str(),
            "file": new.path,
            "domains": draft.texts("domains"),
            "senders": draft.texts("senders"),
            "default": draft.flag("default"),
            "active": draft.is_complete(),
            "missing": missing.collect::<Vec<_>>(),
            "left_out": left_out.collect::<Vec<_>>(),
        })
    });
    serde_json::Value::Array(objects.collect())
}

/// This host's files.
struct Host;

impl Files for Host {
    fn read(&self, path: &Path) -> Result<Zeroizing<String>, String> {
        let why = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => "it does not exist".to_owned(),
            std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string(),
        };
        // Looked at before it is opened: a pipe would never answer.
        let data = fs::metadata(path).map_err(why)?;
        if !data.is_file() {
            return Err(if data.is_dir() { "it is a directory" } else { "it is no file" }.to_owned());
        }
        if data.len() > LARGEST {
            return Err("it is too large for a configuration file".to_owned());
        }
        let size = usize::try_from(data.len()).unwrap_or_default();
        let mut octets = Zeroizing::new(Vec::with_capacity(size + 1));
        File::open(path).map_err(why)?.take(LARGEST).read_to_end(&mut octets).map_err(why)?;
        match std::str::from_utf8(&octets) {
            Ok(text) if !text.contains('\0') => Ok(Zeroizing::new(text.to_owned())),
            _ => Err("it is not UTF-8 text".to_owned()),
        }
    }

    fn is_directory(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn home(&self) -> Option<PathBuf> {
        std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute())
    }
}
