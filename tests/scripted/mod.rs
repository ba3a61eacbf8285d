//! A queue in this process, with a scripted carrier in place of a provider.
#![allow(dead_code, reason = "every test binary takes what it needs")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

#[allow(clippy::duplicate_mod, reason = "some test binaries have `support`, too")]
#[path = "../support/events.rs"]
mod events;
mod shared;

pub use shared::share;
use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::Notify;
use waxseal::{
    account::{AccountId, Delivery, Pacing},
    config::QueueSettings,
    history::History,
    mail::{
        BodyType, ContentSource, EnhancedCode, Envelope, ForwardPath, Mailbox, QueueId, Reply, ReversePath,
    },
    outbound::{Attempt, AttemptContent, Disposition, LaneEffect, Outcome, Stage, Trouble},
    queue::{Carrier, Commitment, DeliverFuture, OpenError, Outlet, Queue, Receipt, Recovery},
};

/// Answers attempts from a script, then with 250 for everybody, and keeps what it was given.
#[derive(Default)]
pub struct Script {
    pub outcomes: Mutex<VecDeque<Outcome>>,
    seen: Mutex<Vec<(Attempt, Vec<u8>)>>,
    changed: Notify,
}

impl Carrier for Script {
    fn deliver<'a>(&'a self, attempt: &'a Attempt) -> DeliverFuture<'a> {
        Box::pin(async move {
            let octets = match &attempt.content {
                AttemptContent::Whole(ContentSource::Memory(content)) => content.octets().to_vec(),
                AttemptContent::Whole(ContentSource::File { path, .. }) => std::fs::read(path).unwrap(),
                AttemptContent::Growing(growing) => panic!("{growing:?} is not whole"),
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
    pub async fn attempts(&self, count: usize) -> Vec<(Attempt, Vec<u8>)> {
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

pub fn delivered() -> Disposition {
    Disposition::Delivered(Reply::received(250, "2.0.0 taken"))
}

pub fn trouble(code: u16, text: &str) -> Trouble {
    Trouble {
        stage: Stage::Rcpt,
        status: EnhancedCode(4, 0, 0),
        reply: Some(Reply::received(code, text)),
        explanation: "the server says no".into(),
        remedy: String::new(),
        in_doubt: false,
    }
}

pub fn outcome(dispositions: Vec<Disposition>, lane: LaneEffect) -> Outcome {
    Outcome {
        dispositions,
        lane,
        trouble: Some(trouble(421, "4.3.2 away")),
        relay: "smtp.example.com:587".into(),
        tls: "TLSv1.3".into(),
        dsn_passed_on: false,
    }
}

pub fn settings() -> QueueSettings {
    events::record();
    QueueSettings { retry: vec![Duration::from_millis(20)], min_free: 0, ..QueueSettings::default() }
}

pub fn open(directory: &Path) -> Queue {
    open_with(directory, settings()).unwrap().0
}

/// The queue in a directory, and its history in the same one.
pub fn open_with(directory: &Path, settings: QueueSettings) -> Result<(Queue, Recovery), OpenError> {
    let history = History::open(&directory.join("history"), Duration::from_secs(86_400)).unwrap();
    let opened = Queue::open(directory, settings, history)?;
    share(&opened.0, directory);
    Ok(opened)
}

pub fn account() -> AccountId {
    AccountId::new("support")
}

pub fn carry_by(queue: &Queue, script: &Arc<Script>) {
    carry(queue, Delivery::Queue, script.clone());
}

pub fn carry(queue: &Queue, delivery: Delivery, carrier: Arc<dyn Carrier>) {
    let pacing = Pacing {
        max_connections: 2,
        rate_limit: None,
        daily_recipients: None,
        max_recipients_per_message: None,
    };
    queue.configure(vec![Outlet {
        account: account(),
        pacing,
        delivery,
        address: Mailbox::parse("relay@example.com").ok(),
        carrier,
    }]);
}

pub async fn submit(queue: &Queue, content: &[u8], to: &[&str]) -> QueueId {
    match commit(queue, content, to).await {
        Commitment::Durable(id) => id,
        other => panic!("not queued: {other:?}"),
    }
}

pub async fn commit(queue: &Queue, content: &[u8], to: &[&str]) -> Commitment {
    let mut intake = queue.begin();
    for chunk in content.chunks(60_000) {
        intake.write(chunk).await.unwrap();
    }
    let to = to.iter().map(|to| ForwardPath::parse(to).unwrap()).collect();
    let from = ReversePath::parse("app@example.com").unwrap();
    let envelope = Envelope::new(from, to, BodyType::EightBitMime, false).unwrap();
    intake.commit(Receipt { envelope, account: account(), application: None }).await.unwrap()
}

pub async fn until_empty(queue: &Queue) {
    for _ in 0..2000 {
        if queue.list(None, 1).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the queue does not empty: {:?}", queue.list(None, 10));
}
