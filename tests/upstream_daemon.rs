//! The same as `tests/upstream_matrix.rs` with the real binary, a stage at a time: the provider breaks off once, and in
//! the end the message is there, once, or twice where the break came after the dot.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]
#![allow(clippy::print_stdout, reason = "the figures are what it is run for")]

mod support;

use std::thread;
use support::{
    House, Provider,
    client::{Client, stuffed},
};
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

/// What a client says is what the provider hears: addresses with their quotes and letters, octets of every value, lines
/// of every length, by DATA and by BDAT.
#[test]
fn addresses_and_octets_go_through_as_they_came() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    house.configure(&house.basic(&provider, "basic", "app.example"));
    let _daemon = house.serve();
    let mut content = b"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <octets@app.example>\r\nX: gr\xfc\xdfe\r\n\r\n".to_vec();
    content.extend((0..=255u8).filter(|octet| !b"\r\n".contains(octet)));
    content.extend_from_slice(b"\r\n.\r\n..\r\n\r\n");
    // Large enough for a file of its own, in one line.
    content.extend_from_slice(&[b'.'; 700_000]);
    content.extend_from_slice(b"\r\n");

    let mail = "MAIL FROM:<\"a \\\"b\"@app.example> SMTPUTF8 BODY=8BITMIME";
    let to = [
        "\"b@evil.example> ORCPT=x\"@example.org",
        "\"\\\\\"@example.org",
        "δοκιμή@bücher.example.org",
        "postmaster",
    ];
    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    for chunks in [false, true] {
        assert!(client.command(mail).unwrap().starts_with("250 "));
        for path in to {
            assert!(client.command(&format!("RCPT TO:<{path}>")).unwrap().starts_with("250 "), "{path}");
        }
        if chunks {
            let (last, mut pieces) = ((content.len() - 1) / 1000, content.chunks(1000).enumerate());
            assert!(pieces.all(|(n, piece)| {
                let word = if n == last { " LAST" } else { "" };
                client.write(format!("BDAT {}{word}\r\n", piece.len()).as_bytes()).unwrap();
                client.write(piece).unwrap();
                client.reply().unwrap().starts_with("250 ")
            }));
        } else {
            assert!(client.command("DATA").unwrap().starts_with("354 "));
            client.write(&stuffed(&content)).unwrap();
            assert!(client.reply().unwrap().starts_with("250 "));
        }
    }
    for received in provider.arrivals(2) {
        assert_eq!(received.from, "\"a \\\"b\"@app.example");
        assert_eq!(received.to, to);
        assert!(received.mail_parameters.contains("BODY=8BITMIME SMTPUTF8"), "{}", received.mail_parameters);
        let trace = String::from_utf8_lossy(&received.octets[..300]).into_owned();
        assert!(trace.contains(" with UTF8SMTP id "), "{trace}");
        assert!(received.octets.ends_with(&content), "{trace}");
        let prefix = &received.octets[..received.octets.len() - content.len()];
        assert_eq!(prefix.iter().filter(|octet| **octet == b'\n').count(), 3, "{trace}");
    }
}
