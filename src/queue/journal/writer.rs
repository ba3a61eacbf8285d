//! The one writer: it gathers what waits, appends it, and makes it durable with one fdatasync.

use super::{
    handle::{Durability, JournalOptions},
    head::Head,
    moved::Moved,
    removal::Removals,
    segment::{Place, SegmentNumber},
};
use crate::{
    failpoint::{self, Point},
    queue::record::Octets,
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// One group takes at most about so many octets, so that the first waiter is not kept for the last, nor as much memory
/// for a burst.
const GROUP_SIZE: usize = 2 << 20;
/// Records that nobody waits for are durable after this long at the latest.
const LAZY_SYNC: Duration = Duration::from_millis(20);
/// Octets of records nobody waits for that are kept until a disk that fails takes them.
const PUT_OFF_LIMIT: usize = 4 << 20;
/// While the disk fails, what is owed to it is tried again this often.
const TRY_AGAIN: Duration = Duration::from_secs(1);

type Answer<T> = oneshot::Sender<io::Result<T>>;

/// What the writer is asked to do.
pub(super) enum Job {
    Append { octets: Octets, durability: Durability, answer: Answer<Place> },
    RemoveFile(PathBuf),
    RemoveSegments(Vec<SegmentNumber>),
    Sync(Answer<()>),
}

/// What the writer tells those that read.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) moved: Moved,
    /// The newest segment's number, and in the lower half up to where it is known to be good.
    pub(super) end: AtomicU64,
}

/// Starts the writer on a segment after `last`.
pub(super) fn start(
    directory: &Path,
    options: &JournalOptions,
    last: SegmentNumber,
) -> io::Result<(Arc<Shared>, Sender<Job>, JoinHandle<()>)> {
    let mut writer = Writer::open(directory, options, last)?;
    let shared = writer.shared.clone();
    let (jobs, receiver) = channel();
    let thread = std::thread::Builder::new().name("journal".into()).spawn(move || writer.run(&receiver))?;
    Ok((shared, jobs, thread))
}

struct Append {
    octets: Octets,
    durability: Durability,
    answer: Answer<Place>,
}

/// What is committed together.
#[derive(Default)]
struct Group {
    appends: Vec<Append>,
    syncs: Vec<Answer<()>>,
}

impl Group {
    fn wants_sync(&self) -> bool {
        !self.syncs.is_empty() || self.appends.iter().any(|a| a.durability == Durability::Synced)
    }

    /// All but those that can wait for the disk learn that they are not written, or not synced.
    fn refuse(&mut self, error: &io::Error) {
        let refused = self.appends.extract_if(.., |append| append.durability != Durability::Written);
        refused.for_each(|append| drop(append.answer.send(Err(again(error)))));
        self.syncs.drain(..).for_each(|answer| drop(answer.send(Err(again(error)))));
    }

    /// Takes out what can wait for the disk; the rest learns that it is not written.
    fn put_off(&mut self, error: &io::Error) -> Vec<Append> {
        let mut octets = 0;
        let kept = self.appends.iter().take_while(|append| {
            octets += append.octets.len();
            octets <= PUT_OFF_LIMIT
        });
        let refused = self.appends.split_off(kept.count());
        refused.into_iter().for_each(|append| drop(append.answer.send(Err(again(error)))));
        std::mem::take(&mut self.appends)
    }
}

/// The same error once more: it has several to be told to.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// A record that was answered as written and is not known to be durable.
struct Owed {
    answered: Place,
    durability: Durability,
    octets: Octets,
}

struct Writer {
    head: Head,
    segment_size: u32,
    shared: Arc<Shared>,
    owed: Vec<Owed>,
    /// The segment that has what is owed cannot be trusted: all of it is to be written again.
    adrift: bool,
    /// Records that are to be written and that the disk does not take; their answer waits with them.
    put_off: Vec<Append>,
    removals: Removals,
    /// When what is owed has to be durable.
    due: Option<Instant>,
}

impl Writer {
    fn open(directory: &Path, options: &JournalOptions, last: SegmentNumber) -> io::Result<Self> {
        let mut writer = Self {
            head: Head::begin(options.disk.clone(), directory, last)?,
            segment_size: options.segment_size,
            shared: Arc::default(),
            owed: Vec::new(),
            adrift: false,
            put_off: Vec::new(),
            removals: Removals::new(options.disk.clone(), directory),
            due: None,
        };
        writer.publish();
        Ok(writer)
    }

    fn run(&mut self, jobs: &Receiver<Job>) {
        while let Some(group) = self.gather(jobs) {
            self.commit(group);
        }
        self.settle();
    }

