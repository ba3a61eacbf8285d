//! `GET /metrics` of the real daemon: for whoever has the admin token, with what is known of accounts, tokens and queue.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};
use support::{
    House, Provider,
    client::{message, submit},
};
use waxseal::sandbox::SandboxOptions;

/// Status and text.
fn asked(house: &House, authorization: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(house.admin).unwrap();
    let host = house.admin;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{authorization}\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

#[test]
fn the_admin_token_shows_how_accounts_tokens_and_queue_stand() {
    let provider = Provider::start(SandboxOptions { auto_approve: true, ..SandboxOptions::default() });
    let house = House::beside(&provider);
    let person = house.oauth(&provider, "person", "a.example") + "client_secret_expires = \"2999-01-01\"\n";
    house.configure(&format!("{person}{}", house.oauth(&provider, "waiting", "b.example")));
    let _daemon = house.serve();
    house.authorize("person");
    submit(house.smtp, "app@b.example", &message("held")).unwrap();
    house.message_becomes("held");

    assert_eq!(asked(&house, "").0, 401);
    assert_eq!(asked(&house, "Authorization: Bearer guessed\r\n").0, 401);
    let token = fs::read_to_string(house.state().join("admin.token")).unwrap();
    let (status, text) = asked(&house, &format!("Authorization: Bearer {}\r\n", token.trim()));
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("content-type: text/plain; version=0.0.4"), "{text}");
    for line in [
        "waxseal_account_state{account=\"person\",state=\"ready\"} 1",
        "waxseal_account_state{account=\"person\",state=\"failing\"} 0",
        "waxseal_account_state{account=\"waiting\",state=\"needs_authorization\"} 1",
        "waxseal_token_refresh_total{account=\"person\",result=\"granted\"} 1",
        "# TYPE waxseal_token_refresh_total counter",
        "waxseal_queue_messages{account=\"waiting\",state=\"held\"} 1",
    ] {
        assert!(text.lines().any(|seen| seen == line), "{line}\n{text}");
    }
    let value = |name: &str| -> f64 {
        let line =
            text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}\n{text}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    assert!((3_500.0..=3_600.0).contains(&value("waxseal_token_expires_seconds{account=\"person\"}")));
    assert!(value("waxseal_grant_ends_seconds{account=\"person\",cause=\"the client secret ends\"}") > 1e9);
    assert!((0.0..60.0).contains(&value("waxseal_grant_age_seconds{account=\"person\"}")));
    assert!((0.0..60.0).contains(&value("waxseal_queue_oldest_seconds{account=\"waiting\"}")));
    assert!(value("waxseal_queue_bytes") > 0.0);
    assert!(!text.contains(token.trim()) && !text.contains("sandbox-secret"));
}
