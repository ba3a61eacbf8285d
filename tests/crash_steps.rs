//! `kill -9` at every point from step 7 to step 14 of a message's path: what arrives, how often, and what the client was
//! told. A table; a debug build is needed, since release builds have no fail-points.
#![cfg(debug_assertions)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]
#![allow(clippy::print_stdout, reason = "the table is what it is run for")]

mod support;

use std::{fs, ops::RangeInclusive, os::unix::process::ExitStatusExt};
use support::{
    House, Provider,
    client::{Client, stuffed},
    until,
};
use waxseal::{
    failpoint::{Point, VARIABLE},
    sandbox::SandboxOptions,
};

/// What a kill at a point may leave behind.
struct Row {
    point: Point,
    /// Whether the client had its 250; `None` where that is a race.
    acknowledged: Option<bool>,
    /// How often the message arrives in the end, over the kill and the next start.
    arrivals: RangeInclusive<usize>,
    /// Only a message with a file of its own passes here.
    large_only: bool,
}

const fn row(point: Point, acknowledged: Option<bool>, arrivals: RangeInclusive<usize>) -> Row {
    Row { point, acknowledged, arrivals, large_only: false }
}

const fn large(point: Point, acknowledged: Option<bool>, arrivals: RangeInclusive<usize>) -> Row {
    Row { point, acknowledged, arrivals, large_only: true }
}

/// Delivered from the queue. What `kill -9` finds written stays written, durable or not: `tests/power_loss.rs` takes
/// that away too. The two allowed windows: from `RecordWritten` to `Unanswered` a message arrives whose client was not
/// told (step 9); from `DotSent` to `Transacted` it arrives twice (step 14).
const QUEUED: [Row; 15] = [
    row(Point::ContentComplete, Some(false), 0..=0),
    large(Point::ContentWritten, Some(false), 0..=0),
    large(Point::ContentSynced, Some(false), 0..=0),
    row(Point::RecordWritten, Some(false), 1..=1),
    row(Point::RecordSynced, Some(false), 1..=1),
    row(Point::Unanswered, Some(false), 1..=1),
    row(Point::Claimed, None, 1..=1),
    row(Point::CredentialsReady, None, 1..=1),
    row(Point::LoggedIn, None, 1..=1),
    row(Point::DataAccepted, None, 1..=1),
    large(Point::ContentUnderWay, None, 1..=1),
    row(Point::DotSent, None, 1..=2),
    row(Point::Transacted, None, 2..=2),
    row(Point::DepartureWritten, None, 1..=1),
    row(Point::DepartureSynced, Some(true), 1..=1),
];

/// Delivered while the client waits: nothing is on disk before the provider's verdict, and no 250 either. What the
/// provider has although the client was not told is the duplicate of step 9, once the client sends again.
const THROUGH: [Row; 9] = [
    row(Point::ContentComplete, Some(false), 0..=0),
    row(Point::CredentialsReady, Some(false), 0..=0),
    row(Point::LoggedIn, Some(false), 0..=0),
    row(Point::DataAccepted, Some(false), 0..=0),
    large(Point::ContentUnderWay, Some(false), 0..=0),
    row(Point::DotSent, Some(false), 0..=1),
    row(Point::Transacted, Some(false), 1..=1),
    row(Point::Unanswered, Some(false), 1..=1),
    row(Point::DepartureSynced, Some(true), 1..=1),
];

const SMALL: usize = 3_000;
const LARGE: usize = 700 << 10;

#[test]
fn small_messages_by_password() {
    kill_at_all(&QUEUED, "basic", "", SMALL);
}

#[test]
fn small_messages_by_token() {
    kill_at_all(&QUEUED, "oauth", "", SMALL);
}

#[test]
fn large_messages_by_password() {
    kill_at_all(&QUEUED, "basic", "", LARGE);
}

#[test]
fn small_messages_delivered_through() {
    kill_at_all(&THROUGH, "oauth", "delivery = \"through\"\n", SMALL);
}

