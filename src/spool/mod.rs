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

mod build;
mod drop;
pub mod format;
mod take;

pub use take::{Spooled, Unfit};

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Messages end so; other names are none of ours.
const SUFFIX: &str = ".msg";
/// A message that is being written begins so.
const UNFINISHED: &str = "tmp-";

const DROP: &str = "drop";
const TAKEN: &str = "taken";
const ASIDE: &str = "aside";

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

    /// How many messages wait to be taken, as far as this process may know.
    pub fn count_waiting(&self) -> usize {
        let messages = |directory: PathBuf| {
            let entries = fs::read_dir(directory).into_iter().flatten();
            entries
                .filter(|entry| entry.as_ref().is_ok_and(|e| e.file_name().to_str().is_some_and(is_message)))
        };
        messages(self.drop_directory()).chain(messages(self.taken_directory())).count()
    }

    /// How many files an operator has to look at.
    pub fn count_aside(&self) -> usize {
        fs::read_dir(self.aside_directory()).map_or(0, Iterator::count)
    }
}

/// Whether a file of this name is a message that is complete.
fn is_message(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let finished = name.ends_with(SUFFIX) && !name.starts_with(UNFINISHED) && !name.starts_with('.');
    finished && name.len() <= 128 && name.bytes().all(plain)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;
