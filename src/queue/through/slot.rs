//! A transaction of a message that the queue does not have: counted in its lane all the same.

use crate::{
    account::{AccountId, ApplicationId, Delivery, Pacing},
    mail::{Envelope, QueueId},
    outbound::{AttemptContent, Outcome},
    queue::{
        Queue,
        lane::sender_class,
        worker::{Claimed, attempt_at},
    },
};
use std::sync::{Arc, atomic::AtomicBool};
use tokio::task::JoinHandle;

/// A transaction of a message that the queue does not have, counted in its lane until it is dropped or given away.
pub(super) struct Slot {
    queue: Queue,
    pub(super) account: AccountId,
    pacing: Pacing,
    /// Recipients counted against the day.
    reserved: usize,
    given_away: bool,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.given_away {
            let now = self.queue.now();
            let mut state = self.queue.state();
            let lane = state.lane(&self.account);
            lane.refund(self.reserved, now);
            lane.end();
            drop(state);
            self.queue.shared.lanes.wake(&self.account);
        }
    }
}

impl Slot {
    /// The slot goes over to the queue: it ends with the settling of the message.
    pub(super) fn give_to(mut self, id: QueueId) -> Box<Claimed> {
        self.given_away = true;
        Claimed::started(&self.queue, self.account.clone(), id, self.pacing)
    }

    /// The slot ends with what the attempt said about the lane.
    pub(super) fn end(mut self, outcome: &Outcome) {
        self.given_away = true;
        self.queue.take_in(&self.account, &self.pacing, self.reserved, outcome, true);
    }
}

/// A message that its client waits for.
pub(super) struct Offer<'a> {
    pub(super) id: QueueId,
    pub(super) account: &'a AccountId,
    pub(super) application: Option<&'a ApplicationId>,
    pub(super) envelope: &'a Envelope,
    pub(super) content: AttemptContent,
}

/// A transaction that was begun for one.
pub(super) struct Underway {
    pub(super) slot: Slot,
    pub(super) delivery: JoinHandle<Outcome>,
    /// Where the content was not whole at its beginning: whether it ended because the rest took too long.
    pub(super) given_up: Option<Arc<AtomicBool>>,
}

impl Queue {
    /// Begins the transaction; `None` where the message has to be queued first.
    pub(super) fn offer(&self, offer: Offer<'_>) -> Option<Underway> {
        let slot = self.slot_for(&offer)?;
        let carrier = self.shared.lanes.carrier(&slot.account)?;
        let all: Vec<usize> = (0..offer.envelope.forward_paths().len()).collect();
        let attempt = attempt_at(offer.id, offer.envelope, &all, offer.content);
        let delivery = self.shared.lanes.tasks.spawn(async move { carrier.deliver(&attempt).await });
        Some(Underway { slot, delivery, given_up: None })
    }

    fn slot_for(&self, offer: &Offer<'_>) -> Option<Slot> {
        let now = self.now();
        let recipients = offer.envelope.forward_paths().len();
        let application = offer.application.map(ApplicationId::as_str);
        let mut state = self.state();
        let lane = state.lane(offer.account);
        let pacing = lane.pacing.filter(|_| lane.delivery == Delivery::Through)?;
        let class = sender_class(application, &offer.envelope.reverse_path().to_string());
        if pacing.max_recipients_per_message.is_some_and(|most| recipients > most)
            || matches!(offer.content, AttemptContent::Growing(_)) && !lane.has_connections_to_spare(&pacing)
            || lane.has_new(class)
            || self.within_share(lane, |lane| lane.start(now)).is_err()
        {
            return None;
        }
        let reserved = lane.reserve(&pacing, recipients, now);
        let slot =
            Slot { queue: self.clone(), account: offer.account.clone(), pacing, reserved, given_away: false };
        drop(state);
        (reserved == recipients).then_some(slot)
    }
}
