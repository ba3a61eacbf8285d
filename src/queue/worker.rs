//! Steps 10 to 14 of the path for one message after another: a worker keeps a connection busy.

use super::{
    Queue, entry,
    entry::Received,
    item::Phase,
    lane::{Claim, Fresh, Lane, Share},
    read_back::blocking,
    runner::Carrier,
    schedule::Millis,
    state::State,
    status::Status,
};
use crate::{
    account::{AccountId, Pacing},
    failpoint::{self, Point},
    mail::{ContentSource, Envelope, QueueId, ReversePath},
    outbound::{Attempt, AttemptContent, Begun, Disposition, LaneEffect, Outcome, Stage},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

/// A content of so many octets leaves in one write: only behind such a one is another message begun.
const SHORT: usize = 64 << 10;
/// How long a message waits in milliseconds for the reply to the one before it, until another connection may have it.
const PATIENCE: Millis = 5_000;

/// A message that has been claimed. Dropped without having been settled, it goes back to its lane.
pub(super) struct Claimed {
    queue: Queue,
    pub(super) account: AccountId,
    pub(super) id: QueueId,
    pub(super) pacing: Pacing,
    fresh: Option<Fresh>,
    /// Whether it counts as a transaction of its lane. One that has been begun behind another takes that one's place
    /// when it is over.
    pub(super) counts: bool,
    pub(super) settled: bool,
}

impl Claimed {
    /// A message whose transaction was started elsewhere.
    pub(super) fn started(queue: &Queue, account: AccountId, id: QueueId, pacing: Pacing) -> Box<Self> {
        let queue = queue.clone();
        Box::new(Self { queue, account, id, pacing, fresh: None, counts: true, settled: false })
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if !self.settled {
            let mut state = self.queue.state();
            if self.counts {
                state.lane(&self.account).end();
            }
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

/// What a lane grants.
pub(super) enum Step {
    /// This message.
    Run(Box<Claimed>),
    /// Nothing before this time.
    Wait(Millis),
    /// Nothing until something changes.
    Idle,
}

/// A claimed message with all that its transaction takes.
struct Ready {
    claimed: Box<Claimed>,
    received: Arc<Received>,
    status: Status,
    content: ContentSource,
    /// The recipients that are tried, by their index in the envelope; they are counted against the day.
    tried: Vec<usize>,
    attempt: Arc<Attempt>,
}

impl Ready {
    /// Returns it to its lane as if it had never been claimed.
    fn give_back(self) {
        let queue = &self.claimed.queue;
        let now = queue.now();
        queue.state().lane(&self.claimed.account).refund(self.tried.len(), now);
    }

    /// Whether another may be begun behind it. A notification may have to be sent twice.
    fn may_lead(&self) -> bool {
        let short =
            matches!(&self.content, ContentSource::Memory(content) if content.octets().len() <= SHORT);
        short && !self.received.notification
    }
}

impl Queue {
    /// Claims the lane's next message.
    pub(super) fn claim(&self, account: &AccountId) -> Step {
        let now = self.now();
        let mut state = self.state();
        let lane = state.lane(account);
        let claim = self.within_share(lane, |lane| lane.claim(now));
        let Some(pacing) = lane.pacing else { return Step::Idle };
        match claim {
            Claim::Fresh(fresh) => Step::Run(self.claimed(&mut state, account, Ok(fresh), pacing, true)),
            Claim::Stored(id) => Step::Run(self.claimed(&mut state, account, Err(id), pacing, true)),
            Claim::Wait(until) => Step::Wait(until),
            Claim::Nothing => Step::Idle,
        }
    }

    /// Claims within what this node may use now; what it lacks for that is asked for.
    pub(super) fn within_share<T>(&self, lane: &mut Lane, claim: impl FnOnce(&mut Lane) -> T) -> T {
        lane.share.iter_mut().for_each(|share| share.expire(Instant::now()));
        let claimed = claim(lane);
        if lane.share.as_mut().is_some_and(Share::take_lack) {
            self.shared.lanes.lack.notify_one();
        }
        claimed
    }

    /// Claims the lane's next message where no connection is free for it: it can do no better than to be begun behind
    /// another.
    fn claim_behind(&self, account: &AccountId) -> Option<Box<Claimed>> {
        let now = self.now();
        let mut state = self.state();
        let lane = state.lane(account);
        let pacing = lane.pacing?;
        let granted = match self.within_share(lane, |lane| lane.claim_behind(now)) {
            Claim::Fresh(fresh) => Ok(fresh),
            Claim::Stored(id) => Err(id),
            Claim::Wait(_) | Claim::Nothing => return None,
        };
        Some(self.claimed(&mut state, account, granted, pacing, false))
    }

    fn claimed(
        &self,
        state: &mut State,
        account: &AccountId,
        granted: Result<Fresh, QueueId>,
        pacing: Pacing,
        counts: bool,
    ) -> Box<Claimed> {
        let (id, fresh) = match granted {
            Ok(fresh) => (fresh.received.id, Some(fresh)),
            Err(id) => (id, None),
        };
        let freed = fresh.as_ref().map_or(0, Fresh::in_memory);
        self.shared.memory.fetch_sub(freed, Ordering::Relaxed);
        state.change(id, |item| item.phase = Phase::Active);
        let (queue, account) = (self.clone(), account.clone());
        Box::new(Claimed { queue, account, id, pacing, fresh, counts, settled: false })
    }

    /// Carries a message, then whatever the lane grants next.
    pub(super) async fn work(self, account: AccountId, claimed: Box<Claimed>) {
        let mut begun = None;
        let mut ready = self.prepare(claimed).await;
        loop {
            let next = match ready {
                Some(ready) => self.carry(ready, &mut begun).await,
                None => None,
            };
            if self.shared.lanes.stopping().is_cancelled() {
                next.into_iter().for_each(Ready::give_back);
                return;
            }
            ready = match next {
                Some(next) => Some(next),
                None => match self.claim(&account) {
                    Step::Run(claimed) => self.prepare(claimed).await,
                    Step::Wait(_) | Step::Idle => {
                        // The lane's own task looks once more and sets its timer.
                        self.shared.lanes.wake(&account);
                        return;
                    }
                },
            };
        }
    }

    /// Gets all that a transaction takes. `None` where there can be none now; the message is seen to.
    async fn prepare(&self, mut claimed: Box<Claimed>) -> Option<Ready> {
        failpoint::reach(Point::Claimed);
        let (received, status, content) = match claimed.fresh.take() {
            Some(fresh) => {
                let recipients = fresh.received.envelope.forward_paths().len();
                (fresh.received.clone(), Status::fresh(recipients, fresh.received.received_at), fresh.content)
            }
            None => match self.load(claimed.id).await {
                Ok(loaded) => loaded,
                Err(error) => {
                    self.set_unreadable(&mut claimed, &error);
                    return None;
                }
            },
        };
        let mut tried = status.outstanding(claimed.pacing.max_recipients_per_message);
        let granted = self.state().lane(&claimed.account).reserve(&claimed.pacing, tried.len(), self.now());
        if granted == 0 && !tried.is_empty() {
            return None; // The day is full: it goes back to its lane, which waits.
        }
        tried.truncate(granted);
        let attempt = Arc::new(attempt_at(received.id, &received.envelope, &tried, content.clone().into()));
        Some(Ready { claimed, received, status, content, tried, attempt })
    }

    /// Carries a message, on the connection where it was `begun` if it was. Gives back the message that comes next on
    /// the same connection, where there is one.
    async fn carry(&self, ready: Ready, begun: &mut Option<Begun>) -> Option<Ready> {
        let Some(carrier) = self.shared.lanes.carrier(&ready.claimed.account) else {
            ready.give_back(); // The account has gone: its mail waits for it.
            return None;
        };
        let mut next = None;
        if carrier.sends_ahead()
            && ready.may_lead()
            && let Some(claimed) = self.claim_behind(&ready.claimed.account)
        {
            next = self.prepare(claimed).await;
        }
        let Ready { mut claimed, received, status, content, tried, attempt } = ready;
        let (mut outcome, next_begun) =
            self.deliver(&*carrier, &claimed, &attempt, begun.take(), &mut next).await;
        if received.notification && is_refused(&outcome) {
            let own_address = self.state().lane(&claimed.account).address.clone();
            if let Some(address) = own_address {
                // Some providers refuse the null reverse-path: then it comes from the account itself (RFC 3834 §4).
                let mut attempt = Attempt::clone(&attempt);
                attempt.reverse_path = ReversePath::Mailbox(address);
                outcome = carrier.deliver(&attempt).await;
            }
        }
        drop(attempt);
        if outcome.lane != LaneEffect::None {
            next.take().into_iter().for_each(Ready::give_back);
        }
        self.tell_relayed(&claimed.account, &received, &content, &tried, &outcome).await;
        drop(content);
        if let Some(next) = &mut next {
            next.claimed.counts = std::mem::take(&mut claimed.counts);
            *begun = next_begun;
        }
        self.settle(claimed, &received, status, &tried, &outcome).await;
        next
    }

    /// Delivers, with the next message on its heels. That one has its chance of another connection where the reply to
    /// this one takes too long.
    async fn deliver(
        &self,
        carrier: &dyn Carrier,
        claimed: &Claimed,
        attempt: &Attempt,
        begun: Option<Begun>,
        next: &mut Option<Ready>,
    ) -> (Outcome, Option<Begun>) {
        let next_attempt = next.as_ref().map(|next| next.attempt.clone());
        let mut delivery = carrier.deliver_in_turn(attempt, begun, next_attempt.as_deref());
        if next.is_none() {
            return delivery.await;
        }
        tokio::select! {
            delivered = &mut delivery => return delivered,
            () = self.shared.clock.sleep_until(self.now() + PATIENCE) => {}
        }
        next.take().into_iter().for_each(Ready::give_back);
        self.shared.lanes.wake(&claimed.account);
        delivery.await
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
        if claimed.counts {
            state.lane(&claimed.account).end();
        }
        state.change(claimed.id, |item| item.phase = Phase::Held);
    }
}
