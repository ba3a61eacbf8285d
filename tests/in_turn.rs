//! Messages in a row on one connection, each begun behind the final dot of the one before (RFC 2920 §3.1): what the
//! server is told and when, and that nothing it does then costs a message or has one taken for another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // clippy.toml covers #[test] functions alone

mod scripted;
mod smarthost;

use scripted::{account, open, outcome, submit};
use smarthost::{Tokens, message};
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Semaphore,
};
use waxseal::{
    account::{Account, AccountId, AccountType, Delivery, Login, Pacing, SecurityMode, SenderPolicy, Server},
    history::History,
    mail::QueueId,
    outbound::{Attempt, Begun, Disposition, LaneEffect, Outcome, Upstream},
    queue::{Carrier, Clock, DeliverFuture, Outlet, Queue, TurnFuture},
};

const FLIGHT: &str = "MAIL FROM:<support@example.com>\r\nRCPT TO:<a@example.org>\r\nDATA\r\n";
const FIRST: &str = "first\r\n.\r\n";
const SECOND: &str = "second\r\n.\r\n";
const GO_ON: &str = "250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go\r\n";

/// What a scripted server waits for, the octets to the last, and says then.
type Exchange = (String, &'static str);

fn after(octets: &[&str], say: &'static str) -> Exchange {
    (octets.concat(), say)
}

/// A server that takes as many connections as there are scripts, and each for what its script says. After the last
/// exchange it closes. Whatever comes instead of what was expected ends the test.
struct Scripted {
    port: u16,
    played: tokio::task::JoinHandle<Vec<String>>,
}

impl Scripted {
    async fn start(extensions: &'static str, scripts: Vec<Vec<Exchange>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let played = tokio::spawn(async move {
            let mut ends = Vec::new();
            for script in scripts {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(b"220 scripted ESMTP\r\n").await.unwrap();
                let hello = ("EHLO relay.example\r\n".to_owned(), extensions);
                for (expected, say) in [hello].into_iter().chain(script) {
                    let mut octets = vec![0; expected.len()];
                    let read = stream.read_exact(&mut octets).await;
                    assert!(read.is_ok(), "{read:?} in place of {expected:?}");
                    assert_eq!(String::from_utf8_lossy(&octets), expected);
                    stream.write_all(say.as_bytes()).await.unwrap();
                }
                stream.shutdown().await.unwrap();
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                ends.push(String::from_utf8(rest).unwrap());
            }
            ends
        });
        Self { port, played }
    }

    fn upstream(&self) -> Upstream {
        let account = Account {
            id: AccountId::new("support"),
            name: "support".to_owned(),
            description: String::new(),
            active: true,
            application: None,
            kind: AccountType::Basic,
            domains: Vec::new(),
            senders: Vec::new(),
            default: true,
            server: Server {
                host: "127.0.0.1".to_owned(),
                port: self.port,
                security: SecurityMode::None,
                allow_plaintext_authentication: false,
                certificate_validation: true,
                ca_file: None::<PathBuf>,
            },
            login: Login::None,
            sender: SenderPolicy::Keep,
            pacing: pacing(1),
            delivery: Delivery::Queue,
        };
        Upstream::new(Arc::new(account), "relay.example".into(), Tokens::list(&[])).unwrap()
    }

    /// What came on each connection after its script had ended.
    async fn ends(self) -> Vec<String> {
        tokio::time::timeout(Duration::from_secs(20), self.played)
            .await
            .expect("the script is played")
            .unwrap()
    }
}

const PIPELINING: &str = "250-scripted\r\n250 PIPELINING\r\n";

fn pacing(max_connections: usize) -> Pacing {
    Pacing { max_connections, rate_limit: None, daily_recipients: None, max_recipients_per_message: None }
}

fn numbered(number: u64, octets: &str) -> Attempt {
    Attempt { queue_id: QueueId::new(number, 1), ..message(octets.as_bytes()) }
}

fn both() -> (Attempt, Attempt) {
    (numbered(1, "first\r\n"), numbered(2, "second\r\n"))
}

