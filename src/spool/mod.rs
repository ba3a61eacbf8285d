//! The spool: where sendmail(8) leaves a message that it cannot hand over, and where the daemon takes it from. A second
//! entrance beside the listeners, for users of this host alone.
//!
//! Three directories side by side, so that a message goes from one to the next by a rename:
//!
//! - `drop`, mode 3733 (anyone may put a file in, nobody but the daemon can list them or take another's away);
//! - `taken`, mode 0700: what the daemon has claimed, and has not committed yet;
//! - `aside`, mode 0700: what it cannot take, for an operator.
//!
//! A message is durable before it has its name in `drop`, and leaves `taken` only once the queue has it.

mod drop;
pub mod format;
mod take;

pub use take::{Spooled, Unfit};

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Messages end so; other names are none of ours.
const SUFFIX: &str = ".msg";
/// A message that is being written begins so.
const UNFINISHED: &str = "tmp-";

const DROP: &str = "drop";
const TAKEN: &str = "taken";
const ASIDE: &str = "aside";

/// Set group id, sticky; the owner and the group all, others write and search. Files get the daemon's group, so that it
/// can read them and nobody else.
const DROP_MODE: u32 = 0o3733;
/// The same where the set-group-id bit cannot be had (`RestrictSUIDSGID=`).
const PLAIN_DROP_MODE: u32 = 0o1733;

/// A spool at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spool {
    root: PathBuf,
}

impl Spool {
    /// The spool in this directory, which need not be there.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where messages are put in.
    pub fn drop_directory(&self) -> PathBuf {
        self.root.join(DROP)
    }

    /// Where what cannot be taken is kept.
    pub fn aside_directory(&self) -> PathBuf {
        self.root.join(ASIDE)
    }

    fn taken_directory(&self) -> PathBuf {
        self.root.join(TAKEN)
    }

    /// How many files an operator has to look at.
    pub fn count_aside(&self) -> usize {
        fs::read_dir(self.aside_directory()).map_or(0, Iterator::count)
    }

    /// For the daemon: makes what is missing, and sees that nobody else can tamper with it.
    ///
    /// # Errors
    /// Where a directory cannot be made or belongs to somebody else. Nothing is to be taken from it then: what cannot
    /// be removed would be taken again and again.
    pub fn prepare(&self) -> io::Result<()> {
        make(&self.root, 0o755)?;
        if make(&self.drop_directory(), PLAIN_DROP_MODE)? {
            // Not everywhere to be had, and of use only where others have other groups.
            let _ = fs::set_permissions(self.drop_directory(), Permissions::from_mode(DROP_MODE));
        }
        for directory in [self.taken_directory(), self.aside_directory()] {
            make(&directory, 0o700)?;
            if fs::symlink_metadata(&directory)?.mode() & 0o077 != 0 {
                fs::set_permissions(&directory, Permissions::from_mode(0o700))?;
            }
        }
        Ok(())
    }
}

/// Makes a directory with just this mode, whatever the umask, where there is none; whether it did.
fn make(path: &Path, mode: u32) -> io::Result<bool> {
    let made = match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            fs::set_permissions(path, Permissions::from_mode(mode))?;
            true
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(error),
    };
    let found = fs::symlink_metadata(path)?;
    let me = rustix::process::geteuid().as_raw();
    if !found.is_dir() {
        return Err(io::Error::other(format!("{} is no directory", path.display())));
    }
    if found.uid() != me {
        let sentence =
            format!("{} belongs to user {}, and the daemon runs as user {me}", path.display(), found.uid());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, sentence));
    }
    Ok(made)
}

/// Whether a file of this name is a message that is complete.
fn is_message(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    name.len() <= 128 && name.ends_with(SUFFIX) && !name.starts_with('.') && name.bytes().all(plain)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;
