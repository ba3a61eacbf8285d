//! The journal as the queue sees it: jobs for the writer, and records read back.

use super::{
    moved::Moved,
    segment::{self, Place, SegmentNumber},
    writer::{self, Job, Shared},
};
use crate::queue::{
    disk::Disk,
    record::{Octets, Record},
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering, mpsc::Sender},
    thread::JoinHandle,
};
use tokio::sync::oneshot;

/// When an append is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// After fdatasync: the record survives a power loss.
    Synced,
    /// After the write: it survives the process, and a power loss some 20 ms later.
    Written,
    /// As `Written`, of a record that somebody waits for and that is kept elsewhere, too: refused where it cannot be
    /// written.
    Copied,
}

/// What a journal is made of.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// What it is written through.
    pub disk: Arc<dyn Disk>,
    /// A segment past this many octets is followed by a new one.
    pub segment_size: u32,
}

/// A handle on the journal. Dropping the last one ends the writer after it has synced.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    shared: Arc<Shared>,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

fn gone() -> io::Error {
    io::Error::other("the journal's writer has stopped")
}

impl Journal {
    /// Starts the writer on a new segment, numbered after `last`.
    ///
    /// # Errors
    /// Where the segment cannot be made.
    pub fn start(directory: &Path, options: &JournalOptions, last: SegmentNumber) -> io::Result<Self> {
        let (shared, jobs, thread) = writer::start(directory, options, last)?;
        Ok(Self { directory: directory.to_owned(), shared, jobs: Some(jobs), thread: Some(thread) })
    }

    fn send(&self, job: Job) -> io::Result<()> {
        self.jobs.as_ref().ok_or_else(gone)?.send(job).map_err(|_| gone())
    }

    /// Appends a record; answers where it lies once it is as durable as asked.
    ///
    /// # Errors
    /// Where it could not be written or synced. A record that was to be `Synced` or `Copied` then does not count, though
    /// after a crash it may be found. One that was to be `Written` is tried in a new segment too, and waits for a disk that
    /// fails to take it again: up to 4 MiB of them do.
    pub async fn append(&self, octets: impl Into<Octets>, durability: Durability) -> io::Result<Place> {
        let (octets, (answer, answered)) = (octets.into(), oneshot::channel());
        self.send(Job::Append { octets, durability, answer })?;
        answered.await.map_err(|_| gone())?
    }

    /// Removes a file after all that was appended so far is durable. A file that stays is swept at the next start.
    pub fn remove_file(&self, path: PathBuf) {
        let _ = self.send(Job::RemoveFile(path));
    }

    /// Removes segments in which nothing lives, oldest first, after all that was appended so far is durable. One never
    /// goes before an older one has: the departures in it may be about receipts there.
    pub fn remove_segments(&self, numbers: Vec<SegmentNumber>) {
        if !numbers.is_empty() {
            let _ = self.send(Job::RemoveSegments(numbers));
        }
    }

    /// Waits until all that was appended so far is durable, and what was to be removed is gone.
    ///
    /// # Errors
    /// Where it is not.
    pub async fn sync(&self) -> io::Result<()> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Sync(answer))?;
        answered.await.map_err(|_| gone())?
    }

    /// Whether the writer answers, whatever its disk says. Takes as long as the disk does; `false` where the writer has
    /// ended.
    pub async fn answers(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Sync(answer)).is_ok() && answered.await.is_ok()
    }

    /// Reads a record back: what it says and its content part. Blocks on the disk.
    ///
    /// # Errors
    /// Where there is no such record, or a damaged one.
    pub fn read(&self, place: Place) -> io::Result<(Record, Vec<u8>)> {
        segment::read(&self.directory, self.moved().follow(place))
    }

    /// The raw octets of a record, for moving it. Blocks on the disk.
    ///
    /// # Errors
    /// Where the segment cannot be read so far.
    pub fn read_raw(&self, place: Place) -> io::Result<Vec<u8>> {
        segment::read_raw(&self.directory, self.moved().follow(place))
    }

    /// Up to where the newest segment is known to be good; octets behind it are being written.
    pub fn end(&self) -> (SegmentNumber, u32) {
        let end = self.shared.end.load(Ordering::Acquire);
        ((end >> 32) as u32, end as u32)
    }

    pub(super) fn moved(&self) -> &Moved {
        &self.shared.moved
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
