//! The queue's ways with messages, accounts and operators.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

mod scripted;

use scripted::*;
use std::{sync::Arc, time::Duration};
use waxseal::{
    account::{Delivery, Pacing},
    config::QueueSettings,
    mail::ForwardPath,
    outbound::{Disposition, LaneEffect, Trouble},
    queue::{Carrier, Outlet},
};

fn busy() -> Trouble {
    trouble(450, "later")
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
        drop(begun);
        queue.shutdown(Duration::from_secs(5)).await;
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
    let mixed = vec![delivered(), Disposition::Deferred(busy()), Disposition::Failed(busy())];
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
        queue.shutdown(Duration::from_secs(5)).await;
    }
    let queue = open(directory.path());
    let script = Arc::new(Script::default());
    carry_by(&queue, &script);
    let listed = queue.list(None, 10);
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
