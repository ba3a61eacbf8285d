//! Canary secrets through the whole path at trace level: none of them in a log, an output or a file in the clear,
//! nor in base64.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

#[path = "support/spy.rs"]
mod spy;
mod support;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use rustix::process::Signal;
use spy::Spy;
use std::{
    fs,
    path::{Path, PathBuf},
};
use support::{
    House, Provider, Ran,
    client::{Client, message, submit},
    keys::Keys,
};
use waxseal::sandbox::{Fault, Point, SandboxOptions};

const PASSWORD: &str = "canary-of-the-password-Xw7";
const WRONG_PASSWORD: &str = "canary-of-a-wrong-password-Yb3";
const CLIENT_SECRET: &str = "canary-of-the-client-secret-Zq9";
const WRONG_SECRET: &str = "canary-of-a-wrong-client-secret-Kp2";
const DEAD_GRANT: &str = "canary-of-a-dead-refresh-token-Jt5";
const LOCAL_PASSWORD: &str = "canary-of-a-local-password-Rd4";
const WRONG_LOCAL_PASSWORD: &str = "canary-of-a-wrong-local-password-Ts6";
const ASTRAY: &str = "canary-typed-as-the-user-name-Uv1";
const BODY: &str = "canary-in-the-body-Lm4";
const SUBJECT: &str = "canary-in-the-subject-Vn8";

/// What the listener has besides its address.
const AUTHENTICATION: &str = "authentication = \"optional\"\n";

/// Where a secret shows, in whatever form: as it is, or within base64 of something that contains it.
struct Canary {
    name: String,
    forms: Vec<Vec<u8>>,
}

impl Canary {
    fn new(name: &str, secret: &[u8]) -> Self {
        let mut forms = vec![secret.to_vec()];
        for shift in 0..3 {
            // Whole groups of three octets that the secret covers, whatever stands before and behind it.
            let text = STANDARD_NO_PAD.encode([vec![0; shift], secret.to_vec()].concat());
            let (first, last) = (shift.div_ceil(3) * 4, (shift + secret.len()) / 3 * 4);
            let inner = text[first..last].to_owned();
            forms.push(inner.replace('+', "-").replace('/', "_").into_bytes());
            forms.push(inner.into_bytes());
        }
        Self { name: name.to_owned(), forms }
    }

    fn is_in(&self, octets: &[u8]) -> bool {
        self.forms.iter().any(|form| octets.windows(form.len()).any(|window| window == form))
    }
}

/// Everything that somebody may come to read, by where it is read.
#[derive(Default)]
struct Shown(Vec<(String, Vec<u8>)>);

impl Shown {
    fn command(&mut self, house: &House, arguments: &[&str]) -> Ran {
        let ran = house.cli(arguments);
        let text = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!text.is_empty(), "{arguments:?} says nothing");
        self.0.push((arguments.join(" "), text.into_bytes()));
        ran
    }

    fn leaks(&self, canaries: &[Canary]) -> Vec<String> {
        let of = |(place, octets): &(String, Vec<u8>)| -> Vec<String> {
            canaries.iter().filter(|c| c.is_in(octets)).map(|c| format!("{} in {place}", c.name)).collect()
        };
        self.0.iter().flat_map(of).collect()
    }
}

fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => files_below(&entry.path(), found),
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
}

fn configuration(house: &House, provider: &Provider, spy: &Spy, first_grants: [&str; 2]) -> String {
    let [first_grant, other_grant] = first_grants;
    let basic = |id: &str| house.basic(provider, id, &format!("{id}.example"));
    let oauth = |id: &str| {
        let account = house.oauth(provider, id, &format!("{id}.example"));
        account.replace(&provider.token_endpoint(), &format!("http://{}/token", spy.address))
    };
    [
        basic("plain") + "mechanism = \"plain\"\n",
        basic("login") + "mechanism = \"login\"\n",
        basic("digest") + "mechanism = \"cram-md5\"\n",
        basic("wrong").replace(PASSWORD, WRONG_PASSWORD),
        oauth("person"),
        oauth("moved") + &format!("refresh_token = \"{first_grant}\"\n"),
        oauth("bearer") + &format!("mechanism = \"oauthbearer\"\nrefresh_token = \"{other_grant}\"\n"),
        oauth("unattended") + "grant = \"client_credentials\"\n",
        oauth("phone")
            .replace(&format!("authorization_endpoint = \"{}\"\n", provider.authorization_endpoint()), "")
            + &format!(
                "grant = \"device_code\"\ndevice_authorization_endpoint = \"http://{}/device\"\n",
                spy.address
            ),
        oauth("certified").replace(
            &format!("client_secret = \"{CLIENT_SECRET}\"\n"),
            "client_certificate = \"app.pem\"\nclient_key = \"app.pem\"\n",
        ) + "grant = \"client_credentials\"\n",
        format!(
            "[account.robot]\ntype = \"google\"\ndomain = \"robot.example\"\nusername = \"{}\"\n\
             grant = \"service_account\"\nservice_account_file = \"robot.json\"\ntoken_endpoint = \"http://{}/token\"\n{}",
            provider.options().username,
            spy.address,
            house.server(provider)
        ),
        oauth("dead") + &format!("refresh_token = \"{DEAD_GRANT}\"\n"),
        oauth("stranger").replace(CLIENT_SECRET, WRONG_SECRET)
            + &format!("refresh_token = \"{first_grant}\"\n"),
        format!("[user.printer]\npassword = \"{LOCAL_PASSWORD}\"\n"),
    ]
    .join("\n")
}

