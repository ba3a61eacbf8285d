//! A queued message as values: what was received, and where its recipients stand. Pure.

use super::schedule::{Millis, Schedule};
use crate::{
    account::{AccountId, ApplicationId},
    mail::{Envelope, ForwardPath, QueueId},
    outbound::{Disposition, LaneEffect, Outcome, Trouble},
};

/// What never changes about a queued message.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its id.
    pub id: QueueId,
    /// When it was committed.
    pub received_at: Millis,
    /// The account that carries it.
    pub account: AccountId,
    /// The application that it came from.
    pub application: Option<ApplicationId>,
    /// Its envelope.
    pub envelope: Envelope,
    /// Octets of content.
    pub size: u64,
}

/// Where one recipient stands. A final status never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecipientStatus {
    /// Still to be sent to.
    Pending,
    /// The provider answered for it.
    Delivered,
    /// It will not get the message.
    Failed,
}

impl RecipientStatus {
    /// The status after an attempt.
    #[must_use]
    pub fn next(self, disposition: &Disposition) -> Self {
        match (self, disposition) {
            (Self::Pending, Disposition::Delivered(_)) => Self::Delivered,
            (Self::Pending, Disposition::Failed(_)) => Self::Failed,
            (Self::Pending, Disposition::Deferred(_)) => Self::Pending,
            (status, _) => status,
        }
    }
}

/// What changes about a queued message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// A status per recipient, in the envelope's order.
    pub recipients: Vec<RecipientStatus>,
    /// Transactions tried so far.
    pub attempts: u32,
    /// When it is due.
    pub next_attempt_at: Millis,
    /// An operator holds it.
    pub held: bool,
    /// When it failed, where it has.
    pub failed_at: Option<Millis>,
    /// What the provider, or we, said last.
    pub last_reply: String,
}

/// What remains to be done about a message after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Every recipient has it: the message leaves the queue.
    Done,
    /// Recipients are outstanding: tried again at `next_attempt_at`.
    Deferred,
    /// No recipient is outstanding and at least one failed: it stays for `keep_failed`.
    Failed,
    /// Age, not a reply, failed it.
    Expired,
    /// The attempt said nothing about the message: it waits as it was.
    Untried,
}

impl Status {
    /// A message just received: due at once.
    pub fn fresh(recipients: usize, now: Millis) -> Self {
        Self {
            recipients: vec![RecipientStatus::Pending; recipients],
            attempts: 0,
            next_attempt_at: now,
            held: false,
            failed_at: None,
            last_reply: String::new(),
        }
    }

    /// The recipients that an attempt takes: the pending ones, at most `most`, by their index in the envelope.
    pub fn outstanding(&self, most: Option<usize>) -> Vec<usize> {
        let pending = self.recipients.iter().enumerate();
        let pending = pending.filter(|(_, s)| **s == RecipientStatus::Pending).map(|(i, _)| i);
        pending.take(most.unwrap_or(usize::MAX).max(1)).collect()
    }

    /// The status after an attempt at the recipients `tried`, and what comes next.
    pub fn settle(
        &mut self,
        tried: &[usize],
        outcome: &Outcome,
        received_at: Millis,
        now: Millis,
        schedule: &Schedule,
        chance: f64,
    ) -> Next {
        if outcome.dispositions.is_empty() {
            if let Some(trouble) = &outcome.trouble {
                self.last_reply = trouble.to_string();
            }
            // Login and token trouble never fails a message; a server that is away for `expire` does.
            if outcome.lane == LaneEffect::BackOff && schedule.is_expired(received_at, now) {
                self.fail_pending(now);
                return Next::Expired;
            }
            return Next::Untried;
        }
        self.attempts += 1;
        for (index, disposition) in tried.iter().zip(&outcome.dispositions) {
            self.recipients[*index] = self.recipients[*index].next(disposition);
        }
        if let Some(text) = telling_reply(&outcome.dispositions) {
            self.last_reply = text;
        }
        let deferred = outcome.dispositions.iter().any(|d| matches!(d, Disposition::Deferred(_)));
        if self.recipients.contains(&RecipientStatus::Pending) {
            if deferred && schedule.is_expired(received_at, now) {
                self.fail_pending(now);
                return Next::Expired;
            }
            // Recipients beyond `max_recipients_per_message` have not been tried: they are due at once.
            self.next_attempt_at =
                if deferred { schedule.next_attempt(now, self.attempts, chance) } else { now };
            Next::Deferred
        } else if self.recipients.contains(&RecipientStatus::Failed) {
            self.failed_at = Some(now);
            Next::Failed
        } else {
            Next::Done
        }
    }

    fn fail_pending(&mut self, now: Millis) {
        for status in &mut self.recipients {
            if *status == RecipientStatus::Pending {
                *status = RecipientStatus::Failed;
            }
        }
        self.failed_at = Some(now);
    }