#[test]
fn large_messages_delivered_through() {
    kill_at_all(&THROUGH, "basic", "delivery = \"through\"\n", LARGE);
}

/// A large message is with the provider before its client has ended it, and a kill then leaves nothing of it anywhere.
#[test]
fn a_message_that_is_sent_on_while_it_comes_in_is_nowhere_after_a_kill() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    house.configure(&(house.basic(&provider, "basic", "app.example") + "delivery = \"through\"\n"));
    let mut daemon = house.serve_in(&[(VARIABLE, &Point::ContentUnderWay.name())]);
    // Small enough to pass the point by. It proves the account, without which nothing is sent on early.
    assert!(send(&house, &content(SMALL)));
    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    client.begin("app@app.example", "someone@example.org").unwrap();
    // The end of data never comes: the point can only be reached ahead of it.
    let _ = client.write(&stuffed(&content(LARGE))[..LARGE / 2 + LARGE / 4]);
    assert_eq!(daemon.wait().signal(), Some(9), "{}", house.log());

    let _daemon = house.serve();
    house.queue_empties();
    assert_eq!(provider.received().len(), 1, "the small one alone");
    assert_eq!(fs::read_dir(house.state().join("queue/content")).unwrap().count(), 0);
}

#[test]
fn every_point_is_in_the_table() {
    assert_eq!(QUEUED.map(|row| row.point), Point::ALL);
}

fn kill_at_all(rows: &[Row], kind: &str, delivery: &str, size: usize) {
    for row in rows.iter().filter(|row| size == LARGE || !row.large_only) {
        // Each with a house and a provider of its own: nothing is kept open from the row before.
        let provider = Provider::start(SandboxOptions::default());
        let house = House::beside(&provider);
        let account = match kind {
            "basic" => house.basic(&provider, "basic", "app.example"),
            _ => {
                let grant = provider.grants().issue_refresh_token();
                house.oauth(&provider, "oauth", "app.example") + &format!("refresh_token = \"{grant}\"\n")
            }
        };
        house.configure(&format!("{account}{delivery}"));
        let content = content(size);

        let name = row.point.name();
        let mut daemon = house.serve_in(&[(VARIABLE, &name)]);
        let told = send(&house, &content);
        let ended = daemon.wait();
        assert_eq!(ended.signal(), Some(9), "{name}: the daemon was not killed: {ended}\n{}", house.log());

        let _daemon = house.serve();
        house.queue_empties();
        let least = *row.arrivals.start();
        let arrived = until(&format!("{name}: {least} arrivals"), || {
            Some(provider.received()).filter(|arrived| arrived.len() >= least)
        });
        println!(
            "| {name} | {kind}{} | {} octets | {} | {} |",
            if delivery.is_empty() { "" } else { ", through" },
            content.len(),
            if told { "250" } else { "no reply" },
            arrived.len()
        );
        assert!(row.arrivals.contains(&arrived.len()), "{name}: arrived {} times", arrived.len());
        assert!(arrived.iter().all(|message| message.octets.ends_with(&content)), "{name}: arrived changed");
        assert!(!told || !arrived.is_empty(), "{name}: LOST");
        assert!(row.acknowledged.is_none_or(|wanted| wanted == told), "{name}: the client was told: {told}");
        // A file goes once the departure is durable.
        until(&format!("{name}: no content is left behind"), || {
            (fs::read_dir(house.state().join("queue/content")).unwrap().count() == 0).then_some(())
        });
    }
}

/// Whether the message got its 250.
fn send(house: &House, content: &[u8]) -> bool {
    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    client.send("app@app.example", "someone@example.org", content).is_ok()
}

fn content(size: usize) -> Vec<u8> {
    let mut octets = b"From: app@app.example\r\nTo: someone@example.org\r\nSubject: x\r\n\
        Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <step@crash.example>\r\n\r\n"
        .to_vec();
    while octets.len() < size {
        octets.extend_from_slice(b"..\xe9 a line that begins with dots and has an octet beyond ASCII\r\n");
    }
    octets
}
