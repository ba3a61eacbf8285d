//! The queue with a scripted carrier in place of a provider.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test says what went wrong by panicking.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::Notify;
use waxseal::{
    account::{AccountId, Pacing},
    config::QueueSettings,
    mail::{BodyType, ContentSource, EnhancedCode, Envelope, ForwardPath, QueueId, Reply, ReversePath},
    outbound::{Attempt, Disposition, LaneEffect, Outcome, Stage, Trouble},
    queue::{Carrier, DeliverFuture, Queue, Receipt},
};

/// Answers attempts from a script, then with 250 for everybody, and keeps what it was given.
#[derive(Default)]
struct Script {
    outcomes: Mutex<VecDeque<Outcome>>,
    seen: Mutex<Vec<(Attempt, Vec<u8>)>>,
    changed: Notify,
}

impl Carrier for Script {
    fn deliver<'a>(&'a self, attempt: &'a Attempt) -> DeliverFuture<'a> {
        Box::pin(async move {
            let octets = match &attempt.content {
                ContentSource::Memory(content) => content.octets().to_vec(),
                ContentSource::File { path, .. } => std::fs::read(path).unwrap(),
            };
            let all_good = Outcome {
                dispositions: attempt.recipients.iter().map(|_| delivered()).collect(),
                ..outcome(vec![], LaneEffect::None)
            };
            let outcome = self.outcomes.lock().unwrap().pop_front().unwrap_or(all_good);
            self.seen.lock().unwrap().push((attempt.clone(), octets));
            self.changed.notify_waiters();
            outcome
        })
    }
}

impl Script {
    async fn attempts(&self, count: usize) -> Vec<(Attempt, Vec<u8>)> {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                {
                    let seen = self.seen.lock().unwrap();
                    if seen.len() >= count {
                        return seen.clone();
                    }
                }
                changed.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the attempts come")
    }
}

fn delivered() -> Disposition {
    Disposition::Delivered(Reply::bare(250, "ok"))
}

fn trouble() -> Trouble {
    Trouble {
        stage: Stage::Rcpt,
        status: EnhancedCode(4, 0, 0),
        reply: Some(Reply::bare(450, "later")),
        explanation: "busy".into(),
        remedy: String::new(),
        in_doubt: false,
    }
}

fn outcome(dispositions: Vec<Disposition>, lane: LaneEffect) -> Outcome {
    Outcome {
        dispositions,
        lane,
        trouble: Some(trouble()),
        relay: "test:25".into(),
        tls: "none".into(),
        dsn_passed_on: false,
    }
}

fn settings() -> QueueSettings {
    QueueSettings {
        retry: vec![Duration::from_millis(20)],
        expire: Duration::from_secs(3600),
        keep_failed: Duration::from_secs(3600),
        max_size: 1 << 40,
        min_free: 0,
    }
}

fn open(directory: &std::path::Path) -> Queue {
    Queue::open(directory, settings()).unwrap().0
}

fn account() -> AccountId {
    AccountId::new("support")
}

fn carry_by(queue: &Queue, script: &Arc<Script>) {
    let pacing = Pacing { max_connections: 2, rate_limit: None, max_recipients_per_message: None };
    queue.configure(vec![(account(), pacing, script.clone())]);
}

async fn submit(queue: &Queue, content: &[u8], to: &[&str]) -> QueueId {
    let mut intake = queue.begin();
    for chunk in content.chunks(60_000) {
        intake.write(chunk).await.unwrap();
    }
    let to = to.iter().map(|to| ForwardPath::parse(to).unwrap()).collect();
    let from = ReversePath::parse("app@example.com").unwrap();
    let envelope = Envelope::new(from, to, BodyType::EightBitMime, false).unwrap();
    intake.commit(Receipt { envelope, account: account(), application: None }).await.unwrap()
}

