//! Several nodes keep an account's limits together: each asks for a share of them before it sends, and keeps within it.

mod postgres;

pub use postgres::SharedPacing;

use super::{
    Queue,
    lane::{Batch, Draw, Lane, Share},
};
use crate::account::AccountId;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// Between two questions where everything was granted that was asked for.
const KEEP_UP: Duration = Duration::from_secs(2);
/// Between two questions where it was not.
const AGAIN: Duration = Duration::from_millis(300);
/// How long a client whose message goes through waits for a share; then it is queued.
const MOMENT: Duration = Duration::from_millis(500);
/// The least time between two questions.
const BREATH: Duration = Duration::from_millis(10);

/// What a node would have of an account's limits.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) account: AccountId,
    /// The account's `max_connections`.
    pub(super) most: usize,
    /// Connections that are open or in use.
    pub(super) open: usize,
    /// Connections that would be used.
    pub(super) want: usize,
    pub(super) draws: Vec<Draw>,
    pub(super) unused: Vec<Batch>,
}

/// What it may have.
#[derive(Debug, Clone)]
pub(super) struct Allotted {
    pub(super) account: AccountId,
    pub(super) connections: usize,
    /// When the connections end.
    pub(super) ends: Instant,
    pub(super) batches: Vec<Batch>,
}

/// The future of [`Allotter::ask`].
pub(super) type AskFuture<'a> = Pin<Box<dyn Future<Output = Option<Vec<Allotted>>> + Send + 'a>>;

/// Who says what a node may use.
pub(super) trait Allotter: Send + Sync + 'static {
    /// Answers some wishes, in the order of their accounts; `None` where nobody can be asked.
    fn ask(&self, wishes: Vec<Wish>) -> AskFuture<'_>;

    /// Gives everything back: this process sends no more.
    fn leave(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

impl Queue {
    /// Keeps the accounts' limits together with other nodes from now on. Call it before [`Queue::configure`].
    pub fn share_pacing(&self, pacing: SharedPacing) {
        let allotter: Arc<dyn Allotter> = Arc::new(pacing);
        if self.shared.lanes.allotter.set(allotter.clone()).is_ok() {
            self.shared.lanes.tasks.spawn(self.clone().ask_for_shares(allotter));
        }
    }

    /// Waits a moment for a share, for a message whose client waits for the provider's verdict.
    pub(super) async fn wait_for_share(&self, account: &AccountId) {
        if self.shared.lanes.allotter.get().is_none() || !self.is_short_of_share(account) {
            return;
        }
        let expect = |change: fn(&mut Share)| self.state().lane(account).share.iter_mut().for_each(change);
        expect(Share::expect);
        self.wait_while(|| self.is_short_of_share(account)).await;
        expect(Share::expect_no_more);
    }

    /// Waits a moment for a share, for a message that might be sent ahead of its end once there is one.
    pub(super) async fn wait_to_send_ahead(&self, account: &AccountId) {
        if self.shared.lanes.allotter.get().is_some() {
            self.wait_while(|| self.may_send_ahead_soon(account)).await;
        }
    }

    /// Waits for as long as there is a lack of a share, and a moment at most.
    async fn wait_while(&self, is_lacking: impl Fn() -> bool) {
        let _ = timeout(MOMENT, async {
            loop {
                let granted = self.shared.lanes.granted.notified();
                self.shared.lanes.lack.notify_one();
                if !is_lacking() {
                    return;
                }
                granted.await;
            }
        })
        .await;
    }

    /// Whether a message might be sent ahead of its end once there is a share; it is asked for.
    pub(super) fn may_send_ahead_soon(&self, account: &AccountId) -> bool {
        let mut state = self.state();
        self.within_share(state.lane(account), Lane::would_spare_one)
    }

    fn is_short_of_share(&self, account: &AccountId) -> bool {
        let mut state = self.state();
        self.within_share(state.lane(account), Lane::is_short_of_share)
    }

    /// Gives all shares back, once nothing is sent and no connection is open any more.
    pub async fn give_shares_back(&self) {
        if let Some(allotter) = self.shared.lanes.allotter.get() {
            allotter.leave().await;
        }
    }

    async fn ask_for_shares(self, allotter: Arc<dyn Allotter>) {
        let lanes = &self.shared.lanes;
        let stop = lanes.stopping();
        loop {
            let wishes = self.wishes();
            let mut pause = if wishes.is_empty() { None } else { Some(KEEP_UP) };
            if !wishes.is_empty() {
                let unmet = |allotted: &[Allotted]| {
                    wishes.iter().zip(allotted).any(|(wish, got)| {
                        got.connections < wish.want || got.batches.iter().any(|batch| batch.count == 0)
                    })
                };
                match allotter.ask(wishes.clone()).await {
                    Some(allotted) => {
                        if unmet(&allotted) {
                            pause = Some(AGAIN);
                        }
                        self.take_up(allotted);
                    }
                    None => pause = Some(AGAIN),
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = lanes.lack.notified() => sleep(BREATH).await,
                () = sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            }
        }
    }

    /// What every lane would have; none of those that neither have nor want anything.
    fn wishes(&self) -> Vec<Wish> {
        let (now, instant) = (self.now(), Instant::now());
        let lanes = &self.shared.lanes;
        let mut over = Vec::new();
        let mut wishes = Vec::new();
        for lane in self.state().lanes_mut() {
            let carrier = lanes.carrier(&lane.account);
            let open = carrier.as_ref().map_or(0, |carrier| carrier.connections());
            let Some(wish) = lane.wish(open, now, instant) else { continue };
            over.extend(carrier.map(|carrier| (carrier, lane.shared_connections())));
            wishes.push(wish);
        }
        for (carrier, connections) in over {
            carrier.close_beyond(connections);
        }
        wishes.sort_by(|a, b| a.account.cmp(&b.account));
        wishes
    }

    fn take_up(&self, allotted: Vec<Allotted>) {
        let mut woken = Vec::new();
        {
            let mut state = self.state();
            for Allotted { account, connections, ends, batches } in allotted {
                if let Some(share) = &mut state.lane(&account).share {
                    share.take_up(connections, ends, batches);
                    woken.push((account, connections));
                }
            }
        }
        self.shared.lanes.granted.notify_waiters();
        for (account, connections) in woken {
            if let Some(carrier) = self.shared.lanes.carrier(&account) {
                carrier.close_beyond(connections);
            }
            self.shared.lanes.wake(&account);
        }
    }
}
