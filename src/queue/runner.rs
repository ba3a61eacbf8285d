//! Step 10 of the path: a task for each account's lane, which wakes when there is mail for it and starts workers.

use super::{Queue, allot::Allotter, lane::Share, pace::memory, read_back::blocking, worker::Step};
use crate::{
    account::{AccountId, Delivery, Pacing},
    mail::Mailbox,
    outbound::{Attempt, Begun, Outcome, Upstream},
};
use std::{
    collections::HashMap,
    fs::File,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The future of [`Carrier::deliver`].
pub type DeliverFuture<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// The future of [`Carrier::deliver_in_turn`].
pub type TurnFuture<'a> = Pin<Box<dyn Future<Output = (Outcome, Option<Begun>)> + Send + 'a>>;

/// Who carries an account's mail to its provider.
pub trait Carrier: Send + Sync + 'static {
    /// One transaction. Called as often at once as the account's `max_connections`.
    fn deliver<'a>(&'a self, attempt: &'a Attempt) -> DeliverFuture<'a>;

    /// How many connections are open to the provider, idle ones included.
    fn connections(&self) -> usize {
        0
    }

    /// Closes idle connections where more than `most` are open.
    fn close_beyond(&self, _most: usize) {}

    /// Whether it gains from knowing the attempt that comes next on the same connection.
    fn sends_ahead(&self) -> bool {
        false
    }

    /// One transaction in a row on one connection, as [`Upstream::deliver_in_turn`] does it.
    fn deliver_in_turn<'a>(
        &'a self,
        attempt: &'a Attempt,
        begun: Option<Begun>,
        next: Option<&'a Attempt>,
    ) -> TurnFuture<'a> {
        let _ = (begun, next);
        Box::pin(async move { (self.deliver(attempt).await, None) })
    }
}

impl Carrier for Upstream {
    fn deliver<'a>(&'a self, attempt: &'a Attempt) -> DeliverFuture<'a> {
        Box::pin(Upstream::deliver(self, attempt))
    }

    fn connections(&self) -> usize {
        Upstream::connections(self)
    }

    fn close_beyond(&self, most: usize) {
        Upstream::close_beyond(self, most);
    }

    fn sends_ahead(&self) -> bool {
        Upstream::sends_ahead(self)
    }

    fn deliver_in_turn<'a>(
        &'a self,
        attempt: &'a Attempt,
        begun: Option<Begun>,
        next: Option<&'a Attempt>,
    ) -> TurnFuture<'a> {
        Box::pin(Upstream::deliver_in_turn(self, attempt, begun, next))
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
    /// Who says what this node may use of limits that several keep together.
    pub(super) allotter: OnceLock<Arc<dyn Allotter>>,
    /// Some lane has not begun a message for lack of a share.
    pub(super) lack: Notify,
    /// Shares have come.
    pub(super) granted: Notify,
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
            allotter: OnceLock::new(),
            lack: Notify::new(),
            granted: Notify::new(),
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

    /// Whether the lane's task is the one that is woken by `wake`. An account that went and came back has another.
    fn runs(&self, account: &AccountId, wake: &Arc<Notify>) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(account).is_some_and(|lane| Arc::ptr_eq(&lane.wake, wake))
    }

    pub(super) fn carrier(&self, account: &AccountId) -> Option<Arc<dyn Carrier>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(account).map(|lane| lane.carrier.clone())
    }
}

impl Queue {
    /// Sets which accounts carry mail, how fast and by whom. Mail of all others waits. Call inside a tokio runtime.
    pub fn configure(&self, outlets: Vec<Outlet>) {
        let lanes = &self.shared.lanes;
        if !lanes.remembering.swap(true, Ordering::Relaxed) {
            // Nobody asks for these any more.
            *self.shared.departed.lock().unwrap_or_else(PoisonError::into_inner) = Vec::new();
            lanes.tasks.spawn(self.clone().remember_paces());
            lanes.tasks.spawn(self.clone().notify());
        }
        let mut state = self.state();
        for lane in state.lanes_mut() {
            lane.pacing = None;
            if !outlets.iter().any(|outlet| outlet.account == lane.account) {
                // Its mail may wait for long, and the memory is for mail that goes.
                self.shared.memory.fetch_sub(lane.shed(), Ordering::Relaxed);
            }
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
            if lanes.allotter.get().is_some() {
                lane.share.get_or_insert_with(Share::default);
            }
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
        self.tell_last().await;
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
            if !self.shared.lanes.runs(&account, &wake) {
                return;
            }
        }
    }
}