fn words(outcome: &Outcome) -> String {
    match &outcome.dispositions[..] {
        [] => "untried".to_owned(),
        [Disposition::Delivered(reply)] => format!("delivered: {reply}"),
        [Disposition::Deferred(trouble)] if trouble.in_doubt => "in doubt".to_owned(),
        [Disposition::Deferred(trouble)] => format!("deferred: {trouble}"),
        [Disposition::Failed(trouble)] => format!("failed: {trouble}"),
        more => panic!("{more:?}"),
    }
}

/// Both messages in a row, and whether more would be sent ahead afterwards.
async fn in_turn(upstream: &Upstream) -> (String, String, bool) {
    let (first, second) = both();
    let (one, begun) = upstream.deliver_in_turn(&first, None, Some(&second)).await;
    let (two, rest) = upstream.deliver_in_turn(&second, begun, None).await;
    assert!(rest.is_none(), "nothing comes after it");
    (words(&one), words(&two), upstream.sends_ahead())
}

fn told(outcomes: &(String, String, bool)) -> (&str, &str, bool) {
    (&outcomes.0, &outcomes.1, outcomes.2)
}

#[tokio::test]
async fn the_next_commands_leave_behind_the_dot_and_before_its_reply() {
    let script = vec![
        after(&[FLIGHT], GO_ON),
        // All of this is there before the server says a word.
        after(&[FIRST, FLIGHT], "250 2.0.0 one\r\n250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go\r\n"),
        after(&[SECOND], "250 2.0.0 two\r\n"),
    ];
    let server = Scripted::start(PIPELINING, vec![script]).await;
    let upstream = server.upstream();
    let outcomes = in_turn(&upstream).await;
    assert_eq!(told(&outcomes), ("delivered: 250 2.0.0 one", "delivered: 250 2.0.0 two", true));
    assert_eq!(upstream.idle_connections(), 1, "and it is kept");
}

#[tokio::test]
async fn a_message_that_is_refused_does_not_take_the_next_one_along() {
    let script = vec![
        after(&[FLIGHT], GO_ON),
        after(&[FIRST, FLIGHT], "550 5.7.1 spam\r\n250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go\r\n"),
        after(&[SECOND], "250 2.0.0 two\r\n"),
    ];
    let server = Scripted::start(PIPELINING, vec![script]).await;
    let outcomes = in_turn(&server.upstream()).await;
    assert!(outcomes.0.starts_with("failed: ") && outcomes.0.contains("550 5.7.1 spam"), "{}", outcomes.0);
    assert_eq!((outcomes.1.as_str(), outcomes.2), ("delivered: 250 2.0.0 two", true));
}

#[tokio::test]
async fn the_next_one_gets_its_own_refusals() {
    for (replies, rest, want) in [
        ("250 2.0.0 one\r\n550 5.1.8 who\r\n503 5.5.1 no\r\n503 5.5.1 no\r\n", "RSET\r\n", "5.1.8 who"),
        ("250 2.0.0 one\r\n250 ok\r\n550 5.1.1 whom\r\n554 5.5.1 no\r\n", "RSET\r\n", "5.1.1 whom"),
        ("250 2.0.0 one\r\n250 ok\r\n550 5.1.1 whom\r\n354 go\r\n", ".\r\n", "5.1.1 whom"),
        ("250 2.0.0 one\r\n250 ok\r\n250 ok\r\n554 5.7.1 content\r\n", "RSET\r\n", "5.7.1 content"),
    ] {
        let script = vec![
            after(&[FLIGHT], GO_ON),
            after(&[FIRST, FLIGHT], replies),
            after(&[rest], "250 2.0.0 all right\r\n"),
        ];
        let server = Scripted::start(PIPELINING, vec![script]).await;
        let outcomes = in_turn(&server.upstream()).await;
        assert_eq!(outcomes.0, "delivered: 250 2.0.0 one");
        assert!(outcomes.1.starts_with("failed: ") && outcomes.1.contains(want), "{}", outcomes.1);
    }
}

