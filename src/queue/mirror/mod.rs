//! Several nodes: every message of this queue has a copy in the database that they share, and belongs to one node at a
//! time. This host's journal is what the node works with, the copy is what the others take over where the node is gone.
//!
//! A message is acknowledged once its copy is committed; where the database is away, once it is on this host's disk, and
//! copied later. What the copy has to learn besides is told behind everybody's back.

mod commits;
mod copies;
mod pending;
mod takeover;

use super::{Queue, journal::Durability};
use crate::{
    database::{Database, Membership},
    failpoint::{self, Point},
    mail::QueueId,
};
use commits::{Commits, commit};
use copies::{Original, restate};
use pending::{Pending, Work};
use std::{
    collections::HashSet,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

/// Between two attempts to tell what could not be told.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a shutdown waits until the copies say what has become of the messages.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Bits of an id that tell nodes apart; the messages of one millisecond are told apart by the ten above them.
const NODE_BITS: u32 = 10;

/// The database that the nodes' queues are copied to.
pub struct SharedQueue(Database);

impl SharedQueue {
    /// In this database.
    pub fn new(database: Database) -> Self {
        Self(database)
    }
}

/// The copy of a queue, as the node that has the queue sees it.
pub(super) struct Mirror {
    database: Database,
    pending: Mutex<Pending>,
    /// There is something to tell.
    wake: Notify,
    commits: Commits,
    /// What had left by the journal of an earlier run, until the copies agree with it.
    departed: Mutex<Option<HashSet<QueueId>>>,
    /// This run's messages are later than this.
    begun: QueueId,
}

impl Mirror {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the database takes copies, as far as is known.
    pub(super) fn is_there(&self) -> bool {
        *self.database.membership().borrow() != Membership::Out && self.database.standing().trouble.is_none()
    }

    /// How durable a receipt has to be on this host's disk: where its copy is committed, that is the promise.
    pub(super) fn durability(&self) -> Durability {
        if self.is_there() { Durability::Copied } else { Durability::Synced }
    }

    /// A message's status has changed.
    pub(super) fn status(&self, id: QueueId) {
        self.pending().status(id);
        self.wake.notify_one();
    }

    /// Messages have left.
    pub(super) fn gone(&self, ids: impl Iterator<Item = QueueId>) {
        let mut pending = self.pending();
        ids.for_each(|id| pending.gone(id));
        drop(pending);
        self.wake.notify_one();
    }

    /// Whether departures are still to be told: their records must not go before that, or the messages would come back
    /// with the next start.
    pub(super) fn is_behind(&self) -> bool {
        self.pending().has_gone()
    }

    /// The next id of this node after `last`, at this time.
    pub(super) fn next_id(&self, last: u64, now: QueueId) -> u64 {
        let above = |number: u64| (number >> NODE_BITS) << NODE_BITS;
        let next = above(now.number()).max(above(last) + (1 << NODE_BITS));
        next | (u64::from(self.database.number()) & ((1 << NODE_BITS) - 1))
    }
}

impl Queue {
    /// Has this queue copied to the database from now on. Call it before [`Queue::configure`], inside a tokio runtime.
    pub fn share(&self, SharedQueue(database): SharedQueue) {
        let departed =
            std::mem::take(&mut *self.shared.departed.lock().unwrap_or_else(PoisonError::into_inner));
        let (commits, jobs) = Commits::new();
        let mirror = Arc::new(Mirror {
            pending: Mutex::default(),
            wake: Notify::new(),
            commits,
            departed: Mutex::new(Some(departed.into_iter().collect())),
            begun: QueueId::new(self.now(), 0),
            database,
        });
        if self.shared.mirror.set(mirror.clone()).is_ok() {
            let tasks = &self.shared.lanes.tasks;
            tasks.spawn(jobs.run(mirror.database.clone(), self.shared.lanes.stopping()));
            tasks.spawn(self.clone().keep_copies(mirror.clone()));
            tasks.spawn(self.clone().stay_a_member(mirror));
        }
    }

    pub(super) fn mirror(&self) -> Option<&Arc<Mirror>> {
        self.shared.mirror.get()
    }

    /// How many messages are on this host's disk alone; `None` where they all are, as a matter of course.
    pub fn uncopied(&self) -> Option<usize> {
        self.mirror().map(|mirror| mirror.pending().alone())
    }

    /// Whether a message that is in the journal, as durable as [`Mirror::durability`] had it, may be acknowledged: with
    /// its copy committed, or else on this host's disk.
    pub(super) async fn promise(
        &self,
        mirror: &Mirror,
        id: QueueId,
        receipt: Vec<u8>,
        file: Option<PathBuf>,
        durability: Durability,
    ) -> io::Result<()> {
        if durability == Durability::Copied {
            failpoint::reach(Point::RecordWritten);
            if mirror.commits.commit(Original { id, receipt, file }).await {
                failpoint::reach(Point::RecordSynced);
                return Ok(());
            }
            if let Err(error) = self.journal().sync().await {
                // Its client keeps it, so that no copy is to be sent, either.
                mirror.gone([id].into_iter());
                return Err(error);
            }
        }
        mirror.pending().kept(id);
        mirror.wake.notify_one();
        Ok(())
    }

    /// Tells the copies what has become of the messages, until the queue stops.
    async fn keep_copies(self, mirror: Arc<Mirror>) {
        let stop = self.shared.lanes.stopping();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = mirror.wake.notified() => {}
            }
            while !stop.is_cancelled() && !self.tell_copies(&mirror).await {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep(AGAIN) => {}
                }
            }
        }
    }

    /// At a shutdown: what is left to be told, as far as it can be.
    pub(super) async fn tell_last(&self) {
        let Some(mirror) = self.mirror() else { return };
        let _ = timeout(LAST_WORDS, self.tell_copies(mirror)).await;
    }

    /// Tells all there is to tell; whether that went well.
    async fn tell_copies(&self, mirror: &Mirror) -> bool {
        loop {
            let work = {
                let pending = mirror.pending();
                if pending.is_empty() {
                    return true;
                }
                pending.next()
            };
            if !mirror.is_there() || self.tell_some(mirror, &work).await.is_none() {
                return false;
            }
        }
    }

    async fn tell_some(&self, mirror: &Mirror, work: &Work) -> Option<()> {
        if !work.gone.is_empty() {
            copies::remove(&mirror.database, &work.gone).await.ok()?;
            let gone = Work { gone: work.gone.clone(), ..Work::default() };
            mirror.pending().told(&gone);
            self.remove_dead_segments();
        }
        let mut originals = Vec::new();
        for id in &work.kept {
            originals.extend(self.original(*id).await);
        }
        let mut alone: Vec<QueueId> = originals.iter().map(|original| original.id).collect();
        if !originals.is_empty() {
            let committed = commit(&mirror.database, originals).await;
            alone.retain(|id| !committed.contains(id));
        }
        // Taken out before they are read, so that what changes meanwhile is told again.
        {
            let mut pending = mirror.pending();
            pending.told(work);
            alone.iter().for_each(|id| pending.kept(*id));
        }
        let mut statuses = Vec::new();
        for id in &work.statuses {
            if let Some(record) = self.status_record(*id).await {
                statuses.push((*id, record));
            }
        }
        if !statuses.is_empty() && restate(&mirror.database, &statuses).await.is_err() {
            let mut pending = mirror.pending();
            statuses.iter().for_each(|(id, _)| pending.status(*id));
            return None;
        }
        // Until a copy is committed the message is on this host's disk alone, and is said to be.
        alone.is_empty().then_some(())
    }

    /// A message as it is copied, read back; `None` where it has left, or cannot be read.
    async fn original(&self, id: QueueId) -> Option<Original> {
        let item = self.state().item(id).copied()?;
        let file = item.has_file().then(|| self.content_path(id));
        let queue = self.clone();
        let read = super::read_back::blocking(move || queue.journal().read_raw(item.received)).await;
        Some(Original { id, receipt: read.ok()?, file })
    }

    /// The record of a message's status, where it has one.
    async fn status_record(&self, id: QueueId) -> Option<Vec<u8>> {
        let place = self.state().item(id)?.status;
        if place == super::Place::NONE {
            return None;
        }
        let queue = self.clone();
        super::read_back::blocking(move || queue.journal().read_raw(place)).await.ok()
    }
}
