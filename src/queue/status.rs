//! Where a queued message and each of its recipients stand, and the one transition between. Pure.

use super::schedule::{Millis, Schedule};
use crate::{
    account::AccountId,
    mail::{EnhancedCode, Reply},
    meter::Reason,
    outbound::{Disposition, LaneEffect, Outcome, Trouble},
};
use std::sync::Arc;

/// Where one recipient stands. A final status never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecipientStatus {
    /// Still to be sent to.
    Pending,
    /// The provider answered for it.
    Delivered,
    /// The provider refused it for good.
    Failed,
    /// It was tried until `expire`.
    Expired,
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

    /// Whether it will not get the message.
    pub fn is_failed(self) -> bool {
        matches!(self, Self::Failed | Self::Expired)
    }
}

/// What was said last about a recipient, by the provider or by us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// When.
    pub at: Millis,
    /// `host:port` of the server.
    pub relay: String,
    /// What it is in the terms of RFC 3463.
    pub status: EnhancedCode,
    /// The provider's reply, where it gave one.
    pub reply: Option<Reply>,
    /// One plain sentence.
    pub explanation: String,
    /// What to do about it; may be empty.
    pub remedy: String,
    /// What it is counted as; an earlier waxseal did not write that.
    pub reason: Option<Reason>,
}

/// One recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Where it stands.
    pub status: RecipientStatus,
    /// What was said about it, unless it was delivered at once.
    pub said: Option<Arc<Said>>,
    /// Whether those who want to know of its failure have been notified.
    pub told: bool,
}

impl Recipient {
    /// It failed and somebody is still to be notified.
    pub fn is_untold(&self) -> bool {
        self.status.is_failed() && !self.told
    }
}

/// What changes about a queued message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// One a recipient, in the envelope's order.
    pub recipients: Vec<Recipient>,
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
    /// The delay has been warned of.
    pub warned: bool,
    /// The account that carries it, where that is no longer the one it was received for.
    pub account: Option<AccountId>,
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
            recipients: vec![
                Recipient { status: RecipientStatus::Pending, said: None, told: false };
                recipients
            ],
            attempts: 0,
            next_attempt_at: now,
            held: false,
            failed_at: None,
            last_reply: String::new(),
            warned: false,
            account: None,
        }
    }

    /// The recipients that an attempt takes: the pending ones, at most `most`, by their index in the envelope.
    pub fn outstanding(&self, most: Option<usize>) -> Vec<usize> {
        let pending = self.recipients.iter().enumerate();
        let pending = pending.filter(|(_, r)| r.status == RecipientStatus::Pending).map(|(i, _)| i);
        pending.take(most.unwrap_or(usize::MAX).max(1)).collect()
    }

    /// Whether recipients are outstanding.
    pub fn is_pending(&self) -> bool {
        self.recipients.iter().any(|recipient| recipient.status == RecipientStatus::Pending)
    }

    /// Whether somebody is still to be notified of a failure.
    pub fn is_untold(&self) -> bool {
        self.recipients.iter().any(Recipient::is_untold)
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
                let said = outcome.trouble.as_ref().map(|trouble| said(trouble, outcome, now));
                self.expire_pending(said.as_ref(), now);
                return Next::Expired;
            }
            return Next::Untried;
        }
        self.attempts += 1;
        self.take_in(tried, outcome, now);
        if let Some(text) = telling_reply(&outcome.dispositions) {
            self.last_reply = text;
        }
        let deferred = outcome.dispositions.iter().any(|d| matches!(d, Disposition::Deferred(_)));
        if self.is_pending() {
            if deferred && schedule.is_expired(received_at, now) {
                self.expire_pending(None, now);
                return Next::Expired;
            }
            // Recipients beyond `max_recipients_per_message` have not been tried: they are due at once.
            self.next_attempt_at =
                if deferred { schedule.next_attempt(now, self.attempts, chance) } else { now };
            Next::Deferred
        } else if self.recipients.iter().any(|recipient| recipient.status.is_failed()) {
            self.failed_at = Some(now);
            Next::Failed
        } else {
            Next::Done
        }
    }

    /// Each recipient takes its disposition; those that were told the same share it.
    fn take_in(&mut self, tried: &[usize], outcome: &Outcome, now: Millis) {
        let mut last: Option<(&Trouble, Arc<Said>)> = None;
        for (index, disposition) in tried.iter().zip(&outcome.dispositions) {
            let Some(recipient) = self.recipients.get_mut(*index) else { continue };
            recipient.status = recipient.status.next(disposition);
            let (Disposition::Deferred(trouble) | Disposition::Failed(trouble)) = disposition else {
                continue;
            };
            let said = match &last {
                Some((same, said)) if *same == trouble => said.clone(),
                _ => said(trouble, outcome, now),
            };
            recipient.said = Some(said.clone());
            last = Some((trouble, said));
        }
    }

    fn expire_pending(&mut self, said: Option<&Arc<Said>>, now: Millis) {
        for recipient in &mut self.recipients {
            if recipient.status == RecipientStatus::Pending {
                recipient.status = RecipientStatus::Expired;
                recipient.said = recipient.said.take().or_else(|| said.cloned());
            }
        }
        self.failed_at = Some(now);
    }

    /// Failed recipients become pending again, due now: an operator's `retry` of a failed message.
    pub fn revive(&mut self, now: Millis) {
        for recipient in &mut self.recipients {
            if recipient.status.is_failed() {
                recipient.status = RecipientStatus::Pending;
                recipient.told = false;
            }
        }
        self.failed_at = None;
        self.next_attempt_at = now;
    }

    /// Nobody is to be notified of these failures any more.
    pub fn mark_told(&mut self) {
        for recipient in &mut self.recipients {
            recipient.told |= recipient.status.is_failed();
        }
    }
}

