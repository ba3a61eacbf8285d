//! Steps 10 and 14 of the path: due messages are claimed for their account's lane, carried, and settled.

use super::{
    Queue,
    brake::Cause,
    entry::{self, Next, Received, Status},
    journal::Durability,
    lane::{Claim, Fresh},
    record::{self, Record},
    schedule::Millis,
    state::{Phase, State},
};
use crate::{
    account::{AccountId, Pacing},
    mail::{Content, ContentSource, QueueId},
    outbound::{Attempt, Disposition, LaneEffect, Outcome, Upstream},
    telemetry::{self, AttemptEvent, MailEvent},
};
use bytes::Bytes;
use std::{
    collections::HashMap,
    fs::File,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The future of [`Carrier::deliver`].
pub type DeliverFuture<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Who carries an account's mail to its provider.
pub trait Carrier: Send + Sync + 'static {
    /// One transaction. Called as often at once as the account's `max_connections`.
    fn deliver<'a>(&'a self, attempt: &'a Attempt) -> DeliverFuture<'a>;
}

impl Carrier for Upstream {
    fn deliver<'a>(&'a self, attempt: &'a Attempt) -> DeliverFuture<'a> {
        Box::pin(Upstream::deliver(self, attempt))
    }
}

/// Waits are cut into pieces of this length, so that a clock that jumps is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The running half of the lanes.
pub(super) struct Lanes {
    running: Mutex<HashMap<AccountId, Running>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Keeps other processes out of the queue as long as it is open.
    _lock: File,
}

struct Running {
    wake: Arc<Notify>,
    carrier: Arc<dyn Carrier>,
}

impl Lanes {
    pub(super) fn new(lock: File) -> Self {
        Self {
            running: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            _lock: lock,
        }
    }

    pub(super) fn wake(&self, account: &AccountId) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = running.get(account) {
            lane.wake.notify_one();
        }
    }

    fn carrier(&self, account: &AccountId) -> Option<Arc<dyn Carrier>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(account).map(|lane| lane.carrier.clone())
    }
}

/// A message that has been claimed. Dropped without having been settled, it goes back to its lane.
struct Claimed {
    queue: Queue,
    account: AccountId,
    id: QueueId,
    pacing: Pacing,
    fresh: Option<Fresh>,
    settled: bool,
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if !self.settled {
            let mut state = self.queue.state();
            let lane = state.lane(&self.account);
            lane.active = lane.active.saturating_sub(1);
            lane.brake.forget_probe();
            put_back(&mut state, self.id);
        }
    }
}

/// Returns an active message to its lane.
fn put_back(state: &mut State, id: QueueId) {
    if let Some(item) = state.items.get_mut(&id) {
        item.phase = Phase::Waiting;
        let (account, at) = (item.account.clone(), item.next_attempt_at);
        state.lane(&account).push_due(at, id);
    }
}

enum Step {
    Run(Box<Claimed>),
    Wait(Millis),
    Idle,
}

