//! A queue without a daemon around it, messages for it, and somebody who carries them.

use super::PATIENCE;
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use waxseal::{
    account::{AccountId, Delivery, Pacing},
    config::{Bounce, QueueSettings},
    history::History,
    mail::{BodyType, ContentSource, EnhancedCode, Envelope, ForwardPath, QueueId, Reply, ReversePath},
    outbound::{Attempt, AttemptContent, Disposition, LaneEffect, Outcome, Stage, Trouble},
    queue::{
        Carrier, CommitError, Commitment, DeliverFuture, Footing, Listed, OpenError, Outlet, Queue, Receipt,
        Recovery,
    },
};

/// A directory in memory, where the host has one: what is tried a thousand times need not wait for a real disk.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Nothing expires, nothing is full.
pub fn settings() -> QueueSettings {
    QueueSettings {
        retry: vec![Duration::from_millis(20)],
        expire: Duration::from_secs(10 * 365 * 86_400),
        keep_failed: Duration::from_secs(10 * 365 * 86_400),
        bounce: Bounce::None,
        postmaster: None,
        through_timeout: Duration::from_secs(30),
        max_size: u64::MAX,
        min_free: 0,
    }
}

/// The queue in `directory/queue`, and its history beside it.
pub fn open(footing: Footing, directory: &Path) -> Result<(Queue, Recovery), OpenError> {
    super::events::record();
    let history = History::open(&directory.join("history"), Duration::from_secs(86_400)).unwrap();
    Queue::open_on(footing, &directory.join("queue"), settings(), history)
}

/// A message for so many recipients. Large ones are past the 256 KiB at which content gets a file of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub account: AccountId,
    pub to: usize,
    pub content: Vec<u8>,
}

impl Message {
    pub fn random(random: &mut fastrand::Rng, account: &str, size: usize) -> Self {
        let mut content = b"Subject: x\r\n\r\n".to_vec();
        while content.len() < size {
            let line = [b'.', 0xe9, random.u8(b'a'..=b'z'), random.u8(0x80..), b' '];
            content.extend(line.iter().cycle().skip(random.usize(..5)).take(random.usize(1..70)));
            content.extend_from_slice(b"\r\n");
        }
        Self { account: AccountId::new(account), to: random.usize(1..4), content }
    }

    /// Hands it in; `begun` hears its id before anything of it can be on disk.
    pub async fn submit(&self, queue: &Queue, begun: impl FnOnce(QueueId)) -> Result<QueueId, CommitError> {
        let mut intake = queue.begin();
        begun(intake.id());
        for chunk in self.content.chunks(60_000) {
            intake.write(chunk).await?;
        }
        match intake.commit(self.receipt()).await? {
            Commitment::Durable(id) => Ok(id),
            other => panic!("not queued: {other:?}"),
        }
    }

    pub fn receipt(&self) -> Receipt {
        let to = (0..self.to).map(|n| ForwardPath::parse(&format!("r{n}@example.org")).unwrap()).collect();
        let from = ReversePath::parse("app@example.com").unwrap();
        let envelope = Envelope::new(from, to, BodyType::EightBitMime, false).unwrap();
        Receipt { envelope, account: self.account.clone(), application: None }
    }
}

/// What is decided about each recipient of an attempt.
pub type Decide = dyn Fn(&Attempt) -> Vec<Disposition> + Send + Sync;

/// How many recipients, and which octets, each attempt had, by queue id.
pub type Taken = HashMap<QueueId, Vec<(usize, Vec<u8>)>>;

/// Takes what it is given, and keeps it by queue id.
pub struct Post {
    decide: Box<Decide>,
    taken: Mutex<Taken>,
}

