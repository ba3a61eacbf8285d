//! What the history is told: the events in a message's life, made of what the queue knows. Pure.

use super::{
    entry::Received,
    record::Record,
    schedule::Millis,
    status::{Next, Status},
};
use crate::{
    account::AccountId,
    history::{Event, What},
    mail::{Envelope, QueueId},
    outbound::{Disposition, LaneEffect, Outcome, Trouble},
};

/// The message is on stable storage.
pub(super) fn received(received: &Received) -> Event {
    let envelope = &received.envelope;
    Event {
        account: received.account.to_string(),
        from: Some(envelope.reverse_path().to_string()),
        to: envelope.forward_paths().iter().map(ToString::to_string).collect(),
        size: Some(received.size),
        message_id: received.message_id.clone(),
        application: received.application.as_ref().map(ToString::to_string),
        ..Event::new(received.received_at, received.id, What::Received)
    }
}

/// Why a message is let go of that another node has taken over. Here it has left, and yet it has not.
pub(super) const ANOTHERS: &str = "another node has it now";

/// Whether a departure says that another node has the message, and not that it is over.
pub(super) fn is_anothers(events: &[Event]) -> bool {
    events.iter().any(is_handed_over)
}

/// Whether a message was let go of because another node has it.
pub fn is_handed_over(event: &Event) -> bool {
    event.event == What::Removed && event.explanation == ANOTHERS
}

/// An operator, or time, did something to the message.
pub(super) fn done_to(id: QueueId, account: &AccountId, what: What, explanation: &str, now: Millis) -> Event {
    Event { account: account.to_string(), explanation: explanation.into(), ..Event::new(now, id, what) }
}

/// An attempt and what it left behind.
pub(super) struct Tried<'a> {
    pub(super) received: &'a Received,
    /// The account that carried it.
    pub(super) account: &'a AccountId,
    /// The recipients that were outstanding before, by their index in the envelope.
    pub(super) pending: &'a [usize],
    /// Those of them that were tried, in the order of the dispositions.
    pub(super) tried: &'a [usize],
    pub(super) outcome: &'a Outcome,
    /// The status afterwards.
    pub(super) status: &'a Status,
    pub(super) next: Next,
    pub(super) now: Millis,
}

impl Tried<'_> {
    /// One event a kind of outcome and reply, deliveries first.
    pub(super) fn events(&self) -> Vec<Event> {
        let dispositions = &self.outcome.dispositions;
        let mut groups: Vec<(&Disposition, Vec<usize>)> = Vec::new();
        for (index, disposition) in self.tried.iter().zip(dispositions) {
            match groups.iter_mut().find(|(same, _)| *same == disposition) {
                Some((_, indexes)) => indexes.push(*index),
                None => groups.push((disposition, vec![*index])),
            }
        }
        groups.sort_by_key(|(disposition, _)| match disposition {
            Disposition::Delivered(_) => 0,
            Disposition::Failed(_) => 1,
            Disposition::Deferred(_) => 2,
        });
        let deferred = if self.next == Next::Expired { What::Expired } else { What::Deferred };
        let mut events: Vec<Event> = groups
            .into_iter()
            .map(|(disposition, to)| match disposition {
                Disposition::Delivered(reply) => {
                    Event { reply: reply.to_string(), ..self.event(What::Delivered, &to) }
                }
                Disposition::Failed(trouble) => explained(self.event(What::Failed, &to), Some(trouble)),
                Disposition::Deferred(trouble) => explained(self.event(deferred.clone(), &to), Some(trouble)),
            })
            .collect();
        events.extend(self.untried(dispositions.len()));
        events
    }

    /// The event of the recipients that got no disposition.
    fn untried(&self, answered: usize) -> Option<Event> {
        let (what, to) = match self.next {
            Next::Expired => {
                let answered = &self.tried[..answered.min(self.tried.len())];
                let rest = self.pending.iter().filter(|index| !answered.contains(index));
                (What::Expired, rest.copied().collect())
            }
            Next::Untried if self.outcome.lane != LaneEffect::None => (What::Deferred, self.tried.to_vec()),
            _ => return None,
        };
        let event = explained(self.event(what, &to), self.outcome.trouble.as_ref());
        (!to.is_empty()).then_some(event)
    }

    fn event(&self, what: What, to: &[usize]) -> Event {
        Event {
            account: self.account.to_string(),
            to: addresses(&self.received.envelope, to),
            relay: self.outcome.relay.clone(),
            tls: self.outcome.tls.clone(),
            delay_ms: Some(self.now.saturating_sub(self.received.received_at)),
            attempt: (!self.outcome.dispositions.is_empty()).then_some(self.status.attempts),
            ..Event::new(self.now, self.received.id, what)
        }
    }
}

fn explained(event: Event, trouble: Option<&Trouble>) -> Event {
    let Some(trouble) = trouble else { return event };
    let reply = trouble.reply.as_ref().map(ToString::to_string).unwrap_or_default();
    Event { reply, explanation: trouble.explanation.clone(), ..event }
}

fn addresses(envelope: &Envelope, indexes: &[usize]) -> Vec<String> {
    indexes.iter().filter_map(|index| envelope.forward_paths().get(*index)).map(ToString::to_string).collect()
}

