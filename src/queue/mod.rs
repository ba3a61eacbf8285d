//! The queue: what was acknowledged is here, on stable storage, until the provider has it.

mod allot;
mod clock;
mod compact;
mod count;
mod course;
mod departure;
pub mod disk;
pub mod entry;
mod inspect;
mod intake;
mod item;
pub mod journal;
mod lane;
mod mirror;
mod notify;
mod operator;
mod pace;
mod pool;
mod read_back;
pub mod record;
mod recovery;
mod runner;
pub mod schedule;
mod settle;
mod sorted;
mod space;
mod state;
pub mod status;
mod stopped;
mod through;
mod to_its_end;
mod told;
pub mod verify;
mod worker;

pub use allot::SharedPacing;
pub use clock::Clock;
pub use course::Progress;
pub use inspect::{InspectError, verify_stopped};
pub use intake::{CommitError, Commitment, Intake, Receipt};
pub use mirror::SharedQueue;
pub use operator::{LaneBacklog, LaneView, Listed, OperatorError};
pub use recovery::{OpenError, Recovery};
pub use runner::{Carrier, DeliverFuture, Outlet, TurnFuture};
pub use stopped::{list_stopped, show_stopped};
pub use told::is_handed_over;

use crate::{
    config::QueueSettings,
    history::History,
    mail::{ContentSource, QueueId},
    meter::Meter,
};
use entry::Received;
pub use lane::Tally;
pub use notify::{Desk, RouteOf};

use departure::Departures;
use disk::{Disk, HostDisk};
use item::{Item, Phase};
use journal::{Journal, JournalOptions, Place};
use lane::Fresh;
use mirror::Mirror;
use runner::Lanes;
use schedule::{Millis, Schedule};
use space::Space;
use state::State;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// Content of fresh messages is handed over in memory up to so many octets in all; past it, it is read back.
const MEMORY_BUDGET: u64 = 4 << 20;

/// A segment of the journal past this many octets is followed by a new one.
const SEGMENT_SIZE: u32 = 64 << 20;

/// What a queue stands on. The default is the host: its disk, its clock.
#[derive(Debug, Clone)]
pub struct Footing {
    /// What it writes through.
    pub disk: Arc<dyn Disk>,
    /// What time it is.
    pub clock: Clock,
    /// A segment of the journal past this many octets is followed by a new one; once as many are dead, records move.
    pub segment_size: u32,
}

impl Default for Footing {
    fn default() -> Self {
        Self { disk: Arc::new(HostDisk), clock: Clock::System, segment_size: SEGMENT_SIZE }
    }
}

/// The queue. A clone is another handle on the same one.
#[derive(Clone)]
pub struct Queue {
    shared: Arc<Shared>,
}

struct Shared {
    directory: PathBuf,
    clock: Clock,
    disk: Arc<dyn Disk>,
    segment_size: u32,
    history: History,
    meter: Meter,
    journal: Journal,
    state: Mutex<State>,
    settings: RwLock<(QueueSettings, Schedule)>,
    space: Space,
    lanes: Lanes,
    departures: Departures,
    desk: RwLock<Option<Desk>>,
    /// Failed messages that wait to be told of in a digest.
    kept_back: AtomicUsize,
    last_id: AtomicU64,
    /// Octets of content that lanes keep in memory.
    memory: AtomicU64,
    /// Where several nodes share it.
    mirror: OnceLock<Arc<Mirror>>,
    /// What had left by the journal of earlier runs, for [`Queue::share`].
    departed: Mutex<Vec<QueueId>>,
    /// Memory of the messages under way.
    intakes: Arc<pool::Pool>,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue({})", self.shared.directory.display())
    }
}

impl Queue {
    /// Opens the queue under `directory`, reading what an earlier run left there, and telling `history` what that run
    /// may have left out. Blocks on the disk.
    ///
    /// # Errors
    /// Where the directory cannot be made, locked, read or written.
    pub fn open(
        directory: &Path,
        settings: QueueSettings,
        history: History,
    ) -> Result<(Self, Recovery), OpenError> {
        Self::open_on(Footing::default(), directory, settings, history)
    }

