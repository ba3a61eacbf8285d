//! Events of parts of the daemon, run in this process, whose disk or store fails at the right moment.

use crate::support::{
    self, House, Provider,
    faulty::{self, Faulty},
    queue::{self, Message, Post, delivered, open, refused, scratch},
};
use std::{fs, path::PathBuf, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use waxseal::{
    account::{AccountId, ApplicationId, Users, token::TokenSet},
    alert::{AccountFact, AccountState, Alerts, DiskFact, Facts, Limits as AlertLimits},
    config::{self, Bounce, Limits, ListenerSettings, QueueSettings, Snapshot},
    inbound::{self, Budget, Gate, Pickup},
    mail::{BodyType, DsnRecipient, DsnRequest, Envelope, ForwardPath, QueueId, Reply, ReversePath},
    meter::Meter,
    oauth::Tokens,
    outbound::Attempt,
    queue::{Clock, Commitment, Desk, Footing, Intake, Queue, Receipt},
    sandbox::SandboxOptions,
    spool::Spool,
    store::{Kept, Over, Saved, StoreError, StoreFuture, TokenStore, Version},
};

fn footing(disk: &Faulty) -> Footing {
    Footing { disk: Arc::new(disk.clone()), ..Footing::default() }
}

fn letter(to: usize, size: usize) -> Message {
    Message { to, ..Message::random(&mut fastrand::Rng::with_seed(1), "one", size) }
}

/// The log of a queue in this process has what is said here; `events.py` looks for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_syncs_nothing_any_more_is_told_of() {
    let (disk, directory) = (Faulty::default(), scratch());
    let (queue, _) = open(footing(&disk), directory.path()).unwrap();
    letter(1, 100).submit(&queue, |_| {}).await.unwrap();
    disk.fail(faulty::Fault::Sync, 0, true);
    Post::good().carry(&queue, &["one"]);
    queue::until("a delivery", || queue.counts().values().sum::<usize>() == 0).await;
    // The departure that nobody waits for is synced a moment later, by itself.
    queue::until("a sync that failed", || disk.failures() > 0).await;
    let before = disk.failures();
    queue.shutdown(Duration::from_secs(5)).await;
    assert!(disk.heal() > before, "the shutdown syncs, too");
}

/// The message has left all the same, and its file takes room until the next start sweeps it.
#[tokio::test(flavor = "multi_thread")]
async fn a_content_file_that_cannot_be_removed_is_told_of_and_swept_at_the_next_start() {
    let (disk, directory) = (Faulty::default(), scratch());
    let (queue, _) = open(footing(&disk), directory.path()).unwrap();
    disk.fail(faulty::Fault::Remove, 0, true);
    letter(1, 300 << 10).submit(&queue, |_| {}).await.unwrap();
    Post::good().carry(&queue, &["one"]);
    queue::until("an attempt to remove", || disk.failures() > 0).await;
    assert_eq!(queue.counts().values().sum::<usize>(), 0);
    disk.heal();
    let files = || fs::read_dir(directory.path().join("queue/content")).unwrap().count();
    assert_eq!(files(), 1);
    queue.shutdown(Duration::from_secs(5)).await;
    drop(queue);
    let (_queue, _) = open(footing(&disk), directory.path()).unwrap();
    assert_eq!(files(), 0);
}

/// Records cannot be moved to a full disk: only room is lost.
#[tokio::test(flavor = "multi_thread")]
async fn records_that_cannot_be_moved_are_told_of() {
    let (disk, directory) = (Faulty::default(), scratch());
    let footing = Footing { segment_size: 32 << 10, ..footing(&disk) };
    let (queue, _) = open(footing, directory.path()).unwrap();
    let kept = letter(1, 8000).submit(&queue, |_| {}).await.unwrap();
    for _ in 0..40 {
        let id = letter(1, 8000).submit(&queue, |_| {}).await.unwrap();
        queue.remove(id).await.unwrap();
    }
    disk.fail(faulty::Fault::Full, 0, true);
    queue.keep_house().await;
    assert!(disk.heal() > 0, "nothing was to be moved");
    assert_eq!(queue.list(None, 10).iter().map(|listed| listed.id).collect::<Vec<_>>(), [kept]);
}

