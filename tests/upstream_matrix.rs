//! What becomes of a message when its provider refuses, delays, drops or lies: every fault at every stage, the whole
//! outcome held against `tests/upstream_matrix.txt`, which is written anew with WAXSEAL_BLESS set. A new fault is a line
//! in `REPLIES`, `OCTETS` or `faults`. What no line of that file may say is in `broken_rules`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]
#![allow(clippy::print_stdout, reason = "the figures are what it is run for")]

mod smarthost;

use smarthost::{Bench, Tokens, to};
use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, sync::Arc, time::Duration};
use tokio::task::yield_now;
use waxseal::{
    account::AccountType,
    outbound::{Disposition, LaneEffect, Outcome, Trouble, Upstream},
    sandbox::{Fault, Point},
};

/// Replies by their text.
const REPLIES: [&str; 22] = [
    "211 2.0.0 another good reply",
    "250 2.0.0 good",
    "250 5.1.1 good and bad",
    "334 go on",
    "354 go ahead",
    "421 4.3.2 closing",
    "432 4.3.2 concurrent connections limit exceeded",
    "450 4.2.1 slow down",
    "451 4.7.1 greylisted",
    "451 later",
    "452 4.5.3 too many recipients",
    "454 4.7.0 temporary authentication failure",
    "500 5.5.2 what",
    "501 5.5.4 bad argument",
    "502 5.5.1 not implemented",
    "503 5.5.1 bad sequence",
    "530 5.7.0 authentication required",
    "535 5.7.8 bad credentials",
    "550 5.1.1 user unknown",
    "550 no",
    "552 5.3.4 too large",
    "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException",
];

/// Octets that are no reply, or more than one.
const OCTETS: [(&str, &[u8]); 9] = [
    ("no digits", b"hello there\r\n"),
    ("two digits", b"25 ok\r\n"),
    ("code out of range", b"999 ok\r\n"),
    ("code that changes", b"250-2.0.0 one\r\n550 5.1.1 two\r\n"),
    ("bare LF", b"250 2.0.0 ok\n"),
    ("NUL and octets beyond ASCII", b"250 2.0.0 \0\xff\xfe\r\n"),
    ("good reply twice", b"250 2.0.0 ok\r\n250 2.0.0 ok\r\n"),
    ("refusal and good reply", b"550 5.1.1 no\r\n250 2.0.0 ok\r\n"),
    ("354 twice", b"354 go\r\n354 go\r\n"),
];

const BROKEN: [(&str, &[u8]); 2] =
    [("half a line", b"250 2.0"), ("half a multiline reply", b"250-2.0.0 one\r\n")];

const FIRST: &str = "a@example.org";
const SECOND: &str = "b@example.org";
const CONTENT: &[u8] = b"Subject: x\r\n\r\n.first\r\nsecond\r\n";

fn stages() -> Vec<(&'static str, Point)> {
    vec![
        ("banner", Point::Banner),
        ("EHLO", Point::Ehlo),
        ("EHLO with TLS", Point::SecuredEhlo),
        ("STARTTLS", Point::StartTls),
        ("handshake", Point::Handshake),
        ("AUTH PLAIN", Point::Auth),
        ("AUTH XOAUTH2", Point::Auth),
        ("MAIL", Point::Mail),
        ("first RCPT", Point::Rcpt(Some(FIRST.into()))),
        ("second RCPT", Point::Rcpt(Some(SECOND.into()))),
        ("every RCPT", Point::Rcpt(None)),
        ("DATA", Point::Data),
        ("mid-content", Point::Content),
        ("dot", Point::Dot),
        ("QUIT", Point::Quit),
    ]
}

