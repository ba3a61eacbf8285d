//! What became of messages, as operators see it. Pure.

use super::protocol::{EventView, MessageView, TraceView, TracedView};
use crate::{
    history::{Event, Found, Traced, What},
    mail::{QueueId, Timestamp},
    queue::is_handed_over,
};
use std::collections::{BTreeSet, HashMap};

/// What was found, as it is answered; `queued` is what the queue has of a message now.
pub fn trace_view(found: Found, queued: impl Fn(QueueId) -> Option<MessageView>) -> TraceView {
    let view = |traced: Traced| {
        let queue = queued(traced.id);
        traced_view(traced, queue)
    };
    TraceView {
        messages: found.messages.into_iter().map(view).collect(),
        more: found.more,
        since: found.since,
    }
}

fn traced_view(traced: Traced, queue: Option<MessageView>) -> TracedView {
    let receipt = traced.events.iter().find(|event| event.event == What::Received);
    let account = traced.events.iter().rev().map(|event| &event.account).find(|account| !account.is_empty());
    let ended = end(&traced.events).map(str::to_owned);
    TracedView {
        id: traced.id.to_string(),
        state: queue.as_ref().map(|message| message.state.clone()).or(ended),
        account: account.cloned().unwrap_or_default(),
        application: receipt.and_then(|event| event.application.clone()),
        from: receipt.and_then(|event| event.from.clone()),
        to: receipt.map(|event| event.to.clone()).unwrap_or_default(),
        size: receipt.and_then(|event| event.size),
        message_id: receipt.and_then(|event| event.message_id.clone()),
        received_at: receipt.map(|event| Timestamp::from_millis(event.at).to_string()),
        queue,
        left_out: traced.left_out,
        events: traced.events.into_iter().map(event_view).collect(),
    }
}

fn event_view(event: Event) -> EventView {
    EventView {
        at: Timestamp::from_millis(event.at).precise().to_string(),
        event: event.event.as_str().to_owned(),
        account: event.account,
        to: event.to,
        relay: event.relay,
        tls: event.tls,
        reply: event.reply,
        explanation: event.explanation,
        delay_ms: event.delay_ms,
        attempt: event.attempt,
    }
}

/// How a message ended, where its events say so: `delivered` to everybody, `failed` for somebody, or `removed`.
fn end(events: &[Event]) -> Option<&'static str> {
    let mut outstanding: BTreeSet<&str> = BTreeSet::new();
    let mut failed: HashMap<&str, bool> = HashMap::new();
    for event in events {
        let to = event.to.iter().map(String::as_str);
        match event.event {
            What::Received => outstanding.extend(to),
            What::Delivered => failed.extend(to.map(|to| (to, false))),
            What::Failed | What::Expired => failed.extend(to.map(|to| (to, true))),
            What::Retried => failed.retain(|_, failed| !*failed),
            // To another node, where it goes on.
            What::Removed if is_handed_over(event) => {}
            What::Removed => return Some("removed"),
            _ => {}
        }
    }
    match (outstanding.is_empty(), outstanding.iter().all(|to| failed.contains_key(to))) {
        (false, true) if failed.values().any(|failed| *failed) => Some("failed"),
        (false, true) => Some("delivered"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events with their recipients.
    type Told<'a> = &'a [(What, &'a [&'a str])];

    fn events(told: Told<'_>) -> Vec<Event> {
        let event = |(what, to): &(What, &[&str])| Event {
            to: to.iter().map(|to| (*to).to_owned()).collect(),
            ..Event::new(5, QueueId::new(5, 0), what.clone())
        };
        told.iter().map(event).collect()
    }

    #[test]
    fn the_events_say_how_it_ended() {
        use What::{Deferred, Delivered, Expired, Failed, Received, Removed, Retried};
        let cases: &[(Told<'_>, Option<&str>)] = &[
            (&[(Received, &["a", "b"])], None),
            (&[(Received, &["a", "b"]), (Delivered, &["a"])], None),
            (&[(Received, &["a", "b"]), (Delivered, &["a"]), (Delivered, &["b"])], Some("delivered")),
            (&[(Received, &["a", "b"]), (Delivered, &["a"]), (Expired, &["b"])], Some("failed")),
            (&[(Received, &["a"]), (Deferred, &["a"])], None),
            (&[(Received, &["a"]), (Failed, &["a"]), (Retried, &[])], None),
            (&[(Received, &["a"]), (Failed, &["a"]), (Retried, &[]), (Delivered, &["a"])], Some("delivered")),
            (&[(Received, &["a"]), (Failed, &["a"]), (Removed, &[])], Some("removed")),
            (&[(Delivered, &["a"])], None),
        ];
        for (told, want) in cases {
            assert_eq!(end(&events(told)), *want, "{told:?}");
        }
    }

    #[test]
    fn what_the_queue_says_comes_before_what_the_events_say() {
        let traced =
            Traced { id: QueueId::new(5, 0), events: events(&[(What::Received, &["a@b"])]), left_out: 0 };
        let view = traced_view(traced, None);
        assert_eq!((view.state, view.received_at.as_deref()), (None, Some("1970-01-01T00:00:00Z")));
        assert_eq!(
            (view.to, view.events[0].at.as_str()),
            (vec!["a@b".to_owned()], "1970-01-01T00:00:00.005Z")
        );
    }
}
