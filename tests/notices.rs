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
    account::{AccountId, Delivery, Pacing},
    config::QueueSettings,
    history::History,
    mail::{BodyType, DsnRecipient, DsnRequest, Envelope, ForwardPath, QueueId, Reply, ReversePath},
    outbound::{Attempt, Disposition, LaneEffect, Outcome, Trouble},
    queue::{Clock, Commitment, Desk, Outlet, Queue, Receipt, schedule::Millis},
};

const START: Millis = 1_763_940_000_000;
const HOUR: Millis = 3_600_000;

fn open_at(directory: &Path, clock: Clock) -> Queue {
    let history = History::open(&directory.join("history"), Duration::from_secs(86_400)).unwrap();
    let queue = Queue::open_with(directory, settings(), history, clock).unwrap().0;
    scripted::share(&queue, directory);
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

/// A queue that tries again after a day, so that what was deferred once is late in four hours.
fn open_patient(directory: &Path, clock: Clock) -> Queue {
    let history = History::open(&directory.join("history"), Duration::from_secs(86_400)).unwrap();
    let settings = QueueSettings { retry: vec![Duration::from_secs(86_400)], ..settings() };
    let queue = Queue::open_with(directory, settings, history, clock).unwrap().0;
    scripted::share(&queue, directory);
    queue.set_desk(Desk { hostname: "relay.example.com".into(), route: Arc::new(|_| None) });
    queue
}

/// Sends a message that is deferred for its only recipient.
async fn defer(queue: &Queue, script: &Script, content: &[u8], notify: Option<&str>) -> QueueId {
    let deferred = Disposition::Deferred(trouble(450, "4.2.1 mailbox is busy"));
    script.outcomes.lock().unwrap().push_back(outcome(vec![deferred], LaneEffect::None));
    let id = submit_asking(queue, content, notify).await;
    becomes(queue, id, "deferred").await;
    id
}

async fn submit_asking(queue: &Queue, content: &[u8], notify: Option<&str>) -> QueueId {
    match commit_asking(queue, content, notify).await {
        Commitment::Durable(id) | Commitment::Relayed(id, _) => id,
        Commitment::Refused(reply) => panic!("refused: {reply}"),
    }
}

async fn commit_asking(queue: &Queue, content: &[u8], notify: Option<&str>) -> Commitment {
    let mut intake = queue.begin();
    intake.write(content).await.unwrap();
    let to = vec![ForwardPath::parse("busy@example.org").unwrap()];
    let from = ReversePath::parse("app@example.com").unwrap();
    let wish = DsnRecipient { notify: notify.map(|notify| notify.parse().unwrap()), orcpt: None };
    let envelope = Envelope::new(from, to, BodyType::EightBitMime, false).unwrap();
    let envelope = envelope.with_dsn(DsnRequest::default(), vec![wish]);
    intake.commit(Receipt { envelope, account: account(), application: None }).await.unwrap()
}

/// Waits until the history says how the sender of a message was notified.
async fn is_notified(queue: &Queue, id: QueueId, explanation: &str) {
    queue.history().sync().await;
    let directory = queue.history().directory();
    let days = std::fs::read_dir(directory).unwrap().map(|day| day.unwrap().path());
    let history: String = days.filter_map(|day| std::fs::read_to_string(day).ok()).collect();
    let words = [id.to_string(), "\"notified\"".to_owned(), explanation.to_owned()];
    let told = history.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(told, "{words:?} is not in\n{history}");
}

const TEXT: &[u8] = b"Subject: the offer\r\n\r\nx\r\n";

#[tokio::test]
async fn who_waits_is_warned_after_four_hours_and_once() {
    let directory = tempfile::tempdir().unwrap();
    let (time, clock) = Clock::simulated(START);
    let queue = open_patient(directory.path(), clock.clone());
    let script = Arc::new(Script::default());
    carry(&queue, Delivery::Queue, script.clone());
    let late = defer(&queue, &script, TEXT, None).await;
    defer(&queue, &script, TEXT, Some("NEVER")).await;
    defer(&queue, &script, TEXT, Some("FAILURE")).await;
    defer(&queue, &script, b"Auto-Submitted: auto-generated\r\n\r\nx\r\n", None).await;
    let asked = defer(&queue, &script, b"Auto-Submitted: auto-generated\r\n\r\nx\r\n", Some("DELAY")).await;
    time.send(START + 4 * HOUR - 60_001).unwrap();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(script.attempts(5).await.len(), 5, "nothing is late yet");
    time.send(START + 4 * HOUR + 1_000).unwrap();
    let attempts = script.attempts(7).await;
    let warning = text(&attempts[5]);
    for words in [
        "Subject: Delayed mail (still being tried): the offer",
        "Action: delayed",
        "Will-Retry-Until: ",
        "Final-Recipient: rfc822; busy@example.org",
        "450 4.2.1 mailbox is busy",
        &late.to_string(),
    ] {
        assert!(warning.contains(words), "{words} is not in\n{warning}");
    }
    assert_eq!(attempts[5].0.reverse_path, ReversePath::Null);
    assert_eq!(attempts[5].0.recipients[0].to_string(), "app@example.com");
    assert!(text(&attempts[6]).contains(&asked.to_string()));
    is_notified(&queue, late, "of the delay, as ").await;

    // Not again: neither later nor by the next process.
    queue.shutdown(Duration::from_secs(5)).await;
    drop(queue);
    let queue = open_patient(directory.path(), clock);
    carry(&queue, Delivery::Queue, script.clone());
    time.send(START + 9 * HOUR).unwrap();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(script.attempts(7).await.len(), 7, "warned twice");
    // The message itself goes on.
    time.send(START + 30 * HOUR).unwrap();
    until_empty(&queue).await;
}

#[tokio::test]
async fn a_flood_of_delays_comes_in_one_digest_without_what_has_gone() {
    let directory = tempfile::tempdir().unwrap();
    let (time, clock) = Clock::simulated(START);
    let queue = open_patient(directory.path(), clock);
    let script = Arc::new(Script::default());
    carry(&queue, Delivery::Queue, script.clone());
    let mut late = Vec::new();
    for _ in 0..14 {
        late.push(defer(&queue, &script, TEXT, None).await);
    }
    time.send(START + 4 * HOUR + 1_000).unwrap();
    script.attempts(24).await;
    // One of those for the digest is delivered before it goes.
    for id in &late {
        becomes(&queue, *id, "deferred").await;
    }
    queue.retry(late[12]).await.unwrap();
    script.attempts(25).await;
    time.send(START + 5 * HOUR + 2_000).unwrap();
    let digest = text(&script.attempts(26).await[25]);
    assert!(digest.contains("3 mails are late and still being tried"), "{digest}");
    for (number, id) in late.iter().enumerate() {
        assert_eq!(digest.contains(&id.to_string()), [10, 11, 13].contains(&number), "{number}:\n{digest}");
    }
}

#[tokio::test]
async fn a_warning_goes_through_an_account_that_works_or_waits_for_one() {
    let directory = tempfile::tempdir().unwrap();
    let (time, clock) = Clock::simulated(START);
    let queue = open_patient(directory.path(), clock);
    let (held, works) = (Arc::new(Script::default()), Arc::new(Script::default()));
    carry(&queue, Delivery::Queue, held.clone());
    held.outcomes.lock().unwrap().push_back(outcome(vec![], LaneEffect::Pause));
    let id = submit(&queue, TEXT, &["b@example.org"]).await;
    held.attempts(1).await;
    // Every probe finds the same.
    held.outcomes.lock().unwrap().extend((0..1000).map(|_| outcome(vec![], LaneEffect::Pause)));
    time.send(START + 4 * HOUR + 1_000).unwrap();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert!(queue.ids(None) == [id], "a warning through a held account would wait as well");

    let other = AccountId::new("other");
    let pacing = Pacing {
        max_connections: 1,
        rate_limit: None,
        daily_recipients: None,
        max_recipients_per_message: None,
    };
    let outlet = |account: AccountId, carrier: &Arc<Script>| Outlet {
        account,
        pacing,
        delivery: Delivery::Queue,
        address: None,
        carrier: carrier.clone(),
    };
    queue.configure(vec![outlet(account(), &held), outlet(other.clone(), &works)]);
    queue.set_desk(Desk {
        hostname: "relay.example.com".into(),
        route: Arc::new(move |_| Some(other.clone())),
    });
    time.send(START + 4 * HOUR + 700_000).unwrap();
    let warning = text(&works.attempts(1).await[0]);
    assert!(warning.contains("Action: delayed"), "{warning}");
    assert!(warning.contains(&id.to_string()), "{warning}");
    assert!(warning.contains("What stands in the way: "), "{warning}");
}

#[tokio::test]
async fn a_success_is_told_to_who_asked_where_the_provider_does_not() {
    for delivery in [Delivery::Queue, Delivery::Through] {
        let directory = tempfile::tempdir().unwrap();
        let queue = open_at(directory.path(), Clock::System);
        let script = Arc::new(Script::default());
        carry(&queue, delivery, script.clone());
        submit_asking(&queue, TEXT, Some("FAILURE,DELAY")).await;
        submit_asking(&queue, TEXT, None).await;
        script.attempts(2).await;
        let passed_on = Outcome { dsn_passed_on: true, ..outcome(vec![delivered()], LaneEffect::None) };
        script.outcomes.lock().unwrap().push_back(passed_on);
        submit_asking(&queue, TEXT, Some("SUCCESS")).await;
        script.attempts(3).await;
        let id = submit_asking(&queue, TEXT, Some("SUCCESS,FAILURE")).await;
        let attempts = script.attempts(5).await;
        let told = text(&attempts[4]);
        let host = "Remote-MTA: dns; smtp.example.com";
        for words in
            ["Subject: Relayed mail: the offer", "Action: relayed", "Status: 2.0.0", host, "250 2.0.0 taken"]
        {
            assert!(told.contains(words), "{delivery:?}: {words} is not in\n{told}");
        }
        assert!(told.contains(&id.to_string()), "{told}");
        assert_eq!(attempts[4].0.reverse_path, ReversePath::Null);
        until_empty(&queue).await;
        assert_eq!(script.attempts(5).await.len(), 5, "nobody is told of a notification");
        is_notified(&queue, id, "of the delivery, as ").await;
    }
}
