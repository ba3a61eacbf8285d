//! `delivery = "through"`: what the waiting client is told, and what is kept.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

mod scripted;

use scripted::*;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::Notify;
use waxseal::{
    account::Delivery,
    config::QueueSettings,
    mail::{QueueId, Reply},
    outbound::{Attempt, Disposition, LaneEffect, Trouble},
    queue::{Carrier, Commitment, DeliverFuture},
};

fn content_files(directory: &std::path::Path) -> usize {
    std::fs::read_dir(directory.join("content")).unwrap().count()
}

#[tokio::test]
async fn gives_the_client_the_providers_verdict_and_keeps_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (queue, script) = (open(directory.path()), Arc::new(Script::default()));
    let refused = Trouble { reply: Some(Reply::received(550, "5.1.1 nobody")), ..trouble(450, "later") };
    let fail = Disposition::Failed(refused);
    script.outcomes.lock().unwrap().extend([
        outcome(vec![delivered(), delivered()], LaneEffect::None),
        outcome(vec![fail.clone(), fail], LaneEffect::None),
    ]);
    carry(&queue, Delivery::Through, script.clone());
    let to = ["b@example.org", "c@example.org"];
    let large = b"0123456789abcdef\r\n".repeat(20_000);
    let relayed = commit(&queue, &large, &to).await;
    assert!(matches!(relayed, Commitment::Relayed(_, reply) if reply == Reply::received(250, "2.0.0 taken")));
    assert_eq!(script.attempts(1).await[0].1, large);
    let refused = commit(&queue, b"x\r\n", &to).await;
    assert_eq!(refused, Commitment::Refused(Reply::received(550, "5.1.1 nobody")));
    assert_eq!((queue.ids(None), content_files(directory.path())), (vec![], 0));
    queue.shutdown(Duration::from_secs(5)).await;
    drop(queue);
    assert!(open(directory.path()).ids(None).is_empty());
}

#[tokio::test]
async fn queues_what_the_provider_did_not_decide_for_all() {
    let directory = tempfile::tempdir().unwrap();
    let (queue, script) = (open(directory.path()), Arc::new(Script::default()));
    script.outcomes.lock().unwrap().push_back(outcome(
        vec![delivered(), Disposition::Deferred(trouble(450, "later"))],
        LaneEffect::None,
    ));
    carry(&queue, Delivery::Through, script.clone());
    submit(&queue, b"x\r\n", &["b@example.org", "c@example.org"]).await;
    let attempts = script.attempts(2).await;
    let recipients = |n: usize| attempts[n].0.recipients.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        (recipients(0), recipients(1)),
        (vec!["b@example.org".to_owned(), "c@example.org".to_owned()], vec!["c@example.org".to_owned()],)
    );
    until_empty(&queue).await;
}

/// Answers only when it is told to.
#[derive(Default)]
struct Slow {
    answer: Notify,
    seen: Mutex<usize>,
}

impl Carrier for Slow {
    fn deliver<'a>(&'a self, _: &'a Attempt) -> DeliverFuture<'a> {
        Box::pin(async move {
            *self.seen.lock().unwrap() += 1;
            self.answer.notified().await;
            outcome(vec![delivered()], LaneEffect::None)
        })
    }
}

#[tokio::test]
async fn past_its_time_is_durable_before_the_answer_and_not_sent_again() {
    let directory = tempfile::tempdir().unwrap();
    let settings = QueueSettings { through_timeout: Duration::from_millis(20), ..settings() };
    let (queue, _) = open_with(directory.path(), settings.clone()).unwrap();
    let slow = Arc::new(Slow::default());
    carry(&queue, Delivery::Through, slow.clone());
    let large = b"0123456789abcdef\r\n".repeat(20_000);
    let id = submit(&queue, &large, &["b@example.org"]).await;
    assert_eq!(queue.show(id).unwrap().state, "active");
    // What a crash would leave at this moment: the message, whole.
    let copy = tempfile::tempdir().unwrap();
    for part in ["journal", "content"] {
        std::fs::create_dir(copy.path().join(part)).unwrap();
        for entry in std::fs::read_dir(directory.path().join(part)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.path().join(part).join(entry.file_name())).unwrap();
        }
    }
    let recovered = open(copy.path());
    assert_eq!(recovered.ids(None), [id]);
    let script = Arc::new(Script::default());
    carry_by(&recovered, &script);
    assert_eq!(script.attempts(1).await[0].1, large);

    slow.answer.notify_one();
    until_empty(&queue).await;
    assert_eq!(*slow.seen.lock().unwrap(), 1);
}

#[tokio::test]
async fn an_account_in_trouble_is_queued_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (queue, script) = (open(directory.path()), Arc::new(Script::default()));
    script.outcomes.lock().unwrap().push_back(outcome(vec![], LaneEffect::Pause));
    carry(&queue, Delivery::Through, script.clone());
    let first = submit(&queue, b"1\r\n", &["b@example.org"]).await;
    let second = submit(&queue, b"2\r\n", &["b@example.org"]).await;
    assert_eq!(script.attempts(1).await.len(), 1, "the second one was not offered");
    queue.resume(&account());
    let attempts = script.attempts(3).await;
    let order: Vec<QueueId> = attempts[1..].iter().map(|(attempt, _)| attempt.queue_id).collect();
    assert_eq!(order, [first, second]);
    until_empty(&queue).await;
}