/// What a record of the journal has for the history, from this time on.
pub(super) fn by(record: &Record, since: Millis) -> Vec<Event> {
    match record {
        Record::Received { received, .. } if received.received_at >= since => vec![self::received(received)],
        Record::Received { .. } => Vec::new(),
        Record::Status { events, .. } | Record::Done { events, .. } => {
            events.iter().filter(|event| event.at >= since).cloned().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        mail::{BodyType, EnhancedCode, ForwardPath, Reply, ReversePath},
        outbound::Stage,
        queue::{record::ContentPlace, schedule::Schedule},
    };
    use std::time::Duration;

    const DAY: u64 = 86_400_000;

    fn message() -> Received {
        let to = ["a@x.example", "b@x.example", "c@x.example"].map(|to| ForwardPath::parse(to).unwrap());
        let from = ReversePath::parse("app@example.com").unwrap();
        Received {
            id: QueueId::new(1_000, 0),
            received_at: 1_000,
            account: AccountId::new("support"),
            application: None,
            envelope: Envelope::new(from, to.to_vec(), BodyType::SevenBit, false).unwrap(),
            size: 9,
            message_id: Some("<1@app>".into()),
            notification: false,
        }
    }

    fn trouble(code: u16, explanation: &str) -> Trouble {
        Trouble {
            stage: Stage::Rcpt,
            status: EnhancedCode(4, 0, 0),
            reply: Some(Reply::bare(code, "no")),
            explanation: explanation.into(),
            remedy: String::new(),
            in_doubt: false,
        }
    }

    /// The events of an attempt, as `what to: reply | explanation`.
    fn told(tried: &[usize], dispositions: Vec<Disposition>, lane: LaneEffect, now: Millis) -> Vec<String> {
        let received = message();
        let trouble = Some(trouble(421, "it is away"));
        let outcome = Outcome {
            dispositions,
            lane,
            trouble,
            relay: "mx.example:587".into(),
            tls: "none".into(),
            dsn_passed_on: false,
        };
        let mut status = Status::fresh(3, 1_000);
        let pending = status.outstanding(None);
        let schedule = Schedule::new(vec![Duration::from_secs(60)], Duration::from_secs(5 * 86_400));
        let next = status.settle(tried, &outcome, 1_000, now, &schedule, 0.5);
        let account = AccountId::new("other");
        let (received, pending, outcome, status) = (&received, &*pending, &outcome, &status);
        let events =
            Tried { received, account: &account, pending, tried, outcome, status, next, now }.events();
        for event in &events {
            assert_eq!((event.account.as_str(), event.relay.as_str()), ("other", "mx.example:587"));
            assert_eq!((event.at, event.delay_ms), (now, Some(now - 1_000)));
            assert_eq!(event.attempt, (!outcome.dispositions.is_empty()).then_some(1));
        }
        let say = |event: Event| {
            let to: Vec<&str> = event.to.iter().map(|to| &to[..1]).collect();
            format!("{} {}: {} | {}", event.event.as_str(), to.join(""), event.reply, event.explanation)
        };
        events.into_iter().map(say).collect()
    }

    /// Recipients tried, what became of them and of the lane, when; and the events.
    type Case<'a> = (&'a [usize], Vec<Disposition>, LaneEffect, Millis, &'a [&'a str]);

    #[test]
    fn every_recipient_is_in_one_event_with_its_own_reply() {
        let delivered = |text: &str| Disposition::Delivered(Reply::bare(250, text));
        let deferred = || Disposition::Deferred(trouble(450, "busy"));
        let failed = |why: &str| Disposition::Failed(trouble(550, why));
        let none = LaneEffect::None;
        let cases: [Case<'_>; 8] = [
            (&[0, 1, 2], vec![delivered("ok"); 3], none.clone(), 2_000, &["delivered abc: 250 ok | "]),
            (
                &[0, 1, 2],
                vec![failed("unknown"), delivered("ok"), failed("full")],
                none.clone(),
                2_000,
                &["delivered b: 250 ok | ", "failed a: 550 no | unknown", "failed c: 550 no | full"],
            ),
            (
                &[0, 1, 2],
                vec![deferred(), delivered("ok"), deferred()],
                none.clone(),
                2_000,
                &["delivered b: 250 ok | ", "deferred ac: 450 no | busy"],
            ),
            (&[0, 1], vec![delivered("ok"); 2], none.clone(), 2_000, &["delivered ab: 250 ok | "]),
            (
                &[0, 1],
                vec![deferred(), delivered("ok")],
                none.clone(),
                9 * DAY,
                &["delivered b: 250 ok | ", "expired a: 450 no | busy", "expired c: 421 no | it is away"],
            ),
            (&[0, 1], vec![], LaneEffect::BackOff, 9 * DAY, &["expired abc: 421 no | it is away"]),
            (&[0, 1], vec![], LaneEffect::Pause, 9 * DAY, &["deferred ab: 421 no | it is away"]),
            (&[0, 1], vec![], none, 2_000, &[]),
        ];
        for (tried, dispositions, lane, now, want) in cases {
            assert_eq!(told(tried, dispositions, lane, now), want);
        }
    }

    #[test]
    fn records_give_what_the_last_run_may_have_left_out() {
        let receipt = Record::Received { received: message(), content: ContentPlace::Record };
        assert_eq!(by(&receipt, 1_000), [received(&message())]);
        assert_eq!(by(&receipt, 1_001), []);
        let id = message().id;
        let events: Vec<Event> = [5, 9].map(|at| Event::new(at, id, What::Held)).to_vec();
        let departure = Record::Done { id, events: events.clone() };
        assert_eq!(by(&departure, 0), events);
        assert_eq!(by(&departure, 6), events[1..]);
    }
}
