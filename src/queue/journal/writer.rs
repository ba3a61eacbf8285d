//! The one writer: it gathers what waits, appends it with one write, and makes it durable with one fdatasync.

use super::segment::{self, Place, SegmentNumber};
use crate::queue::record::Record;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::oneshot;

/// A segment past this many octets is followed by a new one.
const SEGMENT_SIZE: u32 = 64 << 20;
/// One group takes at most about so many octets, so that the first waiter is not kept for the last.
const GROUP_SIZE: usize = 8 << 20;
/// Records that nobody waits for are durable after this long at the latest.
const LAZY_SYNC: Duration = Duration::from_millis(20);

/// When an append is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// After fdatasync: the record survives a power loss.
    Synced,
    /// After the write: it survives the process, and a power loss some 20 ms later.
    Written,
}

enum Job {
    Append {
        octets: Vec<u8>,
        durability: Durability,
        answer: oneshot::Sender<io::Result<Place>>,
    },
    /// Removes a file once all that was appended before is durable.
    RemoveFile(PathBuf),
    Sync(oneshot::Sender<io::Result<()>>),
}

/// A handle on the journal. Dropping the last one ends the writer after it has synced.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

fn gone() -> io::Error {
    io::Error::other("the journal's writer has stopped")
}

impl Journal {
    /// Starts the writer on a new segment, numbered after `last`.
    pub fn start(directory: &Path, last: SegmentNumber) -> io::Result<Self> {
        let mut writer = Writer::open(directory.to_owned(), last)?;
        let (sender, receiver) = channel();
        let thread =
            std::thread::Builder::new().name("journal".into()).spawn(move || writer.run(&receiver))?;
        Ok(Self { directory: directory.to_owned(), jobs: Some(sender), thread: Some(thread) })
    }

    fn send(&self, job: Job) -> io::Result<()> {
        self.jobs.as_ref().ok_or_else(gone)?.send(job).map_err(|_| gone())
    }