fn faults() -> Vec<(String, Fault)> {
    let long = format!("250 2.0.0 {}\r\n", "x".repeat(5_000)).into_bytes();
    let endless = b"250-2.0.0 more\r\n".repeat(5_000);
    let mut faults: Vec<(String, Fault)> =
        REPLIES.iter().map(|text| ((*text).to_owned(), Fault::Reply((*text).into()))).collect();
    faults.extend(OCTETS.iter().map(|(name, octets)| ((*name).into(), Fault::Octets(octets.to_vec()))));
    faults
        .extend(BROKEN.iter().map(|(name, octets)| ((*name).into(), Fault::OctetsAndDrop(octets.to_vec()))));
    faults.push(("line of 5,000 octets".into(), Fault::Octets(long)));
    faults.push(("multiline reply without end".into(), Fault::OctetsAndDrop(endless)));
    faults.push(("421, closed".into(), Fault::ReplyAndDrop("421 4.3.2 closing".into())));
    faults.push(("550, closed".into(), Fault::ReplyAndDrop("550 5.7.1 spam".into())));
    faults.push(("250, closed".into(), Fault::ReplyAndDrop("250 2.0.0 ok".into())));
    faults.push(("closed".into(), Fault::Drop));
    faults.push(("reset".into(), Fault::Reset));
    faults.push(("delay".into(), Fault::Delay(Duration::from_millis(30))));
    faults.push(("silence".into(), Fault::Silence));
    faults
}

/// One run: what the outcome was, and what the provider saw.
struct Run {
    outcome: Outcome,
    /// How often the provider kept the message, with how many recipients.
    taken: Vec<usize>,
    /// Whether the connection was kept for the next message.
    kept: bool,
    /// Whether the next message arrived.
    recovers: bool,
}

impl Run {
    fn line(&self) -> String {
        let mut line = String::new();
        if self.outcome.dispositions.is_empty() {
            line.push_str("untried");
        }
        for (name, disposition) in ["a", "b"].iter().zip(&self.outcome.dispositions) {
            let (what, trouble) = match disposition {
                Disposition::Delivered(_) => ("delivered", None),
                Disposition::Deferred(trouble) => ("deferred", Some(trouble)),
                Disposition::Failed(trouble) => ("failed", Some(trouble)),
            };
            write!(line, "{name} {what}").unwrap();
            if let Some(trouble) = trouble {
                let doubt = if trouble.in_doubt { ", in doubt" } else { "" };
                write!(line, " ({} {}{doubt})", trouble.stage, trouble.status).unwrap();
            }
            line.push_str("; ");
        }
        let lane = match &self.outcome.lane {
            LaneEffect::None => "lane goes on".to_owned(),
            LaneEffect::BackOff => "lane backs off".to_owned(),
            LaneEffect::Pause => "lane paused".to_owned(),
            LaneEffect::Hold(wait) => format!("lane held {} s", wait.as_secs()),
        };
        let kept = if self.kept { "kept" } else { "closed" };
        format!("{}; {lane}; connection {kept}; taken {:?}", line.trim_end_matches("; "), self.taken)
    }
}

/// Delivers to two recipients, with this fault struck on the way.
async fn run(stage: &str, point: &Point, fault: &Fault) -> Run {
    let (bench, tokens) = scene(stage).await;
    let upstream = Arc::new(bench.upstream_with(tokens));
    bench.sandbox.faults().always(point.clone(), fault.clone());
    let delivery = tokio::spawn({
        let upstream = upstream.clone();
        async move { upstream.deliver(&to(&[FIRST, SECOND], CONTENT)).await }
    });
    if *fault == Fault::Silence && *point != Point::Quit {
        // Once it has struck, only a deadline ends it: time may fly. A handshake under way answers nothing either.
        while bench.sandbox.faults().struck() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        tokio::time::pause();
    }
    let outcome = delivery.await.unwrap();
    if *fault == Fault::Silence && *point != Point::Quit {
        tokio::time::resume();
    }
    let kept = upstream.idle_connections() == 1;
    if *point == Point::Quit {
        tokio::time::timeout(Duration::from_secs(20), upstream.close_idle()).await.unwrap();
    }
    yield_now().await;
    // What the provider kept it has kept by now, or will in a moment.
    tokio::time::sleep(Duration::from_millis(2)).await;
    let taken = bench.sandbox.received();
    assert!(taken.iter().all(|message| message.octets == CONTENT), "{stage}: it arrived changed");
    let taken: Vec<usize> = taken.iter().map(|message| message.to.len()).collect();
    let recovers = recovers(&bench, &upstream).await;
    Run { outcome, taken, kept, recovers }
}

