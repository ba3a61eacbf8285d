//! Several daemons with one queue on PostgreSQL: whichever node an operator asks, it works on all of the queue. Ignored
//! unless asked for, since it takes PostgreSQL:
//!
//! `cargo test --test shared_operator -- --ignored --nocapture`
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use rustix::process::Signal;
use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};
use support::{
    House,
    console::Browser,
    nodes::{NODES, Scene},
    until,
};
use waxseal::sandbox::{Fault, Point, SandboxOptions};

const UNKNOWN: &str = "no message";
const TEMPORARY: i32 = 75;

/// Three nodes with two messages each, which the provider does not take just now.
fn scene() -> Scene {
    let scene = Scene::new(SandboxOptions::default(), |house, provider| {
        house.basic(provider, "support", "example.com")
    });
    for house in &scene.houses {
        house.with_console();
    }
    scene.provider.faults().always(Point::Mail, Fault::Reply("451 4.3.2 not now".into()));
    scene
}

fn fill(scene: &Scene) {
    scene.fill(2);
    until("all of them at every node", || (listed(&scene.houses[0]).len() == 2 * NODES).then_some(()));
    until("all of them tried", || {
        listed(&scene.houses[1]).iter().all(|message| message["state"] == "deferred").then_some(())
    });
}

fn listed(house: &House) -> Vec<serde_json::Value> {
    house.json(&["queue", "list", "--most", "1000"]).as_array().unwrap().clone()
}

/// The id of a message of this node, as another one lists it.
fn id_of(house: &House, node: &str) -> String {
    let all = listed(house);
    let found = all.iter().find(|message| message["node"] == node);
    found.unwrap_or_else(|| panic!("of {node}: {all:?}"))["id"].as_str().unwrap().to_owned()
}

fn state(house: &House, id: &str) -> String {
    house.json(&["queue", "show", id])["state"].as_str().unwrap().to_owned()
}

