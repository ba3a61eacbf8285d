//! The queue: what was acknowledged is here, on stable storage, until the provider has it.

mod brake;
mod compact;
pub mod entry;
mod intake;
pub mod journal;
mod lane;
mod operator;
mod rate;
mod read_back;
pub mod record;
mod recovery;
mod runner;
pub mod schedule;
mod settle;
mod space;
mod state;

pub use intake::{CommitError, Intake, Receipt};
pub use operator::{LaneBacklog, LaneView, Listed, OperatorError};
pub use recovery::{OpenError, Recovery};
pub use runner::{Carrier, DeliverFuture};

use crate::{
    config::QueueSettings,
    mail::{ContentSource, QueueId},
};
use entry::Received;
use journal::{Journal, Place};
use lane::Fresh;
use runner::Lanes;
use schedule::{Millis, Schedule};
use space::Space;
use state::{Item, Phase, State};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// Content of fresh messages is handed over in memory up to so many octets in all; past it, it is read back.
const MEMORY_BUDGET: u64 = 4 << 20;

/// The queue. A clone is another handle on the same one.
#[derive(Clone)]
pub struct Queue {
    shared: Arc<Shared>,
}

struct Shared {
    directory: PathBuf,
    journal: Journal,
    state: Mutex<State>,
    settings: RwLock<(QueueSettings, Schedule)>,
    space: Space,
    lanes: Lanes,
    last_id: AtomicU64,
    /// Octets of content that lanes keep in memory.
    memory: AtomicU64,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue({})", self.shared.directory.display())
    }
}

impl Queue {
    /// Opens the queue under `directory`, reading what an earlier run left there. Blocks on the disk.
    ///
    /// # Errors
    /// Where the directory cannot be made, locked, read or written.
    pub fn open(directory: &Path, settings: QueueSettings) -> Result<(Self, Recovery), OpenError> {
        let opened = recovery::open(directory)?;
        let schedule = Schedule::new(settings.retry.clone(), settings.expire);
        let shared = Shared {
            directory: directory.to_owned(),
            journal: opened.journal,
            state: Mutex::new(opened.state),
            settings: RwLock::new((settings, schedule)),
            space: Space::new(directory),
            lanes: Lanes::new(opened.lock),
            last_id: AtomicU64::new(opened.last_id),
            memory: AtomicU64::new(0),
        };
        Ok((Self { shared: Arc::new(shared) }, opened.recovery))
    }

    /// Takes new `[queue]` settings.
    pub fn set_settings(&self, settings: QueueSettings) {
        let schedule = Schedule::new(settings.retry.clone(), settings.expire);
        *self.shared.settings.write().unwrap_or_else(PoisonError::into_inner) = (settings, schedule);
    }

    /// Whether there is room for a message of about so many octets: `max_size` and `min_free` (452 4.3.1).
    pub fn has_room(&self, size: Option<u64>) -> bool {
        let (max_size, min_free) = {
            let settings = self.shared.settings.read().unwrap_or_else(PoisonError::into_inner);
            (settings.0.max_size, settings.0.min_free)
        };
        let size = size.unwrap_or(0);
        let used = self.shared.space.used(|| self.state().octets());
        used.saturating_add(size) <= max_size && self.shared.space.free() >= min_free.saturating_add(size)
    }

    /// Begins to receive a message.
    pub fn begin(&self) -> Intake {
        Intake::new(self.clone(), self.next_id())
    }

    /// Ids rise even where the clock goes back.
    fn next_id(&self) -> QueueId {
        let now = QueueId::new(self.now(), 0).number();
        let next = |last: u64| Some(now.max(last + 1));
        let last = self.shared.last_id.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        QueueId::from_number(now.max(last.unwrap_or(now) + 1))
    }

    /// A committed message enters its lane.
    fn enter(&self, received: Arc<Received>, place: Place, content: ContentSource) {
        let (id, at, size) = (received.id, received.received_at, received.size);
        let account = received.account.clone();
        let file = matches!(content, ContentSource::File { .. });
        let fresh = Fresh { received, content };
        let in_memory = fresh.in_memory();
        let mut state = self.state();
        state.appended(place);
        state.occupy(place);
        if file {
            state.file_octets += size;
        }
        let item = Item {
            account: account.clone(),
            received: place,
            status: None,
            size,
            file,
            received_at: at,
            next_attempt_at: at,
            failed_at: 0,
            attempts: 0,
            phase: Phase::Waiting,
        };
        state.items.insert(id, item);
        let lane = state.lane(&account);
        let memory = self.shared.memory.load(Ordering::Relaxed);
        if lane.flows() && memory + in_memory <= MEMORY_BUDGET {
            self.shared.memory.fetch_add(in_memory, Ordering::Relaxed);
            lane.push_fresh(fresh);
        } else {
            lane.push_due(at, id);
        }
        drop(state);
        self.shared.lanes.wake(&account);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    fn schedule(&self) -> Schedule {
        self.shared.settings.read().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    fn content_directory(&self) -> PathBuf {
        self.shared.directory.join(recovery::CONTENT)
    }

    fn content_path(&self, id: QueueId) -> PathBuf {
        recovery::content_path(&self.shared.directory, id)
    }

    fn now(&self) -> Millis {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
    }
}
