//! Files that may go once what was written before is durable.

use super::{
    moved::Moved,
    segment::{self, SegmentNumber},
};
use crate::queue::disk::Disk;
use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Content files of messages that have left, and segments in which nothing lives.
pub(super) struct Removals {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    files: Vec<PathBuf>,
    segments: BTreeSet<SegmentNumber>,
    failing: bool,
}

impl Removals {
    pub(super) fn new(disk: Arc<dyn Disk>, directory: &Path) -> Self {
        let directory = directory.to_owned();
        Self { disk, directory, files: Vec::new(), segments: BTreeSet::new(), failing: false }
    }

    pub(super) fn file(&mut self, path: PathBuf) {
        self.files.push(path);
    }

    pub(super) fn segments(&mut self, numbers: Vec<SegmentNumber>) {
        self.segments.extend(numbers);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.segments.is_empty()
    }

    /// Removes them all. A content file that stays is swept at the next start; a segment that stays is tried again.
    pub(super) fn carry_out(&mut self, moved: &Moved) {
        for path in self.files.drain(..) {
            match self.disk.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(target: "waxseal::queue", path = %path.display(), %error, "content file not removed");
                }
                _ => {}
            }
        }
        while let Some(number) = self.segments.first().copied() {
            // The name is gone for good before that of a younger segment goes.
            let removed = match self.disk.remove(&segment::path(&self.directory, number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => self.disk.sync_directory(&self.directory),
            };
            match removed {
                Ok(()) => {
                    self.failing = false;
                    self.segments.remove(&number);
                    moved.forget(number);
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        tracing::warn!(target: "waxseal::queue", segment = number, %error, "dead segment not removed");
                    }
                    return;
                }
            }
        }
    }
}
