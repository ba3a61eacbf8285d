//! What an attempt came to, as the meter counts it: a message ends once, delivered to everybody or failed for somebody.

use super::{schedule::Millis, status::Next};
use crate::{
    account::AccountId,
    meter::Meter,
    outbound::{Disposition, LaneEffect, Outcome, Stage, Trouble},
};

/// Counts an attempt at a message that was received at `came`.
pub(super) fn count(
    meter: &Meter,
    account: &AccountId,
    outcome: &Outcome,
    next: Next,
    came: Millis,
    now: Millis,
) {
    let account = account.as_str();
    match next {
        Next::Done => meter.delivered(account, now.saturating_sub(came), now),
        Next::Failed => meter.failed(account, word(failure(outcome), &outcome.lane), now),
        Next::Expired => meter.failed(account, "expired", now),
        Next::Deferred => meter.deferred(account, word(postponement(outcome), &outcome.lane), now),
        Next::Untried if outcome.lane != LaneEffect::None => {
            meter.deferred(account, word(outcome.trouble.as_ref(), &outcome.lane), now);
        }
        Next::Untried => {}
    }
}

fn failure(outcome: &Outcome) -> Option<&Trouble> {
    outcome.dispositions.iter().find_map(|disposition| match disposition {
        Disposition::Failed(trouble) => Some(trouble),
        _ => None,
    })
}

fn postponement(outcome: &Outcome) -> Option<&Trouble> {
    let deferred = outcome.dispositions.iter().find_map(|disposition| match disposition {
        Disposition::Deferred(trouble) => Some(trouble),
        _ => None,
    });
    deferred.or(outcome.trouble.as_ref())
}

/// The word for a trouble: by what it does to the account, else by where it struck.
fn word(trouble: Option<&Trouble>, lane: &LaneEffect) -> &'static str {
    match (lane, trouble.map(|trouble| trouble.stage)) {
        (LaneEffect::Hold(_), _) => "quota",
        (LaneEffect::Pause, _) | (_, Some(Stage::Auth)) => "login",
        (_, Some(Stage::Connect | Stage::Reset | Stage::Quit)) => "connection",
        (_, Some(Stage::Banner | Stage::Ehlo)) => "greeting",
        (_, Some(Stage::StartTls | Stage::Handshake)) => "tls",
        (_, Some(Stage::Mail)) => "sender",
        (_, Some(Stage::Rcpt)) => "recipient",
        (_, Some(Stage::Data | Stage::Content)) => "content",
        (_, Some(Stage::InDoubt)) => "in_doubt",
        // A recipient that another attempt has left: its reply was counted then.
        (_, None) => "earlier",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{EnhancedCode, Reply};
    use std::time::Duration;

    fn trouble(stage: Stage) -> Trouble {
        Trouble {
            stage,
            status: EnhancedCode(4, 0, 0),
            reply: None,
            explanation: String::new(),
            remedy: String::new(),
            in_doubt: false,
        }
    }

    fn outcome(dispositions: Vec<Disposition>, lane: LaneEffect, stage: Stage) -> Outcome {
        Outcome {
            dispositions,
            lane,
            trouble: Some(trouble(stage)),
            relay: String::new(),
            tls: String::new(),
            dsn_passed_on: false,
        }
    }

    #[test]
    fn a_message_ends_once_and_a_postponement_has_a_reason() {
        let meter = Meter::default();
        let account = AccountId::new("a");
        let delivered = || Disposition::Delivered(Reply::bare(250, "ok"));
        let failed = || Disposition::Failed(trouble(Stage::Rcpt));
        let deferred = || Disposition::Deferred(trouble(Stage::Content));
        let cases = [
            (vec![delivered()], LaneEffect::None, Next::Done),
            (vec![delivered(), failed()], LaneEffect::None, Next::Failed),
            (vec![delivered(), deferred()], LaneEffect::None, Next::Deferred),
            (vec![deferred()], LaneEffect::Hold(Duration::from_secs(1)), Next::Deferred),
            (vec![], LaneEffect::Pause, Next::Untried),
            (vec![], LaneEffect::BackOff, Next::Untried),
            (vec![], LaneEffect::None, Next::Untried),
            (vec![deferred()], LaneEffect::None, Next::Expired),
        ];
        for (dispositions, lane, next) in cases {
            count(&meter, &account, &outcome(dispositions, lane, Stage::Handshake), next, 1000, 3000);
        }
        let counted = meter.readings().accounts["a"].clone();
        assert_eq!((counted.delivered, counted.delays.sum()), (1, 2.0));
        assert_eq!(counted.failed, [("recipient", 1), ("expired", 1)].into());
        assert_eq!(counted.deferred, [("content", 1), ("quota", 1), ("login", 1), ("tls", 1)].into());
    }
}
