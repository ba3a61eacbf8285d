//! `waxseal trace` against the real binary: what became of messages, by queue id, Message-ID and address; and nothing
//! of it lost by `kill -9`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use support::{
    House, Provider,
    client::{Client, message},
    until,
};
use waxseal::sandbox::{Fault, Point, SandboxOptions};

const SENDER: &str = "app@example.com";

fn scene() -> (Provider, House) {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    house.configure(&house.basic(&provider, "support", "example.com"));
    // Notifications of the failure are for tests/bounces.rs.
    let config = fs::read_to_string(house.config()).unwrap();
    fs::write(house.config(), config.replace("[queue]\n", "[queue]\nbounce = \"none\"\n")).unwrap();
    (provider, house)
}

/// Submits a message; its queue id.
fn submit(house: &House, subject: &str, to: &str) -> String {
    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    id_of(&client.send(SENDER, to, &message(subject)).unwrap())
}

/// The id that a 250 names.
fn id_of(reply: &str) -> String {
    reply.rsplit(' ').next().unwrap().to_owned()
}

/// The only message that a search finds.
#[track_caller]
fn trace(house: &House, query: &str) -> Value {
    let found = house.json(&["trace", query]);
    assert_eq!(found.as_array().unwrap().len(), 1, "{query}: {found:#}");
    found[0].clone()
}

