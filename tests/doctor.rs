//! `waxseal doctor` and `account test`: each kind of trouble, with the step at which it strikes, the sentence and the cure;
//! beside a running daemon and without one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use serde_json::Value;
use support::{House, Provider, Ran};
use waxseal::sandbox::{Fault, Point, SandboxOptions, SandboxSecurity};

fn provider() -> Provider {
    Provider::start(SandboxOptions { auto_approve: true, ..SandboxOptions::default() })
}

/// What the doctor says of one account, as JSON, with its exit code.
#[track_caller]
fn examined(house: &House, id: &str) -> (i32, Value) {
    let ran = house.cli(&["doctor", id, "--json"]);
    let seen: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    (ran.code, seen[0].clone())
}

/// The trouble is at this step, and these words are in the sentence and in the cure.
#[track_caller]
fn finds(house: &House, id: &str, code: i32, step: &str, verdict: &str, cure: &str) {
    let (exit, seen) = examined(house, id);
    let last = seen["steps"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (exit, last["step"].as_str(), last["ok"].as_bool()),
        (code, Some(step), Some(false)),
        "{seen:#}"
    );
    let has = |key: &str, words: &str| seen[key].as_str().unwrap().contains(words);
    assert!(has("verdict", verdict) && has("cure", cure), "{seen:#}");
    assert!(seen["verdict"].as_str().unwrap().ends_with('.'), "{seen:#}");
    assert!(!seen.to_string().contains("sandbox-password") && !seen.to_string().contains("sandbox-secret"));
}

fn names(seen: &Value) -> Vec<&str> {
    seen["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect()
}

#[test]
fn where_nothing_is_missing_it_says_so() {
    let provider = provider();
    let house = House::beside(&provider);
    let accounts =
        [house.basic(&provider, "plain", "a.example"), house.oauth(&provider, "person", "b.example")];
    house.configure(&accounts.join("\n"));
    let _daemon = house.serve();
    house.authorize("person");
    let (code, seen) = examined(&house, "plain");
    assert_eq!((code, seen["verdict"].as_str()), (0, Some("Nothing is missing.")), "{seen:#}");
    assert_eq!(names(&seen), ["DNS", "TCP", "TLS", "AUTH", "MAIL FROM"]);
    let (code, seen) = examined(&house, "person");
    assert_eq!(code, 0, "{seen:#}");
    assert_eq!(names(&seen), ["DNS", "TCP", "TLS", "token", "AUTH", "MAIL FROM"]);
    let Ran { code, stdout, .. } = house.cli(&["doctor"]);
    assert_eq!((code, stdout.matches("Nothing is missing.").count()), (0, 2), "{stdout}");
    let online = house.cli(&["check", "--online"]).ok();
    assert!(
        online.contains("The configuration is valid.") && online.contains("Nothing is missing."),
        "{online}"
    );
    assert!(provider.received().is_empty());
}

#[test]
fn every_step_has_its_trouble() {
    let provider = provider();
    let house = House::beside(&provider);
    let plain = house.basic(&provider, "plain", "a.example");
    let person = house.oauth(&provider, "person", "b.example");
    let closed = support::free_port();
    let port = format!("port = {}", provider.smtp_address().port());
    let distrustful: String =
        plain.lines().filter(|line| !line.starts_with("ca_file")).map(|line| format!("{line}\n")).collect();
    let accounts = [
        plain
            .replace("account.plain", "account.away")
            .replace("a.example", "c.example")
            .replace(&port, &format!("port = {closed}")),
        distrustful.replace("account.plain", "account.stranger").replace("a.example", "d.example"),
        plain
            .replace("account.plain", "account.wrong")
            .replace("a.example", "e.example")
            .replace("sandbox-password", "wrong"),
        plain,
        person,
    ];
    house.configure(&accounts.join("\n"));
    let _daemon = house.serve();
    finds(&house, "away", 69, "TCP", "cannot be reached", "firewall");
    finds(&house, "stranger", 1, "TLS", "certificate", "ca_file");
    finds(&house, "wrong", 1, "AUTH", "refused the login", "password");
    finds(&house, "person", 1, "token", "no token yet", "waxseal account authorize person");

    house.authorize("person");
    provider.grants().revoke_access_tokens();
    provider.grants().set_invalid_grant(true);
    finds(&house, "person", 1, "token", "not good any more", "waxseal account authorize person");

    let disabled =
        "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.";
    provider.faults().once(Point::Auth, Fault::Reply(disabled.into()));
    finds(&house, "plain", 1, "AUTH", "SMTP AUTH is disabled", "Set-CASMailbox");
    let denied = "550 5.7.60 SMTP; Client does not have permissions to send as this sender";
    provider.faults().once(Point::Mail, Fault::Reply(denied.into()));
    finds(&house, "plain", 1, "MAIL FROM", "may not send from this sender", "Send As");

    let unknown = house.cli(&["doctor", "plian"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("there are: "), "{unknown:?}");
}

#[test]
fn a_server_without_starttls_gets_nothing_in_the_clear() {
    let provider =
        Provider::start(SandboxOptions { security: SandboxSecurity::None, ..SandboxOptions::default() });
    let house = House::beside(&provider);
    house.configure(&(house.basic(&provider, "plain", "a.example") + "security = \"starttls\"\n"));
    let _daemon = house.serve();
    finds(&house, "plain", 1, "TLS", "offers no STARTTLS", "\"tls\"");
}

#[test]
fn without_the_daemon_all_but_the_tokens_is_examined() {
    let provider = provider();
    let house = House::beside(&provider);
    let accounts =
        [house.basic(&provider, "plain", "a.example"), house.oauth(&provider, "person", "b.example")];
    house.configure(&accounts.join("\n"));
    let (code, seen) = examined(&house, "plain");
    assert_eq!((code, seen["verdict"].as_str()), (0, Some("Nothing is missing.")), "{seen:#}");
    finds(&house, "person", 1, "token", "the daemon has the tokens", "");
    let unknown = house.cli(&["doctor", "plian"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("there are: "), "{unknown:?}");
    assert!(!house.state().exists());
}

#[test]
fn a_test_message_is_sent_where_that_is_asked_for() {
    let provider = provider();
    let house = House::beside(&provider);
    house.configure(&house.basic(&provider, "plain", "example.com"));
    let _daemon = house.serve();
    let told = house.cli(&["account", "test", "plain"]).ok();
    assert!(told.contains("MAIL FROM") && told.contains("nothing was sent"), "{told}");
    let told = house.cli(&["account", "test", "plain", "--to", "me@example.org"]).ok();
    assert!(told.contains("sent to me@example.org through 127.0.0.1:"), "{told}");
    let received = &provider.arrivals(1)[0];
    assert_eq!((received.from.as_str(), received.to[0].as_str()), ("support@example.com", "me@example.org"));
    assert!(String::from_utf8_lossy(&received.octets).contains("Subject: waxseal account test plain\r\n"));
    let refused = house.cli(&["account", "test", "plain", "--to", "nobody"]);
    assert!(refused.code == 1 && refused.stderr.contains("--to nobody"), "{refused:?}");
    provider.faults().once(Point::Rcpt(None), Fault::Reply("550 5.1.1 no such user".into()));
    let refused = house.cli(&["account", "test", "plain", "--to", "me@example.org"]);
    assert!(refused.code == 1 && refused.stderr.contains("5.1.1 no such user"), "{refused:?}");
}
