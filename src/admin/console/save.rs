//! An account written to `conf.d/ID.toml` and taken into force: held against the whole configuration first, and taken
//! back where the reload refuses it all the same.

use super::form::{Keys, has_key};
use crate::{
    account::AccountType,
    admin::service::Service,
    config::{self, ConfigErrors, NewFile, conf_d_of, load_with, process_env, written_account},
    draft::{Change, edit},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Where a new account's file comes from.
const ORIGIN: &str = "# Made in the console. Edit it here or there: comments stay.\n";

/// Why an account is not saved; nothing was changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Problems {
    /// By key, for the field that they are about.
    pub(super) fields: Vec<(String, String)>,
    /// Of the whole.
    pub(super) whole: Vec<String>,
}

impl Problems {
    pub(super) fn of_whole(sentence: impl Into<String>) -> Self {
        Self { fields: Vec::new(), whole: vec![sentence.into()] }
    }

    /// What the configuration says of an account, at the fields that its form has.
    fn of_configuration(errors: &ConfigErrors, id: &str, kind: AccountType) -> Self {
        let mut problems = Self::default();
        let path = format!("account.{id}.");
        for error in &errors.0 {
            let key = error.key.strip_prefix(&path).map(|key| key.split('.').next().unwrap_or(key));
            match key.filter(|key| has_key(kind, key)) {
                Some(key) => {
                    let help = error.help.as_ref().map_or_else(String::new, |help| format!(". {help}"));
                    problems.fields.push((key.to_owned(), format!("{}{help}", error.problem)));
                }
                None => problems.whole.push(error.to_string()),
            }
        }
        problems
    }
}

/// What there is of an account to edit.
pub(super) struct Editable {
    pub(super) keys: Keys,
    /// Of its own file as it is now: whoever saves later than another sees that the file has changed.
    pub(super) version: String,
}

/// An account as its own file and the others have it.
pub(super) async fn editable(service: &Service, id: &str) -> Result<Editable, String> {
    let (main, id) = (service.main_file.clone(), id.to_owned());
    let read = tokio::task::spawn_blocking(move || {
        let keys =
            written_account(main.as_deref(), &id, process_env()).map_err(|errors| errors.to_string())?;
        let path = file_of(main.as_deref(), &id);
        let version = version(read_own(&path).map_err(|error| unreadable(&path, &error))?.as_deref());
        Ok(Editable { keys, version })
    });
    read.await.map_err(|error| error.to_string())?
}

fn file_of(main: Option<&Path>, id: &str) -> PathBuf {
    conf_d_of(main).join(format!("{id}.toml"))
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be read: {error}", path.display())
}

fn read_own(path: &Path) -> io::Result<Option<Zeroizing<String>>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn version(text: Option<&String>) -> String {
    text.map_or_else(|| "new".to_owned(), |text| format!("{:08x}", crc32fast::hash(text.as_bytes())))
}

/// What is to be saved.
pub(super) struct Edit {
    pub(super) id: String,
    pub(super) kind: AccountType,
    pub(super) changes: Vec<Change>,
    /// The version that the form was made of.
    pub(super) version: String,
}

/// Saves an account and reloads.
pub(super) async fn save(service: &Service, edit: Edit) -> Result<(), Problems> {
    let _one = service.editing.lock().await;
    let main = service.main_file.clone();
    let id = edit.id.clone();
    let written = tokio::task::spawn_blocking(move || write(main.as_deref(), &edit));
    let (path, before) = written.await.map_err(|error| Problems::of_whole(error.to_string()))??;
    let Err(refused) = service.reload().await else {
        tracing::info!(target: "waxseal::admin", account = %id, "account saved");
        return Ok(());
    };
    let undone = tokio::task::spawn_blocking(move || match before {
        Some(before) => config::replace(&path, &before),
        None => fs::remove_file(&path).map_err(|error| format!("{} stays: {error}", path.display())),
    });
    let mut problems = Problems::of_whole(refused.text);
    problems.whole.extend(undone.await.map_err(|error| error.to_string()).and_then(|undone| undone).err());
    // The files are as they were: nobody needs to be told any more that the last reload was refused.
    let _ = service.reload().await;
    Err(problems)
}

type Before = (PathBuf, Option<Zeroizing<String>>);

fn write(main: Option<&Path>, saved: &Edit) -> Result<Before, Problems> {
    let path = file_of(main, &saved.id);
    let before = read_own(&path).map_err(|error| Problems::of_whole(unreadable(&path, &error)))?;
    if version(before.as_deref()) != saved.version {
        let why = format!("{} has changed since this form was opened: open it again", path.display());
        return Err(Problems::of_whole(why));
    }
    let text = before.as_deref().map_or(ORIGIN, String::as_str);
    let text = edit(text, &saved.id, &saved.changes)
        .map_err(|error| Problems::of_whole(format!("{}: {error}", path.display())))?;
    let file = NewFile { path: path.clone(), text: &text };
    load_with(main, &[file], process_env())
        .map_err(|errors| Problems::of_configuration(&errors, &saved.id, saved.kind))?;
    let placed = match &before {
        Some(_) => config::replace(&path, &text),
        None => config::put(&[(&path, &text)]),
    };
    placed.map_err(|problem| {
        Problems::of_whole(format!(
            "{problem}. The daemon's user has to be able to write into conf.d: `chgrp waxseal` and `chmod 770` it"
        ))
    })?;
    Ok((path, before))
}
