//! Trouble with an account, through the real binary: its mail is taken and kept, an operator is told what to do, and
//! once that is done it goes by itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use rustix::process::Signal;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};
use support::{
    House, Provider,
    client::{Client, message, submit},
};
use waxseal::sandbox::{Fault, Point, SandboxOptions};

const SENDER: &str = "app@example.com";

fn provider() -> Provider {
    Provider::start(SandboxOptions { auto_approve: true, ..Default::default() })
}

/// What `account list` says of an account that needs an operator.
#[track_caller]
fn says(account: &Value, error: &str, remedy: &str) {
    let field = |name: &str| account[name].as_str().unwrap_or_default();
    assert!(field("last_error").contains(error), "{account:#}");
    assert!(field("remedy").contains(remedy), "{account:#}");
}

#[test]
fn mail_for_an_account_that_nobody_authorized_is_held_and_drains_after_generate_tokens() {
    let provider = provider();
    let house = House::beside(&provider);
    house.configure(&house.oauth(&provider, "support", "example.com"));
    let _daemon = house.serve();
    let reply = submit(house.smtp, SENDER, &message("early")).unwrap();
    assert!(reply.starts_with("250 2.0.0 "), "{reply}");
    let kept = house.message_becomes("held");
    assert_eq!((&kept["attempts"], &kept["account"]), (&0.into(), &"support".into()));
    says(&house.account_becomes("support", "needs_authorization"), "authorized", "account authorize support");
    house.log_line(&["WARN", "account=support", "waxseal account authorize support"]);

    house.authorize("support");
    let arrived = provider.arrivals(1);
    assert_eq!(arrived[0].mechanism.as_deref(), Some("XOAUTH2"));
    house.queue_empties();
    assert_eq!(house.account("support")["state"], "ready");
}

#[test]
fn an_invalid_grant_in_mid_life_holds_mail_until_somebody_authorizes_again() {
    let provider = provider();
    let house = House::beside(&provider);
    house.configure(&house.oauth(&provider, "support", "example.com"));
    let _daemon = house.serve();
    house.authorize("support");
    submit(house.smtp, SENDER, &message("before")).unwrap();
    provider.arrivals(1);

    provider.grants().set_invalid_grant(true);
    let refresh = house.cli(&["account", "refresh", "support"]);
    assert_eq!(refresh.code, 75, "{refresh:?}");
    says(&house.account_becomes("support", "needs_authorization"), "invalid_grant", "authorize support");
    // The access token at hand is good for a while; once it is not, mail is held.
    provider.grants().revoke_access_tokens();
    // The kept connection is logged in still: the provider hangs up.
    provider.faults().once(Point::Mail, Fault::ReplyAndDrop("421 4.3.2 bye".into()));
    submit(house.smtp, SENDER, &message("during")).unwrap();
    house.message_becomes("held");
    assert_eq!(provider.received().len(), 1);

    provider.grants().set_invalid_grant(false);
    house.authorize("support");
    provider.arrivals(2);
    house.queue_empties();
    assert_eq!(house.account("support")["last_error"], Value::Null);
}

#[test]
fn a_refused_login_holds_mail_without_burning_attempts_until_the_password_is_right() {
    let provider = provider();
    let house = House::beside(&provider);
    let good = house.basic(&provider, "support", "example.com");
    house.configure(&good.replace("sandbox-password", "wrong-password"));
    let daemon = house.serve();
    for subject in ["one", "two", "three"] {
        submit(house.smtp, SENDER, &message(subject)).unwrap();
    }
    says(&house.account_becomes("support", "failing"), "535", "password");
    for message in house.json(&["queue", "list"]).as_array().unwrap() {
        assert_eq!((&message["state"], &message["attempts"]), (&"held".into(), &0.into()));
    }
    house.log_line(&["WARN", "account=support", "state=\"held\"", "535", "remedy="]);
    // Three messages, but the account is not locked by three logins on end.
    assert_eq!(provider.connections(), 1);

    house.configure(&good);
    daemon.signal(Signal::HUP);
    provider.arrivals(3);
    house.queue_empties();
}

#[test]
fn without_starttls_mail_waits_and_one_log_line_says_so() {
    let provider = provider();
    provider.faults().hide_starttls(true);
    let house = House::beside(&provider);
    house.configure(&house.basic(&provider, "support", "example.com"));
    let _daemon = house.serve();
    submit(house.smtp, SENDER, &message("clear")).unwrap();
    says(&house.account_becomes("support", "failing"), "no STARTTLS", "`security`");
    house.message_becomes("queued");
    let lines = house.log();
    let told = lines.lines().filter(|l| l.contains("WARN") && l.contains("no STARTTLS")).count();
    assert_eq!(told, 1, "{lines}");

    provider.faults().hide_starttls(false);
    house.cli(&["queue", "retry", "--account", "support"]).ok();
    assert_ne!(provider.arrivals(1)[0].tls, "none");
    house.queue_empties();
}

