//! What an attempt came to, as the meter counts it: a message ends once, delivered to everybody or failed for somebody.

use super::{
    schedule::Millis,
    status::{Next, RecipientStatus, Status},
};
use crate::{
    account::AccountId,
    meter::{Meter, Reason},
    outbound::{Disposition, LaneEffect, Outcome},
};

/// Counts an attempt at a message that was received at `came`, and stands like this by now.
pub(super) fn count(
    meter: &Meter,
    account: &AccountId,
    status: &Status,
    outcome: &Outcome,
    next: Next,
    came: Millis,
    now: Millis,
) {
    let account = account.as_str();
    match next {
        Next::Done => meter.delivered(account, now.saturating_sub(came), now),
        Next::Failed => meter.failed(account, failure(status, outcome), now),
        Next::Expired => meter.failed(account, Reason::Expired, now),
        Next::Deferred | Next::Untried => {
            if let Some(reason) = postponement(outcome) {
                meter.deferred(account, reason, now);
            }
        }
    }
}

/// Of several reasons the first one of this attempt; where none failed in it, that of an attempt before.
fn failure(status: &Status, outcome: &Outcome) -> Reason {
    let now = outcome.dispositions.iter().find_map(|disposition| match disposition {
        Disposition::Failed(trouble) => Some(outcome.reason(trouble)),
        _ => None,
    });
    let mut failed = status.recipients.iter().filter(|recipient| recipient.status == RecipientStatus::Failed);
    let before = || failed.find_map(|recipient| recipient.said.as_ref()?.reason);
    // An earlier waxseal wrote no reason, and it was a recipient's as a rule.
    now.or_else(before).unwrap_or(Reason::Recipient)
}

/// Why somebody is left for later. What is due at once, because one transaction does not take so many recipients, is not
/// put off.
fn postponement(outcome: &Outcome) -> Option<Reason> {
    let mut deferred = outcome.dispositions.iter().filter_map(|disposition| match disposition {
        Disposition::Deferred(trouble) => Some(trouble),
        _ => None,
    });
    let untried = outcome.dispositions.is_empty() && outcome.lane != LaneEffect::None;
    let trouble = deferred.next().or(outcome.trouble.as_ref().filter(|_| untried));
    trouble.map(|trouble| outcome.reason(trouble))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        mail::{EnhancedCode, Reply},
        outbound::{Stage, Trouble},
        queue::schedule::Schedule,
    };
    use std::time::Duration;

    fn trouble(stage: Stage, code: u16) -> Trouble {
        Trouble {
            stage,
            status: EnhancedCode(4, 0, 0),
            reply: Some(Reply::bare(code, "no")),
            explanation: String::new(),
            remedy: String::new(),
            in_doubt: false,
        }
    }

    type Reasons = Vec<(&'static str, u64)>;

    /// Attempts at a message of three recipients, at `most` at once, and what is counted in the end: delivered, and how
    /// often deferred and failed of what.
    fn counted(
        most: Option<usize>,
        attempts: Vec<(Vec<Disposition>, LaneEffect, Millis)>,
    ) -> (u64, Reasons, Reasons) {
        let (meter, account, mut status) = (Meter::default(), AccountId::new("a"), Status::fresh(3, 0));
        let schedule = Schedule::new(vec![Duration::from_secs(60)], Duration::from_secs(100));
        for (dispositions, lane, now) in attempts {
            let (relay, tls, trouble) = (String::new(), String::new(), Some(trouble(Stage::Banner, 554)));
            let outcome = Outcome { dispositions, lane, trouble, relay, tls, dsn_passed_on: false };
            let next = status.settle(&status.outstanding(most), &outcome, 0, now, &schedule, 0.5);
            count(&meter, &account, &status, &outcome, next, 0, now);
        }
        let counted = meter.readings().accounts.get("a").cloned().unwrap_or_default();
        assert_eq!(counted.delays.count(), counted.delivered);
        (counted.delivered, counted.deferred.into_iter().collect(), counted.failed.into_iter().collect())
    }

    #[test]
    fn a_message_ends_once_and_a_postponement_has_a_reason() {
        let go = || LaneEffect::None;
        let ok = || Disposition::Delivered(Reply::bare(250, "ok"));
        let later = |stage| Disposition::Deferred(trouble(stage, 451));
        let never = |stage| Disposition::Failed(trouble(stage, 550));
        assert_eq!(counted(None, vec![(vec![ok(), ok(), ok()], go(), 5)]), (1, vec![], vec![]));
        // The rest is due at once.
        let split = vec![(vec![ok(), ok()], go(), 5), (vec![ok()], go(), 6)];
        assert_eq!(counted(Some(2), split), (1, vec![], vec![]));
        let in_parts = vec![(vec![ok(), later(Stage::Content), ok()], go(), 5), (vec![ok()], go(), 6)];
        assert_eq!(counted(None, in_parts), (1, vec![("content", 1)], vec![]));
        let mixed = vec![(vec![ok(), never(Stage::Rcpt), ok()], go(), 5)];
        assert_eq!(counted(None, mixed), (0, vec![], vec![("recipient", 1)]));
        // What failed it was said before.
        let before =
            vec![(vec![ok(), never(Stage::Mail), later(Stage::Rcpt)], go(), 5), (vec![ok()], go(), 6)];
        assert_eq!(counted(None, before), (0, vec![("recipient", 1)], vec![("sender", 1)]));
        // What another recipient's reply does to the lane is no reason of this one's.
        let beside = vec![(vec![never(Stage::Rcpt), ok(), ok()], LaneEffect::Pause, 5)];
        assert_eq!(counted(None, beside), (0, vec![], vec![("recipient", 1)]));
    }

    #[test]
    fn trouble_of_the_account_puts_off_and_age_fails() {
        let away = || (vec![], LaneEffect::BackOff, 5);
        let closed = (vec![], LaneEffect::Pause, 6);
        let nothing = (vec![], LaneEffect::None, 7);
        let late = (vec![], LaneEffect::BackOff, 200_000);
        let want = (0, vec![("greeting", 1), ("login", 1)], vec![("expired", 1)]);
        assert_eq!(counted(None, vec![away(), closed, nothing, late]), want);
        let quota = (vec![], LaneEffect::Hold(Duration::from_secs(1)), 5);
        assert_eq!(counted(None, vec![quota]), (0, vec![("quota", 1)], vec![]));
    }
}