    /// Waits for work, then takes what else waits. `None` when nobody will ask for anything any more.
    fn gather(&mut self, jobs: &Receiver<Job>) -> Option<Group> {
        let first = loop {
            let Some(due) = self.due else { break jobs.recv().ok()? };
            match jobs.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(job) => break job,
                Err(RecvTimeoutError::Timeout) => self.settle(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        };
        // Who is about to append, and only waits for this processor, comes along. On an idle machine that takes no time,
        // and on a busy one the groups grow.
        std::thread::yield_now();
        let appends = std::mem::take(&mut self.put_off);
        let (mut group, mut octets, mut next) = (Group { appends, ..Group::default() }, 0, Some(first));
        while let Some(job) = next {
            match job {
                Job::Append { octets: record, durability, answer } => {
                    octets += record.len();
                    group.appends.push(Append { octets: record, durability, answer });
                }
                Job::RemoveFile(path) => self.removals.file(path),
                Job::RemoveSegments(numbers) => self.removals.segments(numbers),
                Job::Sync(answer) => group.syncs.push(answer),
            }
            next = if octets < GROUP_SIZE { jobs.try_recv().ok() } else { None };
        }
        Some(group)
    }

    fn commit(&mut self, mut group: Group) {
        let overdue = self.due.is_some_and(|due| due <= Instant::now());
        let sync = group.wants_sync() || overdue;
        if let Err(error) = self.write(&mut group, sync) {
            tracing::error!(target: "waxseal::queue", %error, "journal write failed");
            group.refuse(&error);
            // What nobody waits for to be durable fits into less room, or into the next segment.
            if let Err(error) = self.write(&mut group, false) {
                self.put_off = group.put_off(&error);
            }
        }
        self.remove();
        group.syncs.drain(..).for_each(|answer| drop(answer.send(Ok(()))));
        if self.is_long() {
            self.roll();
        }
        self.schedule(LAZY_SYNC);
    }

    /// Writes a group, behind what has to be written again, and answers its appends where that works. After an error
    /// nothing of it counts.
    fn write(&mut self, group: &mut Group, sync: bool) -> io::Result<()> {
        let owes = sync && !self.owed.is_empty();
        if group.appends.is_empty() && !owes {
            return Ok(());
        }
        let (number, start) = self.head.position()?;
        let owed = if self.adrift { self.owed.len() } else { 0 };
        let records = self.owed[..owed].iter().map(|owed| &owed.octets);
        let records = records.chain(group.appends.iter().map(|append| &append.octets));
        let written = self.head.append(records, sync);
        self.publish();
        if let Err(error) = written {
            self.adrift |= self.head.end().is_none();
            return Err(error);
        }
        let mut offset = start;
        let mut place = |octets: &Octets| {
            let place = Place { segment: number, offset, length: octets.len() as u32 };
            offset += place.length;
            place
        };
        for owed in &self.owed[..owed] {
            self.shared.moved.set(owed.answered, place(&owed.octets));
        }
        self.adrift = false;
        if owes && self.owed.iter().any(|owed| owed.durability == Durability::Written) {
            failpoint::reach(Point::DepartureSynced);
        }
        if sync {
            self.owed.clear();
            self.due = None;
        }
        for Append { octets, answer, durability } in group.appends.drain(..) {
            let place = place(&octets);
            if !sync {
                self.owed.push(Owed { answered: place, durability, octets });
            }
            let _ = answer.send(Ok(place));
        }
        Ok(())
    }

    /// Makes durable what is owed, in a new segment where the old one fails, and removes what may go then.
    fn settle(&mut self) {
        let mut group = Group { appends: std::mem::take(&mut self.put_off), ..Group::default() };
        let settled = self.write(&mut group, true).or_else(|error| {
            tracing::error!(target: "waxseal::queue", %error, "journal sync failed");
            self.write(&mut group, true)
        });
        self.put_off = group.appends;
        self.remove();
        self.due = None;
        self.schedule(if settled.is_ok() { LAZY_SYNC } else { TRY_AGAIN });
    }

    fn is_long(&self) -> bool {
        self.head.end().is_some_and(|(_, length)| length >= self.segment_size)
    }

    fn roll(&mut self) {
        // A segment that is left behind is not synced again.
        if !self.owed.is_empty() {
            self.settle();
        }
        // Where settling failed, a new segment has been begun already.
        if self.is_long() && self.owed.is_empty() {
            self.head.roll();
            self.publish();
        }
    }

    /// What was to be removed goes once all that was appended before is durable, and nothing is left of what was
    /// refused: a content file outlives every receipt that names it.
    fn remove(&mut self) {
        if self.owed.is_empty() && !self.removals.is_empty() && self.head.is_trimmed() {
            self.removals.carry_out(&self.shared.moved);
        }
    }

    fn schedule(&mut self, wait: Duration) {
        if self.owed.is_empty() && self.removals.is_empty() && self.put_off.is_empty() {
            self.due = None;
        } else if self.due.is_none() {
            // What could be written and removed has been; the rest waits for the disk.
            let wait = if self.owed.is_empty() || !self.put_off.is_empty() { TRY_AGAIN } else { wait };
            self.due = Some(Instant::now() + wait);
        }
    }

    fn publish(&mut self) {
        if let Some((number, length)) = self.head.end() {
            self.shared.end.store(u64::from(number) << 32 | u64::from(length), Ordering::Release);
        }
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
