//! Several daemons with one queue on PostgreSQL: what a node has acknowledged arrives, whatever becomes of the node, or of
//! the database. Ignored unless asked for, since it takes PostgreSQL:
//!
//! `cargo test --test shared_queue -- --ignored --nocapture`; `SHARED_KILLS` for how many kills.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use rustix::process::Signal;
use std::{
    collections::HashSet,
    fs,
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use support::{
    House, Running,
    client::{Client, message},
    nodes::{NODES, Scene, subject},
    postgres::Postgres,
    until,
};
use waxseal::sandbox::{Fault, Point, SandboxOptions};

const SENDER: &str = "app@example.com";

fn scene() -> Scene {
    Scene::new(SandboxOptions::default(), |house, provider| house.basic(provider, "support", "example.com"))
}

fn kills() -> usize {
    std::env::var("SHARED_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

/// Nothing goes out until this is cleared.
fn hold_back(scene: &Scene) {
    scene.provider.faults().always(Point::Mail, Fault::Reply("451 4.3.2 not now".into()));
}

fn send(house: &House, subjects: &[&str], body: usize) {
    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    for subject in subjects {
        let mut content = message(subject);
        let line = "x".repeat(70) + "\r\n";
        while content.len() < body {
            content.extend_from_slice(line.as_bytes());
        }
        let reply = client.send(SENDER, "to@example.net", &content).unwrap();
        assert!(reply.starts_with("250"), "{reply}");
    }
}

/// Waits for all of these, for as long as a node's lease may last besides.
fn all_arrive(scene: &Scene, wanted: &HashSet<String>) {
    let begun = Instant::now();
    while !wanted.is_subset(&scene.arrived().0) {
        assert!(
            begun.elapsed() < Duration::from_secs(150),
            "missing: {:?}\n{}",
            wanted.difference(&scene.arrived().0).take(5).collect::<Vec<_>>(),
            scene.houses[0].log()
        );
        thread::sleep(Duration::from_millis(100));
    }
}

fn named(prefix: &str, count: usize) -> HashSet<String> {
    (0..count).map(|number| format!("{prefix}-{number}")).collect()
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_node_that_is_gone_for_good_leaves_its_queue_to_the_others() {
    let scene = scene();
    hold_back(&scene);
    let mut daemons = scene.serve();
    scene.fill(20);
    // In chunks, as well.
    send(&scene.houses[0], &["large"], 3 << 20);
    until("all of them tried", || (scene.provider.faults().struck() > NODES).then_some(()));
    let listed = scene.houses[0].json(&["queue", "list"]);
    let large = listed.as_array().unwrap().iter().find(|m| m["size"].as_u64().unwrap() > 1 << 20).unwrap();
    let in_the_way = format!("queue/content/{}.eml", large["id"].as_str().unwrap());
    for house in &scene.houses[1..] {
        std::fs::create_dir(house.state().join(&in_the_way)).unwrap();
    }
    daemons[0].kill();
    std::fs::remove_dir_all(scene.houses[0].state()).unwrap();
    scene.provider.faults().clear();
    until("a disk that does not take it", || {
        scene.houses[1..].iter().any(|house| house.log().contains("message not taken over yet")).then_some(())
    });
    for house in &scene.houses[1..] {
        std::fs::remove_dir(house.state().join(&in_the_way)).unwrap();
    }
    let begun = Instant::now();
    let mut wanted: HashSet<String> =
        (0..NODES).flat_map(|node| named(&format!("node-{node}"), 20)).collect();
    wanted.insert("large".into());
    all_arrive(&scene, &wanted);
    let (there, twice) = scene.arrived();
    let large = scene.provider.received().into_iter().find(|m| subject(&m.octets) == "large").unwrap();
    println!(
        "a node killed, its disk gone: its {} messages arrived within {:.0} s, {twice} twice",
        21,
        begun.elapsed().as_secs_f64()
    );
    assert_eq!((there, twice), (wanted, 0));
    assert!(large.octets.len() > 3 << 20);
    scene.houses[1].queue_empties();
    scene.houses[2].queue_empties();
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_node_that_stops_hands_its_queue_over_at_once_and_nothing_comes_twice_when_it_is_back() {
    let scene = scene();
    hold_back(&scene);
    let mut daemons = scene.serve();
    send(&scene.houses[0], &["one", "two", "held"], 0);
    let held = scene.houses[0].json(&["queue", "list"]);
    let id = held.as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    until("a message that is held", || {
        (scene.houses[0].cli(&["queue", "hold", &id]).code == 0).then_some(())
    });
    daemons[0].signal(Signal::TERM);
    daemons[0].wait();
    scene.provider.faults().clear();
    let begun = Instant::now();
    all_arrive(&scene, &HashSet::from(["one".to_owned(), "two".to_owned()]));
    println!("a node stopped: its messages arrived within {:.1} s", begun.elapsed().as_secs_f64());
    // Back with its own disk, it finds that they are another's.
    daemons[0] = scene.houses[0].serve();
    let held = until("the held one", || {
        let listed = scene.houses[0].json(&["queue", "list"]);
        let all = listed.as_array().unwrap();
        // Until it has found out whose they are, it lists what it had.
        all.first().filter(|held| all.len() == 1 && held["node"] != "relay-0").cloned()
    });
    assert_eq!(held["id"], id.as_str());
    let traced = scene.houses[0].json(&["trace", &id]);
    assert_eq!(traced[0]["state"], "held", "it has not been removed, but let go of: {traced}");
    scene.houses[0].cli(&["queue", "release", &id]).ok();
    all_arrive(&scene, &["one", "two", "held"].map(str::to_owned).into());
    assert_eq!(scene.arrived().1, 0);
}

/// What a power loss does to records that were not synced, in the extreme.
#[test]
#[ignore = "needs PostgreSQL"]
fn a_node_whose_disk_has_forgotten_everything_has_its_messages_back_from_the_database() {
    let scene = scene();
    hold_back(&scene);
    let mut daemon = scene.houses[0].serve();
    send(&scene.houses[0], &["one", "two", "three"], 0);
    send(&scene.houses[0], &["big"], 1 << 20);
    let queue = scene.houses[0].state().join("queue");
    daemon.kill();
    fs::remove_dir_all(&queue).unwrap();
    scene.provider.faults().clear();
    let _daemon = scene.houses[0].serve();
    let wanted: HashSet<String> = ["one", "two", "three", "big"].map(str::to_owned).into();
    all_arrive(&scene, &wanted);
    scene.houses[0].queue_empties();
    assert_eq!(scene.arrived(), (wanted, 0));
}

/// A node that was cut off for longer than its lease finds that others have its messages, and lets go of them.
#[test]
#[ignore = "needs PostgreSQL"]
fn a_node_that_wakes_too_late_sends_nothing_that_others_have() {
    let scene = scene();
    hold_back(&scene);
    let daemons = scene.serve();
    scene.fill(5);
    send(&scene.houses[0], &["big"], 1 << 20);
    until("all of them tried", || (scene.provider.faults().struck() > NODES).then_some(()));
    daemons[0].signal(Signal::STOP);
    scene.provider.faults().clear();
    let mut wanted: HashSet<String> = (0..NODES).flat_map(|node| named(&format!("node-{node}"), 5)).collect();
    wanted.insert("big".into());
    all_arrive(&scene, &wanted);
    daemons[0].signal(Signal::CONT);
    scene.houses[0].log_line(&["others have taken over messages of this node"]);
    scene.houses[0].queue_empties();
    send(&scene.houses[0], &["after"], 0);
    wanted.insert("after".into());
    all_arrive(&scene, &wanted);
    println!(
        "a node asleep for longer than its lease: {} messages, {} twice",
        wanted.len(),
        scene.arrived().1
    );
    // What it was in the midst of sending when it fell asleep goes on where it was, and nobody can call that back.
    let (there, twice) = scene.arrived();
    assert!(there == wanted && twice <= 1, "{twice}");
}

/// Under load into all nodes, `meanwhile`; what was acknowledged, and how many came twice.
fn under_load(scene: &Scene, meanwhile: impl FnOnce()) -> (usize, usize) {
    let done = AtomicBool::new(false);
    let acknowledged = thread::scope(|scope| {
        let loading = scope.spawn(|| {
            scene.load(Instant::now() + Duration::from_secs(3600), Duration::from_millis(5), &done)
        });
        meanwhile();
        done.store(true, Ordering::Relaxed);
        loading.join().unwrap()
    });
    all_arrive(scene, &acknowledged);
    (acknowledged.len(), scene.arrived().1)
}

fn kill_and_start(scene: &Scene, daemons: &mut [Running], node: usize) {
    daemons[node].kill();
    daemons[node] = scene.houses[node].serve();
}

#[test]
#[ignore = "needs PostgreSQL"]
fn nothing_acknowledged_is_lost_while_nodes_are_killed_under_load() {
    let scene = scene();
    let mut daemons = scene.serve();
    let (acknowledged, twice) = under_load(&scene, || {
        for _ in 0..kills() {
            thread::sleep(Duration::from_millis(fastrand::u64(500..3000)));
            kill_and_start(&scene, &mut daemons, fastrand::usize(..NODES));
        }
    });
    println!(
        "{NODES} nodes, {} kills under load: {acknowledged} acknowledged, 0 lost, {twice} twice",
        kills()
    );
}

#[test]
#[ignore = "needs PostgreSQL"]
fn nothing_acknowledged_is_lost_while_the_database_is_away() {
    let mut scene = scene();
    let _daemons = scene.serve();
    let mut postgres = scene.postgres.take().unwrap();
    let away = Duration::from_secs(if kills() >= 50 { 60 } else { 10 });
    let (acknowledged, twice) = under_load(&scene, || {
        thread::sleep(Duration::from_secs(2));
        postgres.stop();
        thread::sleep(away);
        postgres.run();
        thread::sleep(Duration::from_secs(2));
    });
    println!(
        "{NODES} nodes, the database away for {} s under load: {acknowledged} acknowledged, 0 lost, {twice} twice",
        away.as_secs()
    );
    for house in &scene.houses {
        house.queue_empties();
    }
}

/// What a floating address or a proxy is in front of a cluster: one port, and whoever is the primary behind it.
fn pass_on(address: &TcpListener, primary: &AtomicU16) {
    for client in address.incoming() {
        let Ok(client) = client else { return };
        let Ok(server) = TcpStream::connect(("127.0.0.1", primary.load(Ordering::Relaxed))) else { continue };
        for (mut from, mut to) in
            [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
        {
            thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Both);
            });
        }
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn nothing_acknowledged_is_lost_when_the_standby_takes_the_place_of_the_primary() {
    let mut primary = Postgres::start();
    let address = TcpListener::bind("127.0.0.1:0").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let behind = Arc::new(AtomicU16::new(primary.port));
    primary.behind(address.local_addr().unwrap().port());
    thread::spawn({
        let behind = behind.clone();
        move || pass_on(&address, &behind)
    });
    let mut scene = Scene::on(primary, SandboxOptions::default(), |house, provider| {
        house.basic(provider, "support", "example.com")
    });
    let mut primary = scene.postgres.take().unwrap();
    let standby = runtime.block_on(primary.standby());
    let _daemons = scene.serve();
    let (acknowledged, twice) = under_load(&scene, || {
        thread::sleep(Duration::from_secs(3));
        // As kill -9 does it: no checkpoint, no goodbye.
        primary.stop();
        thread::sleep(Duration::from_secs(2));
        standby.promote();
        behind.store(standby.port, Ordering::Relaxed);
        thread::sleep(Duration::from_secs(5));
    });
    println!(
        "{NODES} nodes, the primary killed and a synchronous standby promoted under load: {acknowledged} acknowledged, \
         0 lost, {twice} twice"
    );
    for house in &scene.houses {
        house.queue_empties();
    }
}

/// Ids tell nodes apart, and a copy under one's id that is another message's costs nobody a message.
#[test]
#[ignore = "needs PostgreSQL"]
fn two_messages_of_one_id_are_not_taken_for_each_other() {
    let scene = scene();
    hold_back(&scene);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut daemons = scene.serve();
    // A node that the database has not heard of makes ids of its own, and goes on with others then.
    until("nodes that have a number", || {
        let status = scene.houses[0].cli(&["status"]).ok();
        (status.matches(", there, ").count() == NODES).then_some(())
    });
    scene.fill(3);
    let ids = |house: &House| -> Vec<String> {
        let listed = house.json(&["queue", "list"]);
        listed.as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect()
    };
    let ends: HashSet<u64> = scene
        .houses
        .iter()
        .flat_map(ids)
        .map(|id| id.parse::<waxseal::mail::QueueId>().unwrap().number() % 1024)
        .collect();
    assert_eq!(ends.len(), NODES, "each node has an end of its own");

    // As if another node had had the same id: its message has left, and there is a tombstone of it.
    daemons[0].kill();
    let postgres = scene.postgres.as_ref().unwrap();
    let statement =
        "UPDATE waxseal.message SET mark = mark + 1, adopted = true, left_at = now(), receipt = ''
                     WHERE owner = (SELECT epoch FROM waxseal.node WHERE name = 'relay-0')";
    runtime.block_on(postgres.execute("t0", statement));
    daemons[0] = scene.houses[0].serve();
    scene.provider.faults().clear();
    let wanted: HashSet<String> = (0..NODES).flat_map(|node| named(&format!("node-{node}"), 3)).collect();
    all_arrive(&scene, &wanted);
    assert_eq!(scene.arrived().1, 0);
    let status = scene.houses[0].cli(&["status"]).ok();
    assert!(status.contains("store      PostgreSQL"), "{status}");
}
