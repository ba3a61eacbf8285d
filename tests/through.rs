//! `delivery = "through"`: what the waiting client is told, and what is kept.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

mod scripted;
mod smarthost;

use scripted::*;
use smarthost::{Bench, Tokens};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    sync::{Notify, watch},
};
use waxseal::{
    account::{Delivery, Login, SecurityMode},
    config::QueueSettings,
    mail::{BodyType, Envelope, ForwardPath, QueueId, Reply, ReversePath},
    outbound::{Attempt, Disposition, LaneEffect, Trouble, Upstream},
    queue::{Carrier, Commitment, DeliverFuture, Intake, Queue, Receipt},
    sandbox::SandboxOptions,
};

fn content_files(directory: &std::path::Path) -> usize {
    std::fs::read_dir(directory.join("content")).unwrap().count()
}

#[tokio::test]
async fn gives_the_client_the_providers_verdict_and_keeps_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (queue, script) = (open(directory.path()), Arc::new(Script::default()));
    let refused = Trouble { reply: Some(Reply::received(550, "5.1.1 nobody")), ..trouble(450, "later") };
    let fail = Disposition::Failed(refused);
    script.outcomes.lock().unwrap().extend([
        outcome(vec![delivered(), delivered()], LaneEffect::None),
        outcome(vec![fail.clone(), fail], LaneEffect::None),
    ]);
    carry(&queue, Delivery::Through, script.clone());
    let to = ["b@example.org", "c@example.org"];
    let large = b"0123456789abcdef\r\n".repeat(20_000);
    let relayed = commit(&queue, &large, &to).await;
    assert!(matches!(relayed, Commitment::Relayed(_, reply) if reply == Reply::received(250, "2.0.0 taken")));
    assert_eq!(script.attempts(1).await[0].1, large);
    let refused = commit(&queue, b"x\r\n", &to).await;
    assert_eq!(refused, Commitment::Refused(Reply::received(550, "5.1.1 nobody")));
    assert_eq!((queue.ids(None), content_files(directory.path())), (vec![], 0));
    queue.shutdown(Duration::from_secs(5)).await;
    drop(queue);
    assert!(open(directory.path()).ids(None).is_empty());
}

#[tokio::test]
async fn queues_what_the_provider_did_not_decide_for_all() {
    let directory = tempfile::tempdir().unwrap();
    let (queue, script) = (open(directory.path()), Arc::new(Script::default()));
    script.outcomes.lock().unwrap().push_back(outcome(
        vec![delivered(), Disposition::Deferred(trouble(450, "later"))],
        LaneEffect::None,
    ));
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
async fn past_its_time_is_durable_before_the_answer_and_not_sent_again() {
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
async fn an_account_in_trouble_is_queued_at_once() {
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

/// A provider that shows what it has of the message that is coming in, octet by octet.
struct Glass {
    seen: watch::Receiver<Seen>,
    directory: tempfile::TempDir,
    queue: Queue,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Seen {
    /// Octets of the content that is coming in.
    octets: Vec<u8>,
    /// Contents that came to their final dot.
    whole: Vec<Vec<u8>>,
    /// Transactions that broke off inside the content.
    broken: usize,
}

impl Glass {
    /// The provider answers RCPT with `rcpt`. The account has been proved by a first, small message.
    async fn new(rcpt: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (show, seen) = watch::channel(Seen::default());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(Self::serve(stream, rcpt, show.clone()));
            }
        });
        let mut account = Bench::start(SandboxOptions::default()).await.account;
        (account.server.port, account.server.security) = (port, SecurityMode::None);
        account.login = Login::None;
        let upstream = Upstream::new(Arc::new(account), "relay.example".into(), Tokens::list(&[])).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let queue = open(directory.path());
        carry(&queue, Delivery::Through, Arc::new(upstream));
        let glass = Self { seen, directory, queue };
        commit(&glass.queue, b"proof\r\n", &["proof@example.org"]).await;
        glass
    }

    async fn serve(stream: tokio::net::TcpStream, rcpt: &str, show: watch::Sender<Seen>) {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 glass\r\n").await.unwrap();
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
            let reply = match line.split(|octet| octet.is_ascii_whitespace()).next() {
                Some(b"DATA") => {
                    stream.write_all(b"354 go on\r\n").await.unwrap();
                    if !Self::content(&mut stream, &show).await {
                        return;
                    }
                    "250 2.0.0 taken"
                }
                Some(b"RCPT") if !line.starts_with(b"RCPT TO:<proof@") => rcpt,
                _ => "250 OK",
            };
            line.clear();
            if stream.write_all(format!("{reply}\r\n").as_bytes()).await.is_err() {
                return;
            }
        }
    }

    /// Whether the content came to its final dot.
    async fn content(stream: &mut BufReader<tokio::net::TcpStream>, show: &watch::Sender<Seen>) -> bool {
        loop {
            let mut line = Vec::new();
            let read = stream.read_until(b'\n', &mut line).await.unwrap_or(0);
            let done = line == b".\r\n";
            show.send_modify(|seen| {
                if read == 0 {
                    seen.broken += 1;
                    seen.octets.clear();
                } else if done {
                    let whole = std::mem::take(&mut seen.octets);
                    seen.whole.push(whole);
                } else {
                    seen.octets.extend_from_slice(&line);
                }
            });
            if done || read == 0 {
                return done;
            }
        }
    }

    async fn shows(&mut self, what: &str, look: impl FnMut(&Seen) -> bool) -> Seen {
        let shown = tokio::time::timeout(Duration::from_secs(20), self.seen.wait_for(look)).await;
        shown.unwrap_or_else(|_| panic!("{what}: never shown")).unwrap().clone()
    }

    fn receipt() -> Receipt {
        let to = vec![ForwardPath::parse("b@example.org").unwrap()];
        let from = ReversePath::parse("app@example.com").unwrap();
        let envelope = Envelope::new(from, to, BodyType::EightBitMime, false).unwrap();
        Receipt { envelope, account: account(), application: None }
    }

    /// As a session writes it: a piece at a time, offering what has come after each.
    async fn write(intake: &mut Intake, content: &[u8]) {
        for piece in content.chunks(60_000) {
            intake.write(piece).await.unwrap();
            intake.send_ahead(&Self::receipt()).await;
        }
    }
}