impl Post {
    pub fn new(decide: impl Fn(&Attempt) -> Vec<Disposition> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { decide: Box::new(decide), taken: Mutex::default() })
    }

    /// Everything is delivered.
    pub fn good() -> Arc<Self> {
        Self::new(|attempt| attempt.recipients.iter().map(|_| delivered()).collect())
    }

    /// What was taken so far: the recipients and contents of each message's attempts.
    pub fn taken(&self) -> Taken {
        self.taken.lock().unwrap().clone()
    }

    /// Carries the mail of these accounts from now on, and of no other.
    pub fn carry(self: &Arc<Self>, queue: &Queue, accounts: &[&str]) {
        let pacing = Pacing {
            max_connections: 4,
            rate_limit: None,
            daily_recipients: None,
            max_recipients_per_message: None,
        };
        let outlet = |account: &&str| Outlet {
            account: AccountId::new(account),
            pacing,
            delivery: Delivery::Queue,
            address: None,
            carrier: self.clone(),
        };
        queue.configure(accounts.iter().map(outlet).collect());
    }
}

impl Carrier for Post {
    fn deliver<'a>(&'a self, attempt: &'a Attempt) -> DeliverFuture<'a> {
        Box::pin(async move {
            let octets = match &attempt.content {
                AttemptContent::Whole(ContentSource::Memory(content)) => content.octets().to_vec(),
                AttemptContent::Whole(ContentSource::File { path, .. }) => std::fs::read(path).unwrap(),
                AttemptContent::Growing(growing) => panic!("{growing:?} is not whole"),
            };
            let mut taken = self.taken.lock().unwrap();
            taken.entry(attempt.queue_id).or_default().push((attempt.recipients.len(), octets));
            drop(taken);
            Outcome {
                dispositions: (self.decide)(attempt),
                lane: LaneEffect::None,
                trouble: None,
                relay: "test:25".into(),
                tls: "none".into(),
                dsn_passed_on: false,
            }
        })
    }
}

pub fn delivered() -> Disposition {
    Disposition::Delivered(Reply::bare(250, "ok"))
}

/// A 4yz or 5yz reply.
pub fn refused(code: u16) -> Disposition {
    let trouble = Trouble {
        stage: Stage::Rcpt,
        status: EnhancedCode((code / 100) as u8, 0, 0),
        reply: Some(Reply::bare(code, "no")),
        explanation: "it says no".into(),
        remedy: String::new(),
        in_doubt: false,
    };
    if code < 500 { Disposition::Deferred(trouble) } else { Disposition::Failed(trouble) }
}

/// Looks until it sees something.
pub async fn until(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !look() {
        assert!(Instant::now() < deadline, "not seen in time: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Has all mail of these accounts delivered, whatever state it was in, and gives back what came: to how many
/// recipients, and what.
pub async fn drained(queue: &Queue, accounts: &[&str]) -> HashMap<QueueId, (usize, Vec<u8>)> {
    let post = Post::good();
    post.carry(queue, accounts);
    let rests = || {
        let counts = queue.counts();
        counts["queued"] + counts["active"] + counts["deferred"] == 0
    };
    until("what waits to be carried", rests).await;
    for listed in queue.list(None, usize::MAX) {
        assert!(matches!(listed.state, "held" | "failed"), "{listed:?}");
        match listed.state {
            "held" => queue.release(listed.id, |_| None).await.unwrap(),
            _ => queue.retry(listed.id).await.unwrap(),
        }
    }
    let empty = || queue.counts().values().sum::<usize>() == 0;
    let deadline = Instant::now() + PATIENCE;
    while !empty() {
        let left = || queue.list(None, 3);
        let unreadable =
            |listed: &Listed| listed.state == "held" && listed.last_reply.contains("cannot be read");
        assert!(!left().iter().any(unreadable), "{:?}", left());
        assert!(Instant::now() < deadline, "left in the queue: {:?}", left());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // One whose recipients were waiting and refused goes to the former, and after the `retry` to the latter.
    let whole = |(id, attempts): (QueueId, Vec<(usize, Vec<u8>)>)| {
        let recipients = attempts.iter().map(|(recipients, _)| recipients).sum();
        assert!(attempts.iter().all(|(_, content)| *content == attempts[0].1), "{id} changed");
        (id, (recipients, attempts[0].1.clone()))
    };
    post.taken().into_iter().map(whole).collect()
}
