//! `delivery = "through"`: the message is offered to the provider while its client waits, and the client gets the
//! provider's verdict. What the provider does not decide in time goes to the queue.

mod early;
mod slot;

pub(super) use early::Early;

use super::{
    Queue,
    count::count,
    departure::Departed,
    intake::{CommitError, Commitment, Whole},
    journal::Durability,
    status::{Next, Status},
    told::{self, Tried},
};
use crate::{
    mail::{EnhancedCode, Reply, ReplyClass},
    outbound::{Disposition, Outcome, Trouble},
};
use slot::{Offer, Slot, Underway};
use std::{
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};
use tokio::task::JoinHandle;

impl Whole {
    /// Steps 8 to 14 in one where the account delivers `through` and its lane is free, else step 8.
    pub(super) async fn through_or_queued(mut self) -> Result<Commitment, CommitError> {
        let received = &self.received;
        let underway = match self.early.take() {
            Some(early) => early.finish(received.size),
            None => {
                self.queue.wait_for_share(&received.account).await;
                self.queue.offer(Offer {
                    id: received.id,
                    account: &received.account,
                    application: received.application.as_ref(),
                    envelope: &received.envelope,
                    content: self.source.clone().into(),
                })
            }
        };
        match underway {
            Some(underway) => self.through(underway).await,
            None => self.queued().await,
        }
    }

    async fn through(self, underway: Underway) -> Result<Commitment, CommitError> {
        let Underway { slot, mut delivery, given_up } = underway;
        let all: Vec<usize> = (0..self.received.envelope.forward_paths().len()).collect();
        let outcome = match tokio::time::timeout(self.queue.through_timeout(), &mut delivery).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => {
                drop(slot);
                return self.queued().await;
            }
            Err(_) => return self.overtaken(slot, all, delivery).await,
        };
        if given_up.is_some_and(|given_up| given_up.load(Ordering::Acquire)) {
            // Nothing was decided: the provider would have had to wait for the rest. Now all of it is here.
            drop(slot);
            return Box::pin(self.through_or_queued()).await;
        }
        self.decided(slot, &all, &outcome).await
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
        count(self.queue.meter(), &account, &status, outcome, next, received.received_at, now);
        slot.end(outcome);
        let mut events = vec![told::received(received)];
        let (account, status) = (&account, &status);
        let tried = Tried { received, account, pending: all, tried: all, outcome, status, next, now };
        events.extend(tried.events());
        let left = [Departed { id: received.id, events }];
        if let Err(error) = self.queue.write_departure(&left, Durability::Written).await {
            let queue_id = received.id;
            tracing::error!(target: "waxseal::queue", %queue_id, %error, "departure not written");
            self.queue.history().prepare(&left[0].events).tell();
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