impl Queue {
    /// Sets which accounts carry mail, how fast and by whom. Mail of all others waits. Call inside a tokio runtime.
    pub fn configure(&self, carriers: Vec<(AccountId, Pacing, Arc<dyn Carrier>)>) {
        let lanes = &self.shared.lanes;
        let mut state = self.state();
        for lane in state.lanes.values_mut() {
            lane.pacing = None;
        }
        let mut running = lanes.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|account, _| carriers.iter().any(|(id, ..)| id == account));
        for (account, pacing, carrier) in carriers {
            let lane = state.lane(&account);
            lane.pacing = Some(pacing);
            // What was wrong may have been the configuration.
            lane.brake.release(self.now());
            match running.get_mut(&account) {
                Some(lane) => {
                    lane.carrier = carrier;
                    lane.wake.notify_one();
                }
                None => {
                    let wake = Arc::new(Notify::new());
                    running.insert(account.clone(), Running { wake: wake.clone(), carrier });
                    lanes.tasks.spawn(self.clone().run_lane(account, wake));
                }
            }
        }
    }

    /// An account's trouble is said to be over: its mail goes at once.
    pub fn resume(&self, account: &AccountId) {
        let now = self.now();
        self.state().lane(account).brake.release(now);
        self.shared.lanes.wake(account);
    }

    /// Stops claiming, waits up to `grace` for transactions under way, and makes everything durable.
    pub async fn shutdown(&self, grace: Duration) {
        let lanes = &self.shared.lanes;
        lanes.stop.cancel();
        for running in lanes.running.lock().unwrap_or_else(PoisonError::into_inner).values() {
            running.wake.notify_one();
        }
        lanes.tasks.close();
        if tokio::time::timeout(grace, lanes.tasks.wait()).await.is_err() {
            tracing::warn!(target: "waxseal::queue", "transactions cut off by the shutdown are tried again");
        }
        if let Err(error) = self.journal().sync().await {
            tracing::error!(target: "waxseal::queue", %error, "journal not synced at shutdown");
        }
    }

    async fn run_lane(self, account: AccountId, wake: Arc<Notify>) {
        let stop = self.shared.lanes.stop.clone();
        while !stop.is_cancelled() {
            match self.claim(&account) {
                Step::Run(claimed) => {
                    self.shared.lanes.tasks.spawn(self.clone().work(account.clone(), claimed));
                }
                Step::Wait(until) => {
                    let wait = Duration::from_millis(until.saturating_sub(self.now())).min(LONGEST_SLEEP);
                    tokio::select! {
                        () = wake.notified() => {}
                        () = tokio::time::sleep(wait) => {}
                        () = stop.cancelled() => {}
                    }
                }
                Step::Idle => tokio::select! {
                    () = wake.notified() => {}
                    () = stop.cancelled() => {}
                },
            }
            let gone = self.shared.lanes.carrier(&account).is_none();
            if gone {
                return;
            }
        }
    }

    fn claim(&self, account: &AccountId) -> Step {
        let now = self.now();
        let mut state = self.state();
        let lane = state.lane(account);
        let claim = lane.claim(now);
        let Some(pacing) = lane.pacing else { return Step::Idle };
        let (id, fresh) = match claim {
            Claim::Fresh(fresh) => (fresh.received.id, Some(fresh)),
            Claim::Stored(id) => (id, None),
            Claim::Wait(until) => return Step::Wait(until),
            Claim::Nothing => return Step::Idle,
        };
        let freed = fresh.as_ref().map_or(0, Fresh::in_memory);
        self.shared.memory.fetch_sub(freed, Ordering::Relaxed);
        if let Some(item) = state.items.get_mut(&id) {
            item.phase = Phase::Active;
        }
        let account = account.clone();
        Step::Run(Box::new(Claimed { queue: self.clone(), account, id, pacing, fresh, settled: false }))
    }

    /// Carries a message, then whatever the lane grants next: a worker keeps a connection busy.
    async fn work(self, account: AccountId, mut claimed: Box<Claimed>) {
        loop {
            self.carry(claimed).await;
            if self.shared.lanes.stop.is_cancelled() {
                return;
            }
            match self.claim(&account) {
                Step::Run(next) => claimed = next,
                Step::Wait(_) | Step::Idle => {
                    // The lane's own task looks once more and sets its timer.
                    self.shared.lanes.wake(&account);
                    return;
                }
            }
        }
    }

    async fn carry(&self, mut claimed: Box<Claimed>) {
        let Some(carrier) = self.shared.lanes.carrier(&claimed.account) else { return };
        let (received, status, content) = match claimed.fresh.take() {
            Some(fresh) => {
                let status =
                    Status::fresh(fresh.received.envelope.forward_paths().len(), fresh.received.received_at);
                (fresh.received, status, fresh.content)
            }
            None => match self.load(claimed.id).await {
                Ok(loaded) => loaded,
                Err(error) => {
                    self.set_unreadable(&mut claimed, &error);
                    return;
                }
            },
        };
        let tried = status.outstanding(claimed.pacing.max_recipients_per_message);
        let attempt = Attempt {
            queue_id: received.id,
            reverse_path: received.envelope.reverse_path().clone(),
            recipients: entry::paths(&received.envelope, &tried),
            body: received.envelope.body(),
            smtputf8: received.envelope.smtputf8(),
            content,
        };
        let outcome = carrier.deliver(&attempt).await;
        drop(attempt);
        self.settle(claimed, &received, status, &tried, &outcome).await;
    }

    /// Reads a message back from the journal.
    async fn load(&self, id: QueueId) -> std::io::Result<(Arc<Received>, Status, ContentSource)> {
        let queue = self.clone();
        let read = move || {
            let places = queue.state().items.get(&id).map(|item| (item.received, item.status));
            let Some((place, status)) = places else { return Err(std::io::ErrorKind::NotFound.into()) };
            let (record, content) = queue.journal().read(place)?;
            let Record::Received { received, inline } = record else {
                return Err(std::io::ErrorKind::InvalidData.into());
            };
            let status = match status {
                None => Status::fresh(received.envelope.forward_paths().len(), received.received_at),
                Some(place) => match queue.journal().read(place)?.0 {
                    Record::Status { status, .. } => status,
                    _ => return Err(std::io::ErrorKind::InvalidData.into()),
                },
            };
            let source = if inline {
                let content = Content::new(Bytes::from(content)).map_err(std::io::Error::other)?;
                ContentSource::Memory(content)
            } else {
                let path = queue.content_path(id);
                let octets = std::fs::metadata(&path)?.len();
                if octets != received.size {
                    return Err(std::io::Error::other(
                        "the content file has another length than was committed",
                    ));
                }
                ContentSource::File { path, octets }
            };
            Ok((Arc::new(received), status, source))
        };
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|e| Err(std::io::Error::other(e)))
    }

    /// A message that cannot be read back is held for an operator, never dropped.
    fn set_unreadable(&self, claimed: &mut Claimed, error: &std::io::Error) {
        tracing::error!(
            target: "waxseal::queue",
            queue_id = %claimed.id, account = %claimed.account, %error,
            "message cannot be read back; it is held"
        );
        claimed.settled = true;
        let mut state = self.state();
        let lane = state.lane(&claimed.account);
        lane.active = lane.active.saturating_sub(1);
        lane.brake.forget_probe();
        if let Some(item) = state.items.get_mut(&claimed.id) {
            item.phase = Phase::Held;
        }
    }

    async fn settle(
        &self,
        mut claimed: Box<Claimed>,
        received: &Received,
        mut status: Status,
        tried: &[usize],
        outcome: &Outcome,
    ) {
        let now = self.now();
        let next =
            status.settle(tried, outcome, received.received_at, now, &self.schedule(), fastrand::f64());
        report(received, tried.len(), &status, outcome, next, now);
        let changed = match next {
            Next::Done | Next::Untried => None,
            Next::Deferred | Next::Failed | Next::Expired => Some(record::encode_status(claimed.id, &status)),
        };
        // The record of a departure is written behind the worker's back: its connection has better things to do.
        if next == Next::Done {
            self.shared.lanes.tasks.spawn(self.clone().depart(claimed.id));
        }
        let place = match changed {
            None => None,
            Some(octets) => match self.journal().append(octets, Durability::Written).await {
                Ok(place) => Some(place),
                Err(error) => {
                    tracing::error!(target: "waxseal::queue", queue_id = %claimed.id, %error, "status not written");
                    None
                }
            },
        };
        claimed.settled = true;
        let mut state = self.state();
        if let Some(place) = place {
            state.restatus(claimed.id, place);
        }
        if let Some(item) = state.items.get_mut(&claimed.id) {
            item.attempts = status.attempts;
            item.next_attempt_at = status.next_attempt_at;
            match next {
                Next::Done => {}
                Next::Deferred | Next::Untried => put_back(&mut state, claimed.id),
                Next::Failed | Next::Expired => {
                    item.phase = Phase::Failed;
                    item.failed_at = now;
                }
            }
        }
        let lane = state.lane(&claimed.account);
        lane.active = lane.active.saturating_sub(1);
        let changed = lane.brake.after(&outcome.lane, now, fastrand::f64());
        let cause = lane.brake.cause();
        if outcome.dispositions.iter().any(|d| matches!(d, Disposition::Delivered(_))) {
            lane.last_success_at = Some(now);
        }
        match (&outcome.trouble, cause) {
            (_, None) => lane.trouble = None,
            (Some(trouble), Some(_)) => lane.trouble = Some((trouble.to_string(), trouble.remedy.clone())),
            (None, Some(_)) => {}
        }
        let trouble = lane.trouble.clone().unwrap_or_default();
        if cause.is_some() {
            self.shared.memory.fetch_sub(lane.shed(), Ordering::Relaxed);
        }
        drop(state);
        match cause {
            None if changed => telemetry::account_recovered(&claimed.account),
            Some(cause) if changed => {
                let state = if cause == Cause::Pause { "held" } else { "failing" };
                telemetry::account_trouble(&claimed.account, state, &trouble.0, &trouble.1);
            }
            _ => {}
        }
    }

    /// Writes that a message has left, and lets go of what it took.
    pub(super) async fn depart(self, id: QueueId) {
        match self.journal().append(record::encode_done(id), Durability::Written).await {
            Ok(place) => self.state().appended(place),
            // It was delivered all the same; the next start will deliver it again.
            Err(error) => {
                tracing::error!(target: "waxseal::queue", queue_id = %id, %error, "departure not written");
            }
        }
        self.discard(id);
    }

    /// Takes a message out of the index and off the disk, once its departure is written.
    pub(super) fn discard(&self, id: QueueId) {
        let item = self.state().forget(id);
        if item.is_some_and(|item| item.file) {
            self.journal().remove_file(self.content_path(id));
        }
        self.remove_dead_segments();
    }

    pub(super) fn remove_dead_segments(&self) {
        let dead = self.state().dead_segments();
        for number in dead {
            if let Err(error) = self.journal().remove_segment(number) {
                tracing::warn!(target: "waxseal::queue", segment = number, %error, "dead segment not removed");
            }
        }
    }
}