fn events(message: &Value) -> Vec<&str> {
    message["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect()
}

/// Four messages that came to different ends: delivered, deferred, failed, removed.
fn four(provider: &Provider, house: &House) -> [String; 4] {
    let at = |to: &str, reply: &str| {
        provider.faults().always(Point::Rcpt(Some(to.into())), Fault::Reply(reply.into()));
    };
    at("later@example.org", "450 4.2.1 come back tomorrow");
    at("nobody@example.org", "550 5.1.1 nobody of that name");
    let delivered = submit(house, "delivered", "someone@example.org");
    let deferred = submit(house, "deferred", "later@example.org");
    let failed = submit(house, "failed", "nobody@example.org");
    let removed = submit(house, "removed", "later@example.org");
    until("a deferral", || (trace(house, &removed)["state"] == "deferred").then_some(()));
    until("the removal", || (house.cli(&["queue", "remove", &removed]).code == 0).then_some(()));
    for (id, state) in [(&delivered, "delivered"), (&deferred, "deferred"), (&failed, "failed")] {
        until(state, || (trace(house, id)["state"] == state).then_some(()));
    }
    [delivered, deferred, failed, removed]
}

#[test]
fn messages_are_traced_by_id_by_message_id_and_by_address() {
    let (provider, house) = scene();
    let daemon = house.serve();
    let [delivered, deferred, failed, removed] = four(&provider, &house);

    let found = trace(&house, &delivered.to_lowercase());
    assert_eq!(events(&found), ["received", "delivered"]);
    assert_eq!((&found["from"], &found["to"][0]), (&SENDER.into(), &"someone@example.org".into()));
    assert_eq!((&found["account"], &found["queue"]), (&"support".into(), &Value::Null));
    let last = &found["events"][1];
    assert!(last["reply"].as_str().unwrap().starts_with("250 "), "{last}");
    assert!(last["tls"].as_str().unwrap().starts_with("TLSv1.3"), "{last}");
    assert_eq!(last["relay"], provider.smtp_address().to_string());
    assert!(last["delay_ms"].as_u64().is_some() && last["attempt"] == 1, "{last}");
    for name in ["<delivered@app.example.com>", "delivered@app.example.com", "Someone@EXAMPLE.org"] {
        assert_eq!(trace(&house, name), found, "{name}");
    }

    let found = trace(&house, "<deferred@app.example.com>");
    assert_eq!((&found["id"], &found["queue"]["state"]), (&deferred.clone().into(), &"deferred".into()));
    assert!(found["queue"]["next_attempt_at"].is_string() && events(&found)[..2] == ["received", "deferred"]);
    let found = trace(&house, "nobody@example.org");
    assert_eq!((&found["id"], events(&found)), (&failed.clone().into(), vec!["received", "failed"]));
    assert_eq!(found["events"][1]["reply"], "550 5.1.1 nobody of that name");
    let found = trace(&house, &removed);
    assert_eq!((&found["state"], events(&found).last().copied()), (&"removed".into(), Some("removed")));

    let all = house.json(&["trace", SENDER]);
    let ids: Vec<&str> =
        all.as_array().unwrap().iter().map(|message| message["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&*removed, &*failed, &*deferred, &*delivered], "the latest first");
    assert_eq!(house.json(&["trace", "*@example.org"]), all);
    let two = house.cli(&["trace", SENDER, "--limit", "2", "--json"]);
    assert!(two.stderr.contains("more than these 2"), "{two:?}");
    assert_eq!(serde_json::from_str::<Value>(&two.stdout).unwrap().as_array().unwrap().len(), 2);

    let text = house.cli(&["trace", "later@example.org"]).ok();
    for part in [
        &*deferred,
        &*removed,
        "450 4.2.1 come back tomorrow",
        "by an operator",
        "next attempt at",
        "attempt 1",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    println!("{text}{}", house.cli(&["trace", &delivered]).ok());

    let nothing = house.cli(&["trace", "stranger@example.org"]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (1, ""));
    assert!(nothing.stderr.contains("goes back to"), "{nothing:?}");
    let nothing = house.cli(&["trace", "stranger@example.org", "--json"]);
    assert_eq!((nothing.code, nothing.stdout.trim()), (1, "[]"));
    assert_eq!(house.cli(&["trace", " "]).code, 2);
    drop(daemon);
}

#[test]
fn a_message_from_before_a_restart_is_traced_and_so_it_is_while_the_daemon_is_down() {
    let (provider, house) = scene();
    let mut daemon = house.serve();
    let [delivered, deferred, ..] = four(&provider, &house);
    daemon.signal(rustix::process::Signal::TERM);
    assert!(daemon.wait().success());

    let stopped = house.cli(&["trace", &delivered, "--json"]);
    assert!(stopped.stderr.contains("not running"), "{stopped:?}");
    let from_files: Value = serde_json::from_str(&stopped.ok()).unwrap();
    assert_eq!(
        (&from_files[0]["state"], events(&from_files[0])),
        (&"delivered".into(), vec!["received", "delivered"])
    );
    let unknown = trace(&house, &deferred);
    assert_eq!((&unknown["state"], &unknown["queue"]), (&Value::Null, &Value::Null));

    provider.faults().clear();
    let _daemon = house.serve();
    assert_eq!(trace(&house, &delivered), from_files[0]);
    until("the delivery", || (trace(&house, &deferred)["state"] == "delivered").then_some(()));
    let found = trace(&house, &deferred);
    assert_eq!((events(&found)[0], events(&found).last().copied()), ("received", Some("delivered")));
}

#[test]
fn without_daemon_and_files_there_is_nothing_to_ask() {
    let house = House::new();
    house.configure("");
    let ran = house.cli(&["trace", "someone@example.org"]);
    assert_eq!(ran.code, 69, "{ran:?}");
    assert!(ran.stderr.contains("not running"), "{ran:?}");
}

#[test]
fn history_is_kept_as_long_as_configured_and_no_longer() {
    let (provider, house) = scene();
    let account = house.basic(&provider, "support", "example.com");
    house.configure(&format!("[history]\nkeep = \"3d\"\n\n{account}"));
    let directory = house.state().join("history");
    fs::create_dir_all(&directory).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let file = |days_ago: u64| {
        let day = waxseal::mail::Timestamp::from_millis((now - days_ago * 86_400) * 1000).to_string();
        directory.join(format!("{}.jsonl", &day[..10]))
    };
    for (days_ago, id) in [(2, "1N85GP5PM0002"), (5, "1N85GP5PM0005")] {
        let at = (now - days_ago * 86_400) * 1000;
        let line =
            format!("{{\"at\":{at},\"id\":\"{id}\",\"event\":\"received\",\"to\":[\"old@example.org\"]}}\n");
        fs::write(file(days_ago), line).unwrap();
    }
    let daemon = house.serve();
    until("the end of the oldest day", || (!file(5).exists()).then_some(()));
    assert_eq!(trace(&house, "old@example.org")["id"], "1N85GP5PM0002");

    house.configure(&format!("[history]\nkeep = \"1d\"\n\n{account}"));
    daemon.signal(rustix::process::Signal::HUP);
    house.log_line(&["reloaded"]);
    submit(&house, "new", "someone@example.org");
    until("the end of the next day", || (!file(2).exists()).then_some(()));
    assert_eq!(house.cli(&["trace", "old@example.org"]).code, 1);
}

/// Clients that send at once.
const CLIENTS: usize = 8;

/// Sends until the connection breaks; the ids that were acknowledged.
fn fill(address: SocketAddr, client: &str, acknowledged: &Mutex<Vec<String>>) {
    let Ok(mut smtp) = Client::connect(address) else { return };
    if smtp.hello().is_err() {
        return;
    }
    for number in 0.. {
        match smtp.send(SENDER, "someone@example.org", &message(&format!("{client}-{number}"))) {
            Ok(reply) => acknowledged.lock().unwrap().push(id_of(&reply)),
            Err(_) => return,
        }
    }
}

/// What the files have of each message.
fn told(directory: &Path) -> HashMap<String, HashSet<String>> {
    let mut told: HashMap<String, HashSet<String>> = HashMap::new();
    for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        for line in String::from_utf8_lossy(&fs::read(entry).unwrap()).lines() {
            let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
            if let (Some(id), Some(what)) = (event["id"].as_str(), event["event"].as_str()) {
                told.entry(id.to_owned()).or_default().insert(what.to_owned());
            }
        }
    }
    told
}

#[test]
fn no_event_of_an_acknowledged_message_is_lost_by_kill_9_under_load() {
    let rounds = std::env::var("CRASH_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(5);
    let (_provider, house) = scene();
    let history = house.state().join("history");
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let mut healed = 0;
    for round in 0..rounds {
        let mut daemon = house.serve();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (address, acknowledged) = (house.smtp, acknowledged.clone());
                thread::spawn(move || fill(address, &format!("r{round}-c{client}"), &acknowledged))
            })
            .collect();
        thread::sleep(Duration::from_millis(fastrand::u64(300..2000)));
        daemon.kill();
        clients.into_iter().for_each(|client| client.join().unwrap());
        let known = told(&history);
        let receipt = |id: &&String| known.get(*id).is_some_and(|events| events.contains("received"));
        let acknowledged = acknowledged.lock().unwrap();
        healed += acknowledged.len() - acknowledged.iter().filter(receipt).count();
    }
    let _daemon = house.serve();
    house.queue_empties();
    house.cli(&["trace", SENDER, "--limit", "1"]).ok(); // All that was told is written by then.

    let (known, acknowledged) = (told(&history), acknowledged.lock().unwrap());
    let missing = |what: &str| {
        acknowledged.iter().filter(|id| !known.get(*id).is_some_and(|events| events.contains(what))).count()
    };
    let (received, delivered) = (missing("received"), missing("delivered"));
    println!(
        "{rounds} kills, {} acknowledged; missing from the history: {received} received, {delivered} delivered \
         ({healed} receipts were missing at a kill and came from the journal)",
        acknowledged.len()
    );
    assert!(acknowledged.len() > rounds * CLIENTS, "too little load to show anything");
    assert_eq!((received, delivered), (0, 0));
    for id in acknowledged.iter().rev().take(3) {
        assert_eq!(trace(&house, id)["state"], "delivered");
    }
}
