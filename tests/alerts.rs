//! Alerts through the real binary: what begins and ends is told in the log, to a command and by mail, once each, also
//! across restarts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt};
use support::{House, Provider, until};
use waxseal::sandbox::{Fault, Point, Received, SandboxOptions};

const NEEDS: &str = "account_needs_authorization";

fn provider() -> Provider {
    Provider::start(SandboxOptions { auto_approve: true, ..Default::default() })
}

/// A program that appends its standard input to `told`, and then does `rest`.
fn pager(house: &House, rest: &str) -> String {
    let (program, told) = (house.path("page-me"), house.path("told"));
    fs::write(&program, format!("#!/bin/sh\n/bin/cat >> '{}'\n{rest}\n", told.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    // Relative to the configuration's own directory.
    "command = [\"page-me\"]\n".to_owned()
}

/// The objects that the program got so far.
fn told(house: &House) -> Vec<Value> {
    let text = fs::read_to_string(house.path("told")).unwrap_or_default();
    // A line that is not whole yet is not there yet.
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn phases(house: &House) -> Vec<(String, String)> {
    let word = |object: &Value, key: &str| object[key].as_str().unwrap().to_owned();
    told(house).iter().map(|object| (word(object, "event"), word(object, "phase"))).collect()
}

/// The record in the state directory; null where there is none.
fn book(house: &House) -> Value {
    let text = fs::read_to_string(house.state().join("alerts.json")).unwrap_or_else(|_| "null".to_owned());
    serde_json::from_str(&text).unwrap()
}

#[track_caller]
fn told_becomes(house: &House, wanted: &[(&str, &str)]) {
    let wanted: Vec<_> =
        wanted.iter().map(|(event, phase)| ((*event).to_owned(), (*phase).to_owned())).collect();
    until(&format!("{wanted:?}"), || (phases(house) == wanted).then_some(()));
}

/// The first line of the header section that starts so.
fn field<'a>(message: &'a Received, name: &str) -> &'a str {
    let text = std::str::from_utf8(&message.octets).unwrap();
    text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn an_account_that_needs_authorization_is_told_by_command_and_through_the_account_that_works() {
    let provider = provider();
    let house = House::beside(&provider);
    let support = house.oauth(&provider, "support", "example.com");
    let ops = house.basic(&provider, "ops", "ops.example");
    let command = pager(&house, "");
    house.configure(&format!("[alert]\n{command}mail_to = \"oncall@ops.example\"\n\n{support}\n{ops}"));
    let mut daemon = house.serve();

    told_becomes(&house, &[(NEEDS, "begins")]);
    let object = &told(&house)[0];
    assert_eq!((&object["account"], &object["host"]), (&"support".into(), &"relay.example.com".into()));
    assert!(object["explanation"].as_str().unwrap().contains("needs authorization"), "{object}");
    assert!(object["remedy"].as_str().unwrap().contains("waxseal account authorize support"), "{object}");
    assert!(object["since"].as_str().unwrap().ends_with('Z') && object["at"] == object["since"], "{object}");

    let options = provider.options();
    let mail = &provider.arrivals(1)[0];
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        (options.username.as_str(), &["oncall@ops.example".to_owned()][..])
    );
    assert_eq!(mail.user.as_deref(), Some(options.username.as_str()));
    assert_ne!(mail.mechanism.as_deref(), Some("XOAUTH2"), "the account in trouble has carried it");
    assert_eq!(field(mail, "Auto-Submitted:"), "Auto-Submitted: auto-generated");
    assert_eq!(field(mail, "From:"), format!("From: waxseal <{}>", options.username));
    assert_eq!(
        field(mail, "Subject:"),
        "Subject: [waxseal relay.example.com] account support needs authorization"
    );
    house.log_line(&["WARN", "alert begins", "account=\"support\""]);
    house.log_line(&["alert mail queued", "account=ops"]);
    house.log_line(&["alert command ended", "exit status: 0"]);

    // A daemon that dies and comes back knows what it has told. Killed while its mail departs, the queue would be
    // allowed to send that again.
    house.queue_empties();
    until("a record with nothing left to tell", || {
        book(&house)["outbox"].as_array()?.is_empty().then_some(())
    });
    daemon.kill();
    let _daemon = house.serve();
    house.authorize("support");
    told_becomes(&house, &[(NEEDS, "begins"), (NEEDS, "ended")]);
    let all = provider.arrivals(2);
    assert_eq!(
        field(&all[1], "Subject:"),
        "Subject: [waxseal relay.example.com] over: account support needs authorization"
    );
    house.queue_empties();
    until("a record with nothing in it", || {
        let book = book(&house);
        (book["lasting"].as_array()?.is_empty() && book["outbox"].as_array()?.is_empty()).then_some(())
    });
}

#[test]
fn an_alert_that_no_account_can_carry_waits_for_one_even_across_a_restart() {
    let provider = provider();
    let house = House::beside(&provider);
    let support = house.oauth(&provider, "support", "example.com");
    let alert = "[alert]\nmail_to = \"oncall@example.com\"\n\n";
    house.configure(&format!("{alert}{support}"));
    let mut daemon = house.serve();
    house.log_line(&["WARN", "no account can carry the alert mail"]);
    daemon.kill();

    let _daemon = house.serve();
    house.configure(&format!("{alert}{support}\n{}", house.basic(&provider, "ops", "ops.example")));
    assert_eq!(house.cli(&["reload"]).ok().trim(), "reloaded");
    let mail = &provider.arrivals(1)[0];
    assert_eq!(mail.to, ["oncall@example.com"]);
    house.queue_empties();
    assert_eq!(provider.received().len(), 1);
}

#[test]
fn an_alert_mail_that_is_refused_is_in_the_queue_also_where_its_account_delivers_through() {
    let provider = provider();
    provider.faults().once(Point::Rcpt(None), Fault::Reply("550 5.1.1 nobody of that name".into()));
    let house = House::beside(&provider);
    let support = house.oauth(&provider, "support", "example.com");
    let ops = house.basic(&provider, "ops", "ops.example") + "delivery = \"through\"\n";
    house.configure(&format!("[alert]\nmail_to = \"nobody@ops.example\"\n\n{support}\n{ops}"));
    let _daemon = house.serve();
    let failed = house.message_becomes("failed");
    assert_eq!(failed["account"], "ops");
    assert!(failed["last_reply"].as_str().unwrap().contains("nobody of that name"), "{failed}");
}

#[test]
fn a_command_that_fails_and_a_record_that_is_damaged_stop_nothing() {
    let provider = provider();
    let house = House::beside(&provider);
    let support = house.oauth(&provider, "support", "example.com");
    let command = pager(&house, "echo canary-output; echo canary-output >&2; exit 7");
    house.configure(&format!("[alert]\n{command}\n{support}client_secret_expires = \"2020-01-01\"\n"));
    fs::create_dir_all(house.state()).unwrap();
    fs::write(house.state().join("alerts.json"), "{").unwrap();
    let _daemon = house.serve();
    house.log_line(&["WARN", "the record of alerts was damaged: moved aside", "alerts.json.damaged"]);
    house.log_line(&["WARN", "alert command failed", "client_secret_expires", "exit status: 7"]);
    // One after the other, both are told.
    told_becomes(&house, &[(NEEDS, "begins"), ("client_secret_expires", "begins")]);
    let log = house.log();
    assert!(!log.contains("canary-output"), "{log}");
    let secret = provider.options().client_secret.clone().unwrap();
    assert!(!format!("{:?}{log}", told(&house)).contains(&secret), "{log}");
    assert_eq!(fs::read_to_string(house.state().join("alerts.json.damaged")).unwrap(), "{");
}
