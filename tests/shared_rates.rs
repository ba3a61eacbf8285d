//! How fast several nodes take mail, beside one with this host's disk alone, and what the database grows to meanwhile. For
//! `docs/scale.md`, by hand and in a release build:
//!
//! `cargo test --release --test shared_rates -- --ignored --nocapture --test-threads 1`
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use sqlx::{Connection as _, PgConnection};
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};
use support::{
    House, Running,
    client::{Client, message},
    nodes::{NODES, Scene},
};
use waxseal::sandbox::SandboxOptions;

const SENDER: &str = "app@example.com";
/// Clients of all nodes together.
const CLIENTS: usize = 24;

fn scene() -> Scene {
    Scene::new(SandboxOptions::default(), |house, provider| house.basic(provider, "support", "example.com"))
}

/// What was acknowledged.
struct Measured {
    messages: usize,
    seconds: f64,
    /// Processor time that this machine had to spare, as a part of all of it.
    idle: f64,
}

/// Messages of 4 KiB that are acknowledged to so many clients over these nodes, for `time`.
fn measure(houses: &[&House], time: Duration) -> Measured {
    let before = processor();
    let (count, begun) = (AtomicUsize::new(0), Instant::now());
    let mut content = message("rate");
    while content.len() < 4096 {
        content.extend_from_slice(b"sixty octets of nothing in particular, and again and again\r\n");
    }
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (house, count, content) = (houses[number % houses.len()], &count, &content);
            scope.spawn(move || {
                let mut client = Client::connect(house.smtp).unwrap();
                client.hello().unwrap();
                while begun.elapsed() < time {
                    let reply = client.send(SENDER, "to@example.net", content).unwrap();
                    assert!(reply.starts_with("250"), "{reply}");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    let after = processor();
    let idle = (after.0 - before.0) / (after.1 - before.1);
    Measured { messages: count.into_inner(), seconds, idle }
}

/// Idle time and all time of this machine's processors since it started, in ticks.
fn processor() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let first = stat.lines().next().unwrap();
    let ticks: Vec<f64> = first.split_whitespace().skip(1).map(|word| word.parse().unwrap()).collect();
    (ticks[3] + ticks[4], ticks.iter().take(8).sum())
}

/// Where the write-ahead log has come to, in octets.
async fn wal(url: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let statement = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint";
    sqlx::query_scalar(statement).fetch_one(&mut connection).await.unwrap()
}

#[test]
#[ignore = "measures"]
fn rates_beside_the_local_journal() {
    let time = Duration::from_secs(8);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for round in 0..3 {
        println!("round {round}");
        for nodes in 0..=NODES {
            // All of it anew: what an earlier measurement has left would be taken over meanwhile.
            // Nothing is delivered, for nothing listens there: what is measured is the promise.
            const NOWHERE: &str = "[account.support]\ntype = \"basic\"\ndomain = \"example.com\"\n\
                                   address = \"127.0.0.1\"\nport = 9\nsecurity = \"none\"\n\
                                   use_authentication = false\n";
            let scene = Scene::new(SandboxOptions::default(), |_, _| NOWHERE.to_owned());
            let alone = House::new();
            alone.configure(NOWHERE);
            let houses: Vec<&House> = match nodes {
                0 => vec![&alone],
                nodes => scene.houses.iter().take(nodes).collect(),
            };
            let _daemons: Vec<Running> = houses.iter().map(|house| house.serve()).collect();
            let url = scene.postgres.as_ref().unwrap().url("postgres", "t0");
            let before = runtime.block_on(wal(&url));
            let Measured { messages, seconds, idle } = measure(&houses, time);
            let wal = (runtime.block_on(wal(&url)) - before) as f64 / messages as f64;
            let who = if nodes == 0 { "this host's journal".to_owned() } else { format!("{nodes} nodes") };
            println!(
                "  {who}: {:.0} messages a second, {wal:.0} octets of WAL a message, processors {:.0} % idle",
                messages as f64 / seconds,
                100.0 * idle
            );
        }
    }
}

/// Octets of waxseal's tables and indexes, rows, and dead rows.
async fn size(url: &str) -> (i64, i64, i64) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_as(
        "SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint, coalesce(sum(n_live_tup), 0)::bigint,
                coalesce(sum(n_dead_tup), 0)::bigint
         FROM pg_stat_user_tables WHERE schemaname = 'waxseal'",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap()
}

#[test]
#[ignore = "measures"]
fn tables_stay_small_over_an_hours_traffic() {
    // Ten messages a second for an hour, in less time.
    const MESSAGES: usize = 36_000;
    let scene = scene();
    let url = scene.postgres.as_ref().unwrap().url("postgres", "t0");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _daemons = scene.serve();
    let (sent, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for number in 0..6 {
            let (house, sent) = (&scene.houses[number % NODES], &sent);
            scope.spawn(move || {
                let mut client = Client::connect(house.smtp).unwrap();
                client.hello().unwrap();
                let mut content = message("size");
                while content.len() < 4032 {
                    content
                        .extend_from_slice(b"sixty octets of nothing in particular, and again and again\r\n");
                }
                while sent.fetch_add(1, Ordering::Relaxed) < MESSAGES {
                    let reply = client.send(SENDER, "to@example.net", &content).unwrap();
                    assert!(reply.starts_with("250"), "{reply}");
                    // Some 120 a second in all: thirty times the traffic, and vacuum at its ordinary pace.
                    thread::sleep(Duration::from_millis(50));
                }
            });
        }
        scope.spawn(|| {
            let begun = Instant::now();
            let mut arrived = 0;
            while !done.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_secs(20));
                arrived += scene.provider.take_received().len();
                let (octets, live, dead) = runtime.block_on(size(&url));
                println!(
                    "{:4.0} s: {} sent, {arrived} arrived, {:.1} MiB, {live} rows, {dead} dead",
                    begun.elapsed().as_secs_f64(),
                    sent.load(Ordering::Relaxed).min(MESSAGES),
                    octets as f64 / f64::from(1 << 20)
                );
                if arrived >= MESSAGES {
                    done.store(true, Ordering::Relaxed);
                }
            }
        });
    });
}