/// Content of more than a file's worth, in two halves.
fn halves() -> [Vec<u8>; 2] {
    [b"first half 5678\r\n".repeat(40_000), b"second half 678\r\n".repeat(40_000)]
}

#[tokio::test]
async fn a_large_message_is_at_the_provider_while_its_client_still_sends() {
    let mut glass = Glass::new("250 2.1.5 ok").await;
    let [first, second] = halves();
    let mut intake = glass.queue.begin();
    Glass::write(&mut intake, &first).await;
    let seen = glass.shows("the first half", |seen| seen.octets.len() > 400_000).await;
    assert!(first.starts_with(&seen.octets) && seen.whole.len() == 1);
    Glass::write(&mut intake, &second).await;
    let verdict = intake.commit(Glass::receipt()).await.unwrap();
    assert!(matches!(verdict, Commitment::Relayed(_, reply) if reply == Reply::received(250, "2.0.0 taken")));
    let whole = glass.shows("the message", |seen| seen.whole.len() == 2).await.whole;
    assert!(whole[1] == [first, second].concat());
    assert_eq!((glass.queue.ids(None), content_files(glass.directory.path())), (vec![], 0));
}

#[tokio::test]
async fn a_client_that_goes_in_the_middle_leaves_nothing_at_the_provider_either() {
    let mut glass = Glass::new("250 2.1.5 ok").await;
    let [first, second] = halves();
    let mut intake = glass.queue.begin();
    Glass::write(&mut intake, &first).await;
    glass.shows("the first half", |seen| !seen.octets.is_empty()).await;
    drop(intake);
    let seen = glass.shows("the break", |seen| seen.broken == 1).await;
    assert_eq!(seen.whole.len(), 1, "no final dot");
    // Its connection is the lane's again, both of them are.
    for _ in 0..2 {
        let mut intake = glass.queue.begin();
        Glass::write(&mut intake, &first).await;
        Glass::write(&mut intake, &second).await;
        assert!(matches!(intake.commit(Glass::receipt()).await, Ok(Commitment::Relayed(..))));
    }
    assert_eq!((glass.queue.ids(None), content_files(glass.directory.path())), (vec![], 0));
}

#[tokio::test]
async fn a_client_that_is_slower_than_the_provider_waits_is_offered_again_once_all_is_here() {
    let mut glass = Glass::new("250 2.1.5 ok").await;
    let [first, second] = halves();
    let mut intake = glass.queue.begin();
    Glass::write(&mut intake, &first).await;
    glass.shows("the provider hears no more", |seen| seen.broken == 1).await;
    Glass::write(&mut intake, &second).await;
    assert!(matches!(intake.commit(Glass::receipt()).await, Ok(Commitment::Relayed(..))));
    let seen = glass.shows("the message", |seen| seen.whole.len() == 2).await;
    assert!(seen.whole[1] == [first, second].concat() && seen.broken == 1);
}

#[tokio::test]
async fn a_verdict_that_comes_early_waits_for_the_end_of_data() {
    let glass = Glass::new("550 5.1.1 nobody").await;
    let [first, second] = halves();
    let mut intake = glass.queue.begin();
    Glass::write(&mut intake, &first).await;
    Glass::write(&mut intake, &second).await;
    let verdict = intake.commit(Glass::receipt()).await.unwrap();
    assert_eq!(verdict, Commitment::Refused(Reply::received(550, "5.1.1 nobody")));
    assert_eq!(content_files(glass.directory.path()), 0);
}

#[tokio::test]
async fn the_last_connection_is_not_given_to_a_client_that_may_take_its_time() {
    let mut glass = Glass::new("250 2.1.5 ok").await;
    let [first, second] = halves();
    let (mut one, mut other) = (glass.queue.begin(), glass.queue.begin());
    Glass::write(&mut one, &first).await;
    glass.shows("the first half", |seen| seen.octets.len() > 400_000).await;
    // Two connections are allowed, one is busy: the other stays for what is whole.
    Glass::write(&mut other, &second).await;
    commit(&glass.queue, b"small\r\n", &["b@example.org"]).await;
    let seen = glass.shows("the small one", |seen| seen.whole.len() == 2).await;
    assert!(!seen.octets.windows(11).any(|octets| octets == b"second half"));
    drop((one, other));
}
