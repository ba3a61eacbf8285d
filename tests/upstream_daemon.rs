//! The same as `tests/upstream_matrix.rs` with the real binary, a stage at a time: the provider breaks off once, and in
//! the end the message is there, once, or twice where the break came after the dot.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]
#![allow(clippy::print_stdout, reason = "the figures are what it is run for")]

mod support;

use std::thread;
use support::{House, Provider, client::Client};
use waxseal::sandbox::{Fault, Point, SandboxOptions};

/// Breaks off once at `point` and delivers; how often the message has arrived when the queue is empty.
fn arrivals(point: Point, fault: Fault) -> usize {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    house.configure(&house.basic(&provider, "basic", "app.example"));
    let _daemon = house.serve();
    provider.faults().once(point, fault);
    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    let content = b"Subject: x\r\nMessage-ID: <stage@app.example>\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\nx\r\n";
    client.send("app@app.example", "someone@example.org", content).unwrap();
    house.queue_empties();
    assert!(provider.faults().struck() > 0, "the fault did not strike");
    let received = provider.received();
    assert!(received.iter().all(|message| message.octets.ends_with(content)));
    received.len()
}

#[test]
fn a_break_at_any_stage_costs_no_message() {
    let stages = [
        (Point::Banner, 1),
        (Point::Ehlo, 1),
        (Point::StartTls, 1),
        (Point::Handshake, 1),
        (Point::SecuredEhlo, 1),
        (Point::Auth, 1),
        (Point::Mail, 1),
        (Point::Rcpt(None), 1),
        (Point::Data, 1),
        (Point::Content, 1),
        (Point::Dot, 2),
    ];
    for fault in [Fault::Drop, Fault::ReplyAndDrop("421 4.3.2 closing".into())] {
        let runs = stages.clone().map(|(point, most)| {
            let fault = fault.clone();
            thread::spawn(move || (format!("{point:?}, {fault:?}"), most, arrivals(point, fault)))
        });
        for run in runs {
            let (name, most, arrived) = run.join().unwrap();
            println!("{name}: arrived {arrived}");
            assert!((1..=most).contains(&arrived), "{name}: arrived {arrived} times");
        }
    }
}