async fn until_empty(queue: &Queue) {
    for _ in 0..2000 {
        if queue.list(None, 1).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the queue does not empty: {:?}", queue.list(None, 10));
}

#[tokio::test]
async fn a_message_goes_through_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let script = Arc::new(Script::default());
    carry_by(&queue, &script);
    let content = b"Subject: x\r\n\r\n.dot\r\n\xe9\r\n";
    submit(&queue, content, &["a@example.org", "b@example.org"]).await;
    let seen = script.attempts(1).await;
    assert_eq!(seen[0].1, content);
    assert_eq!(seen[0].0.recipients.len(), 2);
    until_empty(&queue).await;
    queue.shutdown(Duration::from_secs(5)).await;
    drop(queue);
    let (queue, recovery) = Queue::open(directory.path(), settings()).unwrap();
    assert_eq!((recovery.waiting, recovery.orphans, recovery.damaged), (0, 0, 0));
    drop(queue);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let large = b"0123456789abcde\r\n".repeat(40_000);
    {
        let queue = open(directory.path());
        submit(&queue, b"small\r\n", &["a@example.org"]).await;
        submit(&queue, &large, &["b@example.org"]).await;
        // A message that was begun and never committed leaves no trace.
        let mut begun = queue.begin();
        begun.write(&large).await.unwrap();
    }
    let (queue, recovery) = Queue::open(directory.path(), settings()).unwrap();
    assert_eq!((recovery.waiting, recovery.orphans), (2, 0));
    let script = Arc::new(Script::default());
    carry_by(&queue, &script);
    let mut seen = script.attempts(2).await;
    seen.sort_by_key(|(attempt, _)| attempt.queue_id);
    assert_eq!(seen[0].1, b"small\r\n");
    assert_eq!(seen[1].1, large);
    until_empty(&queue).await;
    queue.shutdown(Duration::from_secs(5)).await;
    assert_eq!(std::fs::read_dir(directory.path().join("content")).unwrap().count(), 0);
}

#[tokio::test]
async fn only_the_recipients_that_were_deferred_are_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let script = Arc::new(Script::default());
    let mixed = vec![delivered(), Disposition::Deferred(trouble()), Disposition::Failed(trouble())];
    script.outcomes.lock().unwrap().push_back(outcome(mixed, LaneEffect::None));
    carry_by(&queue, &script);
    let id = submit(&queue, b"x\r\n", &["a@example.org", "b@example.org", "c@example.org"]).await;
    let seen = script.attempts(2).await;
    assert_eq!(seen[1].0.recipients, [ForwardPath::parse("b@example.org").unwrap()]);
    // The failed recipient keeps the message, as failed; the operator sees just that one.
    let listed = loop {
        let listed = queue.show(id).unwrap();
        if listed.state == "failed" {
            break listed;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(listed.to, ["c@example.org"]);
    queue.retry(id).await.unwrap();
    let seen = script.attempts(3).await;
    assert_eq!(seen[2].0.recipients, [ForwardPath::parse("c@example.org").unwrap()]);
    until_empty(&queue).await;
    queue.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn login_trouble_holds_mail_without_burning_attempts() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let script = Arc::new(Script::default());
    script.outcomes.lock().unwrap().push_back(outcome(vec![], LaneEffect::Pause));
    carry_by(&queue, &script);
    let first = submit(&queue, b"x\r\n", &["a@example.org"]).await;
    script.attempts(1).await;
    let second = submit(&queue, b"y\r\n", &["a@example.org"]).await;
    for id in [first, second] {
        let listed = loop {
            let listed = queue.show(id).unwrap();
            if listed.state != "active" {
                break listed;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert_eq!((listed.state, listed.attempts), ("held", 0));
    }
    assert_eq!(queue.lanes()[0].stopped, Some("held"));
    queue.resume(&account());
    script.attempts(3).await;
    until_empty(&queue).await;
    assert_eq!(queue.lanes()[0].stopped, None);
    queue.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn mail_of_an_account_that_is_gone_waits_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let id = submit(&queue, b"x\r\n", &["a@example.org"]).await;
    assert_eq!(queue.show(id).unwrap().state, "held");
    let script = Arc::new(Script::default());
    carry_by(&queue, &script);
    script.attempts(1).await;
    until_empty(&queue).await;
    queue.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn operators_hold_release_and_remove() {
    let directory = tempfile::tempdir().unwrap();
    {
        let queue = open(directory.path());
        let held = submit(&queue, b"x\r\n", &["a@example.org"]).await;
        let removed = submit(&queue, b"y\r\n", &["a@example.org"]).await;
        queue.hold(held).await.unwrap();
        queue.remove(removed).await.unwrap();
        assert!(queue.show(removed).is_err());
    }
    let queue = open(directory.path());
    let script = Arc::new(Script::default());
    carry_by(&queue, &script);
    let listed = queue.list(None, 10);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].state, "held");
    queue.release(listed[0].id).await.unwrap();
    assert_eq!(script.attempts(1).await[0].1, b"x\r\n");
    until_empty(&queue).await;
    queue.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_full_queue_has_no_room() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    assert!(queue.has_room(Some(1000)));
    queue.set_settings(QueueSettings { max_size: 500, ..settings() });
    assert!(!queue.has_room(Some(1000)));
    queue.set_settings(QueueSettings { min_free: u64::MAX, ..settings() });
    assert!(!queue.has_room(None));
}

#[tokio::test]
async fn a_second_daemon_is_kept_out() {
    let directory = tempfile::tempdir().unwrap();
    let _queue = open(directory.path());
    let error = Queue::open(directory.path(), settings()).unwrap_err();
    assert!(error.to_string().contains("in use by another waxseal"), "{error}");
}