#[tokio::test]
async fn a_server_that_closes_after_the_dot_leaves_one_message_in_doubt_and_the_next_untouched() {
    for said in ["", "421 4.3.2 closing\r\n"] {
        let whole = vec![after(&[FLIGHT], GO_ON), after(&[SECOND], "250 2.0.0 two\r\n")];
        let server = Scripted::start(
            PIPELINING,
            vec![vec![after(&[FLIGHT], GO_ON), after(&[FIRST, FLIGHT], said)], whole],
        )
        .await;
        let outcomes = in_turn(&server.upstream()).await;
        let first = if said.is_empty() { "in doubt" } else { "deferred: " };
        assert!(outcomes.0.starts_with(first), "{}", outcomes.0);
        // It may be the commands behind the dot that it cannot stand: no second message gets into doubt by them.
        assert_eq!((outcomes.1.as_str(), outcomes.2), ("delivered: 250 2.0.0 two", false));
    }
}

#[tokio::test]
async fn a_server_that_goes_before_the_next_one_is_tried_anew() {
    for said in ["250 2.0.0 one\r\n", "250 2.0.0 one\r\n421 4.7.0 enough for one connection\r\n"] {
        let server = Scripted::start(
            PIPELINING,
            vec![
                vec![after(&[FLIGHT], GO_ON), after(&[FIRST, FLIGHT], said)],
                vec![after(&[FLIGHT], GO_ON), after(&[SECOND], "250 2.0.0 two\r\n")],
            ],
        )
        .await;
        let outcomes = in_turn(&server.upstream()).await;
        assert_eq!(told(&outcomes), ("delivered: 250 2.0.0 one", "delivered: 250 2.0.0 two", true));
    }
}

#[tokio::test]
async fn a_server_that_loses_its_place_is_told_one_thing_at_a_time() {
    for said in [
        "250 2.0.0 one\r\n503 5.5.1 bad sequence\r\n",
        "250 2.0.0 one\r\n554 5.5.0 improper use of pipelining\r\n",
    ] {
        let server = Scripted::start(
            PIPELINING,
            vec![
                vec![after(&[FLIGHT], GO_ON), after(&[FIRST, FLIGHT], said)],
                vec![after(&[FLIGHT], GO_ON), after(&[SECOND], "250 2.0.0 two\r\n")],
            ],
        )
        .await;
        let upstream = server.upstream();
        let (first, second) = both();
        let (one, begun) = upstream.deliver_in_turn(&first, None, Some(&second)).await;
        // The third does not go the way of the second.
        let third = numbered(3, "third\r\n");
        let (two, begun) = upstream.deliver_in_turn(&second, begun, Some(&third)).await;
        assert_eq!(
            (words(&one).as_str(), words(&two).as_str()),
            ("delivered: 250 2.0.0 one", "delivered: 250 2.0.0 two")
        );
        assert!(begun.is_none() && !upstream.sends_ahead());
    }
}

#[tokio::test]
async fn a_reply_too_many_is_never_taken_for_the_next_messages() {
    let script = vec![
        after(&[FLIGHT], GO_ON),
        after(&[FIRST, FLIGHT], "250 2.0.0 one\r\n250 2.0.0 one\r\n250 ok\r\n250 ok\r\n354 go\r\n"),
    ];
    let server = Scripted::start(PIPELINING, vec![script]).await;
    let outcomes = in_turn(&server.upstream()).await;
    assert_eq!(outcomes.0, "delivered: 250 2.0.0 one");
    assert!(outcomes.1.starts_with("deferred: "), "{}", outcomes.1);
    assert_eq!(server.ends().await, [""], "no octet of the second was sent");
}