/// A message of relay-0, and what an operator at relay-2 does to it.
#[test]
#[ignore = "needs PostgreSQL"]
fn an_operator_at_any_node_sees_and_changes_what_any_node_has() {
    let scene = scene();
    let _daemons = scene.serve();
    fill(&scene);
    let [zero, one, two] = [&scene.houses[0], &scene.houses[1], &scene.houses[2]];
    for house in &scene.houses {
        let all = listed(house);
        let nodes: BTreeSet<_> = all.iter().map(|message| message["node"].as_str().unwrap()).collect();
        assert_eq!(nodes, BTreeSet::from(["relay-0", "relay-1", "relay-2"]));
        let ids: Vec<_> = all.iter().map(|message| message["id"].as_str().unwrap()).collect();
        assert!(ids.is_sorted(), "the oldest first: {ids:?}");
        assert_eq!(house.json(&["queue", "list", "--most", "3"]).as_array().unwrap().len(), 3);
    }
    let id = id_of(two, "relay-0");
    let shown = two.cli(&["queue", "show", &id]).ok();
    assert!(shown.contains("node          relay-0") && shown.contains("451 4.3.2"), "{shown}");

    assert_eq!(two.cli(&["queue", "hold", &id, &id_of(zero, "relay-1")]).ok().trim(), "2 held");
    for house in &scene.houses {
        assert_eq!(state(house, &id), "held");
    }
    assert!(two.cli(&["trace", &id]).ok().contains("held"));
    two.cli(&["queue", "release", &id]).ok();
    until("released", || (state(zero, &id) == "deferred").then_some(()));
    assert_eq!(one.cli(&["queue", "remove", &id]).ok().trim(), "1 removed");
    for house in &scene.houses {
        let gone = house.cli(&["queue", "show", &id]);
        assert!(gone.code == 1 && gone.stderr.contains(UNKNOWN), "{gone:?}");
        let again = house.cli(&["queue", "remove", &id]);
        assert!(again.code == 1 && again.stderr.contains(&id), "{again:?}");
    }

    // By account, and all there are.
    let rest = 2 * NODES - 1;
    assert_eq!(one.cli(&["queue", "hold", "--account", "support"]).ok().trim(), format!("{rest} held"));
    assert_eq!(one.cli(&["queue", "hold", "--account", "other"]).ok().trim(), "0 held");
    scene.provider.faults().clear();
    assert_eq!(zero.cli(&["queue", "release", "--all"]).ok().trim(), format!("{rest} released"));
    scene.provider.arrivals(rest);
    zero.queue_empties();

    // What has been delivered any node's history tells.
    for house in &scene.houses {
        let traced = house.json(&["trace", "to@example.net", "--limit", "100"]);
        let states: Vec<_> = traced.as_array().unwrap().iter().map(|m| m["state"].clone()).collect();
        assert_eq!(states.iter().filter(|state| *state == "delivered").count(), rest, "{states:?}");
        assert_eq!(states.iter().filter(|state| *state == "removed").count(), 1, "{states:?}");
        assert_eq!(house.json(&["trace", "to@example.net", "--limit", "2"]).as_array().unwrap().len(), 2);
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn the_console_of_any_node_shows_and_changes_the_whole_queue() {
    let scene = scene();
    let _daemons = scene.serve();
    fill(&scene);
    let browser = Browser::enter(&scene.houses[2]);
    let page = browser.get("/queue").body;
    assert!(["relay-0", "relay-1", "relay-2"].iter().all(|node| page.contains(node)), "{page}");
    let id = id_of(&scene.houses[2], "relay-0");
    assert!(page.contains(&id) && browser.get(&format!("/queue/{id}")).body.contains("relay-0"));
    let said = browser.post_and_go("/queue", &[("change", "hold"), ("id", &id)]);
    assert!(said.contains("Messages held: 1."), "{said}");
    assert_eq!(state(&scene.houses[0], &id), "held");
    assert!(browser.get(&format!("/trace?q={id}")).body.contains("held"));
}

#[test]
#[ignore = "needs PostgreSQL"]
fn what_cannot_be_asked_is_said_to_be_left_out() {
    let mut scene = scene();
    let mut daemons = scene.serve();
    fill(&scene);
    let zero = id_of(&scene.houses[1], "relay-0");
    let begun = Instant::now();
    // It is there by its last sign of life, and says nothing.
    daemons[0].signal(Signal::STOP);
    let list = scene.houses[1].cli(&["queue", "list"]);
    assert!(list.code == 0 && list.stderr.contains("the node relay-0 has is left out"), "{list:?}");
    assert!(list.stdout.contains("relay-2") && !list.stdout.contains("relay-0"), "{list:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let hold = scene.houses[1].cli(&["queue", "hold", &zero]);
    assert!(hold.code == TEMPORARY && hold.stderr.contains(UNKNOWN), "{hold:?}");
    daemons[0].signal(Signal::CONT);
    until("an answer again", || (scene.houses[1].cli(&["queue", "hold", &zero]).code == 0).then_some(()));

    // Killed, it is left out until others have what it had, and then it is not.
    daemons[0].kill();
    let list = scene.houses[1].cli(&["queue", "list"]);
    assert!(list.code == 0 && list.stderr.contains("the node relay-0 has is left out"), "{list:?}");
    let begun = Instant::now();
    loop {
        let all = listed(&scene.houses[1]);
        if all.len() == 2 * NODES && all.iter().all(|message| message["node"] != "relay-0") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(90), "{all:?}");
        thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(state(&scene.houses[2], &zero), "held");
    // Its receipt is told of once, whoever has it now.
    let traced = scene.houses[1].json(&["trace", &zero]);
    let events = traced[0]["events"].as_array().unwrap();
    assert_eq!(events.iter().filter(|event| event["event"] == "received").count(), 1, "{events:?}");

    scene.postgres.as_mut().unwrap().stop();
    let list = scene.houses[1].cli(&["queue", "list"]);
    assert!(list.code == 0 && list.stderr.contains("what other nodes have is left out"), "{list:?}");
    assert!(list.stdout.contains("relay-1") && !list.stdout.contains("relay-2"), "{list:?}");
    let own = list.stdout.lines().filter(|line| line.contains("relay-1")).count();
    let all = scene.houses[1].cli(&["queue", "hold", "--all"]);
    assert!(all.code == TEMPORARY && all.stderr.contains(&format!("to {own} messages")), "{all:?}");
}
