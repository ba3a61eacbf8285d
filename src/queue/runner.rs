//! Step 10 of the path: due messages are claimed for their account's lane and carried.

use super::{
    Queue, entry,
    entry::Received,
    item::Phase,
    lane::{Claim, Fresh},
    pace::memory,
    read_back::blocking,
    schedule::Millis,
    state::State,
    status::Status,
};
use crate::{
    account::{AccountId, Delivery, Pacing},
    failpoint::{self, Point},
    mail::{ContentSource, Envelope, Mailbox, QueueId, ReversePath},
    outbound::{Attempt, AttemptContent, Disposition, Outcome, Stage, Upstream},
};
use std::{
    collections::HashMap,
    fs::File,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
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

/// An account as the queue sees it.
#[derive(Clone)]
pub struct Outlet {
    /// The account.
    pub account: AccountId,
    /// How fast it may send.
    pub pacing: Pacing,
    /// When a client is told that its message is taken.
    pub delivery: Delivery,
    /// Its own address, which notifications come from.
    pub address: Option<Mailbox>,
    /// Who carries its mail.
    pub carrier: Arc<dyn Carrier>,
}

/// How often the lanes' paces are written, where they have changed.
const REMEMBER: Duration = Duration::from_secs(1);

/// The running half of the lanes.
pub(super) struct Lanes {
    running: Mutex<HashMap<AccountId, Running>>,
    pub(super) tasks: TaskTracker,
    stop: CancellationToken,
    /// The paces as they were written last.
    remembered: Mutex<String>,
    remembering: AtomicBool,
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
            remembered: Mutex::default(),
            remembering: AtomicBool::new(false),
            _lock: lock,
        }
    }

    /// Cancelled when the queue shuts down.
    pub(super) fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    pub(super) fn wake(&self, account: &AccountId) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = running.get(account) {
            lane.wake.notify_one();
        }
    }

    pub(super) fn carrier(&self, account: &AccountId) -> Option<Arc<dyn Carrier>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(account).map(|lane| lane.carrier.clone())
    }
}

impl Claimed {
    /// A message whose transaction was started elsewhere.
    pub(super) fn started(queue: &Queue, account: AccountId, id: QueueId, pacing: Pacing) -> Box<Self> {
        Box::new(Self { queue: queue.clone(), account, id, pacing, fresh: None, settled: false })
    }
}

/// A message that has been claimed. Dropped without having been settled, it goes back to its lane.
pub(super) struct Claimed {
    queue: Queue,
    pub(super) account: AccountId,
    pub(super) id: QueueId,
    pub(super) pacing: Pacing,
    fresh: Option<Fresh>,
    pub(super) settled: bool,
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if !self.settled {
            let mut state = self.queue.state();
            state.lane(&self.account).end();
            put_back(&mut state, self.id);
        }
    }
}

/// Returns an active message to its lane.
pub(super) fn put_back(state: &mut State, id: QueueId) {
    if state.item(id).is_some_and(|item| item.phase == Phase::Active) {
        state.enqueue(id);
    }
}

/// A transaction for the recipients at these indexes.
pub(super) fn attempt_at(
    queue_id: QueueId,
    envelope: &Envelope,
    tried: &[usize],
    content: AttemptContent,
) -> Attempt {
    Attempt {
        queue_id,
        reverse_path: envelope.reverse_path().clone(),
        recipients: entry::paths(envelope, tried),
        body: envelope.body(),
        smtputf8: envelope.smtputf8(),
        dsn: envelope.dsn_of(tried),
        content,
    }
}

/// Whether a message was refused for all recipients, and not because of them.
fn is_refused(outcome: &Outcome) -> bool {
    let refused = |disposition: &Disposition| match disposition {
        Disposition::Failed(trouble) => trouble.stage != Stage::Rcpt,
        _ => false,
    };
    !outcome.dispositions.is_empty() && outcome.dispositions.iter().all(refused)
}

enum Step {
    Run(Box<Claimed>),
    Wait(Millis),
    Idle,
}

