//! Events of the log that come of nothing else that tests do: a state directory in disorder, too few descriptors, a
//! stop that cuts off what does not end. `tests/interop/events.py` has all events and holds them against the document.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

mod support;

use rustix::process::Signal;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};
use support::{
    House, Provider, Running,
    client::{Client, message, stuffed, submit},
    faulty::{self, Faulty},
    queue::{self, Message, Post, delivered, open, refused, scratch},
    until,
};
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
    sandbox::{Fault, Point, SandboxOptions},
    spool::Spool,
    store::{StoreError, TokenStore},
};

/// What lies in the way is told of, once it is met, and mail goes on.
#[test]
fn a_state_directory_in_disorder_is_told_of_and_mail_goes_on() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    let nobody = house.oauth(&provider, "nobody", "nobody.example");
    let account = house.basic(&provider, "works", "a.example") + "daily_recipients = 1000\n";
    house.configure(&format!("{account}\n{nobody}"));
    let state = house.state();
    let directory = |name: &str| fs::create_dir_all(state.join(name)).unwrap();
    let rubbish = |name: &str| fs::write(state.join(name), "rubbish").unwrap();
    directory("queue");
    directory("history/2020-01-02.jsonl/in-the-way");
    fs::write(state.join("history/2020-01-01.jsonl"), "").unwrap();
    for name in ["day.json", "alerts.json", "queue/pace.json"] {
        rubbish(name);
    }
    for name in ["day.json.new", "queue/pace.json.new"] {
        directory(name);
    }
    // Nobody listens there.
    let mut daemon = house.serve_in(&[("NOTIFY_SOCKET", "/nowhere/notify")]);
    submit(house.smtp, "app@a.example", &message("goes-on")).unwrap();
    provider.arrivals(1);
    for parts in [
        &["systemd not notified"] as &[&str],
        &["the numbers of the last day cannot be read: they begin anew"],
        &["pace.json cannot be read; counts begin anew"],
        &["pace.json not written"],
        &["the record of alerts was damaged: moved aside", "aside="],
        &["history outlived: day removed", "day=2020-01-01"],
        &["outlived history not removed"],
        &["alert begins", "account=\"nobody\""],
    ] {
        house.log_line(parts);
    }
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());
    house.log_line(&["the numbers of the last day cannot be written"]);

    // What was told a day ago, and lasts, is told again.
    let record = fs::read_to_string(state.join("alerts.json")).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert!(set_back(&mut record, 25 * 3_600_000) > 0, "{record}");
    fs::write(state.join("alerts.json"), record.to_string()).unwrap();
    let mut daemon = house.serve();
    house.log_line(&["alert lasts", "account=\"nobody\""]);
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());

    // What cannot even be read is left alone.
    fs::remove_file(state.join("alerts.json")).unwrap();
    directory("alerts.json/in-the-way");
    let _daemon = house.serve();
    house.log_line(&["the record of alerts cannot be read", "path="]);
    house.log_line(&["the record of alerts cannot be written; a restart may tell again"]);
    submit(house.smtp, "app@a.example", &message("still")).unwrap();
    provider.arrivals(2);
}

/// Sets every time in it, in milliseconds, back by so many; how many there were.
fn set_back(value: &mut serde_json::Value, by: u64) -> usize {
    match value {
        serde_json::Value::Array(all) => all.iter_mut().map(|one| set_back(one, by)).sum(),
        serde_json::Value::Object(all) => all.values_mut().map(|one| set_back(one, by)).sum(),
        other => match other.as_u64().filter(|number| *number > 1_600_000_000_000) {
            Some(number) => {
                *other = (number - by).into();
                1
            }
            None => 0,
        },
    }
}

/// Clients take all descriptors: they wait, the log says why, and once there are some again all goes on.
#[test]
fn without_descriptors_clients_wait_and_the_log_says_why() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    house.configure(&house.basic(&provider, "works", "a.example"));
    let log = fs::File::options().create(true).append(true).open(house.path("daemon.log")).unwrap();
    let child = Command::new("/bin/sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" serve --config \"$1\"", env!("CARGO_BIN_EXE_waxseal")])
        .arg(house.config())
        .env_clear()
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let _daemon = Running(child);
    house.log_line(&["listening", "listener="]);
    until("a control socket", || house.state().join("control.sock").exists().then_some(()));
    // The system takes connections to the backlog, whether the daemon can accept them or not.
    let clients: Vec<_> = (0..64).map(|_| Client::knock(house.smtp).unwrap()).collect();
    house.log_line(&["cannot accept", "listener=", "error="]);
    let mut asked = Running(
        support::waxseal()
            .args(["status", "--config"])
            .arg(house.config())
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    house.log_line(&["control socket", "error="]);
    drop(clients);
    assert!(asked.wait().success());
    submit(house.smtp, "app@a.example", &message("later")).unwrap();
    provider.arrivals(1);
}

