//! Opening the queue: every record read, every message put in exactly one state, every leftover accounted for.

use super::{
    entry::{Received, RecipientStatus, Status},
    journal::{self, Journal, Place},
    record::Record,
    state::{Item, Phase, State},
};
use crate::mail::QueueId;
use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

const JOURNAL: &str = "journal";
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
    /// Locked as long as it is open.
    pub(super) lock: File,
}

/// Where the content of a message is, when it has a file of its own.
pub(super) fn content_path(directory: &Path, id: QueueId) -> PathBuf {
    directory.join(CONTENT).join(format!("{id}.eml"))
}

pub(super) fn open(directory: &Path) -> Result<Opened, OpenError> {
    let failed = |source| OpenError::Io { directory: directory.to_owned(), source };
    for part in [JOURNAL, CONTENT] {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory.join(part)).map_err(failed)?;
    }
    let lock = File::options().create(true).truncate(false).write(true).open(directory.join("lock"));
    let lock = lock.map_err(failed)?;
    match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenError::Locked(directory.to_owned())),
        Err(error) => return Err(failed(error.into())),
    }
    read(directory, lock).map_err(failed)
}

fn read(directory: &Path, lock: File) -> io::Result<Opened> {
    let journal_directory = directory.join(JOURNAL);
    let mut found = Found::default();
    let scanned = journal::scan(&journal_directory, &directory.join(QUARANTINE), |record, place| {
        found.take(record, place)
    })?;
    let mut recovery = Recovery { damaged: scanned.damaged, torn: scanned.torn, ..Recovery::default() };
    let mut state = State::default();
    for (number, octets) in &scanned.segments {
        state.add_segment(*number, *octets);
    }
    let last_id = found.last_id;
    found.enter(&mut state, &mut recovery);
    recovery.orphans = sweep_content(directory, &state, scanned.damaged > 0)?;
    let journal = Journal::start(&journal_directory, scanned.last)?;
    // Dead segments of the last run go now, while the newest of them still counts as written to.
    for number in state.dead_segments() {
        journal.remove_segment(number)?;
    }
    Ok(Opened { journal, state, recovery, last_id, lock })
}

/// What the records say, in whatever order they lie: a departure counts wherever it is, the last status wins.
#[derive(Default)]
struct Found {
    received: HashMap<QueueId, (Received, bool, Place)>,
    status: HashMap<QueueId, (Status, Place)>,
    done: HashSet<QueueId>,
    last_id: u64,
}

impl Found {
    fn take(&mut self, record: Record, place: Place) {
        let id = match &record {
            Record::Received { received, .. } => received.id,
            Record::Status { id, .. } | Record::Done { id } => *id,
        };
        self.last_id = self.last_id.max(id.number());
        match record {
            Record::Received { received, inline } => {
                self.received.insert(id, (received, inline, place));
            }
            Record::Status { status, .. } => {
                self.status.insert(id, (status, place));
            }
            Record::Done { .. } => {
                self.done.insert(id);
            }
        }
    }

    fn enter(mut self, state: &mut State, recovery: &mut Recovery) {
        for (id, (received, inline, place)) in self.received {
            if self.done.contains(&id) {
                continue;
            }
            let recipients = received.envelope.forward_paths().len();
            let status = self.status.remove(&id).filter(|(status, _)| status.recipients.len() == recipients);
            state.occupy(place);
            if let Some((_, place)) = &status {
                state.occupy(*place);
            }
            let status_place = status.as_ref().map(|(_, place)| *place);
            let status =
                status.map_or_else(|| Status::fresh(recipients, received.received_at), |(status, _)| status);
            let pending = status.recipients.contains(&RecipientStatus::Pending);
            let phase = match status.failed_at {
                Some(_) if !pending => Phase::Failed,
                _ if status.held => Phase::Held,
                _ => Phase::Waiting,
            };
            match phase {
                Phase::Failed => recovery.failed += 1,
                _ => recovery.waiting += 1,
            }
            if phase == Phase::Waiting {
                state.lane(&received.account).push_due(status.next_attempt_at, id);
            }
            if !inline {
                state.file_octets += received.size;
            }
            let item = Item {
                account: received.account,
                received: place,
                status: status_place,
                size: received.size,
                file: !inline,
                received_at: received.received_at,
                next_attempt_at: status.next_attempt_at,
                failed_at: status.failed_at.unwrap_or(0),
                attempts: status.attempts,
                phase,
            };
            state.items.insert(id, item);
        }
    }
}

/// Content files without a message were never acknowledged, or their message has left; after damage to the journal
/// that is no longer certain, so they are set aside.
fn sweep_content(directory: &Path, state: &State, damaged: bool) -> io::Result<usize> {
    let quarantine = directory.join(QUARANTINE);
    let mut orphans = 0;
    for entry in fs::read_dir(directory.join(CONTENT))? {
        let entry = entry?;
        let name = entry.file_name();
        let id = name.to_str().and_then(|n| n.strip_suffix(".eml")).and_then(|n| n.parse::<QueueId>().ok());
        if id.is_some_and(|id| state.items.get(&id).is_some_and(|item| item.file)) {
            continue;
        }
        orphans += 1;
        if damaged || id.is_none() {
            fs::create_dir_all(&quarantine)?;
            fs::rename(entry.path(), quarantine.join(name))?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(orphans)
}
