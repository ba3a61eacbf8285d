//! A token server that is away for an hour while ten thousand messages arrive: the real queue, the real tokens with
//! their store and refresher, and the real upstream against the sandbox, in an hour of simulated time.
//!
//! Time is still unless the test moves it: a thread that blocks all along keeps tokio from running ahead of sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]
#![allow(clippy::print_stdout, reason = "the figures are what it is run for")]

mod support;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};
use support::{
    queue::scratch,
    token_server::{Mode, TokenServer},
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::MakeWriter;
use waxseal::{
    account::{
        Account, AccountId, AccountType, Client, ClientProof, Delivery, Grant, Login, OAuthLogin, Pacing,
        SecurityMode, SenderPolicy, Server, SignIn, SignInWay, TokenMechanism, token::TokenState,
    },
    config::QueueSettings,
    history::History,
    mail::{BodyType, Envelope, ForwardPath, Mailbox, QueueId, ReversePath},
    oauth::{Tokens, refresher},
    outbound::{Attempt, Upstream},
    queue::{Carrier, Clock, Commitment, DeliverFuture, Desk, Outlet, Queue, Receipt, schedule::Millis},
    sandbox::{Received, SandboxOptions, SandboxProvider, SandboxSecurity},
    store,
};

const START: Millis = 1_763_940_000_000;
const HOUR: usize = 3600;
const MESSAGES: usize = 10_000;
const SENDERS: usize = 400;
/// Life of an access token: shorter than the outage, so that the one at hand does not bridge it.
const LIFE: Duration = Duration::from_secs(600);
/// What is wrong with the token server, a minute each.
const TURNS: [Mode; 3] = [Mode::Unavailable, Mode::Slow, Mode::Unreachable];

#[tokio::test(start_paused = true)]
async fn an_hour_without_a_token_server_holds_ten_thousand_messages_and_then_delivers_them() {
    let mut scene = Scene::new(3).await;
    let office = scene.open().await;
    scene.an_hour_away(&office, 0..HOUR).await;
    scene.nothing_has_moved(&office, MESSAGES);
    scene.back_and_delivered(&office).await;
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_the_middle_of_the_outage_changes_nothing() {
    // On one connection nothing can overtake anything.
    let mut scene = Scene::new(1).await;
    let office = scene.open().await;
    scene.an_hour_away(&office, 0..HOUR / 2).await;
    let before = scene.sent.len();
    scene.nothing_has_moved(&office, before);
    office.close().await;

    let office = scene.open().await;
    assert_eq!(office.queue.counts().values().sum::<usize>(), before, "all of it is there after the restart");
    scene.an_hour_away(&office, HOUR / 2..HOUR).await;
    scene.nothing_has_moved(&office, MESSAGES);
    scene.back_and_delivered(&office).await;
    office.close().await;
}

/// A message as it was handed in.
struct Sent {
    sender: usize,
    id: QueueId,
}

/// The world around the daemon's parts.
struct Scene {
    directory: tempfile::TempDir,
    provider: Arc<SandboxProvider>,
    server: TokenServer,
    account: Account,
    time: watch::Sender<Millis>,
    clock: Clock,
    log: Log,
    sent: Vec<Sent>,
    starts: Arc<Mutex<Vec<QueueId>>>,
    began: Instant,
    random: fastrand::Rng,
    _logging: tracing::subscriber::DefaultGuard,
    // Dropped, it lets the blocked thread go.
    _still: std::sync::mpsc::Sender<()>,
}

impl Scene {
    async fn new(connections: usize) -> Self {
        let (still, blocked) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || blocked.recv());
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_env_filter("off,waxseal::oauth=debug")
            .with_writer(log.clone())
            .finish();
        let logging = tracing::subscriber::set_default(subscriber);
        let options = SandboxOptions { security: SandboxSecurity::None, ..Default::default() };
        let provider = Arc::new(SandboxProvider::start(options).await.unwrap());
        let server = TokenServer::start(provider.clone(), LIFE).await;
        let (time, clock) = Clock::simulated(START);
        Self {
            directory: scratch(),
            account: account(&provider, &server, connections),
            provider,
            server,
            time,
            clock,
            log,
            sent: Vec::new(),
            starts: Arc::default(),
            began: Instant::now(),
            random: fastrand::Rng::with_seed(5),
            _logging: logging,
            _still: still,
        }
    }

    /// The daemon's parts, put together as `src/app.rs` does it.
    async fn open(&self) -> Office {
        let (clock, accounts) = (self.clock.clone(), [self.account.clone()]);
        let store = store::open_with(self.directory.path(), None).unwrap();
        let of_day = self.clock.clone();
        let of_day = move || SystemTime::UNIX_EPOCH + Duration::from_millis(of_day.now());
        let tokens = Tokens::with_clock(store, &accounts, Arc::new(of_day)).await;
        let queue = open_queue(self.directory.path(), clock);
        let account = Arc::new(self.account.clone());
        let upstream =
            Upstream::new(account.clone(), "relay.example.com".into(), Arc::new(tokens.clone())).unwrap();
        let carrier = Arc::new(Watched { upstream, starts: self.starts.clone() });
        let route = account.id.clone();
        queue.set_desk(Desk {
            hostname: "relay.example.com".into(),
            route: Arc::new(move |_| Some(route.clone())),
        });
        queue.configure(vec![Outlet {
            account: account.id.clone(),
            pacing: account.pacing,
            delivery: account.delivery,
            address: Mailbox::parse("support@example.com").ok(),
            carrier,
        }]);
        let stop = CancellationToken::new();
        let tasks = vec![
            tokio::spawn(refresher::run(tokens.clone(), stop.clone())),
            tokio::spawn(resume_on_new_tokens(tokens.clone(), queue.clone())),
        ];
        let office = Office { queue, tokens, stop, tasks };
        self.settle(&office).await;
        office
    }

    /// Seconds of the hour pass, in which their share of the messages arrives. The server goes away at second 0: the
    /// token at hand lasts a little, and the hour begins once it has ended.
    async fn an_hour_away(&mut self, office: &Office, seconds: std::ops::Range<usize>) {
        if seconds.start == 0 {
            until("the first token", || {
                matches!(office.tokens.state(&self.account.id), TokenState::Valid { .. })
            })
            .await;
            self.server.becomes(Mode::Unreachable).await;
            for _ in 0..LIFE.as_secs() {
                self.pass(office).await;
            }
        }
        let asked = self.asked();
        for second in seconds.clone() {
            if second % 60 == 0 {
                self.server.becomes(TURNS[second / 60 % TURNS.len()]).await;
            }
            let due = (second + 1) * MESSAGES / HOUR;
            while self.sent.len() < due {
                self.submit(&office.queue).await;
            }
            self.pass(office).await;
        }
        println!(
            "simulated {seconds:?} s: {} tokens asked for, {} probes; real {:.1} s so far",
            self.asked() - asked,
            self.starts.lock().unwrap().len(),
            self.began.elapsed().as_secs_f64()
        );
        assert!(self.asked() - asked <= 10, "a server that is away is asked ever more seldom");
    }

    /// All is kept, none is tried, none fails or expires, nobody is notified, and the operator sees why.
    fn nothing_has_moved(&self, office: &Office, messages: usize) {
        let counts = office.queue.counts();
        assert_eq!((counts["held"], counts.values().sum()), (messages, messages), "{counts:?}");
        assert_eq!(self.provider.received(), [], "nothing is delivered, notifications neither");
        assert_eq!(self.provider.connections(), 0, "without a token nobody knocks at the mail server");
        let lane = office.queue.lanes().remove(0);
        assert_eq!((&lane.account, lane.stopped), (&self.account.id, Some("held")));
        let (trouble, remedy) = (lane.trouble.unwrap(), lane.remedy.unwrap());
        assert!(trouble.contains("no access token from the authorization server: "), "{trouble}");
        assert!(remedy.starts_with("it is asked again by itself"));
        let state = office.tokens.state(&self.account.id);
        assert!(matches!(&state, TokenState::Refreshing { trouble: Some(_) }), "{state:?}");
        for listed in office.queue.list(None, usize::MAX) {
            assert_eq!((listed.state, listed.attempts), ("held", 0), "{listed:?}");
        }
    }

    /// The server is back: without anybody's help all mail goes, once, a sender's in the order of its arrival.
    async fn back_and_delivered(&mut self, office: &Office) {
        let probes = self.starts.lock().unwrap().len();
        self.server.becomes(Mode::Good).await;
        let mut waited = 0;
        while self.provider.connections() == 0 {
            self.pass(office).await;
            waited += 1;
            assert!(waited <= 15 * 60, "the longest back-off is a quarter of an hour");
        }
        let draining = Instant::now();
        until("an empty queue", || office.queue.counts().values().sum::<usize>() == 0).await;
        let drained = draining.elapsed();

        let arrived = self.provider.received();
        let numbers: Vec<usize> = arrived.iter().map(number).collect();
        assert_eq!(arrived.len(), MESSAGES, "each once, and no notification among them");
        assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), MESSAGES, "each once");
        for (message, number) in arrived.iter().zip(&numbers) {
            assert_eq!(message.from, sender(self.sent[*number].sender));
            assert!(message.octets.ends_with(&content(*number)), "{number} arrived changed");
        }

        let of_id: HashMap<QueueId, usize> =
            self.sent.iter().enumerate().map(|(number, sent)| (sent.id, number)).collect();
        let starts: Vec<usize> = self.starts.lock().unwrap()[probes..].iter().map(|id| of_id[id]).collect();
        // They are claimed in the order of their arrival; whoever is read from the disk beside others may come behind them.
        let beside = self.account.pacing.max_connections;
        let furthest = self.furthest(&starts);
        assert!(
            furthest < beside,
            "{furthest} of one sender went ahead of an earlier one on {beside} connections"
        );
        let overtakings = self.overtakings(&numbers);
        if self.account.pacing.max_connections == 1 {
            assert_eq!(overtakings, 0, "and arrive in it");
        }
        println!(
            "back: first delivery after {waited} s (simulated), {MESSAGES} delivered in {:.1} s; {overtakings} overtook \
             another of their sender on {} connections; tokens asked for in all {}; real {:.1} s in all",
            drained.as_secs_f64(),
            self.account.pacing.max_connections,
            self.asked(),
            self.began.elapsed().as_secs_f64()
        );
    }

    /// How many later ones of its sender are before the message of which that is the most.
    fn furthest(&self, numbers: &[usize]) -> usize {
        let mut of_sender: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let ahead = |number: &usize| {
            let before = of_sender.entry(self.sent[*number].sender).or_default();
            let ahead = before.iter().filter(|earlier| *earlier > number).count();
            before.push(*number);
            ahead
        };
        numbers.iter().map(ahead).max().unwrap_or(0)
    }

    /// How many of these messages come behind a later one of the same sender.
    fn overtakings(&self, numbers: &[usize]) -> usize {
        let mut latest = BTreeMap::new();
        let behind = |number: &&usize| {
            let latest = latest.entry(self.sent[**number].sender).or_insert(**number);
            *latest = (*latest).max(**number);
            *latest != **number
        };
        numbers.iter().filter(behind).count()
    }

    /// Requests for a token, those included that found nobody there.
    fn asked(&self) -> usize {
        self.log.lines_with("no access token") + self.server.granted()
    }

    async fn submit(&mut self, queue: &Queue) {
        let (number, sender) = (self.sent.len(), self.random.usize(..SENDERS));
        let from = ReversePath::parse(&self::sender(sender)).unwrap();
        let to = vec![ForwardPath::parse("someone@example.org").unwrap()];
        let envelope = Envelope::new(from, to, BodyType::SevenBit, false).unwrap();
        let mut intake = queue.begin();
        intake.write(&content(number)).await.unwrap();
        let receipt = Receipt { envelope, account: self.account.id.clone(), application: None };
        match intake.commit(receipt).await.unwrap() {
            Commitment::Durable(id) => self.sent.push(Sent { sender, id }),
            other => panic!("not queued: {other:?}"),
        }
    }

    /// A second passes, and all that it lets happen happens.
    async fn pass(&self, office: &Office) {
        self.time.send_modify(|now| *now += 1000);
        tokio::time::advance(Duration::from_secs(1)).await;
        self.settle(office).await;
    }

    /// Lets everything happen that takes no time: what is under way ends, or waits for the token server.
    async fn settle(&self, office: &Office) {
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        let at_rest = || office.queue.counts()["active"] == 0 || self.server.holds();
        if self.provider.connections() == 0 {
            until("nothing under way", || at_rest() || self.provider.connections() > 0).await;
        }
    }
}

