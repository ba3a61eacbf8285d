//! Opening the queue: every record read, every message put in exactly one state, every leftover accounted for.

use super::{
    disk::{self, Disk},
    entry::Received,
    item::{Item, Phase},
    journal::{self, Journal, JournalOptions, LaterVersion, Place, ScanError},
    pace::memory,
    record::{ContentPlace, Record},
    state::State,
    status::Status,
    told,
};
use crate::{history::History, mail::QueueId};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

pub(super) const JOURNAL: &str = "journal";
/// Files of large contents.
pub(super) const CONTENT: &str = "content";
const QUARANTINE: &str = "quarantine";

/// Why the queue does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{0} is in use by another waxseal; stop it first, or give this one its own state_dir")]
    Locked(PathBuf),
    /// The disk refuses.
    #[error("the queue in {directory} cannot be opened: {source}")]
    Io {
        /// The queue's directory.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A later version wrote to it. Nothing has been changed on the disk.
    #[error(transparent)]
    Later(#[from] LaterVersion),
}

/// What was found at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Messages still to be delivered.
    pub waiting: usize,
    /// Failed messages that are kept.
    pub failed: usize,
    /// Damaged places in the journal, set aside.
    pub damaged: usize,
    /// Octets of a torn tail, set aside; nothing in it was acknowledged.
    pub torn: usize,
    /// Content files whose message was never committed, or had left: removed, or set aside after damage.
    pub orphans: usize,
}

pub(super) struct Opened {
    pub(super) journal: Journal,
    pub(super) state: State,
    pub(super) recovery: Recovery,
    pub(super) last_id: u64,
    /// What the journal says has left for good.
    pub(super) departed: Vec<QueueId>,
    /// Locked as long as it is open.
    pub(super) lock: File,
}

/// Where the content of a message is, when it has a file of its own.
pub(super) fn content_path(directory: &Path, id: QueueId) -> PathBuf {
    directory.join(CONTENT).join(format!("{id}.eml"))
}

pub(super) fn open(
    directory: &Path,
    options: &JournalOptions,
    history: &History,
) -> Result<Opened, OpenError> {
    let failed = |source| OpenError::Io { directory: directory.to_owned(), source };
    for part in [JOURNAL, CONTENT] {
        disk::make_directory(options.disk.as_ref(), &directory.join(part)).map_err(failed)?;
    }
    // An earlier start may have made them and lost its power before their names were durable. What lies above is not
    // always ours to open.
    for (above, directory) in directory.ancestors().filter(|path| *path != Path::new("")).take(3).enumerate()
    {
        let synced = options.disk.sync_directory(directory);
        if above == 0 {
            synced.map_err(failed)?;
        }
    }
    let lock = File::options().create(true).truncate(false).write(true).open(directory.join("lock"));
    let lock = lock.map_err(failed)?;
    match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenError::Locked(directory.to_owned())),
        Err(error) => return Err(failed(error.into())),
    }
    read(directory, options, lock, history).map_err(|error| match error {
        ScanError::Later(version) => version.into(),
        ScanError::Io(error) => failed(error),
    })
}

fn read(
    directory: &Path,
    options: &JournalOptions,
    lock: File,
    history: &History,
) -> Result<Opened, ScanError> {
    let disk = options.disk.as_ref();
    let journal_directory = directory.join(JOURNAL);
    let mut found = Found::default();
    let scanned = journal::scan(disk, &journal_directory, &directory.join(QUARANTINE), |record, place| {
        told::by(&record, history.recalls_from()).iter().for_each(|event| history.recall(event));
        found.take(record, place)
    })?;
    let mut recovery = found.enqueue();
    (recovery.damaged, recovery.torn) = (scanned.damaged(), scanned.torn());
    let Found { mut state, last_id, departed } = found;
    for (number, octets) in &scanned.segments {
        state.add_segment(*number, *octets);
    }
    for (account, pace) in memory::read(directory) {
        state.lane(&account).pace = pace;
    }
    recovery.orphans = sweep_content(disk, directory, &state, recovery.damaged > 0)?;
    let journal = Journal::start(&journal_directory, options, scanned.last)?;
    // Dead segments of the last run go now, while the newest of them still counts as written to.
    history.sync_blocking();
    journal.remove_segments(state.dead_segments());
    Ok(Opened { journal, state, recovery, last_id, departed, lock })
}

/// The index as the records build it, one after the other: only what lives takes memory. A message is `Active` until all
/// records have been read, unless its last status says otherwise.
#[derive(Default)]
pub(super) struct Found {
    pub(super) state: State,
    last_id: u64,
    departed: Vec<QueueId>,
}

impl Found {
    pub(super) fn take(&mut self, record: Record, place: Place) {
        let id = match &record {
            Record::Received { received, .. } => received.id,
            Record::Status { id, .. } | Record::Done { id, .. } => *id,
        };
        self.last_id = self.last_id.max(id.number());
        match record {
            Record::Received { received, content } => self.received(&received, content, place),
            Record::Status { status, .. } => self.status(id, &status, place),
            Record::Done { events, .. } => {
                if !told::is_anothers(&events) {
                    self.departed.push(id);
                }
                self.state.forget(id);
            }
        }
    }

    /// A receipt that is there already was moved: the later one counts.
    fn received(&mut self, received: &Received, content: ContentPlace, place: Place) {
        if let Some(status) = self.state.item(received.id).map(|item| item.status) {
            self.state.relocate(received.id, place, status);
            return;
        }
        let file = content != ContentPlace::Record;
        let item = Item::received(received, file, place, self.state.lane_number(&received.account));
        self.state.insert(item);
    }

    /// The last status counts. One without a receipt is a leftover of a message that was moved, and is followed by
    /// another one.
    fn status(&mut self, id: QueueId, status: &Status, place: Place) {
        self.state.restatus(id, place);
        let account = status.account.as_ref();
        let lane = account.map(|account| self.state.lane_number(account));
        self.state.change(id, |item| item.stand(status, lane));
        if status.is_untold() && self.state.item(id).is_some() {
            self.state.untold.insert(id);
        } else {
            self.state.untold.remove(&id);
        }
    }

    /// Puts what is neither held nor failed into its lane.
    pub(super) fn enqueue(&mut self) -> Recovery {
        let mut recovery = Recovery::default();
        let mut waiting = Vec::new();
        for item in self.state.items() {
            match item.phase {
                Phase::Failed => recovery.failed += 1,
                Phase::Held => recovery.waiting += 1,
                Phase::Active | Phase::Waiting => waiting.push(item.id),
            }
        }
        recovery.waiting += waiting.len();
        waiting.into_iter().for_each(|id| self.state.enqueue(id));
        recovery
    }
}

/// Content files without a message were never acknowledged, or their message has left; after damage to the journal
/// that is no longer certain, so they are set aside.
fn sweep_content(disk: &dyn Disk, directory: &Path, state: &State, damaged: bool) -> io::Result<usize> {
    let quarantine = directory.join(QUARANTINE);
    let mut orphans = 0;
    for entry in fs::read_dir(directory.join(CONTENT))? {
        let entry = entry?;
        let name = entry.file_name();
        let id = name.to_str().and_then(|n| n.strip_suffix(".eml")).and_then(|n| n.parse::<QueueId>().ok());
        if id.is_some_and(|id| state.item(id).is_some_and(|item| item.has_file())) {
            continue;
        }
        orphans += 1;
        if damaged || id.is_none() {
            disk::make_directory(disk, &quarantine)?;
            disk.rename(&entry.path(), &quarantine.join(name))?;
        } else {
            disk.remove(&entry.path())?;
        }
    }
    Ok(orphans)
}