#[tokio::test]
async fn a_row_that_is_broken_off_closes_the_connection_and_sends_nothing_more() {
    let script = || {
        vec![
            after(&[FLIGHT], GO_ON),
            after(&[FIRST, FLIGHT], "250 2.0.0 one\r\n250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go\r\n"),
        ]
    };
    let server = Scripted::start(PIPELINING, vec![script()]).await;
    let upstream = server.upstream();
    let (first, second) = both();
    let (one, begun) = upstream.deliver_in_turn(&first, None, Some(&second)).await;
    assert_eq!(words(&one), "delivered: 250 2.0.0 one");
    assert!(begun.is_some());
    drop(begun);
    assert_eq!(server.ends().await, [""]);

    // And where another message comes than was begun, that one has a connection of its own.
    let whole = vec![after(&[FLIGHT], GO_ON), after(&["third\r\n.\r\n"], "250 2.0.0 three\r\n")];
    let server = Scripted::start(PIPELINING, vec![script(), whole]).await;
    let upstream = server.upstream();
    let (_, begun) = upstream.deliver_in_turn(&first, None, Some(&second)).await;
    let (three, _) = upstream.deliver_in_turn(&numbered(3, "third\r\n"), begun, None).await;
    assert_eq!(words(&three), "delivered: 250 2.0.0 three");
}

#[tokio::test]
async fn what_an_earlier_configuration_has_begun_is_not_gone_on_with() {
    let script = vec![
        after(&[FLIGHT], GO_ON),
        after(&[FIRST, FLIGHT], "250 2.0.0 one\r\n250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go\r\n"),
    ];
    let whole = vec![after(&[FLIGHT], GO_ON), after(&[SECOND], "250 2.0.0 two\r\n")];
    let server = Scripted::start(PIPELINING, vec![script, whole]).await;
    let (first, second) = both();
    let (_, begun) = server.upstream().deliver_in_turn(&first, None, Some(&second)).await;
    assert!(begun.is_some());
    let (two, _) = server.upstream().deliver_in_turn(&second, begun, None).await;
    assert_eq!(words(&two), "delivered: 250 2.0.0 two");
}

#[tokio::test]
async fn nothing_goes_ahead_to_a_server_that_has_not_offered_pipelining() {
    let script = vec![
        after(&["MAIL FROM:<support@example.com>\r\n"], "250 ok\r\n"),
        after(&["RCPT TO:<a@example.org>\r\n"], "250 ok\r\n"),
        after(&["DATA\r\n"], "354 go\r\n"),
        after(&[FIRST], "250 2.0.0 one\r\n"),
        after(&["MAIL FROM:<support@example.com>\r\n"], "250 ok\r\n"),
        after(&["RCPT TO:<a@example.org>\r\n"], "250 ok\r\n"),
        after(&["DATA\r\n"], "354 go\r\n"),
        after(&[SECOND], "250 2.0.0 two\r\n"),
    ];
    let server = Scripted::start("250 scripted\r\n", vec![script]).await;
    let outcomes = in_turn(&server.upstream()).await;
    assert_eq!(told(&outcomes), ("delivered: 250 2.0.0 one", "delivered: 250 2.0.0 two", true));
}

/// Notes which message it was told comes next, and delivers as it is let.
struct Row {
    seen: Mutex<Vec<(QueueId, Option<QueueId>)>>,
    leave: Semaphore,
    lanes: Mutex<Vec<LaneEffect>>,
    under_way: AtomicUsize,
}

impl Row {
    fn new(leave: usize) -> Arc<Self> {
        Arc::new(Self {
            seen: Mutex::default(),
            leave: Semaphore::new(leave),
            lanes: Mutex::default(),
            under_way: AtomicUsize::new(0),
        })
    }

    fn seen(&self) -> Vec<(QueueId, Option<QueueId>)> {
        self.seen.lock().unwrap().clone()
    }

    async fn until_seen(&self, count: usize) -> Vec<(QueueId, Option<QueueId>)> {
        for _ in 0..20_000 {
            if self.seen().len() >= count {
                return self.seen();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("only {:?}", self.seen());
    }
}

impl Carrier for Row {
    fn deliver<'a>(&'a self, attempt: &'a Attempt) -> DeliverFuture<'a> {
        Box::pin(async move { self.deliver_in_turn(attempt, None, None).await.0 })
    }

    fn sends_ahead(&self) -> bool {
        true
    }

    fn deliver_in_turn<'a>(
        &'a self,
        attempt: &'a Attempt,
        _begun: Option<Begun>,
        next: Option<&'a Attempt>,
    ) -> TurnFuture<'a> {
        Box::pin(async move {
            assert_eq!(self.under_way.fetch_add(1, Ordering::SeqCst), 0, "max_connections is 1");
            self.seen.lock().unwrap().push((attempt.queue_id, next.map(|next| next.queue_id)));
            self.leave.acquire().await.unwrap().forget();
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            let lane = self.lanes.lock().unwrap().pop().unwrap_or(LaneEffect::None);
            let good = attempt.recipients.iter().map(|_| scripted::delivered());
            let dispositions = if lane == LaneEffect::None { good.collect() } else { Vec::new() };
            (outcome(dispositions, lane), None)
        })
    }
}