#[test]
fn an_untrusted_certificate_keeps_mail_until_its_authority_is_configured() {
    let provider = provider();
    let house = House::beside(&provider);
    let good = house.basic(&provider, "support", "example.com");
    let ca = format!("ca_file = \"{}\"\n", house.path("ca.pem").display());
    house.configure(&good.replace(&ca, ""));
    let _daemon = house.serve();
    submit(house.smtp, SENDER, &message("stranger")).unwrap();
    says(&house.account_becomes("support", "failing"), "certificate", "ca_file");
    house.message_becomes("queued");
    house.log_line(&["WARN", "account=support", "certificate", "ca_file"]);

    house.configure(&good);
    assert_eq!(house.cli(&["reload"]).ok().trim(), "reloaded");
    provider.arrivals(1);
    house.queue_empties();
}

#[test]
fn a_dead_token_endpoint_keeps_mail_and_the_next_refresh_lets_it_go() {
    let provider = provider();
    let house = House::beside(&provider);
    let grant = provider.grants().issue_refresh_token();
    let account = house.oauth(&provider, "support", "example.com");
    house.configure(&format!("{account}refresh_token = \"{grant}\"\n"));
    provider.grants().set_broken(true);
    let _daemon = house.serve();
    submit(house.smtp, SENDER, &message("patience")).unwrap();
    says(&house.account_becomes("support", "failing"), "500", "");
    house.message_becomes("held");
    house.log_line(&["WARN", "account=support", "500"]);

    provider.grants().set_broken(false);
    house.cli(&["account", "refresh", "support"]).ok();
    provider.arrivals(1);
    house.queue_empties();
}

#[test]
fn a_reload_with_a_wrong_file_keeps_the_old_configuration_and_says_why() {
    let provider = provider();
    let house = House::beside(&provider);
    let good = house.basic(&provider, "support", "example.com");
    house.configure(&good);
    let daemon = house.serve();
    house.configure(&good.replace("username", "usrname"));
    let reload = house.cli(&["reload"]);
    assert_eq!(reload.code, 78, "{reload:?}");
    assert!(reload.stderr.contains("did you mean `username`?"), "{reload:?}");
    daemon.signal(Signal::HUP);
    house.log_line(&["ERROR", "reload refused, the old configuration stays"]);
    submit(house.smtp, SENDER, &message("still")).unwrap();
    provider.arrivals(1);
}

#[test]
fn accounts_are_chosen_by_application_and_inactive_ones_passed_over() {
    let provider = provider();
    let house = House::beside(&provider);
    let general = house.basic(&provider, "general", "example.com");
    let tickets = house.basic(&provider, "tickets", "example.com") + "application = \"ticketing\"\n";
    let asleep = house.basic(&provider, "asleep", "asleep.example") + "active = false\n";
    let rest =
        format!("[application.ticketing]\nclients = [\"127.0.0.2\"]\n\n{general}\n{tickets}\n{asleep}");
    house.configure(&rest);
    let daemon = house.serve();
    submit(house.smtp, SENDER, &message("to-general")).unwrap();
    provider.arrivals(1);
    house.log_line(&["delivered", "account=general"]);

    // An inactive account's domain is served by nobody, and the client hears so at once.
    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    let refused = client.command("MAIL FROM:<x@asleep.example>").unwrap();
    assert!(refused.starts_with("550 5.7.1 ") && refused.contains("asleep.example"), "{refused}");
    let refused = client.command("MAIL FROM:<x@Nobody.example>").unwrap();
    assert!(
        refused.starts_with("550 5.7.1 ") && refused.to_lowercase().contains("nobody.example"),
        "{refused}"
    );
    // The session goes on, and its next message does too.
    client.send(SENDER, "someone@example.org", &message("after-a-refusal")).unwrap();
    provider.arrivals(2);
    assert_eq!(house.account("asleep")["state"], "inactive");

    // The listener's application comes first for all that it takes.
    drop(daemon);
    house.configure_with("info", "application = \"ticketing\"", &rest);
    let _daemon = house.serve();
    submit(house.smtp, SENDER, &message("to-tickets")).unwrap();
    provider.arrivals(3);
    house.log_line(&["delivered", "account=tickets"]);
}

