//! The queue with a scripted carrier in place of a provider.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test says what went wrong by panicking.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::Notify;
use waxseal::{
    account::{AccountId, Delivery, Pacing},
    config::{Bounce, QueueSettings},
    history::History,
    mail::{BodyType, ContentSource, EnhancedCode, Envelope, ForwardPath, QueueId, Reply, ReversePath},
    outbound::{Attempt, Disposition, LaneEffect, Outcome, Stage, Trouble},
    queue::{Carrier, Commitment, DeliverFuture, OpenError, Outlet, Queue, Receipt, Recovery},
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
        bounce: Bounce::Sender,
        postmaster: None,
        through_timeout: Duration::from_secs(30),
        max_size: 1 << 40,
        min_free: 0,
    }
}

fn open(directory: &std::path::Path) -> Queue {
    open_with(directory, settings()).unwrap().0
}

/// The queue in a directory, and its history in the same one.
fn open_with(directory: &std::path::Path, settings: QueueSettings) -> Result<(Queue, Recovery), OpenError> {
    let history = History::open(&directory.join("history"), Duration::from_secs(86_400)).unwrap();
    Queue::open(directory, settings, history)
}

fn account() -> AccountId {
    AccountId::new("support")
}

fn carry_by(queue: &Queue, script: &Arc<Script>) {
    carry(queue, Delivery::Queue, script.clone());
}

fn carry(queue: &Queue, delivery: Delivery, carrier: Arc<dyn Carrier>) {
    let pacing = Pacing {
        max_connections: 2,
        rate_limit: None,
        daily_recipients: None,
        max_recipients_per_message: None,
    };
    queue.configure(vec![Outlet { account: account(), pacing, delivery, address: None, carrier }]);
}

async fn submit(queue: &Queue, content: &[u8], to: &[&str]) -> QueueId {
    match commit(queue, content, to).await {
        Commitment::Durable(id) => id,
        other => panic!("not queued: {other:?}"),
    }
}

async fn commit(queue: &Queue, content: &[u8], to: &[&str]) -> Commitment {
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
        if queue.list(None, None, 1).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the queue does not empty: {:?}", queue.list(None, None, 10));
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
    let (queue, recovery) = open_with(directory.path(), settings()).unwrap();
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
    let (queue, recovery) = open_with(directory.path(), settings()).unwrap();
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
    let listed = queue.list(None, None, 10);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].state, "held");
    queue.release(listed[0].id, |_| None).await.unwrap();
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
    let error = open_with(directory.path(), settings()).unwrap_err();
    assert!(error.to_string().contains("in use by another waxseal"), "{error}");
}

fn content_files(directory: &std::path::Path) -> usize {
    std::fs::read_dir(directory.join("content")).unwrap().count()
}

#[tokio::test]
async fn through_gives_the_client_the_providers_verdict_and_keeps_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (queue, script) = (open(directory.path()), Arc::new(Script::default()));
    let refused = Trouble { reply: Some(Reply::received(550, "5.1.1 nobody")), ..trouble() };
    let fail = Disposition::Failed(refused);
    script.outcomes.lock().unwrap().extend([
        outcome(vec![delivered(), delivered()], LaneEffect::None),
        outcome(vec![fail.clone(), fail], LaneEffect::None),
    ]);
    carry(&queue, Delivery::Through, script.clone());
    let to = ["b@example.org", "c@example.org"];
    let large = b"0123456789abcdef\r\n".repeat(20_000);
    let relayed = commit(&queue, &large, &to).await;
    assert!(matches!(relayed, Commitment::Relayed(_, reply) if reply == Reply::bare(250, "ok")));
    assert_eq!(script.attempts(1).await[0].1, large);
    let refused = commit(&queue, b"x\r\n", &to).await;
    assert_eq!(refused, Commitment::Refused(Reply::received(550, "5.1.1 nobody")));
    assert_eq!((queue.ids(None), content_files(directory.path())), (vec![], 0));
    queue.shutdown(Duration::from_secs(5)).await;
    drop(queue);
    assert!(open(directory.path()).ids(None).is_empty());
}

#[tokio::test]
async fn through_queues_what_the_provider_did_not_decide_for_all() {
    let directory = tempfile::tempdir().unwrap();
    let (queue, script) = (open(directory.path()), Arc::new(Script::default()));
    script
        .outcomes
        .lock()
        .unwrap()
        .push_back(outcome(vec![delivered(), Disposition::Deferred(trouble())], LaneEffect::None));
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
async fn through_past_its_time_is_durable_before_the_answer_and_not_sent_again() {
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
async fn through_an_account_in_trouble_is_queued_at_once() {
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

#[tokio::test]
async fn a_backlog_is_what_waits_and_says_where_pacing_keeps_it() {
    let directory = tempfile::tempdir().unwrap();
    let (queue, script) = (open(directory.path()), Arc::new(Script::default()));
    let held = submit(&queue, b"0\r\n", &["b@example.org"]).await;
    queue.hold(held).await.unwrap();
    assert_eq!(queue.backlogs(), [], "an operator holds it");
    let oldest = submit(&queue, b"1\r\n", &["b@example.org"]).await;
    submit(&queue, b"2\r\n", &["b@example.org"]).await;
    let backlog = queue.backlogs().remove(0);
    assert_eq!((backlog.account, backlog.messages, backlog.oldest), (account(), 2, oldest.unix_millis()));
    assert_eq!((backlog.last_success_at, backlog.paced), (None, false), "nobody carries it yet");

    let pacing = Pacing {
        max_connections: 1,
        rate_limit: None,
        daily_recipients: Some(1),
        max_recipients_per_message: None,
    };
    let carrier: Arc<dyn Carrier> = script.clone();
    queue.configure(vec![Outlet {
        account: account(),
        pacing,
        delivery: Delivery::Queue,
        address: None,
        carrier,
    }]);
    script.attempts(1).await;
    let paced = async {
        loop {
            match queue.backlogs().pop() {
                Some(backlog) if backlog.messages == 1 && backlog.last_success_at.is_some() => {
                    return backlog;
                }
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let backlog = tokio::time::timeout(Duration::from_secs(20), paced).await.expect("one goes");
    assert!(backlog.paced, "the day is full");
}