/// The parts of a running daemon.
struct Office {
    queue: Queue,
    tokens: Tokens,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Office {
    /// As at a restart. Whoever waits for the token server waits no longer.
    async fn close(self) {
        self.stop.cancel();
        let closing = tokio::spawn(async move {
            self.queue.shutdown(Duration::from_secs(10)).await;
            self.tasks[1].abort();
            for task in self.tasks {
                let _ = task.await;
            }
        });
        while !closing.is_finished() {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        closing.await.unwrap();
    }
}

fn open_queue(directory: &Path, clock: Clock) -> Queue {
    // A message is given up after ten minutes: trouble with a token does not count.
    let settings =
        QueueSettings { expire: Duration::from_secs(600), min_free: 0, ..QueueSettings::default() };
    let history = History::open(&directory.join("history"), Duration::from_secs(86_400)).unwrap();
    Queue::open_with(&directory.join("queue"), settings, history, clock).unwrap().0
}

/// As in `src/app.rs`.
async fn resume_on_new_tokens(tokens: Tokens, queue: Queue) {
    let mut changed = tokens.subscribe();
    while let Ok(account) = changed.recv().await {
        if matches!(tokens.state(&account), TokenState::Valid { .. }) {
            queue.resume(&account);
        }
    }
}

/// The real upstream; keeps in which order messages were started.
struct Watched {
    upstream: Upstream,
    starts: Arc<Mutex<Vec<QueueId>>>,
}

impl Carrier for Watched {
    fn deliver<'a>(&'a self, attempt: &'a Attempt) -> DeliverFuture<'a> {
        self.starts.lock().unwrap().push(attempt.queue_id);
        Box::pin(self.upstream.deliver(attempt))
    }
}

/// The log of one thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines_with(&self, what: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock().unwrap()).lines().filter(|line| line.contains(what)).count()
    }
}

