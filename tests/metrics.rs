//! `GET /metrics` of the real daemon: for whoever has the admin token, with what is known of accounts, tokens and queue.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};
use support::{
    House, Provider, browser,
    client::{Client, message, submit},
    until,
};
use waxseal::sandbox::{Fault, Point, SandboxOptions};

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

/// All metrics of a house.
fn text(house: &House) -> String {
    let token = fs::read_to_string(house.state().join("admin.token")).unwrap();
    asked(house, &format!("Authorization: Bearer {}\r\n", token.trim())).1
}

/// Waits for a line.
#[track_caller]
fn seen(house: &House, line: &str) {
    until(&format!("the metric {line}"), || text(house).lines().any(|seen| seen == line).then_some(()));
}

#[test]
fn messages_are_counted_by_listener_account_and_reason_and_the_day_survives_a_restart() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    let away = house.basic(&provider, "away", "away.example");
    let away = away.replace(&format!("port = {}", provider.smtp_address().port()), "port = 9");
    house.configure(&(house.basic(&provider, "works", "a.example") + &away));
    let daemon = house.serve();
    let listener = house.smtp.to_string();
    seen(&house, &format!("waxseal_connections{{listener=\"{listener}\"}} 0"));
    seen(&house, "waxseal_messages_delivered_total{account=\"works\"} 0");

    submit(house.smtp, "app@a.example", &message("one")).unwrap();
    provider.arrivals(1);
    seen(&house, &format!("waxseal_messages_received_total{{listener=\"{listener}\",account=\"works\"}} 1"));
    seen(&house, "waxseal_messages_delivered_total{account=\"works\"} 1");
    seen(&house, "waxseal_delivery_seconds_bucket{account=\"works\",le=\"+Inf\"} 1");
    seen(&house, "waxseal_delivery_seconds_count{account=\"works\"} 1");
    seen(&house, "waxseal_upstream_connections{account=\"works\"} 1");

    submit(house.smtp, "app@b.example", &message("nobody")).unwrap_err();
    seen(&house, &format!("waxseal_messages_rejected_total{{listener=\"{listener}\",reason=\"sender\"}} 1"));
    submit(house.smtp, "app@away.example", &message("later")).unwrap();
    seen(&house, "waxseal_messages_deferred_total{account=\"away\",reason=\"connection\"} 1");
    provider.faults().once(Point::Rcpt(None), Fault::Reply("550 5.1.1 no such user".to_owned()));
    submit(house.smtp, "app@a.example", &message("nobody-there")).unwrap();
    seen(&house, "waxseal_messages_failed_total{account=\"works\",reason=\"recipient\"} 1");
    // The sender is told of it, by a message of waxseal's own.
    seen(&house, "waxseal_messages_received_total{listener=\"waxseal\",account=\"works\"} 1");

    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    seen(&house, &format!("waxseal_connections{{listener=\"{listener}\"}} 1"));
    drop(client);
    seen(&house, &format!("waxseal_connections{{listener=\"{listener}\"}} 0"));

    let received = |house: &House| house.json(&["status"])["rates"]["received"].clone();
    let before = received(&house);
    assert_eq!((&before["hour"], &before["day"]), (&4.into(), &4.into()));
    assert!(house.cli(&["status"]).ok().contains("last hour  4 received, "));
    daemon.signal(rustix::process::Signal::TERM);
    let mut daemon = daemon;
    assert!(daemon.wait().success());
    let _daemon = house.serve();
    until("the day as it was", || (received(&house) == before).then_some(()));
    seen(&house, &format!("waxseal_connections{{listener=\"{listener}\"}} 0"));
    assert!(browser::get(&format!("http://{}/metrics", house.admin)).unwrap().status == 401);
}

#[test]
fn a_day_that_is_damaged_begins_anew() {
    let house = House::new();
    house.configure("");
    fs::create_dir(house.state()).unwrap();
    fs::write(house.state().join("day.json"), "{").unwrap();
    let _daemon = house.serve();
    house.log_line(&["the numbers of the last day cannot be read: they begin anew"]);
    assert_eq!(house.json(&["status"])["rates"]["received"]["day"], 0);
}

#[test]
fn what_is_exposed_is_documented_and_the_other_way_round() {
    let provider = Provider::start(SandboxOptions { auto_approve: true, ..SandboxOptions::default() });
    let house = House::beside(&provider);
    house.configure(&(house.oauth(&provider, "a", "a.example") + "client_secret_expires = \"2999-01-01\"\n"));
    let _daemon = house.serve();
    house.authorize("a");
    let exposed: std::collections::BTreeSet<String> = text(&house)
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned))
        .collect();
    let documented: std::collections::BTreeSet<String> = include_str!("../docs/metrics.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned))
        .filter(|name| name.contains('_') && !name.starts_with("in_"))
        .collect();
    assert_eq!(exposed, documented);
}