    /// Failed recipients become pending again, due now: an operator's `retry` of a failed message.
    pub fn revive(&mut self, now: Millis) {
        for status in &mut self.recipients {
            if *status == RecipientStatus::Failed {
                *status = RecipientStatus::Pending;
            }
        }
        self.failed_at = None;
        self.next_attempt_at = now;
    }
}

/// The worst news first: a failure, else a deferral, else the provider's 250.
fn telling_reply(dispositions: &[Disposition]) -> Option<String> {
    let find = |wanted: fn(&Disposition) -> Option<String>| dispositions.iter().find_map(wanted);
    find(|d| if let Disposition::Failed(t) = d { Some(t.to_string()) } else { None })
        .or_else(|| find(|d| if let Disposition::Deferred(t) = d { Some(t.to_string()) } else { None }))
        .or_else(|| find(|d| if let Disposition::Delivered(r) = d { Some(r.to_string()) } else { None }))
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.explanation)?;
        if let Some(reply) = &self.reply {
            write!(f, " ({reply})")?;
        }
        Ok(())
    }
}

/// The recipients of an envelope at these indexes.
pub(crate) fn paths(envelope: &Envelope, indexes: &[usize]) -> Vec<ForwardPath> {
    indexes.iter().filter_map(|i| envelope.forward_paths().get(*i)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        mail::{EnhancedCode, Reply},
        outbound::Stage,
    };
    use std::time::Duration;

    const DAY: u64 = 86_400_000;

    fn trouble() -> Trouble {
        Trouble {
            stage: Stage::Rcpt,
            status: EnhancedCode(4, 0, 0),
            reply: None,
            explanation: "no".into(),
            remedy: String::new(),
            in_doubt: false,
        }
    }

    fn outcome(dispositions: Vec<Disposition>, lane: LaneEffect) -> Outcome {
        Outcome {
            dispositions,
            lane,
            trouble: Some(trouble()),
            relay: String::new(),
            tls: String::new(),
            dsn_passed_on: false,
        }
    }

    fn settle(status: &mut Status, tried: &[usize], outcome: &Outcome, now: Millis) -> Next {
        let schedule = Schedule::new(vec![Duration::from_secs(60)], Duration::from_secs(5 * 86_400));
        status.settle(tried, outcome, 0, now, &schedule, 0.5)
    }

    fn delivered() -> Disposition {
        Disposition::Delivered(Reply::bare(250, "ok"))
    }

    #[test]
    fn outcomes_lead_to_the_next_state() {
        let deferred = || Disposition::Deferred(trouble());
        let failed = || Disposition::Failed(trouble());
        let cases = [
            (vec![delivered(), delivered()], LaneEffect::None, 0, Next::Done),
            (vec![delivered(), failed()], LaneEffect::None, 0, Next::Failed),
            (vec![delivered(), deferred()], LaneEffect::None, 0, Next::Deferred),
            (vec![failed(), deferred()], LaneEffect::None, 0, Next::Deferred),
            (vec![delivered(), deferred()], LaneEffect::None, 6 * DAY, Next::Expired),
            (vec![delivered(), delivered()], LaneEffect::None, 6 * DAY, Next::Done),
            (vec![], LaneEffect::Pause, 6 * DAY, Next::Untried),
            (vec![], LaneEffect::BackOff, DAY, Next::Untried),
            (vec![], LaneEffect::BackOff, 6 * DAY, Next::Expired),
        ];
        for (dispositions, lane, now, want) in cases {
            let mut status = Status::fresh(2, 0);
            let outcome = outcome(dispositions, lane);
            assert_eq!(settle(&mut status, &[0, 1], &outcome, now), want, "{outcome:?} at {now}");
            assert_eq!(status.attempts, u32::from(!outcome.dispositions.is_empty()));
        }
    }

    #[test]
    fn recipients_past_the_limit_are_due_at_once() {
        let mut status = Status::fresh(3, 0);
        assert_eq!(status.outstanding(Some(2)), [0, 1]);
        let both = outcome(vec![delivered(), delivered()], LaneEffect::None);
        assert_eq!(settle(&mut status, &[0, 1], &both, 7), Next::Deferred);
        assert_eq!((status.next_attempt_at, status.outstanding(None)), (7, vec![2]));
    }

    #[test]
    fn a_final_status_never_changes() {
        for disposition in [delivered(), Disposition::Failed(trouble()), Disposition::Deferred(trouble())] {
            assert_eq!(RecipientStatus::Delivered.next(&disposition), RecipientStatus::Delivered);
            assert_eq!(RecipientStatus::Failed.next(&disposition), RecipientStatus::Failed);
        }
    }
}