/// Logins at the listener in all their forms: right ones, wrong ones, and what was typed in the wrong place.
fn log_in(house: &House) {
    let code = |text: &str| STANDARD_NO_PAD.encode(text);
    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    let mut say = |line: String, wanted: &str| {
        let reply = client.command(&line).unwrap();
        assert!(reply.starts_with(wanted), "{reply}");
    };
    say(format!("AUTH PLAIN {}", code(&format!("\0printer\0{WRONG_LOCAL_PASSWORD}"))), "535 ");
    say("AUTH LOGIN".into(), "334");
    say(code(ASTRAY), "334");
    say(code(LOCAL_PASSWORD), "535 ");
    say(format!("AUTH PLAIN {LOCAL_PASSWORD}!"), "501 ");
    say(format!("AUTH NTLM {}", code(LOCAL_PASSWORD)), "504 ");
    say(format!("AUTH PLAIN {} {}", code(LOCAL_PASSWORD), code(LOCAL_PASSWORD)), "501 ");
    say("AUTH PLAIN".into(), "334");
    say(code(&format!("\0printer\0{LOCAL_PASSWORD}")), "235 ");
}

#[test]
fn a_canary_is_found_as_it_is_and_in_any_base64() {
    let canary = Canary::new("x", PASSWORD.as_bytes());
    for before in ["", "u", "user", "user=a\x01auth=Bearer "] {
        let text = format!("{before}{PASSWORD}\x01\x01");
        assert!(canary.is_in(text.as_bytes()));
        let coded = STANDARD_NO_PAD.encode(&text);
        assert!(canary.is_in(format!("C: AUTH XOAUTH2 {coded}").as_bytes()), "{before:?}");
    }
    assert!(!canary.is_in(b"password-Xw canary-of"));
}

