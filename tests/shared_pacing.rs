//! Several daemons against one provider that counts: `max_connections`, `rate_limit` and `daily_recipients` hold for all of
//! them together. Ignored unless asked for, since it takes PostgreSQL:
//!
//! `cargo test --test shared_pacing -- --ignored --nocapture`
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use std::{
    collections::BTreeMap,
    sync::atomic::AtomicBool,
    thread,
    time::{Duration, Instant},
};
use support::{
    nodes::{NODES, Scene, seconds, subject},
    until,
};
use waxseal::sandbox::{Fault, Point, SandboxOptions};

fn scene(limits: &str) -> Scene {
    Scene::new(SandboxOptions::default(), |house, provider| {
        house.basic(provider, "support", "example.com") + limits
    })
}

/// How many arrived from each node until now.
fn by_node(scene: &Scene) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for message in scene.provider.received() {
        let subject = subject(&message.octets);
        let node = subject.split('-').nth(1).unwrap().to_owned();
        *counts.entry(node).or_default() += 1;
    }
    counts
}

/// The most that arrived within any time of this length.
fn most_within(scene: &Scene, window: Duration) -> usize {
    let mut times: Vec<Instant> =
        scene.provider.received().iter().map(|message| message.arrived_at).collect();
    times.sort();
    (0..times.len())
        .map(|i| times[i..].iter().take_while(|at| **at < times[i] + window).count())
        .max()
        .unwrap_or(0)
}

#[test]
#[ignore = "needs PostgreSQL"]
fn three_nodes_never_have_more_connections_than_one_account_may() {
    const MOST: usize = 5;
    let scene = scene(&format!("max_connections = {MOST}\n"));
    scene.provider.faults().always(Point::Dot, Fault::Delay(Duration::from_millis(40)));
    let _daemons = scene.serve();
    let count = 8 * seconds() as usize;
    scene.fill(count);
    until("half of it", || (scene.provider.received().len() >= NODES * count / 2).then_some(()));
    let half = by_node(&scene);
    until("all of it", || (scene.provider.received().len() >= NODES * count).then_some(()));
    let (there, twice) = scene.arrived();
    println!(
        "{NODES} nodes, max_connections = {MOST}: at most {} at once; {} messages, {twice} twice; at half time by node {half:?}",
        scene.provider.most_open(),
        there.len()
    );
    assert_eq!(scene.provider.most_open(), MOST, "all of them are used, and no more");
    assert_eq!((there.len(), twice), (NODES * count, 0));
    assert!(half.len() == NODES && half.values().all(|sent| *sent >= count / 8), "{half:?}");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn more_nodes_than_connections_have_them_in_turns() {
    let scene = scene("max_connections = 1\n");
    scene.provider.faults().always(Point::Dot, Fault::Delay(Duration::from_millis(20)));
    let _daemons = scene.serve();
    // More than one node sends in its turn, so that the others would wait until it has nothing left.
    scene.fill(600);
    until("a turn of each", || (by_node(&scene).len() == NODES).then_some(()));
    println!("max_connections = 1: when the last node began, by node {:?}", by_node(&scene));
    assert!(by_node(&scene).values().all(|sent| *sent < 600));
    assert_eq!(scene.provider.most_open(), 1);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn nodes_that_are_killed_leave_their_connections_to_the_others() {
    const MOST: usize = 4;
    let scene = scene(&format!("max_connections = {MOST}\n"));
    scene.provider.faults().always(Point::Dot, Fault::Delay(Duration::from_millis(30)));
    let mut daemons = scene.serve();
    let (begun, mut kills) = (Instant::now(), 0);
    let acknowledged = thread::scope(|scope| {
        let (scene, end) = (&scene, begun + Duration::from_secs(seconds()));
        let loading =
            scope.spawn(move || scene.load(end, Duration::from_millis(20), &AtomicBool::new(false)));
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(fastrand::u64(500..3000)));
            let node = fastrand::usize(..NODES);
            daemons[node].kill();
            kills += 1;
            daemons[node] = scene.houses[node].serve();
        }
        loading.join().unwrap()
    });
    until("all that was acknowledged", || acknowledged.is_subset(&scene.arrived().0).then_some(()));
    let (_, twice) = scene.arrived();
    println!(
        "{NODES} nodes, {kills} kills, max_connections = {MOST}: at most {} at once; {} messages acknowledged, 0 lost, \
         {twice} twice",
        scene.provider.most_open(),
        acknowledged.len()
    );
    assert!(scene.provider.most_open() <= MOST, "{}", scene.provider.most_open());
}

