//! The OAuth callback of the real daemon: what is forged, comes twice, comes late, is mixed up or misshapen changes neither
//! the grant nor the access token, and costs no exchange. `iss` (RFC 9207) is not looked at: no issuer is configured, and
//! each state belongs to one account with its own token endpoint.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod oauth_script;
mod support;

use oauth_script::{Bench, callback, grants, id, redirect, willing};
use serde_json::Value;
use std::time::Duration;
use support::{
    House, Provider, browser,
    client::{message, submit},
    indented,
};
use waxseal::{
    oauth::{AuthorizeError, WAITED_FOR},
    sandbox::SandboxOptions,
};

/// Two accounts of one client, both authorized.
fn scene() -> (Provider, House) {
    let provider = Provider::start(SandboxOptions { auto_approve: true, ..SandboxOptions::default() });
    let house = House::beside(&provider);
    let accounts = ["support", "sales"].map(|id| house.oauth(&provider, id, &format!("{id}.example")));
    house.configure(&accounts.join("\n"));
    (provider, house)
}

/// What is told of an account's grant and access token.
fn grant(house: &House, account: &str) -> [Value; 5] {
    let account = house.account(account);
    ["state", "authorized_at", "rotated_at", "refreshed_at", "token_expires_at"]
        .map(|key| account[key].clone())
}

/// Where the provider sends the browser: the callback without its query, the code and the state.
fn landed(page: &str) -> (String, String, String) {
    let location = url::Url::parse(&browser::get(page).unwrap().location.unwrap()).unwrap();
    let value = |name: &str| {
        let (_, value) = location.query_pairs().find(|(key, _)| key == name).unwrap();
        value.into_owned()
    };
    let (code, state) = (value("code"), value("state"));
    let mut base = location;
    base.set_query(None);
    (base.to_string(), code, state)
}

/// Mail leaves with the token that was there before.
#[track_caller]
fn still_send(provider: &Provider, house: &House) {
    let (before, asked) = (provider.received().len(), provider.grants().token_requests());
    for account in ["support", "sales"] {
        submit(house.smtp, &format!("app@{account}.example"), &message(account)).unwrap();
    }
    provider.arrivals(before + 2);
    assert_eq!(provider.grants().token_requests(), asked);
}

#[test]
fn a_code_of_one_account_and_the_state_of_another_authorize_neither() {
    let (provider, house) = scene();
    let _daemon = house.serve();
    let accounts = ["support", "sales"];
    accounts.iter().for_each(|account| drop(house.authorize(account)));
    let before = accounts.map(|account| grant(&house, account));
    let (mut ours, mut of_ours) = house.begin("support", &[]);
    let (mut theirs, mut of_theirs) = house.begin("sales", &[]);
    let (base, code, state) = landed(&indented(&mut of_ours));
    let (_, _, other_state) = landed(&indented(&mut of_theirs));
    let asked = provider.grants().token_requests();
    let mixed = format!("{base}?code={code}&state={other_state}");
    // The verifier (RFC 7636) is another one: the server is asked, once, and refuses.
    assert_eq!(browser::get(&mixed).unwrap().status, 400);
    assert_eq!(theirs.wait().code(), Some(1));
    assert_eq!(browser::get(&mixed).unwrap().status, 400);
    assert_eq!(provider.grants().token_requests(), asked + 1);
    // The code is spent by that, so its own sign-in fails too, and says so.
    assert_eq!(browser::get(&format!("{base}?code={code}&state={state}")).unwrap().status, 400);
    assert_eq!(ours.wait().code(), Some(1));
    assert_eq!(accounts.map(|account| grant(&house, account)), before);
    still_send(&provider, &house);
}

#[test]
fn a_replay_after_a_failed_exchange_asks_nobody() {
    let (provider, house) = scene();
    let _daemon = house.serve();
    ["support", "sales"].iter().for_each(|account| drop(house.authorize(account)));
    let before = grant(&house, "support");
    for broken in [true, false] {
        let (mut command, mut lines) = house.begin("support", &[]);
        let (base, code, state) = landed(&indented(&mut lines));
        let address = format!("{base}?code={code}&state={state}");
        provider.grants().set_broken(broken);
        provider.grants().set_invalid_grant(!broken);
        let asked = provider.grants().token_requests();
        assert_eq!(browser::get(&address).unwrap().status, 400);
        assert_eq!(command.wait().code(), Some(1));
        provider.grants().set_broken(false);
        provider.grants().set_invalid_grant(false);
        assert_eq!(browser::get(&address).unwrap().status, 400);
        assert_eq!(provider.grants().token_requests(), asked + 1);
        assert_eq!(grant(&house, "support"), before);
    }
    still_send(&provider, &house);
}

#[test]
fn parameters_that_come_twice_or_without_end_are_refused_and_the_sign_in_goes_on() {
    let (provider, house) = scene();
    let _daemon = house.serve();
    ["support", "sales"].iter().for_each(|account| drop(house.authorize(account)));
    let before = grant(&house, "support");
    let (mut command, mut lines) = house.begin("support", &[]);
    let (base, code, state) = landed(&indented(&mut lines));
    let asked = provider.grants().token_requests();
    for query in [
        format!("code={code}&code=forged&state={state}"),
        format!("code=forged&code={code}&state={state}"),
        format!("code={code}&state={state}&state=forged"),
        format!("error=access_denied&error=none&state={state}"),
        format!("code={code}"),
        format!("state={state}"),
    ] {
        assert_eq!(browser::get(&format!("{base}?{query}")).unwrap().status, 400, "{query}");
    }
    // hyper reads no more than 64 KiB of an address.
    let endless = format!(
        "GET /oauth/callback?code={code}&state={state}&more={} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        "A".repeat(100_000),
        house.admin
    );
    assert_ne!(raw(&house, &endless), 200);
    assert_eq!(provider.grants().token_requests(), asked);
    assert_eq!(grant(&house, "support"), before);
    // None of it used the state up.
    assert_eq!(browser::get(&format!("{base}?code={code}&state={state}")).unwrap().status, 200);
    assert!(command.wait().success());
    assert_eq!(provider.grants().token_requests(), asked + 1);
}