#[test]
fn no_secret_is_shown_anywhere_at_trace_level() {
    let keys = Keys::new();
    let provider = Provider::start(SandboxOptions {
        assertion_key: Some(keys.public.clone()),
        password: PASSWORD.into(),
        client_secret: Some(CLIENT_SECRET.into()),
        rotate: true,
        auto_approve: true,
        mechanisms: vec!["XOAUTH2", "OAUTHBEARER", "PLAIN", "LOGIN", "CRAM-MD5"],
        ..Default::default()
    });
    let token_endpoint = url::Url::parse(&provider.token_endpoint()).unwrap();
    let spy = Spy::before(token_endpoint.socket_addrs(|| None).unwrap()[0]);
    let house = House::beside(&provider);
    keys.write_pair(&house.path("app.pem"));
    keys.write_service_account(&house.path("robot.json"));
    let first_grant = provider.grants().issue_refresh_token();
    let other_grant = provider.grants().issue_refresh_token();
    let rest = configuration(&house, &provider, &spy, [&first_grant, &other_grant]);
    house.configure_with("trace", AUTHENTICATION, &rest);
    let mut shown = Shown::default();
    // The Message-ID is shown, by `trace`; the subject nowhere.
    let content = String::from_utf8(message("named")).unwrap() + BODY + "\r\n";
    let content = content.replace("Subject: named", &format!("Subject: {SUBJECT}"));
    let mail = |account: &str| {
        submit(house.smtp, &format!("app@{account}.example"), content.as_bytes()).unwrap();
    };

    let mut daemon = house.serve();
    for account in [
        "plain",
        "login",
        "digest",
        "wrong",
        "moved",
        "bearer",
        "unattended",
        "certified",
        "robot",
        "phone",
        "dead",
        "stranger",
        "person",
    ] {
        mail(account);
    }
    log_in(&house);
    // The page's address is for the person alone; what comes after it is checked with the rest.
    let printed = house.authorize("person");
    let consent = printed.lines().find(|line| line.trim().starts_with("http")).unwrap().to_owned();
    shown.0.push(("account authorize".into(), printed.replace(&consent, "").into_bytes()));
    // As the code is, with its page.
    let printed = house.cli(&["account", "authorize", "phone"]).ok();
    let after = printed.split_once("waiting for you").unwrap().1.to_owned();
    shown.0.push(("account authorize, by device".into(), after.into_bytes()));
    provider.arrivals(10);
    shown.command(&house, &["account", "refresh", "person"]).ok();
    assert_ne!(shown.command(&house, &["account", "refresh", "dead"]).code, 0);
    assert_ne!(shown.command(&house, &["account", "refresh", "stranger"]).code, 0);
    // XOAUTH2 is refused; a new token is fetched.
    provider.grants().revoke_access_tokens();
    provider.faults().once(Point::Mail, Fault::ReplyAndDrop("421 4.3.2 bye".into()));
    mail("person");
    provider.arrivals(11);
    provider.grants().set_broken(true);
    assert_ne!(shown.command(&house, &["account", "refresh", "person"]).code, 0);
    provider.grants().set_broken(false);
    provider.grants().set_invalid_grant(true);
    assert_ne!(shown.command(&house, &["account", "refresh", "moved"]).code, 0);
    for command in [
        &["account", "list"][..],
        &["account", "list", "--json"],
        &["account", "show", "person"],
        &["account", "show", "plain", "--json"],
        &["account", "test", "plain"],
        &["account", "test", "wrong"],
        &["account", "authorize", "plain"],
        &["status"],
        &["status", "--json"],
        &["queue", "list"],
        &["queue", "list", "--json"],
        &["trace", "*@person.example"],
        &["trace", "*@plain.example", "--json"],
        &["check"],
        &["check", "--json"],
        &["route", "app@person.example"],
        &["route", "app@person.example", "--json"],
        &["reload"],
    ] {
        shown.command(&house, command);
    }
    // A mistake beside a secret is shown without it.
    house.configure_with("trace", AUTHENTICATION, &rest.replace("password =", "pasword ="));
    assert_eq!(shown.command(&house, &["reload"]).code, 78);
    assert_eq!(shown.command(&house, &["check"]).code, 78);
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());

    // What was collected shows the path; without it, an absence would mean nothing.
    let log = house.log();
    for mark in [
        "TRACE",
        "received",
        "delivered",
        "AUTH PLAIN",
        "AUTH LOGIN",
        "AUTH CRAM-MD5",
        "AUTH XOAUTH2",
        "AUTH OAUTHBEARER",
        "535",
        "invalid_grant",
        "refused the access token",
        "token refreshed",
        "account authorized",
        "login failed",
        "logged in",
    ] {
        assert!(log.contains(mark), "{mark} is not in the log:\n{log}");
    }
    shown.0.push(("the daemon's log".into(), log.into_bytes()));
    shown.0.push(("the daemon's standard output".into(), fs::read(house.path("daemon.out")).unwrap()));

    let tokens = spy.values(&["access_token", "refresh_token"]);
    assert!(
        tokens.len() >= 10 && tokens.contains(&first_grant) && tokens.contains(&other_grant),
        "{}",
        tokens.len()
    );
    let exchange = spy.values(&["code", "code_verifier", "device_code", "user_code"]);
    assert!(exchange.len() >= 4, "{exchange:?}");
    let assertions = spy.values(&["assertion", "client_assertion"]);
    assert!(assertions.len() >= 2, "{assertions:?}");
    let mut secrets: Vec<_> = [
        PASSWORD,
        WRONG_PASSWORD,
        CLIENT_SECRET,
        WRONG_SECRET,
        DEAD_GRANT,
        LOCAL_PASSWORD,
        WRONG_LOCAL_PASSWORD,
        ASTRAY,
    ]
    .iter()
    .map(|secret| Canary::new(secret, secret.as_bytes()))
    .collect();
    secrets.extend(tokens.iter().map(|token| Canary::new(&format!("token {token}"), token.as_bytes())));
    secrets.extend(
        exchange.iter().map(|code| Canary::new(&format!("code or verifier {code}"), code.as_bytes())),
    );
    secrets.extend(assertions.iter().map(|assertion| Canary::new("an assertion", assertion.as_bytes())));
    let line = keys.key.lines().nth(1).unwrap();
    secrets.push(Canary::new("a private key", line.as_bytes()));
    let state = url::Url::parse(consent.trim()).unwrap();
    let state = state.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    secrets.push(Canary::new("the state of the consent", state.as_bytes()));
    let key = fs::read(house.state().join("store.key")).unwrap();
    secrets.push(Canary::new("the store's key", key.trim_ascii()));

    // Content is in the queue's files by its nature; secrets are in none but the key's own.
    let mut files = Vec::new();
    files_below(&house.state(), &mut files);
    assert!(files.len() > 4, "{files:?}");
    let mut on_disk = Shown::default();
    for file in files.into_iter().filter(|file| !file.ends_with("store.key")) {
        on_disk.0.push((file.display().to_string(), fs::read(file).unwrap()));
    }
    assert!(
        Shown(on_disk.0.clone()).leaks(&[Canary::new(BODY, BODY.as_bytes())]).len() == 1,
        "the held mail is there"
    );
    let subject = on_disk.leaks(&[Canary::new(SUBJECT, SUBJECT.as_bytes())]);
    assert!(!subject.is_empty() && subject.iter().all(|place| place.contains("/queue/")), "{subject:?}");
    let mut leaks = on_disk.leaks(&secrets);

    let (places, count) = (shown.0.len(), secrets.len());
    secrets.extend([BODY, SUBJECT].map(|text| Canary::new(text, text.as_bytes())));
    leaks.extend(shown.leaks(&secrets));
    assert!(leaks.is_empty(), "{leaks:#?}");
    let octets: usize = shown.0.iter().map(|(_, octets)| octets.len()).sum();
    println!(
        "{count} secrets ({} tokens), none in {places} outputs of {octets} octets or {} files",
        tokens.len(),
        on_disk.0.len()
    );
}