#[test]
#[ignore = "needs PostgreSQL"]
fn three_nodes_keep_one_rate() {
    // A minute takes minutes to prove; a second shows the same in the short form.
    let (rate, window, most) = if seconds() >= 150 {
        ("300/m", Duration::from_secs(60), 300)
    } else {
        ("40/s", Duration::from_secs(1), 40)
    };
    let scene = scene(&format!("rate_limit = \"{rate}\"\n"));
    let _daemons = scene.serve();
    scene.fill(seconds() as usize * 20);
    let begun = Instant::now();
    thread::sleep(Duration::from_secs(seconds()));
    // They are counted where they arrive, each some time after it was begun.
    let in_transit = Duration::from_millis(200);
    let (busiest, arrived) = (most_within(&scene, window - in_transit), scene.provider.received().len());
    let possible = begun.elapsed().as_secs_f64() / window.as_secs_f64() * f64::from(most);
    println!(
        "{NODES} nodes, rate_limit = {rate}: at most {busiest} in {:?}; {arrived} in {:.0} s, {:.0} % of what the limit \
         allows; by node {:?}",
        window - in_transit,
        begun.elapsed().as_secs_f64(),
        arrived as f64 / possible * 100.0,
        by_node(&scene)
    );
    assert!(busiest <= most as usize, "{busiest}");
    assert!(arrived as f64 > possible * 0.6 && by_node(&scene).len() == NODES);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn three_nodes_have_one_days_recipients() {
    const DAY: usize = 250;
    let scene = scene(&format!("daily_recipients = {DAY}\n"));
    let _daemons = scene.serve();
    scene.fill(150);
    // What a node has taken and not used it gives back, and others use it.
    until("the day to be full", || (scene.provider.received().len() >= DAY).then_some(()));
    thread::sleep(Duration::from_secs(2));
    println!(
        "{NODES} nodes, daily_recipients = {DAY}: {} arrived, by node {:?}",
        scene.provider.received().len(),
        by_node(&scene)
    );
    assert_eq!(scene.provider.received().len(), DAY);
}

/// A node that is cut off from the database goes on with what it has, for no longer than it has it.
#[test]
#[ignore = "needs PostgreSQL"]
fn without_the_database_delivery_pauses_when_the_share_ends_and_goes_on_after_it() {
    const MOST: usize = 3;
    let mut scene = scene(&format!("max_connections = {MOST}\n"));
    let _daemons = scene.serve();
    scene.fill(10);
    until("what came first", || (scene.provider.received().len() == NODES * 10).then_some(()));
    scene.postgres.as_mut().unwrap().stop();
    let pause = Duration::from_millis(250);
    let first = scene.load(Instant::now() + Duration::from_secs(5), pause, &AtomicBool::new(false));
    until("what came while the share lasted", || {
        (scene.provider.received().len() == NODES * 10 + first.len()).then_some(())
    });
    thread::sleep(Duration::from_secs(21));
    scene.fill(10);
    thread::sleep(Duration::from_secs(1));
    assert_eq!(scene.provider.received().len(), NODES * 10 + first.len(), "no share, no mail");
    scene.postgres.as_mut().unwrap().run();
    until("all", || (scene.provider.received().len() == NODES * 20 + first.len()).then_some(()));
    println!(
        "{} messages on the last share, none after its end, all once the database was back",
        first.len()
    );
    assert!(scene.provider.most_open() <= MOST);
}