    /// Appends a record; answers where it lies once it is as durable as asked.
    pub async fn append(&self, octets: Vec<u8>, durability: Durability) -> io::Result<Place> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Append { octets, durability, answer })?;
        answered.await.map_err(|_| gone())?
    }

    /// Removes a file after all that was appended so far is durable. A file that stays is swept at the next start.
    pub fn remove_file(&self, path: PathBuf) {
        let _ = self.send(Job::RemoveFile(path));
    }

    /// Waits until all that was appended so far is durable.
    pub async fn sync(&self) -> io::Result<()> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Sync(answer))?;
        answered.await.map_err(|_| gone())?
    }

    /// Reads a record back: what it says and its content part. Blocks on the disk.
    pub fn read(&self, place: Place) -> io::Result<(Record, Vec<u8>)> {
        segment::read(&self.directory, place)
    }

    /// The raw octets of a record, for moving it. Blocks on the disk.
    pub fn read_raw(&self, place: Place) -> io::Result<Vec<u8>> {
        segment::read_raw(&self.directory, place)
    }

    /// Removes a segment in which nothing lives. Blocks on the disk.
    pub fn remove_segment(&self, number: SegmentNumber) -> io::Result<()> {
        fs::remove_file(segment::path(&self.directory, number))
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

type Waiter = (Durability, Place, oneshot::Sender<io::Result<Place>>);

struct Writer {
    directory: PathBuf,
    number: SegmentNumber,
    file: File,
    /// Octets of the segment that are known to be good.
    length: u32,
    unsynced: bool,
    doomed: Vec<PathBuf>,
}

impl Writer {
    fn open(directory: PathBuf, last: SegmentNumber) -> io::Result<Self> {
        let number = last + 1;
        let (file, length) = segment::create(&directory, number)?;
        Ok(Self { directory, number, file, length, unsynced: false, doomed: Vec::new() })
    }

    fn run(&mut self, jobs: &Receiver<Job>) {
        let mut buffer = Vec::new();
        let mut waiters: Vec<Waiter> = Vec::new();
        let mut syncs = Vec::new();
        loop {
            let first = if self.unsynced || !self.doomed.is_empty() {
                match jobs.recv_timeout(LAZY_SYNC) {
                    Ok(job) => job,
                    Err(RecvTimeoutError::Timeout) => {
                        self.settle_lazy();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            } else {
                match jobs.recv() {
                    Ok(job) => job,
                    Err(_) => break,
                }
            };
            let mut next = Some(first);
            while let Some(job) = next {
                match job {
                    Job::Append { octets, durability, answer } => {
                        let offset = self.length + buffer.len() as u32;
                        let place = Place { segment: self.number, offset, length: octets.len() as u32 };
                        buffer.extend_from_slice(&octets);
                        waiters.push((durability, place, answer));
                    }
                    Job::RemoveFile(path) => self.doomed.push(path),
                    Job::Sync(answer) => syncs.push(answer),
                }
                next = if buffer.len() < GROUP_SIZE { jobs.try_recv().ok() } else { None };
            }
            self.commit(&mut buffer, &mut waiters, &mut syncs);
        }
        self.settle_lazy();
    }

    fn commit(
        &mut self,
        buffer: &mut Vec<u8>,
        waiters: &mut Vec<Waiter>,
        syncs: &mut Vec<oneshot::Sender<io::Result<()>>>,
    ) {
        let wanted = !syncs.is_empty() || waiters.iter().any(|(d, ..)| *d == Durability::Synced);
        let mut result = self.file.write_all(buffer);
        self.unsynced |= !buffer.is_empty();
        if result.is_ok() && wanted {
            result = self.file.sync_data();
        }
        match &result {
            Ok(()) => {
                self.length += buffer.len() as u32;
                if wanted {
                    self.unsynced = false;
                    self.remove_doomed();
                }
            }
            Err(error) => self.abandon_tail(error),
        }
        let again = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
        for (_, place, answer) in waiters.drain(..) {
            let _ = answer.send(result.as_ref().map(|()| place).map_err(again));
        }
        for answer in syncs.drain(..) {
            let _ = answer.send(result.as_ref().copied().map_err(again));
        }
        buffer.clear();
        // A burst's buffer is not kept for ever.
        buffer.shrink_to(256 << 10);
        if self.length >= SEGMENT_SIZE {
            self.roll();
        }
    }

    /// After a failed write or sync nobody knows what the file holds past `length`: it is cut off there, and since a
    /// failed fsync may have dropped pages for good, the segment is not written again.
    fn abandon_tail(&mut self, error: &io::Error) {
        tracing::error!(target: "waxseal::queue", segment = self.number, %error, "journal write failed");
        if let Err(error) = self.file.set_len(u64::from(self.length)).and_then(|()| self.file.sync_data()) {
            tracing::error!(target: "waxseal::queue", segment = self.number, %error, "journal tail not cut off");
        }
        self.roll();
    }

    fn roll(&mut self) {
        // A segment that is left behind is never synced again, so nothing lazy may stay in it.
        if self.unsynced && self.file.sync_data().is_ok() {
            self.unsynced = false;
        }
        match segment::create(&self.directory, self.number + 1) {
            Ok((file, length)) => {
                self.number += 1;
                self.file = file;
                self.length = length;
            }
            // The disk is full, say: go on in this segment, whose next write fails or succeeds in its turn.
            Err(error) => {
                // Whatever an unfinished header left under the next name must not block the next try.
                let _ = fs::remove_file(segment::path(&self.directory, self.number + 1));
                tracing::error!(target: "waxseal::queue", %error, "no new journal segment");
                let _ = self.seek_to_length();
            }
        }
    }

    fn seek_to_length(&mut self) -> io::Result<()> {
        use std::io::{Seek, SeekFrom};
        self.file.seek(SeekFrom::Start(u64::from(self.length))).map(drop)
    }

    fn settle_lazy(&mut self) {
        if self.unsynced {
            self.unsynced = false;
            if let Err(error) = self.file.sync_data() {
                // What was written may be gone after a power loss, so the files that it made superfluous stay for the
                // next start to judge, and the segment is not written again.
                tracing::error!(target: "waxseal::queue", segment = self.number, %error, "journal sync failed");
                self.doomed.clear();
                self.roll();
            }
        }
        self.remove_doomed();
    }

    fn remove_doomed(&mut self) {
        for path in self.doomed.drain(..) {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(target: "waxseal::queue", path = %path.display(), %error, "content file not removed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{mail::QueueId, queue::record};

    #[tokio::test]
    async fn records_can_be_read_back_where_the_answer_says() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::start(directory.path(), 0).unwrap();
        for n in 0..10u32 {
            let octets = record::encode_done(QueueId::new(9, n), &[]);
            let durability = if n % 2 == 0 { Durability::Synced } else { Durability::Written };
            let place = journal.append(octets, durability).await.unwrap();
            let (Record::Done { id, .. }, _) = journal.read(place).unwrap() else { panic!() };
            assert_eq!(id, QueueId::new(9, n));
        }
    }

    #[tokio::test]
    async fn files_go_only_after_a_sync() {
        let directory = tempfile::tempdir().unwrap();
        let content = directory.path().join("content");
        fs::write(&content, "x").unwrap();
        let journal = Journal::start(directory.path(), 0).unwrap();
        journal.append(record::encode_done(QueueId::new(1, 1), &[]), Durability::Written).await.unwrap();
        journal.remove_file(content.clone());
        journal.sync().await.unwrap();
        drop(journal);
        assert!(!content.exists());
    }

    #[tokio::test]
    async fn a_failing_disk_refuses_and_recovers() {
        // /dev/full takes no octet; the writer is put on it by hand, then given a new segment.
        let directory = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(directory.path().to_owned(), 0).unwrap();
        writer.file = File::options().write(true).open("/dev/full").unwrap();
        let mut refused = None;
        for _ in 0..2 {
            let (answer, mut answered) = oneshot::channel();
            let octets = record::encode_done(QueueId::new(1, 1), &[]);
            let offset = writer.length;
            let place = Place { segment: writer.number, offset, length: octets.len() as u32 };
            let mut buffer = octets;
            writer.commit(&mut buffer, &mut vec![(Durability::Synced, place, answer)], &mut Vec::new());
            let result = answered.try_recv().unwrap();
            if refused.is_none() {
                refused = Some(result.is_err());
            } else {
                assert!(result.is_ok(), "the new segment takes records");
            }
        }
        assert_eq!(refused, Some(true));
        assert_eq!(writer.number, 2);
    }
}