/// A notification that finds no room waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_notification_that_finds_no_room_is_told_of_and_waits() {
    let (disk, directory) = (Faulty::default(), scratch());
    let (queue, _) = open(footing(&disk), directory.path()).unwrap();
    queue.set_settings(QueueSettings { bounce: Bounce::Sender, ..queue::settings() });
    letter(1, 100).submit(&queue, |_| {}).await.unwrap();
    let post = Post::new(|attempt| {
        let is_notification = attempt.reverse_path.to_string().is_empty();
        attempt.recipients.iter().map(|_| if is_notification { delivered() } else { refused(550) }).collect()
    });
    post.carry(&queue, &["one"]);
    queue::until("a failure", || queue.counts()["failed"] == 1).await;
    disk.fail(faulty::Fault::Full, 0, true);
    desk(&queue);
    queue::until("an attempt to tell", || disk.failures() > 0).await;
    assert_eq!(post.taken().len(), 1, "nobody has been told");
    disk.heal();
    // It is told of later, and given back until then.
    queue::until("the failed message", || queue.counts()["failed"] == 1).await;
}

fn desk(queue: &Queue) {
    queue.set_desk(Desk {
        hostname: "relay.example.com".into(),
        route: Arc::new(|_| Some(AccountId::new("one"))),
    });
}

/// A store that cannot be read is not taken for a grant that is missing.
#[test]
fn tokens_that_cannot_be_read_are_told_of_and_not_taken_for_missing() {
    struct Unreadable;
    impl Unreadable {
        fn error<T: Send + 'static>() -> StoreFuture<'static, T> {
            Box::pin(std::future::ready(Err(StoreError::Locked { path: "tokens.lock".into() })))
        }
    }
    impl TokenStore for Unreadable {
        fn load<'a>(&'a self, _: &'a AccountId) -> StoreFuture<'a, Kept> {
            Self::error()
        }

        fn save<'a>(&'a self, _: &'a AccountId, _: &'a TokenSet, _: Over) -> StoreFuture<'a, Saved> {
            Self::error()
        }

        fn forget<'a>(&'a self, _: &'a AccountId) -> StoreFuture<'a, Version> {
            Self::error()
        }

        fn list(&self) -> StoreFuture<'_, Vec<AccountId>> {
            Self::error()
        }
    }
    support::events::record();
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    house.configure(&house.oauth(&provider, "person", "a.example"));
    let config = config::load(Some(&house.config()), std::iter::empty()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let tokens = runtime.block_on(Tokens::new(Arc::new(Unreadable), &config.accounts));
    let status = tokens.status(&AccountId::new("person")).unwrap();
    assert!(status.trouble.unwrap().contains("another waxseal uses this store"));
}

/// A digest that finds no room is told of, and its failures are told of later all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_digest_that_finds_no_room_waits() {
    const START: u64 = 1_763_940_000_000;
    let (disk, directory) = (Faulty::default(), scratch());
    let (time, clock) = Clock::simulated(START);
    let (queue, _) = open(Footing { clock, ..footing(&disk) }, directory.path()).unwrap();
    queue.set_settings(QueueSettings { bounce: Bounce::Sender, ..queue::settings() });
    desk(&queue);
    let is_own = |attempt: &Attempt| attempt.reverse_path.to_string().is_empty();
    let post = Post::new(move |attempt| {
        let fate = || if is_own(attempt) { delivered() } else { refused(550) };
        attempt.recipients.iter().map(|_| fate()).collect()
    });
    post.carry(&queue, &["one"]);
    for _ in 0..12 {
        letter(1, 100).submit(&queue, |_| {}).await.unwrap();
    }
    queue::until("two that are kept back", || queue.kept_back() == 2).await;
    queue::until("ten notifications", || post.taken().len() == 22).await;
    disk.fail(faulty::Fault::Full, 0, true);
    time.send(START + 3_600_000).unwrap();
    queue::until("a digest that is not written", || disk.failures() > 0).await;
    assert_eq!(post.taken().len(), 22, "nobody was told yet");
    disk.heal();
    time.send(START + 3 * 3_600_000).unwrap();
    // By then there may be ten notifications an hour again, and each failure gets its own.
    queue::until("both of them", || post.taken().len() == 24).await;
    assert_eq!(queue.kept_back(), 0);
}