/// With the fault gone, the next message arrives on whatever connection there is: no reply was mistaken for another.
async fn recovers(bench: &Bench, upstream: &Upstream) -> bool {
    bench.sandbox.faults().clear();
    let next = b"Subject: next\r\n\r\n..\r\n";
    let outcome = upstream.deliver(&to(&[SECOND], next)).await;
    let delivered = matches!(outcome.dispositions[..], [Disposition::Delivered(_)]);
    delivered && bench.sandbox.received().last().is_some_and(|message| message.octets == next)
}

async fn scene(stage: &str) -> (Bench, Arc<Tokens>) {
    if stage == "AUTH XOAUTH2" {
        let bench = Bench::ordinary().await.with_oauth(AccountType::Microsoft);
        let token = bench.sandbox.grants().issue_access_token(Duration::from_secs(60));
        (bench, Tokens::list(&[&token]))
    } else {
        (Bench::ordinary().await, Tokens::list(&[]))
    }
}

/// The rules that the field paid for, whatever the table says.
/// What breaks a rule, whatever the table says.
fn broken_rules(stage: &str, run: &Run) -> Vec<&'static str> {
    let dispositions = &run.outcome.dispositions;
    let early = ["banner", "EHLO", "EHLO with TLS", "STARTTLS", "handshake", "AUTH PLAIN", "AUTH XOAUTH2"];
    let delivered = dispositions.iter().filter(|d| matches!(d, Disposition::Delivered(_))).count();
    let failed = dispositions.iter().filter(|d| matches!(d, Disposition::Failed(_))).count();
    let in_doubt = |d: &Disposition| matches!(d, Disposition::Deferred(trouble) if trouble.in_doubt);
    let early = early.contains(&stage) && delivered == 0;
    let second_failed = matches!(dispositions.get(1), Some(Disposition::Failed(_)));
    let taken = !run.taken.is_empty();
    let refused = |trouble: &Trouble| trouble.reply.as_ref().is_some_and(|reply| reply.code() >= 500);
    let unfounded = |d: &Disposition| matches!(d, Disposition::Failed(trouble) if !refused(trouble));
    let rules = [
        (early && !dispositions.is_empty(), "nothing before MAIL is about the message"),
        (early && run.outcome.lane == LaneEffect::None, "trouble before MAIL is the lane's"),
        // A provider that says it has the message, in the middle of it, cannot be told from one that has it, where the
        // whole message was one write: `tests/outbound.rs` has the case that can.
        (delivered > 0 && !taken && stage != "mid-content", "LOST"),
        (dispositions.iter().any(unfounded), "only a 5yz fails a message"),
        (stage == "first RCPT" && second_failed, "a reply to the first RCPT is not the second's"),
        (stage == "QUIT" && delivered != 2, "what was delivered stays so"),
        (
            taken && delivered + failed == 0 && !dispositions.iter().any(in_doubt),
            "a duplicate that nobody is told of",
        ),
        (!run.recovers, "the next message does not arrive"),
    ];
    rules.into_iter().filter(|(broken, _)| *broken).map(|(_, rule)| rule).collect()
}

#[tokio::test]
async fn every_fault_at_every_stage_comes_to_what_the_table_says() {
    let (mut table, mut broken) = (String::new(), Vec::new());
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (stage, point) in stages() {
        for (name, fault) in faults() {
            let run = run(stage, &point, &fault).await;
            for rule in broken_rules(stage, &run) {
                broken.push(format!("{rule}: {stage} | {name} | {}", run.line()));
            }
            writeln!(table, "{stage} | {name} | {}", run.line()).unwrap();
            *counts.entry(stage).or_default() += 1;
        }
    }
    println!(
        "{} rows, after each of which the next message arrived: {counts:?}",
        counts.values().sum::<usize>()
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upstream_matrix.txt");
    if std::env::var_os("WAXSEAL_BLESS").is_some() {
        fs::write(&path, &table).unwrap();
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    let differences: Vec<String> = table
        .lines()
        .zip(wanted.lines().chain(std::iter::repeat("")))
        .filter(|(got, wanted)| got != wanted)
        .map(|(got, wanted)| format!("got    {got}\nwanted {wanted}"))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(differences.is_empty(), "{} rows differ:\n{}", differences.len(), differences.join("\n"));
    assert_eq!(table.lines().count(), wanted.lines().count(), "the table has other rows");
}
