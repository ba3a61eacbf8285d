//! How the queue grows: start-up time, memory, time to the first delivery and the cost of a page of `queue list`, with
//! ten thousand messages and with a million. Run it with
//! `cargo test --release --test scale -- --ignored --nocapture`; `SCALE_MESSAGES` is a list of sizes. A million
//! messages take 4.5 GB of disk and a few minutes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]
#![allow(clippy::print_stdout, reason = "the figures are what it is run for")]

mod support;

use std::{
    fs,
    time::{Duration, Instant},
};
use support::{House, Provider, client::message, run, waxseal};
use waxseal::{
    account::AccountId,
    config::QueueSettings,
    history::History,
    mail::{BodyType, Envelope, ForwardPath, ReversePath},
    queue::{Queue, Receipt},
    sandbox::SandboxOptions,
};

/// Octets of a content.
const CONTENT: usize = 4096;
/// Tasks that commit at once.
const WRITERS: usize = 64;

struct Figures {
    messages: usize,
    fill: Duration,
    ready: Duration,
    first: Duration,
    page: Duration,
    pss_kib: u64,
    peak_kib: u64,
}

#[test]
fn ten_thousand_queued_messages_are_counted_listed_and_sent_from() {
    let figures = measure(10_000);
    print(&[figures]);
}

#[test]
#[ignore = "takes minutes and gigabytes"]
fn a_million_messages() {
    let sizes = std::env::var("SCALE_MESSAGES").unwrap_or_else(|_| "10000 100000 1000000".into());
    let figures: Vec<Figures> = sizes.split_whitespace().map(|size| measure(size.parse().unwrap())).collect();
    print(&figures);
    let (small, large) = (figures.first().unwrap(), figures.last().unwrap());
    let grown = (large.pss_kib.saturating_sub(small.pss_kib) * 1024) as f64;
    let each = grown / (large.messages - small.messages).max(1) as f64;
    println!("memory a queued message: {each:.0} octets");
    assert!(each <= 100.0, "{each} octets a message");
}

fn print(figures: &[Figures]) {
    println!(
        "| messages | filled in | ready after | first delivery after | queue list (100) | PSS | peak RSS |"
    );
    println!("|---|---|---|---|---|---|---|");
    for f in figures {
        let seconds = |duration: Duration| format!("{:.2} s", duration.as_secs_f64());
        println!(
            "| {} | {} | {} | {} | {:.0} ms | {:.1} MiB | {:.1} MiB |",
            f.messages,
            seconds(f.fill),
            seconds(f.ready),
            seconds(f.first),
            f.page.as_secs_f64() * 1000.0,
            f.pss_kib as f64 / 1024.0,
            f.peak_kib as f64 / 1024.0,
        );
    }
}

/// One message goes out, so that the first delivery is seen, and the rest stays.
fn measure(messages: usize) -> Figures {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    let account = house.basic(&provider, "support", "example.com");
    house.configure(&format!("{account}rate_limit = \"1/h\"\n"));
    let fill = fill(&house, messages);

    let begun = Instant::now();
    let daemon = house.serve();
    let ready = begun.elapsed();
    provider.arrivals(1);
    let first = begun.elapsed();
    let pid = daemon.0.id();
    let pages: Vec<Duration> = (0..5)
        .map(|_| {
            let begun = Instant::now();
            let list = run(waxseal()
                .args(["queue", "list", "--json", "--most", "100", "--config"])
                .arg(house.config()));
            let list: Vec<serde_json::Value> = serde_json::from_str(&list.ok()).unwrap();
            assert_eq!(list.len(), 100);
            begun.elapsed()
        })
        .collect();
    let status = house.json(&["status"]);
    let counted: u64 =
        status["queue"].as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(counted, messages as u64 - 1);
    Figures {
        messages,
        fill,
        ready,
        first,
        page: *pages.iter().min().unwrap(),
        pss_kib: kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:"),
        peak_kib: kib(&format!("/proc/{pid}/status"), "VmHWM:"),
    }
}

/// The figure behind a name in one of the kernel's files.
fn kib(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Commits so many messages to the queue of a house whose daemon is not running.
fn fill(house: &House, messages: usize) -> Duration {
    let settings = QueueSettings { max_size: u64::MAX, min_free: 0, ..QueueSettings::default() };
    let mut content = message("scale");
    content.resize(CONTENT - 2, b'x');
    content.extend_from_slice(b"\r\n");
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let history = History::open(&house.state().join("history"), Duration::from_secs(86_400)).unwrap();
        let (queue, _) = Queue::open(&house.state().join("queue"), settings, history).unwrap();
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (queue, content) = (queue.clone(), content.clone());
                tokio::spawn(async move {
                    for number in (writer..messages).step_by(WRITERS) {
                        let from = format!("app{}@example.com", number % 1000);
                        let envelope = Envelope::new(
                            ReversePath::parse(&from).unwrap(),
                            vec![ForwardPath::parse("someone@example.org").unwrap()],
                            BodyType::SevenBit,
                            false,
                        );
                        let mut intake = queue.begin();
                        intake.write(&content).await.unwrap();
                        let (envelope, account) = (envelope.unwrap(), AccountId::new("support"));
                        intake.commit(Receipt { envelope, account, application: None }).await.unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        queue.shutdown(Duration::from_secs(10)).await;
    });
    begun.elapsed()
}