fn said(trouble: &Trouble, outcome: &Outcome, now: Millis) -> Arc<Said> {
    Arc::new(Said {
        at: now,
        relay: outcome.relay.clone(),
        status: trouble.status,
        reply: trouble.reply.clone(),
        explanation: trouble.explanation.clone(),
        remedy: trouble.remedy.clone(),
        reason: Some(outcome.reason(trouble)),
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::Stage;
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
    fn a_recipient_keeps_what_was_said_and_an_expired_one_too() {
        let mut status = Status::fresh(2, 0);
        let both =
            outcome(vec![Disposition::Deferred(trouble()), Disposition::Failed(trouble())], LaneEffect::None);
        assert_eq!(settle(&mut status, &[0, 1], &both, 5), Next::Deferred);
        let explanations = status.recipients.iter().map(|r| r.said.as_ref().map(|said| said.at));
        assert_eq!(explanations.collect::<Vec<_>>(), [Some(5), Some(5)]);
        assert_eq!(status.recipients.iter().map(Recipient::is_untold).collect::<Vec<_>>(), [false, true]);
        status.mark_told();
        assert!(!status.is_untold());
        let away = outcome(vec![], LaneEffect::BackOff);
        assert_eq!(settle(&mut status, &[0], &away, 6 * DAY), Next::Expired);
        assert_eq!(status.recipients[0].status, RecipientStatus::Expired);
        assert_eq!(status.recipients[0].said.as_ref().map(|said| said.at), Some(5), "what it had said stays");
        assert!(status.is_untold());
        status.revive(7 * DAY);
        assert_eq!(status.outstanding(None), [0, 1]);
    }

    #[test]
    fn a_final_status_never_changes() {
        for disposition in [delivered(), Disposition::Failed(trouble()), Disposition::Deferred(trouble())] {
            assert_eq!(RecipientStatus::Delivered.next(&disposition), RecipientStatus::Delivered);
            assert_eq!(RecipientStatus::Failed.next(&disposition), RecipientStatus::Failed);
        }
    }
}