impl io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn account(provider: &SandboxProvider, server: &TokenServer, connections: usize) -> Account {
    let endpoint = |path: &str| format!("http://{}/{path}", server.address).parse().unwrap();
    Account {
        id: AccountId::new("support"),
        name: "Support".into(),
        description: String::new(),
        active: true,
        application: None,
        kind: AccountType::OAuth2,
        domains: Vec::new(),
        senders: Vec::new(),
        default: true,
        server: Server {
            host: provider.smtp_address().ip().to_string(),
            port: provider.smtp_address().port(),
            security: SecurityMode::None,
            allow_plaintext_authentication: true,
            certificate_validation: true,
            ca_file: None,
        },
        login: Login::OAuth(Box::new(OAuthLogin {
            username: provider.options().username.clone(),
            mechanism: TokenMechanism::Auto,
            token_endpoint: endpoint("token"),
            scope: "mail".into(),
            grant: Grant::SignIn(
                Client { id: "client-1".into(), proof: ClientProof::Nothing },
                SignIn {
                    way: SignInWay::Browser {
                        endpoint: endpoint("authorize"),
                        parameters: Vec::new(),
                        device_endpoint: None,
                    },
                    first_refresh_token: Some("first".to_owned().into()),
                },
            ),
        })),
        sender: SenderPolicy::Keep,
        pacing: Pacing {
            max_connections: connections,
            rate_limit: None,
            daily_recipients: None,
            max_recipients_per_message: None,
        },
        delivery: Delivery::Queue,
    }
}

fn sender(number: usize) -> String {
    format!("app{number}@example.com")
}

fn content(number: usize) -> Vec<u8> {
    format!("Subject: message {number}.\r\n\r\n{}\r\n", "x".repeat(number % 70)).into_bytes()
}

/// Which of the messages it is.
fn number(message: &Received) -> usize {
    let text = String::from_utf8_lossy(&message.octets).into_owned();
    let (_, rest) = text.split_once("Subject: message ").expect("one of ours");
    rest.split('.').next().unwrap().parse().unwrap()
}

/// Looks until it sees something. Simulated time stands still meanwhile.
async fn until(what: &str, mut look: impl FnMut() -> bool) {
    // Ten thousand deliveries take a busy machine a while; how long is not what is asked here.
    let deadline = Instant::now() + 4 * support::PATIENCE;
    while !look() {
        assert!(Instant::now() < deadline, "not seen in time: {what}");
        tokio::task::yield_now().await;
    }
}
