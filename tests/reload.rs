//! Reloads under load: accounts come, change and go while clients send. `RELOAD_SECONDS` makes it longer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]
#![allow(clippy::print_stdout, reason = "the figures are what it is run for")]

mod support;

use rustix::process::Signal;
use std::{
    collections::{BTreeMap, HashSet},
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use support::{
    House, Provider,
    client::{Client, message, submit},
    until,
};
use waxseal::sandbox::SandboxOptions;

/// Clients, and messages a second of each.
const CLIENTS: usize = 8;
const RATE: u32 = 25;

/// What clients have a 250 for.
#[derive(Default)]
struct Ledger {
    acknowledged: Mutex<HashSet<String>>,
    over: AtomicBool,
}

impl Ledger {
    /// A message on a connection of its own, at an even pace, until it is over.
    fn send(&self, address: SocketAddr, client: usize) {
        let begun = Instant::now();
        for number in 0.. {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let due = begun + Duration::from_secs(1) / RATE * number;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let subject = format!("c{client}-{number}");
            let sender = format!("app@{}.example", ["steady", "changing", "leaving"][client % 3]);
            let mut smtp = Client::connect(address).expect("no connection is refused");
            smtp.hello().expect("no session is dropped");
            // A sender whose account is away is refused at MAIL, and its client keeps the message.
            if smtp.send(&sender, "someone@example.org", &message(&subject)).is_ok() {
                self.acknowledged.lock().unwrap().insert(subject);
            }
        }
    }
}

fn conf_d(house: &House, id: &str) -> PathBuf {
    house.path("conf.d").join(format!("{id}.toml"))
}

/// The subjects that a provider has, with how often.
fn subjects(provider: &Provider) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for received in provider.received() {
        let text = String::from_utf8_lossy(&received.octets).into_owned();
        let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ").map(str::to_owned));
        *counts.entry(subject.unwrap_or_default()).or_default() += 1;
    }
    counts
}

#[test]
fn accounts_come_change_and_go_under_load_and_nothing_is_lost() {
    let seconds = std::env::var("RELOAD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let (one, other) =
        (Provider::start(SandboxOptions::default()), Provider::start(SandboxOptions::default()));
    let house = House::beside(&one);
    other.write_ca(&house.path("other.pem")).unwrap();
    house.configure_with("warn", "", "[limits]\nconnections_per_client = 500\n");
    fs::create_dir(house.path("conf.d")).unwrap();
    let at_other = |id: &str, domain: &str| house.basic(&other, id, domain).replace("ca.pem", "other.pem");
    fs::write(conf_d(&house, "steady"), house.basic(&one, "steady", "steady.example")).unwrap();
    fs::write(conf_d(&house, "changing"), house.basic(&one, "changing", "changing.example")).unwrap();
    fs::write(conf_d(&house, "leaving"), house.basic(&one, "leaving", "leaving.example")).unwrap();
    let daemon = house.serve();
    let ledger = Arc::new(Ledger::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (ledger, address) = (ledger.clone(), house.smtp);
            thread::spawn(move || ledger.send(address, client))
        })
        .collect();

    let begun = Instant::now();
    let (mut rounds, mut slowest) = (0, Duration::ZERO);
    while begun.elapsed() < Duration::from_secs(seconds) {
        // Added: a sender that was refused is taken within a second of the reload's answer.
        let id = format!("new{rounds}");
        let sender = format!("app@{id}.example");
        assert!(submit(house.smtp, &sender, &message("too-early")).is_err());
        fs::write(conf_d(&house, &id), house.basic(&one, &id, &format!("{id}.example"))).unwrap();
        // Changed: to the other provider, and back.
        let changing = match rounds % 2 {
            0 => at_other("changing", "changing.example"),
            _ => house.basic(&one, "changing", "changing.example"),
        };
        fs::write(conf_d(&house, "changing"), changing).unwrap();
        // Removed, and there again.
        match rounds % 2 {
            0 => fs::remove_file(conf_d(&house, "leaving")).unwrap(),
            _ => {
                fs::write(conf_d(&house, "leaving"), house.basic(&one, "leaving", "leaving.example")).unwrap()
            }
        }
        let asked = Instant::now();
        if rounds % 3 == 2 {
            daemon.signal(Signal::HUP);
        } else {
            house.cli(&["reload"]).ok();
        }
        until("the new route", || submit(house.smtp, &sender, &message(&format!("new-{rounds}"))).ok());
        ledger.acknowledged.lock().unwrap().insert(format!("new-{rounds}"));
        slowest = slowest.max(asked.elapsed());
        // Wrong: it changes nothing, and is explained.
        fs::write(conf_d(&house, "wrong"), "[account.wrong]\ntype = \"basics\"\n").unwrap();
        let refused = house.cli(&["reload"]);
        assert!(refused.code == 78 && refused.stderr.contains("wrong.toml:2"), "{refused:?}");
        submit(house.smtp, &sender, &message(&format!("still-{rounds}"))).unwrap();
        ledger.acknowledged.lock().unwrap().insert(format!("still-{rounds}"));
        fs::remove_file(conf_d(&house, "wrong")).unwrap();
        rounds += 1;
    }
    ledger.over.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    let took = begun.elapsed();
    // Mail of an account that is away waits for it.
    fs::write(conf_d(&house, "leaving"), house.basic(&one, "leaving", "leaving.example")).unwrap();
    house.cli(&["reload"]).ok();
    house.queue_empties();

    let acknowledged = ledger.acknowledged.lock().unwrap();
    let mut arrived = subjects(&one);
    for (subject, count) in subjects(&other) {
        *arrived.entry(subject).or_default() += count;
    }
    let lost: Vec<_> = acknowledged.iter().filter(|subject| !arrived.contains_key(*subject)).collect();
    let twice: Vec<_> = arrived.iter().filter(|(_, count)| **count > 1).collect();
    println!(
        "{rounds} rounds of changes, {} messages acknowledged in {:.1} s, {} lost, {} twice; a new route took {} ms at most",
        acknowledged.len(),
        took.as_secs_f64(),
        lost.len(),
        twice.len(),
        slowest.as_millis()
    );
    assert!(lost.is_empty(), "{lost:?}");
    assert!(twice.is_empty(), "{twice:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert!(!subjects(&other).is_empty(), "the change took effect");
}
