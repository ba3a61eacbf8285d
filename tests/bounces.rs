//! Notifications of failures, through the real binary and the scripted provider.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use support::{
    House, Provider,
    client::{Client, message},
    until,
};
use waxseal::sandbox::{Fault, Point, Received, SandboxOptions};

const SENDER: &str = "app@example.com";
const REFUSAL: &str = "550 5.1.1 nobody of that name";

fn provider() -> Provider {
    Provider::start(SandboxOptions::default())
}

fn text(message: &Received) -> String {
    String::from_utf8_lossy(&message.octets).into_owned()
}

/// Refuses the recipient that clients name, and nobody else.
fn refuse_someone(provider: &Provider) {
    provider.faults().always(Point::Rcpt(Some("someone@example.org".into())), Fault::Reply(REFUSAL.into()));
}

fn submit_to_someone(house: &House, subject: &str) {
    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    client.send(SENDER, "someone@example.org", &message(subject)).unwrap();
}

#[test]
fn the_sender_is_told_once_with_the_providers_own_reply() {
    let provider = provider();
    refuse_someone(&provider);
    let house = House::beside(&provider);
    house.configure(&house.basic(&provider, "support", "example.com"));
    let daemon = house.serve();
    submit_to_someone(&house, "figures of March");
    let arrived = provider.arrivals(1);
    let notification = text(&arrived[0]);
    assert_eq!((arrived[0].from.as_str(), arrived[0].to.as_slice()), ("", &[SENDER.to_owned()][..]));
    for part in [
        "report-type=delivery-status",
        "Auto-Submitted: auto-replied",
        "Final-Recipient: rfc822; someone@example.org",
        "Action: failed",
        "Status: 5.1.1",
        "nobody of that name",
        "figures of March",
    ] {
        assert!(notification.contains(part), "{part} is not in\n{notification}");
    }
    let failed = house.message_becomes("failed");
    until("a history that knows of the notification", || {
        let traced = house.json(&["trace", failed["id"].as_str().unwrap()]);
        let events = traced[0]["events"].as_array()?;
        events.iter().any(|event| event["event"] == "notified" && event["to"][0] == SENDER).then_some(())
    });
    // A restart tells nobody again.
    drop(daemon);
    let _daemon = house.serve();
    submit_to_someone(&house, "second");
    let arrived = provider.arrivals(2);
    assert!(text(&arrived[1]).contains("second"), "{}", text(&arrived[1]));
}

#[test]
fn a_crash_before_the_notification_leaves_it_to_be_told() {
    let provider = provider();
    refuse_someone(&provider);
    provider.faults().always(Point::Rcpt(Some(SENDER.into())), Fault::Drop);
    let house = House::beside(&provider);
    house.configure(&house.basic(&provider, "support", "example.com"));
    let mut daemon = house.serve();
    submit_to_someone(&house, "told in the end");
    house.message_becomes("failed");
    daemon.kill();
    provider.faults().clear();
    let _daemon = house.serve();
    assert!(text(&provider.arrivals(1)[0]).contains("told in the end"));
}

#[test]
fn a_provider_that_refuses_the_null_reverse_path_gets_it_from_the_accounts_own_address() {
    let provider = provider();
    refuse_someone(&provider);
    let house = House::beside(&provider);
    house.configure(&house.basic(&provider, "support", "example.com"));
    let _daemon = house.serve();
    // The message itself does not come as far as its final dot. This is how Exchange Online says it.
    let refusal = "550 5.7.60 SMTP; Client does not have permissions to send as this sender";
    provider.faults().once(Point::Dot, Fault::Reply(refusal.into()));
    submit_to_someone(&house, "no null sender");
    let arrived = provider.arrivals(1);
    assert_eq!(arrived[0].from, provider.options().username);
    assert!(text(&arrived[0]).contains("Auto-Submitted: auto-replied"));
}

#[test]
fn what_is_more_than_ten_an_hour_waits_for_a_digest() {
    let provider = provider();
    refuse_someone(&provider);
    let house = House::beside(&provider);
    house.configure(&house.basic(&provider, "support", "example.com"));
    let _daemon = house.serve();
    for n in 0..15 {
        submit_to_someone(&house, &format!("number {n}"));
    }
    provider.arrivals(10);
    until("fifteen failures", || {
        let status = house.json(&["status"]);
        (status["queue"]["failed"] == 15 && status["queue"]["queued"] == 0).then_some(())
    });
    // One to another address is told at once, after those five have been kept back.
    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    client.send("other@example.com", "someone@example.org", &message("other")).unwrap();
    let arrived = provider.arrivals(11);
    assert_eq!(arrived[10].to, ["other@example.com"]);
    assert_eq!(arrived.len(), 11);
}

#[test]
fn bounce_says_who_is_told() {
    let provider = provider();
    refuse_someone(&provider);
    let house = House::beside(&provider);
    let account = house.basic(&provider, "support", "example.com");
    house.configure(&account);
    let config = std::fs::read_to_string(house.config()).unwrap();
    let config =
        config.replace("[queue]\n", "[queue]\nbounce = \"postmaster\"\npostmaster = \"ops@example.com\"\n");
    std::fs::write(house.config(), config).unwrap();
    let _daemon = house.serve();
    submit_to_someone(&house, "for ops");
    assert_eq!(provider.arrivals(1)[0].to, ["ops@example.com"]);
}
