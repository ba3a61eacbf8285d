//! Puts new accounts into `conf.d`: held against the whole configuration first, then all of them or none.

use super::output::{complain, complain_of_config};
use crate::{
    config::{Loaded, NewFile, conf_d_of, load_explained, load_with, process_env},
    draft::{Draft, Shown, write},
};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
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
    let Some(directory) = new.first().and_then(|account| account.path.parent()) else { return Ok(()) };
    make(directory).map_err(|error| format!("{} cannot be made: {error}", directory.display()))?;
    let mut put = Put { temporary: Vec::new(), placed: Vec::new() };
    for account in new {
        let temporary = directory.join(format!(".{}.toml.{}", account.id, std::process::id()));
        put.temporary.push(temporary.clone());
        write_one(&temporary, directory, &account.text)
            .map_err(|error| format!("{} cannot be written: {error}", account.path.display()))?;
    }
    for (account, temporary) in new.iter().zip(&put.temporary) {
        // A link, for it never replaces what is there.
        fs::hard_link(temporary, &account.path)
            .map_err(|error| format!("{} cannot be written: {error}", account.path.display()))?;
        put.placed.push(account.path.clone());
    }
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| format!("{} cannot be synced: {error}", directory.display()))?;
    put.placed.clear();
    Ok(())
}

/// What is taken back when it is dropped: temporary files always, placed ones unless all is well.
struct Put {
    temporary: Vec<PathBuf>,
    placed: Vec<PathBuf>,
}

impl Drop for Put {
    fn drop(&mut self) {
        for path in self.temporary.iter().chain(&self.placed) {
            let _ = fs::remove_file(path);
        }
    }
}

fn make(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    DirBuilder::new().mode(0o700).create(directory)?;
    let Some(group) = readers(directory.parent().unwrap_or(Path::new("."))) else { return Ok(()) };
    let made = File::open(directory)?;
    fchown(&made, None, Some(group))?;
    made.set_permissions(fs::Permissions::from_mode(0o750))
}

fn write_one(path: &Path, directory: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    if let Some(group) = readers(directory) {
        fchown(&file, None, Some(group))?;
        file.set_permissions(fs::Permissions::from_mode(0o640))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The group that a directory is kept for: not ours, and nobody beyond it may look in. As packaged, /etc/waxseal is the
/// daemon's to read and root's to write.
fn readers(directory: &Path) -> Option<u32> {
    let data = fs::metadata(directory).ok()?;
    let kept = data.mode() & 0o057 == 0o050 && data.gid() != rustix::process::getegid().as_raw();
    kept.then(|| data.gid())
}
