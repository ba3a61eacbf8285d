//! `delivery = "through"`: the message is offered to the provider while its client waits, and the client gets the
//! provider's verdict. What the provider does not decide in time goes to the queue.

use super::{
    Queue,
    entry::Received,
    intake::{CommitError, Commitment, Whole},
    journal::Durability,
    lane::sender_class,
    runner::{Claimed, attempt_at},
    status::{Next, Status},
    told::{self, Tried},
};
use crate::{
    account::{AccountId, ApplicationId, Delivery, Pacing},
    mail::{EnhancedCode, QueueId, Reply, ReplyClass},
    outbound::{Disposition, Outcome, Trouble},
};
use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::task::JoinHandle;

/// A transaction of a message that the queue does not have, counted in its lane until it is dropped or given away.
struct Slot {
    queue: Queue,
    account: AccountId,
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
            lane.pace.refund(self.reserved, now);
            lane.end();
            drop(state);
            self.queue.shared.lanes.wake(&self.account);
        }
    }
}

impl Slot {
    /// The slot goes over to the queue: it ends with the settling of the message.
    fn give_to(mut self, id: QueueId) -> Box<Claimed> {
        self.given_away = true;
        Claimed::started(&self.queue, self.account.clone(), id, self.pacing)
    }

    /// The slot ends with what the attempt said about the lane.
    fn end(mut self, outcome: &Outcome) {
        self.given_away = true;
        self.queue.take_in(&self.account, &self.pacing, self.reserved, outcome);
    }
}

impl Whole {
    /// Steps 8 to 14 in one where the account delivers `through` and its lane is free, else step 8.
    pub(super) async fn through_or_queued(self) -> Result<Commitment, CommitError> {
        match self.queue.slot_for(&self.received) {
            Some(slot) => self.through(slot).await,
            None => self.queued().await,
        }
    }

    async fn through(self, slot: Slot) -> Result<Commitment, CommitError> {
        let Some(carrier) = self.queue.shared.lanes.carrier(&slot.account) else {
            return self.queued().await;
        };
        let all: Vec<usize> = (0..self.received.envelope.forward_paths().len()).collect();
        let attempt = attempt_at(&self.received, &all, self.source.clone());
        let mut delivery =
            self.queue.shared.lanes.tasks.spawn(async move { carrier.deliver(&attempt).await });
        match tokio::time::timeout(self.queue.through_timeout(), &mut delivery).await {
            Ok(Ok(outcome)) => self.decided(slot, &all, &outcome).await,
            Ok(Err(_)) => {
                drop(slot);
                self.queued().await
            }
            Err(_) => self.overtaken(slot, all, delivery).await,
        }
    }

    /// The provider has answered in time. Its verdict on all recipients is the client's; anything else is queued as far
    /// as it has come.
    async fn decided(self, slot: Slot, all: &[usize], outcome: &Outcome) -> Result<Commitment, CommitError> {
        self.queue.tell_relayed(&slot.account, &self.received, &self.source, all, outcome).await;
        match verdict(&outcome.dispositions) {
            Some(Ok(reply)) => {
                self.end(slot, all, outcome).await;
                Ok(Commitment::Relayed(self.received.id, reply))
            }
            Some(Err(reply)) => {
                self.end(slot, all, outcome).await;
                Ok(Commitment::Refused(reply))
            }
            None => {
                let (queue, received) = (self.queue.clone(), self.received.clone());
                let file = self.in_file();
                let place = self.make_durable().await?;
                queue.enter_active(&received, file, place);
                let status = Status::fresh(all.len(), received.received_at);
                queue.settle(slot.give_to(received.id), &received, status, all, outcome).await;
                Ok(Commitment::Durable(received.id))
            }
        }
    }

    /// The queue never had the message: all that its journal gets is what happened, for the history.
    async fn end(&self, slot: Slot, all: &[usize], outcome: &Outcome) {
        let now = self.queue.now();
        let received = &*self.received;
        let mut status = Status::fresh(all.len(), self.received.received_at);
        let schedule = self.queue.schedule();
        let next = status.settle(all, outcome, self.received.received_at, now, &schedule, 0.5);
        debug_assert!(matches!(next, Next::Done | Next::Failed));
        self.tell();
        super::settle::report(received, all.len(), &status, outcome, next, now);
        let account = slot.account.clone();
        slot.end(outcome);
        let mut events = vec![told::received(received)];
        let (account, status) = (&account, &status);
        let tried = Tried { received, account, pending: all, tried: all, outcome, status, next, now };
        events.extend(tried.events());
        if let Err(error) = self.queue.write_departure(received.id, &events, Durability::Written).await {
            let queue_id = received.id;
            tracing::error!(target: "waxseal::queue", %queue_id, %error, "departure not written");
            self.queue.history().prepare(&events).tell();
        }
        self.queue.remove_dead_segments();
    }