#[test]
fn a_client_from_outside_clients_is_told_554_and_closed() {
    let house = House::new();
    house.configure_with("info", "clients = [\"127.0.0.9/32\"]", "");
    let _daemon = house.serve();
    let mut client = Client::knock(house.smtp).unwrap();
    let refused = client.reply().unwrap();
    assert!(refused.starts_with("554 5.7.1 "), "{refused}");
    let started = std::time::Instant::now();
    assert!(client.reply().is_err(), "the connection goes on");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_command_line_says_plainly_when_the_daemon_is_down() {
    let house = House::new();
    house.configure("");
    for command in [&["status"][..], &["queue", "retry", "--all"], &["account", "list"], &["reload"]] {
        let ran = house.cli(command);
        assert_eq!(ran.code, 69, "{ran:?}");
        assert!(ran.stderr.contains("is it running?"), "{ran:?}");
    }
}

/// Every file below a directory, with its octets.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    all
}

#[test]
fn the_queue_of_a_stopped_daemon_can_be_looked_at_and_is_not_touched() {
    let provider = provider();
    let house = House::beside(&provider);
    house.configure(&house.oauth(&provider, "support", "example.com"));
    let never_started = house.cli(&["queue", "list"]);
    assert!(never_started.code == 69 && never_started.stderr.contains("not running"), "{never_started:?}");
    let mut daemon = house.serve();
    for subject in ["one", "two", "three"] {
        submit(house.smtp, SENDER, &message(subject)).unwrap();
    }
    let ids: Vec<String> = {
        let listed = house.json(&["queue", "list"]);
        listed.as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect()
    };
    house.cli(&["queue", "hold", &ids[1]]).ok();
    house.cli(&["queue", "remove", &ids[2]]).ok();
    let live = house.json(&["queue", "list"]);
    daemon.kill();

    let queue = house.state().join("queue");
    let before = files(&queue);
    let list = house.cli(&["queue", "list", "--json"]);
    assert!(list.code == 0 && list.stderr.contains("not running"), "{list:?}");
    let stopped: Value = serde_json::from_str(&list.stdout).unwrap();
    assert_eq!(stopped.as_array().unwrap().len(), 2);
    for (live, stopped) in live.as_array().unwrap().iter().zip(stopped.as_array().unwrap()) {
        for key in ["id", "account", "from", "to", "size", "received_at", "attempts"] {
            assert_eq!(live[key], stopped[key], "{key}");
        }
    }
    // What stops the account is the daemon's knowledge; what an operator holds is on the disk.
    assert_eq!((&stopped[0]["state"], &stopped[1]["state"]), (&"queued".into(), &"held".into()));
    assert_eq!(house.json(&["queue", "show", &ids[1]]), stopped[1]);
    assert_eq!(house.json(&["queue", "list", "--account", "other"]), Value::Array(Vec::new()));
    assert_eq!(house.json(&["queue", "list", "--most", "1"]).as_array().unwrap().len(), 1);
    for (arguments, code) in [(["show", &ids[2]], 1), (["show", "nonsense"], 1), (["release", &ids[1]], 69)] {
        let ran = house.cli(&["queue", arguments[0], arguments[1]]);
        assert_eq!(ran.code, code, "{ran:?}");
    }
    assert_eq!(files(&queue), before);

    let _daemon = house.serve();
    house.authorize("support");
    provider.arrivals(1);
    assert_eq!(house.json(&["queue", "list"])[0]["id"], ids[1].as_str());
}

#[test]
fn a_client_in_its_own_name_needs_nobody_and_a_wrong_secret_only_holds_its_mail() {
    let provider = provider();
    let house = House::beside(&provider);
    let account = house.oauth(&provider, "app", "example.com") + "grant = \"client_credentials\"\n";
    let authorization = format!("authorization_endpoint = \"{}\"\n", provider.authorization_endpoint());
    let account = account.replace(&authorization, "");
    let secret = provider.options().client_secret.clone().unwrap();
    house.configure(&account.replace(&secret, "outdated"));
    let _daemon = house.serve();
    submit(house.smtp, SENDER, &message("early")).unwrap();
    house.message_becomes("held");
    says(&house.account_becomes("app", "failing"), "invalid_client", "client_secret");

    house.configure(&account);
    house.cli(&["reload"]).ok();
    assert_eq!(provider.arrivals(1)[0].mechanism.as_deref(), Some("XOAUTH2"));
    house.queue_empties();
    let ready = house.account_becomes("app", "ready");
    assert_eq!(ready["authorized_at"], Value::Null);
    let refused = house.cli(&["account", "authorize", "app"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("waxseal account refresh app"), "{}", refused.stderr);
    house.cli(&["account", "refresh", "app"]).ok();
}
