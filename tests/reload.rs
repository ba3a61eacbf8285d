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
use waxseal::sandbox::{Fault, Point, SandboxOptions};

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
            match smtp.send(&sender, "someone@example.org", &message(&subject)) {
                Ok(_) => drop(self.acknowledged.lock().unwrap().insert(subject)),
                Err(refused) => {
                    let refused = refused.to_string();
                    assert!(
                        sender.contains("leaving") && refused.starts_with("550 5.7.1"),
                        "{sender}: {refused}"
                    );
                }
            }
        }
    }

    /// A message that has to get its 250.
    #[track_caller]
    fn takes(&self, address: SocketAddr, sender: &str, subject: String) {
        submit(address, sender, &message(&subject)).unwrap();
        self.acknowledged.lock().unwrap().insert(subject);
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

/// Waits until a provider has a message.
#[track_caller]
fn provider_has(provider: &Provider, subject: &str) {
    until(subject, || subjects(provider).contains_key(subject).then_some(()));
}

#[test]
fn accounts_come_change_and_go_under_load_and_nothing_is_lost() {
    let seconds = std::env::var("RELOAD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
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
    fs::write(conf_d(&house, "moving"), house.basic(&one, "moving", "moving.example")).unwrap();
    fs::write(conf_d(&house, "password"), house.basic(&one, "password", "password.example")).unwrap();
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
        let away = rounds % 2 == 0;
        // Added, and under another domain from now on: senders that were refused are taken within a second.
        let (id, moved) = (format!("new{rounds}"), format!("app@moving{rounds}.example"));
        let sender = format!("app@{id}.example");
        for early in [&sender, &moved] {
            assert!(submit(house.smtp, early, &message("too-early")).is_err());
        }
        fs::write(conf_d(&house, &id), house.basic(&one, &id, &format!("{id}.example"))).unwrap();
        let moving = house.basic(&one, "moving", &format!("moving{rounds}.example"));
        fs::write(conf_d(&house, "moving"), moving).unwrap();
        // Changed: to the other provider, and back.
        let changing = match away {
            true => at_other("changing", "changing.example"),
            false => house.basic(&one, "changing", "changing.example"),
        };
        fs::write(conf_d(&house, "changing"), changing).unwrap();
        // Changed: a password that is wrong, and the right one.
        let password = house.basic(&one, "password", "password.example");
        let wrong = password.replace(&one.options().password, "not the password");
        assert_ne!(wrong, password);
        fs::write(conf_d(&house, "password"), if away { wrong } else { password }).unwrap();
        // Removed, and there again.
        match away {
            true => {
                ledger.takes(house.smtp, "app@leaving.example", format!("leaves-{rounds}"));
                fs::remove_file(conf_d(&house, "leaving")).unwrap();
            }
            false => {
                fs::write(conf_d(&house, "leaving"), house.basic(&one, "leaving", "leaving.example")).unwrap()
            }
        }
        // With the signal nobody says when it is done.
        let asked = Instant::now();
        let answered = if rounds % 4 == 1 {
            daemon.signal(Signal::HUP);
            asked
        } else {
            assert_eq!(house.cli(&["reload"]).ok(), "reloaded\n");
            Instant::now()
        };
        for (sender, subject) in [(&sender, "new"), (&moved, "moved")] {
            let subject = format!("{subject}-{rounds}");
            until("the new route", || submit(house.smtp, sender, &message(&subject)).ok());
            ledger.acknowledged.lock().unwrap().insert(subject);
        }
        slowest = slowest.max(answered.elapsed());
        ledger.takes(house.smtp, "app@password.example", format!("password-{rounds}"));
        if away {
            assert!(submit(house.smtp, "app@leaving.example", &message("away")).is_err());
            house.account_becomes("password", "failing");
        } else {
            house.account_becomes("password", "ready");
            provider_has(&one, &format!("password-{}", rounds - 1));
        }
        // Wrong: it changes nothing, and is explained by whatever is asked.
        fs::write(conf_d(&house, "wrong"), "[account.wrong]\ntype = \"basics\"\n").unwrap();
        let refused = house.cli(&["reload"]);
        assert!(refused.code == 78 && refused.stderr.contains("wrong.toml:2"), "{refused:?}");
        ledger.takes(house.smtp, &sender, format!("still-{rounds}"));
        fs::remove_file(conf_d(&house, "wrong")).unwrap();
        rounds += 1;
    }
    assert!(rounds > 1, "too little time for anything to change: RELOAD_SECONDS");
    ledger.over.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    let took = begun.elapsed();
    // Mail of an account that is away waits for it, and so does that of one whose password is wrong.
    fs::write(conf_d(&house, "leaving"), house.basic(&one, "leaving", "leaving.example")).unwrap();
    fs::write(conf_d(&house, "password"), house.basic(&one, "password", "password.example")).unwrap();
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

/// An account that goes while its mail is under way, and comes back: what was under way ends, what waits is held, as it
/// stands in the queue, and goes when the account is there again.
#[test]
fn mail_of_a_removed_account_is_held_until_it_is_there_again() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    house.configure("");
    fs::create_dir(house.path("conf.d")).unwrap();
    let account = house.basic(&provider, "leaving", "leaving.example") + "max_connections = 1\n";
    fs::write(conf_d(&house, "leaving"), &account).unwrap();
    let _daemon = house.serve();
    provider.faults().always(Point::Dot, Fault::Delay(Duration::from_secs(2)));
    for number in 0..4 {
        submit(house.smtp, "app@leaving.example", &message(&format!("m{number}"))).unwrap();
    }
    fs::remove_file(conf_d(&house, "leaving")).unwrap();
    house.cli(&["reload"]).ok();
    // What is under way ends, and nothing else begins.
    let held = until("nothing under way", || {
        let listed = house.json(&["queue", "list"]);
        let states: Vec<_> = listed.as_array().unwrap().iter().map(|m| m["state"].clone()).collect();
        states.iter().all(|state| state == "held").then_some(states.len())
    });
    assert!((1..4).contains(&held), "{held} held: with all or none the test shows too little");
    assert_eq!(provider.received().len(), 4 - held);
    provider.faults().clear();

    // Away and there again, and that faster than a task takes to notice: one lane, not two.
    for _ in 0..5 {
        fs::write(conf_d(&house, "leaving"), &account).unwrap();
        house.cli(&["reload"]).ok();
        fs::remove_file(conf_d(&house, "leaving")).unwrap();
        house.cli(&["reload"]).ok();
    }
    fs::write(conf_d(&house, "leaving"), &account).unwrap();
    house.cli(&["reload"]).ok();
    house.queue_empties();
    assert_eq!(subjects(&provider).into_values().collect::<Vec<_>>(), [1; 4]);
}

/// The connections to the old server are taken leave of, with a QUIT, and it gets no further message.
#[test]
fn an_account_that_moves_leaves_no_connection_behind() {
    let (one, other) =
        (Provider::start(SandboxOptions::default()), Provider::start(SandboxOptions::default()));
    let house = House::beside(&one);
    other.write_ca(&house.path("other.pem")).unwrap();
    let at = |provider: &Provider, ca: &str| {
        house.configure(&house.basic(provider, "moves", "moves.example").replace("ca.pem", ca));
    };
    at(&one, "ca.pem");
    let daemon = house.serve();
    submit(house.smtp, "app@moves.example", &message("before")).unwrap();
    one.arrivals(1);
    let port = |provider: &Provider| format!(":{:04X}", provider.smtp_address().port());
    // Established connections of this host to a port of it, as /proc/net/tcp has them.
    let open = |provider: &Provider| {
        let table = fs::read_to_string(format!("/proc/{}/net/tcp", daemon.0.id())).unwrap();
        let to = |line: &&str| {
            let fields: Vec<_> = line.split_whitespace().collect();
            fields[2].ends_with(&port(provider)) && fields[3] == "01"
        };
        table.lines().skip(1).filter(to).count()
    };
    until("a kept connection", || (open(&one) == 1).then_some(()));
    at(&other, "other.pem");
    one.faults().always(Point::Quit, Fault::Delay(Duration::from_secs(3)));
    house.cli(&["reload"]).ok();
    assert_eq!(open(&one), 1, "the reply to QUIT is waited for");
    until("a connection that is closed", || (open(&one) == 0).then_some(()));
    submit(house.smtp, "app@moves.example", &message("after")).unwrap();
    other.arrivals(1);
    assert_eq!(one.received().len(), 1);
}

/// A wrong file changes nothing, and all who are asked say why: the answer, the log, `status` and its JSON. They say so
/// until a later reload goes through.
#[test]
fn a_refused_reload_is_told_of_until_another_goes_through() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    house.configure(&house.basic(&provider, "works", "works.example"));
    let daemon = house.serve();
    let status = || house.json(&["status"]);
    let before = status();
    assert!(before["refused_reload"].is_null(), "{before}");
    let since = before["configured_at"].as_str().unwrap().to_owned();

    let good = fs::read_to_string(house.config()).unwrap();
    fs::write(house.config(), good.replace("username", "usernme")).unwrap();
    let refused = house.cli(&["reload"]);
    assert_eq!(refused.code, 78, "{refused:?}");
    assert!(refused.stderr.contains("did you mean `username`?"), "{refused:?}");
    let line = house.log_line(&["reload refused, the old configuration stays", "usernme"]);
    assert!(line.contains("did you mean `username`?"), "all of it in one line: {line}");
    let now = status();
    let (at, problem) = (&now["refused_reload"]["at"], &now["refused_reload"]["problem"]);
    assert!(problem.as_str().unwrap().contains("usernme"), "{now}");
    let sentence = format!(
        "the last reload was refused at {}: {}; the configuration in force is that of {since}",
        at.as_str().unwrap(),
        problem.as_str().unwrap()
    );
    assert!(now["warnings"].as_array().unwrap().iter().any(|warning| *warning == *sentence), "{now}");
    assert!(house.cli(&["status"]).ok().contains(&format!("warning: {sentence}")));
    submit(house.smtp, "app@works.example", &message("as-before")).unwrap();

    // The signal's answer is the same. What a running process is bound to stays, and that is a warning, too.
    fs::write(house.config(), good.replace("password", "pasword")).unwrap();
    daemon.signal(Signal::HUP);
    until("another refusal", || {
        status()["refused_reload"]["problem"].as_str().unwrap().contains("pasword").then_some(())
    });
    fs::write(house.config(), good.replace("level = \"info\"", "level = \"debug\"")).unwrap();
    let kept = "[log] has changed: that takes effect at the next start";
    assert_eq!(house.cli(&["reload"]).ok(), format!("reloaded\n{kept}\n"));
    let now = status();
    assert!(now["refused_reload"].is_null(), "{now}");
    assert_eq!(now["warnings"], serde_json::json!([kept]));
    assert!(now["configured_at"].as_str().unwrap() >= since.as_str(), "{now}");
    fs::write(house.config(), good).unwrap();
    assert_eq!(house.cli(&["reload"]).ok(), "reloaded\n");
    assert_eq!(status()["warnings"], serde_json::json!([]));
    provider.arrivals(1);
}