    /// The provider takes longer than the client should wait. The message is made durable while the transaction goes
    /// on; its outcome is settled as that of any other.
    async fn overtaken(
        self,
        slot: Slot,
        all: Vec<usize>,
        delivery: JoinHandle<Outcome>,
    ) -> Result<Commitment, CommitError> {
        let (queue, received, source) = (self.queue.clone(), self.received.clone(), self.source.clone());
        let file = self.in_file();
        let place = match self.make_durable().await {
            Ok(place) => place,
            Err(error) => {
                // The client keeps the message, so the transaction must not go on without it.
                delivery.abort();
                return Err(error);
            }
        };
        queue.enter_active(&received, file, place);
        let id = received.id;
        let claimed = slot.give_to(id);
        let tasks = queue.shared.lanes.tasks.clone();
        tasks.spawn(async move {
            // An attempt that ended without an outcome: dropping `claimed` gives the message back to its lane.
            let Ok(outcome) = delivery.await else { return };
            let status = Status::fresh(all.len(), received.received_at);
            queue.tell_relayed(&claimed.account, &received, &source, &all, &outcome).await;
            queue.settle(claimed, &received, status, &all, &outcome).await;
        });
        Ok(Commitment::Durable(id))
    }
}

impl Queue {
    /// A transaction for a message that its client waits for; `None` where it has to be queued first.
    fn slot_for(&self, received: &Arc<Received>) -> Option<Slot> {
        let now = self.now();
        let recipients = received.envelope.forward_paths().len();
        let application = received.application.as_ref().map(ApplicationId::as_str);
        let mut state = self.state();
        let lane = state.lane(&received.account);
        let pacing = lane.pacing.filter(|_| lane.delivery == Delivery::Through)?;
        let class = sender_class(application, &received.envelope.reverse_path().to_string());
        if pacing.max_recipients_per_message.is_some_and(|most| recipients > most)
            || lane.has_new(class)
            || lane.start(now).is_err()
        {
            return None;
        }
        let reserved = lane.pace.reserve(&pacing, recipients, now);
        let slot = Slot {
            queue: self.clone(),
            account: received.account.clone(),
            pacing,
            reserved,
            given_away: false,
        };
        drop(state);
        (reserved == recipients).then_some(slot)
    }

    fn through_timeout(&self) -> Duration {
        self.shared.settings.read().unwrap_or_else(PoisonError::into_inner).0.through_timeout
    }
}

/// The provider's verdict, where it gave the same one on all recipients: `Ok` with its reply to the content, `Err` with
/// its refusal.
fn verdict(dispositions: &[Disposition]) -> Option<Result<Reply, Reply>> {
    match dispositions.first()? {
        Disposition::Delivered(reply) => dispositions
            .iter()
            .all(|disposition| matches!(disposition, Disposition::Delivered(_)))
            .then(|| Ok(reply.clone())),
        Disposition::Failed(trouble) => dispositions
            .iter()
            .all(|disposition| matches!(disposition, Disposition::Failed(_)))
            .then(|| Err(refusal(trouble))),
        Disposition::Deferred(_) => None,
    }
}

/// The provider's own reply, or ours where it gave none or one that would let the client try again.
fn refusal(trouble: &Trouble) -> Reply {
    match &trouble.reply {
        Some(reply) if reply.class() == ReplyClass::Permanent => reply.clone(),
        Some(reply) => Reply::new(554, EnhancedCode(5, 0, 0), reply.text()),
        None => Reply::new(554, EnhancedCode(5, 0, 0), trouble.explanation.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::Stage;

    fn trouble(code: Option<u16>) -> Trouble {
        let reply = code.map(|code| Reply::received(code, "5.7.1 no"));
        Trouble {
            stage: Stage::Rcpt,
            status: EnhancedCode(5, 0, 0),
            reply,
            explanation: "it says no".into(),
            remedy: String::new(),
            in_doubt: false,
        }
    }

    #[test]
    fn the_client_gets_a_verdict_only_where_there_is_one_for_all() {
        let delivered = || Disposition::Delivered(Reply::bare(250, "ok"));
        let failed = |code| Disposition::Failed(trouble(code));
        let deferred = || Disposition::Deferred(trouble(Some(450)));
        let said = |dispositions: &[Disposition]| {
            verdict(dispositions).map(|verdict| match verdict {
                Ok(reply) | Err(reply) => reply.to_string(),
            })
        };
        let cases: [(&[Disposition], Option<&str>); 8] = [
            (&[delivered(), delivered()], Some("250 ok")),
            (&[failed(Some(550)), failed(None)], Some("550 5.7.1 no")),
            (&[failed(None)], Some("554 5.0.0 it says no")),
            (&[failed(Some(450))], Some("554 5.0.0 5.7.1 no")),
            (&[delivered(), failed(None)], None),
            (&[failed(None), deferred()], None),
            (&[deferred()], None),
            (&[], None),
        ];
        for (dispositions, want) in cases {
            assert_eq!(said(dispositions).as_deref(), want, "{dispositions:?}");
        }
    }
}