impl Queue {
    /// Sets which accounts carry mail, how fast and by whom. Mail of all others waits. Call inside a tokio runtime.
    pub fn configure(&self, outlets: Vec<Outlet>) {
        let lanes = &self.shared.lanes;
        if !lanes.remembering.swap(true, Ordering::Relaxed) {
            lanes.tasks.spawn(self.clone().remember_paces());
            lanes.tasks.spawn(self.clone().notify());
        }
        let mut state = self.state();
        for lane in state.lanes_mut() {
            lane.pacing = None;
        }
        let mut running = lanes.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|account, lane| {
            let stays = outlets.iter().any(|outlet| outlet.account == *account);
            if !stays {
                // Its task wakes, finds itself gone, and ends.
                lane.wake.notify_one();
            }
            stays
        });
        for Outlet { account, pacing, delivery, address, carrier } in outlets {
            let lane = state.lane(&account);
            lane.pacing = Some(pacing);
            lane.delivery = delivery;
            lane.address = address;
            // What was wrong may have been the configuration.
            lane.brake.reconfigured(self.now());
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
        {
            let mut state = self.state();
            let lane = state.lane(account);
            lane.brake.release(now);
            // What is known is out of date; the probe finds out what holds now.
            lane.trouble = None;
        }
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
        self.write_paces().await;
    }

    async fn remember_paces(self) {
        let stop = &self.shared.lanes.stop;
        while !stop.is_cancelled() {
            tokio::select! {
                () = tokio::time::sleep(REMEMBER) => self.write_paces().await,
                () = stop.cancelled() => {}
            }
        }
    }

    async fn write_paces(&self) {
        let text = memory::to_text(self.state().lanes().iter().map(|lane| (&lane.account, &lane.pace)));
        let remembered = &self.shared.lanes.remembered;
        if *remembered.lock().unwrap_or_else(PoisonError::into_inner) == text {
            return;
        }
        let (directory, written) = (self.shared.directory.clone(), text.clone());
        match blocking(move || memory::write(&directory, &written)).await {
            Ok(()) => *remembered.lock().unwrap_or_else(PoisonError::into_inner) = text,
            Err(error) => tracing::warn!(target: "waxseal::queue", %error, "pace.json not written"),
        }
    }

    async fn run_lane(self, account: AccountId, wake: Arc<Notify>) {
        let stop = self.shared.lanes.stop.clone();
        while !stop.is_cancelled() {
            match self.claim(&account) {
                Step::Run(claimed) => {
                    self.shared.lanes.tasks.spawn(self.clone().work(account.clone(), claimed));
                }
                Step::Wait(until) => tokio::select! {
                    () = wake.notified() => {}
                    () = self.shared.clock.sleep_until(until) => {}
                    () = stop.cancelled() => {}
                },
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
        state.change(id, |item| item.phase = Phase::Active);
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
        failpoint::reach(Point::Claimed);
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
        let mut tried = status.outstanding(claimed.pacing.max_recipients_per_message);
        let granted =
            self.state().lane(&claimed.account).pace.reserve(&claimed.pacing, tried.len(), self.now());
        if granted == 0 && !tried.is_empty() {
            return; // The day is full: it goes back to its lane, which waits.
        }
        tried.truncate(granted);
        let mut attempt = attempt_at(received.id, &received.envelope, &tried, content.clone().into());
        let mut outcome = carrier.deliver(&attempt).await;
        let own_address = self.state().lane(&claimed.account).address.clone();
        if received.notification
            && is_refused(&outcome)
            && let Some(address) = own_address
        {
            // Some providers refuse the null reverse-path: then it comes from the account itself (RFC 3834 §4).
            attempt.reverse_path = ReversePath::Mailbox(address);
            outcome = carrier.deliver(&attempt).await;
        }
        drop(attempt);
        self.tell_relayed(&claimed.account, &received, &content, &tried, &outcome).await;
        drop(content);
        self.settle(claimed, &received, status, &tried, &outcome).await;
    }

    /// Reads a message back.
    async fn load(&self, id: QueueId) -> std::io::Result<(Arc<Received>, Status, ContentSource)> {
        let queue = self.clone();
        blocking(move || {
            let item = queue.state().item(id).copied();
            let mut message = queue.read_back(&item.ok_or(std::io::ErrorKind::NotFound)?)?;
            let content = queue.content_of(id, &mut message)?;
            Ok((Arc::new(message.received), message.status, content))
        })
        .await
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
        state.lane(&claimed.account).end();
        state.change(claimed.id, |item| item.phase = Phase::Held);
    }
}
