//! From answers to an outcome: a disposition per recipient, and one effect on the lane. Pure.

use super::{
    Disposition, Fate, LaneEffect, Stage, Trouble, classify, failure::status_of, transaction::Answer,
};
use crate::account::AccountType;

/// Dispositions in the answers' order, the strongest effect on the lane, and the trouble behind it. Where the
/// answers concern the account alone there are no dispositions: the message has not been tried.
pub(super) fn report(
    answers: Vec<Answer>,
    provider: AccountType,
) -> (Vec<Disposition>, LaneEffect, Option<Trouble>) {
    let mut dispositions = Vec::with_capacity(answers.len());
    let mut tried = false;
    let mut lane = LaneEffect::None;
    let mut behind = None;
    for answer in answers {
        let (disposition, effect, fate) = judge(answer, provider);
        tried |= fate != Fate::Untried;
        if weight(&effect) > weight(&lane) {
            lane = effect;
            behind = match &disposition {
                Disposition::Deferred(trouble) | Disposition::Failed(trouble) => Some(trouble.clone()),
                Disposition::Delivered(_) => None,
            };
        }
        dispositions.push(disposition);
    }
    if !tried {
        dispositions.clear();
    }
    (dispositions, lane, behind)
}

fn judge(answer: Answer, provider: AccountType) -> (Disposition, LaneEffect, Fate) {
    match answer {
        Answer::Said(stage, reply) => {
            let verdict = classify(stage, &reply, provider);
            if verdict.fate == Fate::Deliver {
                return (Disposition::Delivered(reply), verdict.lane, verdict.fate);
            }
            let trouble = Trouble {
                stage,
                status: status_of(&reply),
                reply: Some(reply),
                explanation: verdict.explanation,
                remedy: verdict.remedy,
                in_doubt: false,
            };
            let disposition = match verdict.fate {
                Fate::Fail => Disposition::Failed(trouble),
                _ => Disposition::Deferred(trouble),
            };
            (disposition, verdict.lane, verdict.fate)
        }
        Answer::Broke(failure) => {
            let (lane, mut trouble) = failure.judge(provider);
            if failure.stage == Stage::InDoubt {
                trouble.in_doubt = true;
                trouble
                    .explanation
                    .push_str("; the server may have the message, so that the next try may duplicate it");
            }
            (Disposition::Deferred(trouble), lane, Fate::Defer)
        }
        Answer::Unsendable(trouble) => (Disposition::Failed(trouble), LaneEffect::None, Fate::Fail),
    }
}

fn weight(lane: &LaneEffect) -> u8 {
    match lane {
        LaneEffect::None => 0,
        LaneEffect::BackOff => 1,
        LaneEffect::Hold(_) => 2,
        LaneEffect::Pause => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Reply;

    fn said(stage: Stage, line: &str) -> Answer {
        let (code, text) = line.split_once(' ').unwrap();
        Answer::Said(stage, Reply::received(code.parse().unwrap(), text))
    }

    #[test]
    fn trouble_of_the_account_alone_leaves_the_message_untried() {
        let answers = vec![said(Stage::Mail, "530 5.7.57 not authenticated"); 2];
        let (dispositions, lane, trouble) = report(answers, AccountType::Microsoft);
        assert_eq!((dispositions, lane), (vec![], LaneEffect::Pause));
        assert!(trouble.is_some());
    }

    #[test]
    fn beside_an_answer_for_another_recipient_it_is_a_deferral() {
        let answers = vec![said(Stage::Content, "250 2.0.0 OK"), said(Stage::Rcpt, "550 5.4.5 daily limit")];
        let (dispositions, lane, _) = report(answers, AccountType::Google);
        assert!(matches!(dispositions[..], [Disposition::Delivered(_), Disposition::Deferred(_)]));
        assert!(matches!(lane, LaneEffect::Hold(_)));
    }
}
