//! A refresh token that rotates on every use, and `kill -9`.
//!
//! What is promised: once a refresh has come back, to the command that asked for it or as a token in use, the rotated
//! token is on disk. Nobody can promise more with a provider that ends the old token as it answers: killed between
//! that answer and our sync, the only copy of the new token dies with the process. A provider with a grace period
//! closes this window, since the store keeps the old token until the new one is in its place.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use std::{
    process::Stdio,
    time::{Duration, Instant},
};
use support::{
    House, PATIENCE, Provider, Running,
    client::{message, submit},
    until, waxseal,
};
use waxseal::sandbox::SandboxOptions;

const SENDER: &str = "app@example.com";

fn scene(rotation_grace: Duration) -> (Provider, House) {
    let options = SandboxOptions { rotate: true, rotation_grace, auto_approve: true, ..Default::default() };
    let provider = Provider::start(options);
    let house = House::beside(&provider);
    house.configure(&house.oauth(&provider, "support", "example.com"));
    let daemon = house.serve();
    house.authorize("support");
    drop(daemon);
    (provider, house)
}

/// The grant still works: a refresh with the token that the store has.
#[track_caller]
fn still_authorized(house: &House) {
    let refresh = house.cli(&["account", "refresh", "support"]);
    assert_eq!(refresh.code, 0, "{refresh:?}\n{}", house.log());
    assert_eq!(house.account("support")["state"], "ready");
}

#[test]
fn a_rotated_token_survives_kill_9_right_after_the_refresh_command() {
    let (provider, house) = scene(Duration::ZERO);
    let rounds = 10;
    for _ in 0..rounds {
        let mut daemon = house.serve();
        let asked = provider.grants().token_requests();
        still_authorized(&house);
        daemon.kill();
        // One request a round: none was spent on a token that is not good any more.
        assert_eq!(provider.grants().token_requests(), asked + 1, "{}", house.log());
    }
    let _daemon = house.serve();
    submit(house.smtp, SENDER, &message("after-all")).unwrap();
    provider.arrivals(1);
    assert!(!house.log().contains("refresh token refused"), "{}", house.log());
    println!("{rounds} times kill -9 after `account refresh`, grace zero: never asked to authorize again");
}

#[test]
fn a_rotated_token_survives_kill_9_at_its_first_use() {
    let (provider, house) = scene(Duration::ZERO);
    let rounds = 10;
    for round in 0..rounds {
        let asked = provider.grants().token_requests();
        provider.grants().revoke_access_tokens();
        let mut daemon = house.serve();
        // The login is refused, a new token is fetched, kept and used.
        submit(house.smtp, SENDER, &message(&format!("round-{round}"))).unwrap();
        until("this round's message", || {
            let subject = format!("Subject: round-{round}\r\n");
            provider
                .received()
                .iter()
                .any(|m| String::from_utf8_lossy(&m.octets).contains(&subject))
                .then_some(())
        });
        daemon.kill();
        assert_eq!(provider.grants().token_requests(), asked + 1, "{}", house.log());
    }
    let _daemon = house.serve();
    still_authorized(&house);
    assert!(!house.log().contains("refresh token refused"), "{}", house.log());
    println!("{rounds} times kill -9 at the first use of a rotated token, grace zero: grant kept");
}

#[test]
fn killed_in_mid_flight_a_grace_period_saves_the_grant() {
    let (provider, house) = scene(Duration::from_secs(600));
    let rounds = 10;
    let mut in_the_window = 0;
    for round in 0..rounds {
        let mut daemon = house.serve();
        let (asked, saved) =
            (provider.grants().token_requests(), house.log().matches("token refreshed").count());
        let mut refresh = waxseal();
        refresh.args(["account", "refresh", "support", "--config"]).arg(house.config());
        let mut refresh = Running(refresh.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        // As close behind the request as polling gets, then a little later every time.
        let deadline = Instant::now() + PATIENCE;
        while provider.grants().token_requests() == asked {
            assert!(Instant::now() < deadline, "no token request");
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(3 * round));
        daemon.kill();
        refresh.wait();
        in_the_window += usize::from(house.log().matches("token refreshed").count() == saved);
        let _daemon = house.serve();
        still_authorized(&house);
    }
    println!(
        "{rounds} times kill -9 behind the token request: {in_the_window} before the rotated token was on disk; \
         with a grace period the grant was kept every time"
    );
}
