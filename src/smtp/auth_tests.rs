use super::*;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use secrecy::ExposeSecret;

/// User name and password, or the code that it ends with. Every line that is asked for is taken from `lines`.
fn run(command: &str, lines: &[&str], matters: bool) -> Result<(String, String), u16> {
    let mut lines = lines.iter();
    let mut step = match Auth::parse(command.as_bytes()) {
        Ok(auth) => Exchange::begin(auth, matters),
        Err(reply) => return Err(reply.code()),
    };
    loop {
        step = match step {
            Step::Ask(exchange, reply) => {
                assert_eq!(reply.code(), 334);
                exchange.answer(lines.next().expect("an answer is asked for").as_bytes())
            }
            Step::Done(Credentials { username, password }) => {
                assert_eq!(lines.next(), None, "asked for too little");
                return Ok((username.to_string(), password.expose_secret().to_owned()));
            }
            Step::Refused(reply) => return Err(reply.code()),
        }
    }
}

/// "printer" and "ink", in base64.
const USER: &str = "cHJpbnRlcg==";
const INK: &str = "aW5r";
/// NUL printer NUL ink.
const BOTH: &str = "AHByaW50ZXIAaW5r";

#[test]
fn every_form_that_devices_use_comes_to_the_same() {
    let cases: &[(&str, &[&str])] = &[
        ("PLAIN AHByaW50ZXIAaW5r", &[]),
        ("plain AHByaW50ZXIAaW5r ", &[]),
        ("  Plain   AHByaW50ZXIAaW5r", &[]),
        ("PLAIN", &[BOTH]),
        ("PLAIN", &["AHByaW50ZXIAaW5r  "]),
        ("PLAIN =", &[BOTH]),
        ("LOGIN", &[USER, INK]),
        ("login", &[USER, INK]),
        ("LOGIN", &["cHJpbnRlcg", "aW5r "]),
        ("LOGIN cHJpbnRlcg==", &[INK]),
        ("LOGIN cHJpbnRlcg", &[INK]),
        ("LOGIN =", &[USER, INK]),
        // printer NUL printer NUL ink: with an authorization identity.
        ("PLAIN cHJpbnRlcgBwcmludGVyAGluaw==", &[]),
        ("PLAIN cHJpbnRlcgBwcmludGVyAGluaw", &[]),
        // printer NUL ink: the first NUL is missing.
        ("PLAIN cHJpbnRlcgBpbms=", &[]),
        // NUL printer NUL ink NUL, and without the first one.
        ("PLAIN AHByaW50ZXIAaW5rAA==", &[]),
        ("PLAIN cHJpbnRlcgBpbmsA", &[]),
    ];
    for (command, lines) in cases {
        let got = run(command, lines, true);
        assert_eq!(got, Ok(("printer".to_owned(), "ink".to_owned())), "{command} {lines:?}");
    }
}

#[test]
fn what_is_no_login() {
    let cases: &[(&str, &[&str], u16)] = &[
        ("", &[], 501),
        ("PLAIN a b", &[], 501),
        ("CRAM-MD5", &[], 504),
        ("NTLM TlRMTVNTUAABAAAA", &[], 504),
        ("XOAUTH2", &[], 504),
        ("PLAIN", &["*"], 501),
        ("PLAIN *", &[], 501),
        ("LOGIN", &["*"], 501),
        ("LOGIN", &[USER, " * "], 501),
        ("PLAIN !!!!", &[], 501),
        ("LOGIN", &["not base64"], 501),
        ("LOGIN", &[USER, "a"], 501),
        ("PLAIN", &[""], 501),
        ("PLAIN", &["="], 501),
        // "printer" alone; five parts.
        ("PLAIN", &[USER], 501),
        ("PLAIN AGEAYgBjAGQ=", &[], 501),
        // scanner NUL printer NUL ink: on behalf of somebody else.
        ("PLAIN c2Nhbm5lcgBwcmludGVyAGluaw==", &[], 535),
    ];
    for (command, lines, code) in cases {
        assert_eq!(run(command, lines, true), Err(*code), "{command} {lines:?}");
    }
}

#[test]
fn where_it_does_not_matter_only_a_cancelled_login_fails() {
    for (command, lines) in [
        ("PLAIN !!!!", &[][..]),
        ("PLAIN", &[""]),
        ("PLAIN", &[USER]),
        ("LOGIN", &["not base64", "nor this"]),
        ("LOGIN", &["", ""]),
        ("login", &[USER, INK]),
    ] {
        assert!(run(command, lines, false).is_ok(), "{command} {lines:?}");
    }
    assert_eq!(run("LOGIN", &["*"], false), Err(501));
    assert_eq!(run("CRAM-MD5", &[], false), Err(504));
}

#[test]
fn empty_and_foreign_letters() {
    assert_eq!(run("LOGIN", &["", ""], true), Ok((String::new(), String::new())));
    assert_eq!(run("LOGIN", &["=", "="], true), Ok((String::new(), String::new())));
    for octets in [&b"\0j\xfcrgen\0\xfc"[..], "\0jürgen\0ü".as_bytes()] {
        let line = format!("PLAIN {}", STANDARD.encode(octets));
        assert_eq!(run(&line, &[], true), Ok(("jürgen".to_owned(), "ü".to_owned())));
    }
}

#[test]
fn nothing_that_a_client_says_shows() {
    let auth = Auth::parse(b"PLAIN AHByaW50ZXIAaW5r").unwrap();
    let shown = format!("{auth:?}{:?}", Exchange::begin(auth.clone(), true));
    assert!(!shown.contains("AHByaW50") && !shown.contains("printer") && !shown.contains("ink"), "{shown}");
    let step = Exchange::begin(Auth::parse(b"LOGIN cHJpbnRlcg==").unwrap(), true);
    let shown = format!("{step:?}");
    assert!(!shown.contains("printer"), "{shown}");
}

#[test]
fn the_wait_grows_to_its_limit() {
    let waits: Vec<u64> = (1..=6).map(|failures| wait(failures).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 8, 8]);
    assert_eq!(wait(u32::MAX).as_secs(), 8);
}

proptest! {
    #![proptest_config(crate::smoke())]

    #[test]
    fn any_user_and_password_get_through_plain_and_login(user in "[^\0]{0,20}", password in "[^\0]{1,20}") {
        let plain = format!("PLAIN {}", STANDARD.encode(format!("\0{user}\0{password}")));
        prop_assert_eq!(run(&plain, &[], true), Ok((user.clone(), password.clone())));
        let login = [STANDARD.encode(&user), STANDARD.encode(&password)];
        prop_assert_eq!(run("LOGIN", &[&login[0], &login[1]], true), Ok((user, password)));
    }
}