fn carry_by(queue: &Queue, row: &Arc<Row>) {
    queue.configure(vec![Outlet {
        account: account(),
        pacing: pacing(1),
        delivery: Delivery::Queue,
        address: None,
        carrier: row.clone(),
    }]);
}

/// A lane of one connection that has been proved, and on which `one` has just been begun, with `two` on its heels.
async fn one_behind_another(queue: &Queue, row: &Arc<Row>) -> (QueueId, QueueId) {
    carry_by(queue, row);
    let to = ["a@example.org"];
    // The first one proves the lane, and nothing is sent ahead behind it.
    let proof = submit(queue, b"0\r\n", &to).await;
    assert_eq!(row.until_seen(1).await, [(proof, None)]);
    scripted::until_empty(queue).await;
    let alone = submit(queue, b"1\r\n", &to).await;
    row.until_seen(2).await;
    let one = submit(queue, b"2\r\n", &to).await;
    let two = submit(queue, b"3\r\n", &to).await;
    row.leave.add_permits(1);
    assert_eq!(row.until_seen(3).await[1..], [(alone, None), (one, Some(two))]);
    // A connection goes on while the departure of the message before is written.
    at_rest(queue, 2).await;
    (one, two)
}

/// Waits until no message is active, and says how many attempts each has had.
async fn at_rest(queue: &Queue, active: usize) -> Vec<u32> {
    for _ in 0..20_000 {
        if queue.counts()["active"] == active {
            return queue.list(None, 10).iter().map(|listed| listed.attempts).collect();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{:?}", queue.list(None, 10));
}

#[tokio::test]
async fn a_busy_lane_tells_its_carrier_what_comes_next_and_a_trouble_gives_it_back() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path());
    let row = Row::new(1);
    let (one, two) = one_behind_another(&queue, &row).await;
    assert_eq!(queue.counts()["active"], 2);
    row.lanes.lock().unwrap().push(LaneEffect::Pause);
    row.leave.add_permits(1);
    assert_eq!(at_rest(&queue, 0).await, [0, 0], "neither has been tried");
    row.leave.add_permits(100);
    queue.resume(&account());
    scripted::until_empty(&queue).await;
    let order: Vec<_> = row.seen().into_iter().map(|(id, _)| id).collect();
    assert_eq!(order[2..], [one, one, two]);
}

#[tokio::test]
async fn a_message_waits_behind_another_for_a_while_and_no_longer() {
    let directory = tempfile::tempdir().unwrap();
    let (time, clock) = Clock::simulated(1_764_000_000_000);
    let history = History::open(&directory.path().join("history"), Duration::from_secs(86_400)).unwrap();
    let queue = Queue::open_with(directory.path(), scripted::settings(), history, clock).unwrap().0;
    scripted::share(&queue, directory.path());
    let row = Row::new(1);
    let (one, two) = one_behind_another(&queue, &row).await;
    time.send_modify(|now| *now += 4_999);
    assert_eq!(queue.counts()["active"], 2);
    time.send_modify(|now| *now += 1);
    assert_eq!(at_rest(&queue, 1).await, [0, 0]);
    // It can be seen to by an operator again, or by another connection.
    queue.hold(two).await.unwrap();
    row.leave.add_permits(1);
    at_rest(&queue, 0).await;
    assert_eq!(row.seen().len(), 3, "one was delivered once, and {two} was not");
    assert!(queue.list(None, 10).iter().all(|listed| listed.id != one));
}
