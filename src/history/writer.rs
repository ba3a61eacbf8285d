//! The one writer: it gathers what is told, appends it, syncs once a second, and removes what has been kept long
//! enough. A disk that refuses is said once, and tried again.

use super::{
    days::Days,
    ledger::{DAY, Ledger, Lines},
};
use crate::meter::unix_millis;
use std::{
    io, mem,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Lines are gathered for so long, so that tellers seldom have to wake the writer.
const GATHER: Duration = Duration::from_millis(20);
/// What is written is durable after this long at the latest.
const SYNC: Duration = Duration::from_secs(1);
/// How long to wait after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// How often to look whether a day has been kept long enough while nothing is told.
const IDLE: Duration = Duration::from_secs(3600);

/// To be done once what was told before is durable.
type Work = Box<dyn FnOnce() + Send>;

/// What tellers and the writer share.
pub(super) struct Shared {
    state: Mutex<State>,
    /// The writer waits here.
    work: Condvar,
    /// Those who recall wait here.
    room: Condvar,
}

struct State {
    ledger: Ledger,
    then: Vec<Work>,
    keep: Duration,
    trouble: Option<String>,
    /// The writer sleeps until it is woken, and not just to gather.
    idle: bool,
    closing: bool,
}

impl State {
    fn is_urgent(&self) -> bool {
        self.closing || !self.then.is_empty()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

impl Shared {
    pub(super) fn new(keep: Duration) -> Self {
        let state = State {
            ledger: Ledger::default(),
            then: Vec::new(),
            keep,
            trouble: None,
            idle: false,
            closing: false,
        };
        Self { state: Mutex::new(state), work: Condvar::new(), room: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn announce(&self, at: u64) {
        self.state().ledger.announce(at);
    }

    pub(super) fn tell(&self, at: u64, lines: &[u8], count: usize) {
        let mut state = self.state();
        state.ledger.tell(at, lines, count);
        self.wake(state);
    }

    pub(super) fn miss(&self, at: u64) {
        self.state().ledger.miss(at);
    }

    pub(super) fn recall(&self, at: u64, line: &[u8]) {
        let full = |state: &mut State| !state.ledger.has_room(line.len()) && state.trouble.is_none();
        let waited = self.room.wait_while(self.state(), full);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.ledger.take_in(at, line, 1);
        self.wake(state);
    }

    pub(super) fn then(&self, work: Work) {
        self.state().then.push(work);
        self.work.notify_one();
    }

    pub(super) fn close(&self) {
        self.state().closing = true;
        self.work.notify_one();
    }

    pub(super) fn set_keep(&self, keep: Duration) {
        self.state().keep = keep;
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        if mem::take(&mut state.idle) || state.ledger.is_filling() {
            drop(state);
            self.work.notify_one();
        }
    }

    /// Waits until there is something to do, or for `patience`; then gathers a little more.
    fn wait(&self, patience: Duration) -> Turn {
        let mut state = self.state();
        state.idle = true;
        let nothing = |state: &mut State| state.ledger.is_empty() && !state.is_urgent();
        state =
            self.work.wait_timeout_while(state, patience, nothing).unwrap_or_else(PoisonError::into_inner).0;
        state.idle = false;
        let gathering =
            |state: &mut State| !state.ledger.is_empty() && !state.ledger.is_filling() && !state.is_urgent();
        state =
            self.work.wait_timeout_while(state, GATHER, gathering).unwrap_or_else(PoisonError::into_inner).0;
        let (lines, mark) = state.ledger.take(unix_millis());
        let turn =
            Turn { lines, mark, then: mem::take(&mut state.then), keep: state.keep, closing: state.closing };
        drop(state);
        self.room.notify_all();
        turn
    }
}

/// What is to be done now.
struct Turn {
    lines: Lines,
    mark: u64,
    then: Vec<Work>,
    keep: Duration,
    closing: bool,
}

/// The writing half.
pub(super) struct Writer {
    shared: Arc<Shared>,
    days: Days,
    /// Since when something is written and not synced.
    unsynced: Option<Instant>,
    /// The mark that holds after the next sync.
    mark: u64,
    /// The mark that was written last.
    marked: u64,
    /// The day before which files were to be removed last.
    pruned: Option<u64>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, directory: PathBuf) -> Self {
        let marked = super::days::read_mark(&directory);
        Self { shared, days: Days::new(directory), unsynced: None, mark: marked, marked, pruned: None }
    }

    /// Writes until the last handle is gone.
    pub(super) fn run(&mut self) {
        let mut started = false;
        loop {
            let patience = self.unsynced.map_or(IDLE, |since| SYNC.saturating_sub(since.elapsed()));
            let turn = self.shared.wait(patience);
            started |= !turn.lines.is_empty() || !turn.then.is_empty();
            let error = self.take(turn.lines, turn.mark, turn.closing || !turn.then.is_empty()).err();
            let failed = error.is_some();
            self.report(error);
            turn.then.into_iter().for_each(|work| work());
            if started {
                self.prune(turn.keep);
            }
            if turn.closing {
                return;
            }
            if failed {
                self.pause();
            }
        }
    }

    /// Writes lines, and syncs where that is asked for or due.
    fn take(&mut self, lines: Lines, mark: u64, sync: bool) -> io::Result<()> {
        let mut result = Ok(());
        for (day, part) in lines.parts() {
            result = self.days.append(day, part);
            if result.is_err() {
                break;
            }
        }
        if result.is_err() {
            self.days.forget();
            self.shared.state().ledger.put_back(lines);
            return result;
        }
        self.mark = mark;
        if !lines.is_empty() {
            self.unsynced.get_or_insert_with(Instant::now);
        }
        if self.unsynced.is_some_and(|since| sync || since.elapsed() >= SYNC) {
            self.unsynced = None;
            self.days.sync().inspect_err(|_| {
                // Pages that could not be written may be gone for good: the next start gets them from the journal.
                self.days.forget();
                self.shared.state().ledger.stop_at(self.marked);
            })?;
            self.days.mark(self.mark)?;
            self.marked = self.mark;
        }
        Ok(())
    }

    /// Waits before the next try, unless somebody waits for it.
    fn pause(&self) {
        let state = self.shared.state();
        let patient = |state: &mut State| !state.is_urgent();
        drop(self.shared.work.wait_timeout_while(state, RETRY, patient));
    }

    /// Trouble is said once, and so is its end, with what it cost.
    fn report(&self, error: Option<io::Error>) {
        let mut state = self.shared.state();
        let was = mem::replace(&mut state.trouble, error.as_ref().map(ToString::to_string));
        let lost = if error.is_none() { state.ledger.take_lost() } else { 0 };
        drop(state);
        if let Some(error) = error {
            self.shared.room.notify_all();
            if was.is_none() {
                tracing::warn!(target: "waxseal::history", %error, "history not written; mail goes on");
            }
        } else if was.is_some() || lost > 0 {
            // What was lost is in the journal still, and the next start takes it from there.
            tracing::warn!(target: "waxseal::history", lost, "history is written again");
        }
    }

    fn prune(&mut self, keep: Duration) {
        let before = unix_millis().saturating_sub(keep.as_millis() as u64);
        if self.pruned == Some(before / DAY) {
            return;
        }
        self.pruned = Some(before / DAY);
        if let Err(error) = self.days.prune(before) {
            tracing::warn!(target: "waxseal::history", %error, "outlived history not removed");
        }
    }
}
