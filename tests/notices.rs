//! When the queue notifies, and whom of what: with a scripted carrier and a clock that the test moves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

mod scripted;

use scripted::*;
use std::{path::Path, sync::Arc, time::Duration};
use waxseal::{
    account::Delivery,
    history::History,
    mail::{QueueId, Reply},
    outbound::{Attempt, Disposition, LaneEffect, Trouble},
    queue::{Clock, Desk, Queue, schedule::Millis},
};

const START: Millis = 1_763_940_000_000;
const HOUR: Millis = 3_600_000;

fn open_at(directory: &Path, clock: Clock) -> Queue {
    let history = History::open(&directory.join("history"), Duration::from_secs(86_400)).unwrap();
    let queue = Queue::open_with(directory, settings(), history, clock).unwrap().0;
    queue.set_desk(Desk { hostname: "relay.example.com".into(), route: Arc::new(|_| None) });
    queue
}

fn refused() -> Disposition {
    Disposition::Failed(Trouble {
        reply: Some(Reply::received(550, "5.1.1 nobody of that name")),
        ..trouble(550, "5.1.1 nobody of that name")
    })
}

/// The content of an attempt.
fn text((_, octets): &(Attempt, Vec<u8>)) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Sends a message that is refused for its only recipient, and waits until it has failed.
async fn fail(queue: &Queue, script: &Script) -> QueueId {
    script.outcomes.lock().unwrap().push_back(outcome(vec![refused()], LaneEffect::None));
    let id = submit(queue, b"Subject: x\r\n\r\nx\r\n", &["nobody@example.org"]).await;
    becomes(queue, id, "failed").await;
    id
}

async fn becomes(queue: &Queue, id: QueueId, state: &str) {
    for _ in 0..4000 {
        if queue.show(id).unwrap().state == state {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{id} does not become {state}: {:?}", queue.show(id));
}

async fn keeps_back(queue: &Queue, messages: usize) {
    for _ in 0..4000 {
        if queue.kept_back() == messages {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} are kept back, not {messages}", queue.kept_back());
}

#[tokio::test]
async fn what_was_kept_back_goes_in_one_digest_when_the_hour_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let (time, clock) = Clock::simulated(START);
    let queue = open_at(directory.path(), clock);
    let script = Arc::new(Script::default());
    carry(&queue, Delivery::Queue, script.clone());
    let mut failed = Vec::new();
    for _ in 0..10 {
        failed.push(fail(&queue, &script).await);
        script.attempts(2 * failed.len()).await;
    }
    for _ in 0..5 {
        failed.push(fail(&queue, &script).await);
    }
    keeps_back(&queue, 5).await;
    assert_eq!(script.attempts(25).await.len(), 25, "ten notifications, and five that are kept");
    time.send(START + HOUR).unwrap();
    let attempts = script.attempts(26).await;
    let digest = text(&attempts[25]);
    for id in &failed[10..] {
        assert!(digest.contains(&id.to_string()), "{id} is not in\n{digest}");
    }
    assert!(!digest.contains(&failed[0].to_string()), "{digest}");
    assert_eq!(attempts[25].0.recipients[0].to_string(), "app@example.com");
    // Once: the next notification is the next message's.
    keeps_back(&queue, 0).await;
    time.send(START + 2 * HOUR).unwrap();
    let next = fail(&queue, &script).await;
    let attempts = script.attempts(28).await;
    assert_eq!(attempts.len(), 28);
    assert!(text(&attempts[27]).contains(&next.to_string()));
}

#[tokio::test]
async fn a_recipient_that_fails_while_a_digest_is_kept_is_told_of_too() {
    let directory = tempfile::tempdir().unwrap();
    let (time, clock) = Clock::simulated(START);
    let queue = open_at(directory.path(), clock);
    let script = Arc::new(Script::default());
    carry(&queue, Delivery::Queue, script.clone());
    for sent in 1..=10 {
        fail(&queue, &script).await;
        script.attempts(2 * sent).await;
    }
    // One recipient fails at once and is kept for the digest, the other one is deferred.
    let both = outcome(vec![refused(), Disposition::Deferred(trouble(450, "later"))], LaneEffect::None);
    script.outcomes.lock().unwrap().push_back(both);
    let id = submit(&queue, b"x\r\n", &["first@example.org", "second@example.org"]).await;
    becomes(&queue, id, "deferred").await;
    keeps_back(&queue, 1).await;
    // It is tried again and fails too, before the digest goes.
    script.outcomes.lock().unwrap().push_back(outcome(vec![refused()], LaneEffect::None));
    time.send(START + 1_000).unwrap();
    becomes(&queue, id, "failed").await;
    time.send(START + HOUR + 1_000).unwrap();
    let attempts = script.attempts(24).await;
    let told: String = attempts[22..].iter().map(text).collect();
    for recipient in ["first@example.org", "second@example.org"] {
        assert!(told.contains(recipient), "{recipient} is not in\n{told}");
    }
    becomes(&queue, id, "failed").await;
}