/// A provider that takes longer than a stop may: sessions and transactions are cut off, told of, and tried again.
#[test]
fn a_stop_cuts_off_what_does_not_end() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    let account = house.basic(&provider, "works", "a.example") + "delivery = \"through\"\n";
    house.configure_with(
        "info,waxseal::outbound=trace",
        "",
        &format!("through_timeout = \"10m\"\n\n{account}"),
    );
    let mut daemon = house.serve();
    // It proves the account.
    submit(house.smtp, "app@a.example", &message("first")).unwrap();
    provider.arrivals(1);
    provider.faults().always(Point::Data, Fault::Delay(Duration::from_secs(120)));
    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    client.begin("app@a.example", "someone@example.org").unwrap();
    client.write(&stuffed(&message("slow"))).unwrap();
    until("a second transaction", || (house.log().matches("C: DATA").count() == 2).then_some(()));
    daemon.signal(Signal::TERM);
    house.log_line(&["sessions did not end", "left=1"]);
    house.log_line(&["transactions cut off by the shutdown are tried again"]);
    assert!(daemon.wait().success());
}

/// Content that is gone, a directory for content that is gone, a certificate that is none, a command that is none.
#[test]
fn what_is_missing_is_told_of_and_nothing_else_stops() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    // It is there, and what is to run it is not.
    let command = house.path("page-me");
    fs::write(&command, "#!/nowhere/sh\n").unwrap();
    fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).unwrap();
    let works = house.basic(&provider, "works", "a.example");
    let cannot = house.basic(&provider, "cannot", "b.example").replace("ca.pem", "not-a-ca.pem");
    // One that trusts everybody says so at each connection.
    let trusting = house.basic(&provider, "trusting", "c.example");
    let (trusting, _) = trusting.split_once("ca_file").unwrap();
    let cannot = format!("{cannot}\n{trusting}certificate_validation = false\n");
    fs::write(house.path("not-a-ca.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    let nobody = house.oauth(&provider, "nobody", "nobody.example");
    house
        .configure(&format!("{works}\n{cannot}\n{nobody}\n[alert]\ncommand = [\"{}\"]\n", command.display()));
    let _daemon = house.serve();
    house.log_line(&["account cannot send; its mail is kept", "account=cannot", "error="]);
    house.log_line(&["alert command cannot be run", "event=", "account=", "error="]);

    submit(house.smtp, "app@c.example", &message("trusting")).unwrap();
    provider.arrivals(1);
    house.log_line(&["certificate is not validated", "account=trusting", "relay="]);

    let large = [message("large"), b"x\r\n".repeat(200 << 10)].concat();
    submit(house.smtp, "app@b.example", &large).unwrap();
    let content = house.state().join("queue/content");
    for file in fs::read_dir(&content).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    fs::remove_dir(&content).unwrap();
    let refused = submit(house.smtp, "app@a.example", &large).unwrap_err().to_string();
    assert!(refused.starts_with("451 4.3.0"), "{refused}");
    house.log_line(&["a message could not be stored; the client keeps it", "error="]);
    fs::create_dir(&content).unwrap();
    submit(house.smtp, "app@a.example", &message("small")).unwrap();
    provider.arrivals(2);

    // With a certificate the account could send, and what it has to send is not there.
    house.configure(&format!("{works}\n{}", house.basic(&provider, "cannot", "b.example")));
    house.cli(&["reload"]).ok();
    house.log_line(&["message cannot be read back; it is held", "queue_id=", "account=cannot", "error="]);
    house.message_becomes("held");
}

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

#[test]
fn a_spool_that_cannot_be_used_is_said() {
    let house = House::new();
    fs::write(house.path("file"), "in the way").unwrap();
    house.configure(&format!("spool = \"{}\"\n", house.path("file/spool").display()));
    let _daemon = house.serve();
    house.log_line(&["WARN", "the spool cannot be used, and mail left there waits", "spool="]);
}

/// A store that cannot be read is not taken for a grant that is missing.
#[test]
fn tokens_that_cannot_be_read_are_told_of_and_not_taken_for_missing() {
    struct Unreadable;
    impl Unreadable {
        fn error() -> StoreError {
            StoreError::Locked { path: "tokens.lock".into() }
        }
    }
    impl TokenStore for Unreadable {
        fn load(&self, _: &AccountId) -> Result<Option<TokenSet>, StoreError> {
            Err(Self::error())
        }

        fn save(&self, _: &AccountId, _: &TokenSet) -> Result<(), StoreError> {
            Err(Self::error())
        }

        fn forget(&self, _: &AccountId) -> Result<(), StoreError> {
            Err(Self::error())
        }

        fn list(&self) -> Result<Vec<AccountId>, StoreError> {
            Err(Self::error())
        }
    }
    support::events::record();
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    house.configure(&house.oauth(&provider, "person", "a.example"));
    let config = config::load(Some(&house.config()), std::iter::empty()).unwrap();
    let tokens = Tokens::new(Arc::new(Unreadable), &config.accounts);
    let status = tokens.status(&AccountId::new("person")).unwrap();
    assert!(status.trouble.unwrap().contains("another waxseal uses this store"));
}

/// A digest that finds no room goes later, and its failures are told of all the same.
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
    queue::until("the digest", || post.taken().len() == 23).await;
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