    /// Opens the queue with a clock of the caller's.
    ///
    /// # Errors
    /// As [`Queue::open`].
    pub fn open_with(
        directory: &Path,
        settings: QueueSettings,
        history: History,
        clock: Clock,
    ) -> Result<(Self, Recovery), OpenError> {
        Self::open_on(Footing { clock, ..Footing::default() }, directory, settings, history)
    }

    /// Opens the queue on another footing than the host's own, for tests and simulations.
    ///
    /// # Errors
    /// As [`Queue::open`].
    pub fn open_on(
        footing: Footing,
        directory: &Path,
        settings: QueueSettings,
        history: History,
    ) -> Result<(Self, Recovery), OpenError> {
        let Footing { disk, clock, segment_size } = footing;
        let options = JournalOptions { disk: disk.clone(), segment_size };
        let opened = recovery::open(directory, &options, &history)?;
        let schedule = Schedule::new(settings.retry.clone(), settings.expire);
        let shared = Shared {
            directory: directory.to_owned(),
            clock,
            history,
            meter: Meter::default(),
            journal: opened.journal,
            state: Mutex::new(opened.state),
            settings: RwLock::new((settings, schedule)),
            space: Space::new(disk.clone(), directory),
            disk,
            segment_size,
            lanes: Lanes::new(opened.lock),
            desk: RwLock::new(None),
            departures: Departures::default(),
            kept_back: AtomicUsize::new(0),
            last_id: AtomicU64::new(opened.last_id),
            memory: AtomicU64::new(0),
            mirror: OnceLock::new(),
            departed: Mutex::new(opened.departed),
            intakes: Arc::default(),
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

    /// Whether the journal's writer answers, whatever its disk says; `false` where it has ended. One that hangs in its
    /// disk keeps the caller waiting.
    pub async fn answers(&self) -> bool {
        self.journal().answers().await
    }

    /// Begins to receive a message.
    pub fn begin(&self) -> Intake {
        Intake::new(self.clone(), self.next_id())
    }

    /// Ids rise even where the clock goes back.
    fn next_id(&self) -> QueueId {
        let now = QueueId::new(self.now(), 0);
        let next = |last: u64| match self.mirror() {
            Some(mirror) => mirror.next_id(last, now),
            None => now.number().max(last + 1),
        };
        let last =
            self.shared.last_id.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        QueueId::from_number(next(last.unwrap_or_default()))
    }

    /// A committed message enters its lane: with its content, where it will go soon and there is memory for it.
    fn enter(&self, received: Arc<Received>, place: Place, content: ContentSource) {
        let (id, account) = (received.id, received.account.clone());
        let fresh = Fresh { content, received };
        let in_memory = fresh.in_memory();
        let mut state = self.state();
        let lane = state.lane_number(&account);
        let file = matches!(fresh.content, ContentSource::File { .. });
        let item = Item::received(&fresh.received, file, place, lane);
        state.appended(place);
        state.insert(item);
        let memory = self.shared.memory.load(Ordering::Relaxed);
        let lane = state.lane(&account);
        let handed_over =
            lane.flows() && memory + in_memory <= MEMORY_BUDGET && lane.push_fresh(item.class, fresh).is_ok();
        if handed_over {
            self.shared.memory.fetch_add(in_memory, Ordering::Relaxed);
            state.change(id, |item| item.phase = Phase::Waiting);
        } else {
            state.enqueue(id);
        }
        drop(state);
        self.shared.lanes.wake(&account);
    }

    /// A committed message whose transaction is under way.
    fn enter_active(&self, received: &Received, file: bool, place: Place) {
        let mut state = self.state();
        let lane = state.lane_number(&received.account);
        state.appended(place);
        state.insert(Item::received(received, file, place, lane));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it is kept what became of every message.
    pub fn history(&self) -> &History {
        &self.shared.history
    }

    /// What went through it.
    pub fn meter(&self) -> &Meter {
        &self.shared.meter
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
        self.shared.clock.now()
    }
}