/// Writes the events of an attempt: one a kind of outcome.
fn report(received: &Received, tried: usize, status: &Status, outcome: &Outcome, next: Next, now: Millis) {
    let delay_ms = now.saturating_sub(received.received_at);
    let event = |to, reply: &str, write: fn(&MailEvent<'_>, &AttemptEvent<'_>)| {
        let mail = MailEvent {
            queue_id: received.id,
            account: &received.account,
            from: received.envelope.reverse_path(),
            to,
            size: received.size,
        };
        write(&mail, &AttemptEvent { relay: &outcome.relay, tls: &outcome.tls, reply, delay_ms });
    };
    let mut delivered = (0, String::new());
    let mut deferred = (0, String::new());
    let mut failed = (0, String::new());
    for disposition in &outcome.dispositions {
        let (count, text) = match disposition {
            Disposition::Delivered(reply) => (&mut delivered, reply.to_string()),
            Disposition::Deferred(trouble) if trouble.in_doubt => {
                (&mut deferred, format!("{trouble}; the provider may have it: a retry may duplicate it"))
            }
            Disposition::Deferred(trouble) => (&mut deferred, trouble.to_string()),
            Disposition::Failed(trouble) => (&mut failed, trouble.to_string()),
        };
        count.0 += 1;
        count.1 = text;
    }
    if delivered.0 > 0 {
        event(delivered.0, &delivered.1, telemetry::delivered);
    }
    if failed.0 > 0 {
        event(failed.0, &failed.1, telemetry::failed);
    }
    if next == Next::Expired {
        event(tried - delivered.0 - failed.0, &status.last_reply, telemetry::expired);
    } else if deferred.0 > 0 {
        event(deferred.0, &deferred.1, telemetry::deferred);
    } else if next == Next::Untried && outcome.lane != LaneEffect::None {
        let reply = outcome.trouble.as_ref().map(ToString::to_string).unwrap_or_default();
        event(tried, &reply, telemetry::deferred);
    }
}