#[test]
fn a_command_that_goes_away_takes_its_sign_in_along() {
    let (provider, house) = scene();
    let _daemon = house.serve();
    let (mut command, mut lines) = house.begin("support", &[]);
    let (base, code, state) = landed(&indented(&mut lines));
    command.kill();
    // The daemon hears of it in a moment.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(browser::get(&format!("{base}?code={code}&state={state}")).unwrap().status, 400);
    assert_eq!(provider.grants().token_requests(), 0);
    assert_eq!(house.account("support")["state"], "needs_authorization");
}

/// Lets time go by, and the clock run on: a database is waited for in real time.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_callback_a_quarter_of_an_hour_late_asks_nobody() {
    if std::env::var_os("WAXSEAL_TEST_POSTGRES").is_some() {
        // A consent ends by the database's clock there: `tests/shared_store.rs` waits for that.
        return;
    }
    let bench = Bench::new(None, [grants("a1", Some("r1")), grants("a2", Some("r2"))]).await;
    let begun = bench.tokens.begin(&id(), &redirect(), WAITED_FOR).await.unwrap();
    pass(WAITED_FOR - Duration::from_secs(1)).await;
    bench.tokens.finish(callback(&begun.state, "c1"), willing()).await.unwrap();
    let begun = bench.tokens.begin(&id(), &redirect(), WAITED_FOR).await.unwrap();
    pass(WAITED_FOR).await;
    let late = bench.tokens.finish(callback(&begun.state, "c2"), willing()).await;
    assert!(matches!(late, Err(AuthorizeError::UnknownState)));
    assert_eq!(bench.provider.requests().len(), 1);
    assert_eq!(bench.got().await, "a1");
}

/// Sends a request as it is and gives the status.
fn raw(house: &House, request: &str) -> u16 {
    let mut stream = std::net::TcpStream::connect(house.admin).unwrap();
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
    String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

#[test]
fn a_callback_that_is_forged_replayed_or_misshapen_changes_nothing() {
    let provider = Provider::start(SandboxOptions { auto_approve: true, ..SandboxOptions::default() });
    let house = House::beside(&provider);
    house.configure(&house.oauth(&provider, "support", "example.com"));
    let _daemon = house.serve();

    // A good one, of which a stranger has seen the address.
    let (mut command, mut lines) = house.begin("support", &[]);
    let good = browser::get(&indented(&mut lines)).unwrap().location.unwrap();
    let (base, query) = good.split_once('?').unwrap();
    let state = query.split('&').find(|pair| pair.starts_with("state=")).unwrap();
    let code = query.split('&').find(|pair| pair.starts_with("code=")).unwrap();
    // A name that was made to resolve to loopback gets nothing, and the state is still good then.
    let rebound =
        format!("GET /oauth/callback?{query} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert_eq!(raw(&house, &rebound), 421);
    let host = house.admin;
    let posted = format!(
        "POST /oauth/callback?{query} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(raw(&house, &posted), 405);
    // Two browsers come with it at once: one code, one exchange.
    let asked = provider.grants().token_requests();
    let both = std::thread::scope(|scope| {
        let come = || scope.spawn(|| browser::get(&good).unwrap().status);
        let both = [come(), come()];
        let mut both = both.map(|one| one.join().unwrap());
        both.sort_unstable();
        both
    });
    assert_eq!(both, [200, 400]);
    assert!(command.wait().success());
    assert_eq!(provider.grants().token_requests(), asked + 1);

    let before = house.account("support");
    let forged = [
        query.to_owned(),
        format!("{code}&state=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        format!("{code}&state="),
        format!("state=forged&{code}&{state}"),
        state.to_owned(),
        code.to_owned(),
        String::new(),
        format!("error=access_denied&{state}"),
        "error=access_denied&error_description=%3Cscript%3E&state=forged".to_owned(),
        format!("{code}&state={}", "A".repeat(20_000)),
        "%ff%00=%&&&=".to_owned(),
    ];
    for query in &forged {
        let page = browser::get(&format!("{base}?{query}")).unwrap();
        assert_eq!(page.status, 400, "{query}");
        assert!(!page.body.contains("<script>"), "{}", page.body);
    }
    // A refusal ends the sign-in that it is of, and no other one.
    let (mut declined, mut lines) = house.begin("support", &[]);
    let url = indented(&mut lines);
    let denied = url::Url::parse(&url).unwrap();
    let state = denied.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    assert_eq!(browser::get(&format!("{base}?error=access_denied&state={state}")).unwrap().status, 400);
    assert_eq!(declined.wait().code(), Some(1));
    let late = browser::get(&url).unwrap().location.unwrap();
    assert_eq!(browser::get(&late).unwrap().status, 400);

    let after = house.account("support");
    for key in ["state", "authorized_at", "refreshed_at", "token_expires_at"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    assert_eq!(provider.grants().token_requests(), asked + 1);
    // Nor does the used one bring back what was forgotten.
    house.cli(&["account", "forget", "support"]).ok();
    assert_eq!(browser::get(&good).unwrap().status, 400);
    assert_eq!(house.account("support")["state"], "needs_authorization");
}
