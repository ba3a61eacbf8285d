//! Who carries an alert, and what it looks like.

use super::*;
use crate::{
    account::{Account, ApplicationId, Login, PasswordMechanism, samples::account},
    alert::notice::{Event, Key, Phase},
    mail::Content,
};
use std::time::{Duration, UNIX_EPOCH};

fn named(username: &str) -> Account {
    let login = Login::Password {
        username: username.to_owned(),
        password: "hunter2".into(),
        mechanism: PasswordMechanism::Auto,
    };
    Account { login, ..account("a", &[]) }
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

#[test]
fn the_account_of_the_recipients_domain_carries_it_then_a_default_then_any() {
    let accounts = [
        account("any", &["other.example"]),
        Account { default: true, ..account("default", &[]) },
        account("own", &["*.example.com"]),
        Account { application: Some(ApplicationId::new("app")), ..account("apps-own", &["ops.example.com"]) },
        Account { active: false, ..account("asleep", &["ops.example.com"]) },
    ];
    let to = mailbox("oncall@ops.example.com");
    let cases: [(&[&str], Option<&str>, Option<&str>); 7] = [
        (&[], None, Some("own")),
        (&["own"], None, Some("apps-own")),
        (&["own", "apps-own"], None, Some("default")),
        (&["own", "apps-own", "default"], None, Some("any")),
        (&["own", "apps-own", "default", "any"], None, None),
        (&[], Some("own"), Some("apps-own")),
        (&["apps-own", "default", "any"], Some("own"), None),
    ];
    for (down, about, wanted) in cases {
        let about = about.map(AccountId::new);
        let found = carrier(&accounts, |id| !down.contains(&id.as_str()), about.as_ref(), &to);
        assert_eq!(found.map(|account| account.id.as_str()), wanted, "{down:?} {about:?}");
    }
}

#[test]
fn it_comes_from_the_accounts_own_address_where_it_has_one() {
    let cases = [
        (named("relay@example.com"), "relay.example.com", "relay@example.com"),
        (named("AKIA42"), "relay.example.com", "postmaster@relay.example.com"),
        (named("jürgen@example.com"), "relay.example.com", "postmaster@relay.example.com"),
        (account("a", &[]), "bücher.example", "postmaster@xn--bcher-kva.example"),
        (account("a", &[]), "no host", "postmaster@localhost"),
    ];
    for (account, hostname, wanted) in cases {
        assert_eq!(from(&account, hostname), Some(mailbox(wanted)));
    }
}

#[test]
fn it_reads_as_a_message_that_no_person_wrote() {
    let notice = Notice {
        key: Key::of(Event::Failing, &AccountId::new("support")),
        phase: Phase::Begins,
        since: 1_763_940_188_000,
        at: 1_763_940_488_000,
        explanation: "The account support cannot send: 535 5.7.3 \u{201c}no\u{201d}.".into(),
        remedy: "Correct `password`.".into(),
    };
    let at = UNIX_EPOCH + Duration::from_secs(1_763_940_488);
    let (from, to) = (mailbox("relay@example.com"), mailbox("ops@example.com"));
    let text = compose(&notice, &from, &to, "relay.example.com", QueueId::from_number(7), at);
    let wanted = "Date: Sun, 23 Nov 2025 23:28:08 +0000\r\n\
        Message-ID: <0000000000007@relay.example.com>\r\n\
        From: waxseal <relay@example.com>\r\n\
        To: <ops@example.com>\r\n\
        Subject: [waxseal relay.example.com] account support cannot send\r\n\
        Auto-Submitted: auto-generated\r\n\
        MIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\
        \r\n\
        The account support cannot send: 535 5.7.3 =E2=80=9Cno=E2=80=9D.\r\n\
        \r\n\
        What to do: Correct `password`.\r\n\
        Since:      2025-11-23T23:23:08Z\r\n\
        Found:      2025-11-23T23:28:08Z\r\n\
        Host:       relay.example.com\r\n\
        Account:    support\r\n\
        Event:      account_failing, begins\r\n\
        \r\n\
        waxseal writes this because `mail_to` in its [alert] section names you.\r\n";
    assert_eq!(text, wanted);
    assert!(Content::new(text.into()).is_ok());
}

#[test]
fn quoted_printable_is_ascii_in_short_lines() {
    let cases = [
        ("", String::new()),
        ("a=b", "a=3Db\r\n".into()),
        ("tab\there", "tab=09here\r\n".into()),
        ("no blanks at ends  \nhere", "no blanks at ends\r\nhere\r\n".into()),
        (&"x".repeat(76), format!("{}\r\n", "x".repeat(76))),
        (&"x".repeat(77), format!("{}=\r\nxx\r\n", "x".repeat(75))),
        (&"\u{fc}".repeat(13), format!("{}=C3=\r\n=BC\r\n", "=C3=BC".repeat(12))),
        ("bare\rcr", "bare=0Dcr\r\n".into()),
    ];
    for (text, wanted) in cases {
        let got = quoted_printable(text);
        assert_eq!(got, wanted);
        assert!(got.is_ascii() && got.lines().all(|line| line.len() <= 76));
        assert!(Content::new(got.into()).is_ok());
    }
}
