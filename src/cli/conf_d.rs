//! Puts new accounts into `conf.d`: held against the whole configuration first, then all of them or none.

use super::output::{complain, complain_of_config};
use crate::{
    config::{self, Loaded, NewFile, conf_d_of, load_explained, load_with, process_env},
    draft::{Draft, Shown, write},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};
use zeroize::Zeroizing;

/// An account with the file that it will have. No `Debug`: the text has its secrets.
pub(super) struct NewAccount {
    /// Its id.
    pub(super) id: String,
    /// Where it will be.
    pub(super) path: PathBuf,
    text: Zeroizing<String>,
}

impl NewAccount {
    /// The file of a draft, beside the main configuration file.
    pub(super) fn new(config: Option<&Path>, draft: &Draft, origin: &str) -> Self {
        Self {
            id: draft.id.clone(),
            path: conf_d_of(config).join(format!("{}.toml", draft.id)),
            text: write(draft, origin, Shown::InFull),
        }
    }
}

/// The configuration as it will be with the new accounts; what is wrong with it has been said.
pub(super) fn check(config: Option<&Path>, new: &[NewAccount]) -> Result<Loaded, ExitCode> {
    let before = load_explained(config, process_env()).map_err(|errors| complain_of_config(&errors))?;
    let mut taken = Vec::new();
    for NewAccount { id, path, .. } in new {
        if fs::symlink_metadata(path).is_ok() {
            taken.push(format!("{} is there already and stays as it is; move it away first", path.display()));
        } else if before.config.accounts.iter().any(|known| known.id.as_str() == id) {
            taken.push(format!("the account `{id}` is configured already; take it out, or rename it, first"));
        }
    }
    let files: Vec<_> =
        new.iter().map(|account| NewFile { path: account.path.clone(), text: &account.text }).collect();
    if taken.is_empty() {
        match load_with(config, &files, process_env()) {
            Ok(after) => return Ok(after),
            Err(errors) => drop(complain_of_config(&errors)),
        }
    }
    taken.iter().for_each(|sentence| complain(sentence));
    complain("nothing was written");
    Err(ExitCode::FAILURE)
}

/// Writes the files: all of them, or none where one cannot be written.
pub(super) fn put(new: &[NewAccount]) -> Result<(), String> {
    let files: Vec<(&Path, &str)> =
        new.iter().map(|account| (account.path.as_path(), account.text.as_str())).collect();
    config::put(&files)
}