/// What a status or a departure of so many recipients takes is more than is kept until a disk takes it.
fn crowd() -> Receipt {
    let domain = format!("{0}.{0}.{0}.example", "d".repeat(60));
    let path = |n: usize| ForwardPath::parse(&format!("{n:0>200}@{domain}")).unwrap();
    let from = ReversePath::parse("app@example.com").unwrap();
    let envelope = Envelope::new(from, (0..13_000).map(path).collect(), BodyType::SevenBit, false).unwrap();
    Receipt { envelope, account: AccountId::new("one"), application: None }
}

async fn hand_in(queue: &Queue, receipt: Receipt) -> QueueId {
    let mut intake = queue.begin();
    intake.write(b"Subject: x\r\n\r\nx\r\n").await.unwrap();
    match intake.commit(receipt).await.unwrap() {
        Commitment::Durable(id) => id,
        other => panic!("not queued: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_is_not_written_is_told_of_and_the_message_stays() {
    let (disk, directory) = (Faulty::default(), scratch());
    let (queue, _) = open(footing(&disk), directory.path()).unwrap();
    let id = hand_in(&queue, crowd()).await;
    disk.fail(faulty::Fault::Full, 0, true);
    let post = Post::new(|attempt| attempt.recipients.iter().map(|_| refused(450)).collect());
    post.carry(&queue, &["one"]);
    queue::until("a second attempt, after a status that was not written", || {
        post.taken().get(&id).is_some_and(|attempts| attempts.len() > 1)
    })
    .await;
    assert!(disk.heal() > 0);
    let arrived = queue::drained(&queue, &["one"]).await;
    assert_eq!(arrived[&id].0, 13_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_departure_that_is_not_written_is_told_of_and_the_message_is_gone() {
    let (disk, directory) = (Faulty::default(), scratch());
    let (queue, _) = open(footing(&disk), directory.path()).unwrap();
    let id = hand_in(&queue, crowd()).await;
    disk.fail(faulty::Fault::Full, 0, true);
    let post = Post::good();
    post.carry(&queue, &["one"]);
    queue::until("a message that has left", || queue.counts().values().sum::<usize>() == 0).await;
    assert!(disk.heal() > 0);
    assert_eq!(post.taken()[&id].len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_that_cannot_be_told_is_told_of_and_stays_a_success() {
    let (disk, directory) = (Faulty::default(), scratch());
    let (queue, _) = open(footing(&disk), directory.path()).unwrap();
    desk(&queue);
    let fails = disk.clone();
    let post = Post::new(move |attempt| {
        fails.fail(faulty::Fault::Full, 0, true);
        attempt.recipients.iter().map(|_| delivered()).collect()
    });
    post.carry(&queue, &["one"]);
    let receipt = letter(1, 100).receipt();
    let wish = DsnRecipient { notify: Some("SUCCESS".parse().unwrap()), orcpt: None };
    let envelope = receipt.envelope.with_dsn(DsnRequest::default(), vec![wish]);
    let id = hand_in(&queue, Receipt { envelope, ..receipt }).await;
    queue::until("an attempt to tell", || disk.failures() > 0).await;
    disk.heal();
    queue::until("a message that has left", || queue.counts().values().sum::<usize>() == 0).await;
    assert_eq!(post.taken().keys().collect::<Vec<_>>(), [&id], "nobody was told");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_finds_no_room_is_sent_later() {
    let house = House::new();
    let account = "[account.one]\ntype = \"basic\"\ndomain = \"a.example\"\naddress = \"127.0.0.1\"\n\
                   username = \"one@a.example\"\npassword = \"of no use\"\n";
    house.configure(&format!("[alert]\nmail_to = \"ops@example.com\"\n\n{account}"));
    let snapshot = Arc::new(Snapshot::new(config::load(Some(&house.config()), std::iter::empty()).unwrap()));
    let (disk, directory) = (Faulty::default(), scratch());
    let (queue, _) = open(footing(&disk), directory.path()).unwrap();
    let fact = |id: &str, state, explanation: &str| AccountFact {
        id: AccountId::new(id),
        state,
        granted: state == AccountState::Ready,
        delivered_at: None,
        explanation: explanation.into(),
        remedy: String::new(),
        secret_ends: None,
        grant_ends: None,
    };
    let facts = Facts {
        accounts: vec![
            fact("one", AccountState::Ready, ""),
            fact("other", AccountState::NeedsAuthorization, "nobody has authorized it"),
        ],
        lanes: Vec::new(),
        disk: DiskFact { free: 1 << 40, min_free: 1, used: 0, max_size: 1 << 40 },
        store: None,
        started_at: 0,
    };
    let now = 1_763_940_000_000;
    let mut alerts = Alerts::open(&house.path("."), AlertLimits::default()).await;
    disk.fail(faulty::Fault::Full, 0, true);
    for days in 0..2 {
        alerts.look(&facts, &snapshot, &queue, now + days * 86_400_000).await;
    }
    assert!(disk.heal() > 0, "nothing was to be told");
    assert_eq!(queue.counts().values().sum::<usize>(), 0);
    alerts.look(&facts, &snapshot, &queue, now + 2 * 86_400_000).await;
    assert_eq!(queue.counts().values().sum::<usize>(), 1);
}

/// Takes mail from the spool into a queue; a message under way is taken out of the spool by somebody else.
struct Meddler {
    queue: Queue,
    limits: Limits,
    taken: PathBuf,
}

impl Gate for Meddler {
    type Sink = Intake;

    fn hostname(&self) -> Arc<str> {
        "relay.example.com".into()
    }

    fn limits(&self) -> Limits {
        self.limits.clone()
    }

    fn listener(&self, _: usize) -> Option<Arc<ListenerSettings>> {
        None
    }

    fn users(&self) -> Arc<Users> {
        Arc::new(Users::new(Vec::new()))
    }

    fn application(&self, _: usize, _: inbound::Client, _: Option<&str>) -> Option<ApplicationId> {
        None
    }

    fn route(&self, _: Option<&ApplicationId>, _: &ReversePath) -> Result<AccountId, Reply> {
        for entry in fs::read_dir(&self.taken).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        Ok(AccountId::new("one"))
    }

    fn has_room(&self, _: Option<u64>) -> bool {
        true
    }

    fn envelopes(&self) -> Arc<Budget> {
        Arc::default()
    }

    fn meter(&self) -> &Meter {
        self.queue.meter()
    }

    fn begin(&self) -> Intake {
        self.queue.begin()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spooled_message_that_cannot_be_removed_is_told_of() {
    let directory = scratch();
    let (queue, _) = open(Footing::default(), directory.path()).unwrap();
    let house = House::new();
    house.configure("");
    let config = config::load(Some(&house.config()), std::iter::empty()).unwrap();
    let spool = Spool::new(house.path("spool"));
    spool.prepare().unwrap();
    let to = vec![ForwardPath::parse("someone@example.org").unwrap()];
    let from = ReversePath::parse("app@example.com").unwrap();
    let envelope = Envelope::new(from, to, BodyType::SevenBit, false).unwrap();
    spool.put(&envelope, |out| out.write_all(b"Subject: x\r\n\r\nx\r\n")).unwrap();
    let gate = Meddler { queue: queue.clone(), limits: config.limits, taken: house.path("spool/taken") };
    let stop = CancellationToken::new();
    let pickup = tokio::spawn(Pickup::new(Arc::new(gate), spool, 0).run(stop.clone()));
    queue::until("the message in the queue", || queue.counts().values().sum::<usize>() == 1).await;
    stop.cancel();
    pickup.await.unwrap();
}
