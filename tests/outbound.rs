//! The outbound side against the sandbox provider: every security mode and mechanism, octet for octet, reply by
//! reply, fault by fault.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // clippy.toml covers #[test] functions alone

#[allow(clippy::duplicate_mod, reason = "some test binaries have `support`, too")]
#[path = "support/events.rs"]
mod events;
mod smarthost;

use smarthost::*;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use waxseal::{
    account::{AccountType, Login, PasswordMechanism, SenderPolicy, TokenMechanism, token::NoToken},
    mail::{BodyType, ContentSource, Dsn, DsnRecipient, DsnRequest, Mailbox, ReversePath},
    outbound::{Disposition, LaneEffect, Outcome, Stage, Trouble},
    sandbox::{Fault, Point, SandboxOptions, SandboxProvider, SandboxSecurity},
};

fn reply(line: &str) -> Fault {
    Fault::Reply(line.to_owned())
}

fn delivered(outcome: &Outcome) -> bool {
    outcome.lane == LaneEffect::None
        && !outcome.dispositions.is_empty()
        && outcome.dispositions.iter().all(|d| matches!(d, Disposition::Delivered(_)))
}

fn trouble(outcome: Outcome) -> Trouble {
    outcome.trouble.unwrap()
}

#[tokio::test]
async fn every_security_mode_delivers() {
    for (security, tls) in [
        (SandboxSecurity::StartTls, "TLSv1.3"),
        (SandboxSecurity::Tls, "TLSv1.3"),
        (SandboxSecurity::None, "none"),
    ] {
        let bench = Bench::start(SandboxOptions { security, ..SandboxOptions::default() }).await;
        let outcome = bench.upstream().deliver(&message(b"Subject: x\r\n\r\nhello\r\n")).await;
        assert!(delivered(&outcome), "{security:?}: {outcome:?}");
        assert!(outcome.tls.starts_with(tls), "{}", outcome.tls);
        assert_eq!(outcome.relay, bench.sandbox.smtp_address().to_string());
        let received = bench.sandbox.wait_for(1).await;
        assert_eq!(received[0].octets, b"Subject: x\r\n\r\nhello\r\n");
        assert_eq!((received[0].from.as_str(), received[0].tls.as_str()), ("support@example.com", tls));
    }
}

#[tokio::test]
async fn every_mechanism_delivers_in_every_security_mode() {
    let all = || vec!["OAUTHBEARER", "CRAM-MD5", "LOGIN", "XOAUTH2", "PLAIN"];
    let password = [
        (all(), PasswordMechanism::Auto, "PLAIN"),
        (vec!["CRAM-MD5", "LOGIN"], PasswordMechanism::Auto, "LOGIN"),
        (vec!["OAUTHBEARER", "CRAM-MD5"], PasswordMechanism::Auto, "CRAM-MD5"),
        (all(), PasswordMechanism::Plain, "PLAIN"),
        (all(), PasswordMechanism::Login, "LOGIN"),
        (all(), PasswordMechanism::CramMd5, "CRAM-MD5"),
    ];
    let token = [
        (all(), TokenMechanism::Auto, "XOAUTH2"),
        (vec!["PLAIN", "OAUTHBEARER"], TokenMechanism::Auto, "OAUTHBEARER"),
        (all(), TokenMechanism::XOAuth2, "XOAUTH2"),
        (all(), TokenMechanism::OAuthBearer, "OAUTHBEARER"),
    ];
    for security in [SandboxSecurity::StartTls, SandboxSecurity::Tls, SandboxSecurity::None] {
        for (mechanisms, configured, used) in password.clone() {
            let mut bench = Bench::start(SandboxOptions { security, mechanisms, ..Default::default() }).await;
            let Login::Password { mechanism, .. } = &mut bench.account.login else { panic!() };
            *mechanism = configured;
            assert!(delivered(&bench.upstream().deliver(&message(b"x\r\n")).await), "{security:?} {used}");
            assert_eq!(bench.sandbox.received()[0].mechanism.as_deref(), Some(used));
        }
        for (mechanisms, configured, used) in token.clone() {
            let bench = Bench::start(SandboxOptions { security, mechanisms, ..Default::default() }).await;
            let bench = bench.with_oauth_by(configured);
            let token = bench.sandbox.grants().issue_access_token(Duration::from_secs(60));
            let upstream = bench.upstream_with(Tokens::list(&[&token]));
            assert!(delivered(&upstream.deliver(&message(b"x\r\n")).await), "{security:?} {used}");
            assert_eq!(bench.sandbox.received()[0].mechanism.as_deref(), Some(used));
        }
    }
}

#[tokio::test]
async fn a_configured_mechanism_is_not_followed_by_another_one() {
    let options = || SandboxOptions { mechanisms: vec!["PLAIN", "XOAUTH2"], ..Default::default() };
    let mut bench = Bench::start(options()).await;
    let Login::Password { mechanism, .. } = &mut bench.account.login else { panic!() };
    *mechanism = PasswordMechanism::CramMd5;
    let (lane, found) = bench.upstream().probe().await.unwrap_err();
    assert_eq!(lane, LaneEffect::Pause);
    assert_eq!(found.explanation, "the server does not offer AUTH CRAM-MD5; it offers PLAIN, XOAUTH2");

    let bench = Bench::start(options()).await.with_oauth_by(TokenMechanism::OAuthBearer);
    let (lane, found) = bench.upstream_with(Tokens::list(&["t"])).probe().await.unwrap_err();
    assert_eq!(lane, LaneEffect::Pause);
    assert_eq!(found.explanation, "the server does not offer OAUTHBEARER; it offers PLAIN, XOAUTH2");
}

#[tokio::test]
async fn a_challenge_that_is_none_pauses_the_account() {
    let options = SandboxOptions { mechanisms: vec!["CRAM-MD5"], ..Default::default() };
    let bench = Bench::start(options).await;
    bench.sandbox.faults().always(Point::Challenge, reply("334 ?"));
    let outcome = bench.upstream().deliver(&message(b"x\r\n")).await;
    assert!(outcome.dispositions.is_empty(), "{outcome:?}");
}

#[tokio::test]
async fn mail_leaves_without_auth_where_none_is_configured() {
    let options = SandboxOptions { mechanisms: vec![], ..SandboxOptions::default() };
    let mut bench = Bench::start(options).await;
    bench.account.login = Login::None;
    assert!(delivered(&bench.upstream().deliver(&message(b"x\r\n")).await));
    assert_eq!(bench.sandbox.received()[0].user, None);
}

#[tokio::test]
async fn an_oauth_account_logs_in_with_xoauth2_alone() {
    let bench = Bench::ordinary().await.with_oauth(AccountType::Google);
    let token = bench.sandbox.grants().issue_access_token(Duration::from_secs(60));
    let tokens = Tokens::list(&[&token]);
    assert!(delivered(&bench.upstream_with(tokens.clone()).deliver(&message(b"x\r\n")).await));
    assert_eq!(bench.sandbox.received()[0].mechanism.as_deref(), Some("XOAUTH2"));
    assert_eq!(tokens.refusals(), 0);

    let options = SandboxOptions { mechanisms: vec!["PLAIN", "LOGIN"], ..SandboxOptions::default() };
    let bench = Bench::start(options).await.with_oauth(AccountType::Google);
    let outcome = bench.upstream_with(Tokens::list(&["t"])).deliver(&message(b"x\r\n")).await;
    assert_eq!((outcome.dispositions.len(), &outcome.lane), (0, &LaneEffect::Pause));
    let trouble = trouble(outcome);
    assert_eq!(
        trouble.explanation,
        "the server does not offer XOAUTH2 or OAUTHBEARER; it offers PLAIN, LOGIN"
    );
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_and_the_reason_is_kept() {
    for mechanism in [TokenMechanism::XOAuth2, TokenMechanism::OAuthBearer] {
        let mechanisms = vec!["XOAUTH2", "OAUTHBEARER"];
        let bench = Bench::start(SandboxOptions { mechanisms, ..Default::default() }).await;
        is_replaced_once(&bench.with_oauth_by(mechanism)).await;
    }
}

async fn is_replaced_once(bench: &Bench) {
    let good = bench.sandbox.grants().issue_access_token(Duration::from_secs(60));
    let tokens = Tokens::list(&["stale", &good]);
    assert!(delivered(&bench.upstream_with(tokens.clone()).deliver(&message(b"x\r\n")).await));
    assert_eq!(tokens.refusals(), 1);

    let tokens = Tokens::list(&["bad", "worse", &good]);
    let outcome = bench.upstream_with(tokens.clone()).deliver(&message(b"x\r\n")).await;
    assert_eq!((outcome.dispositions.len(), &outcome.lane), (0, &LaneEffect::Pause));
    assert_eq!(tokens.refusals(), 2);
    let trouble = trouble(outcome);
    assert_eq!(trouble.reply.unwrap().code(), 535);
    assert!(trouble.explanation.contains("status 401"), "{}", trouble.explanation);
    assert!(trouble.explanation.contains("https://sandbox.example/smtp"));
    assert!(!trouble.remedy.is_empty());
}

#[tokio::test]
async fn a_token_that_a_policy_refuses_stays_good() {
    let bench = Bench::ordinary().await.with_oauth(AccountType::Microsoft);
    let token = bench.sandbox.grants().issue_access_token(Duration::from_secs(60));
    let disabled = "535 5.7.139 SmtpClientAuthentication is disabled for the Tenant";
    bench.sandbox.faults().always(Point::Auth, reply(disabled));
    let tokens = Tokens::list(&[&token, "another"]);
    let outcome = bench.upstream_with(tokens.clone()).deliver(&message(b"x\r\n")).await;
    assert_eq!((outcome.lane.clone(), tokens.refusals()), (LaneEffect::Pause, 0));
    assert!(trouble(outcome).remedy.contains("Set-CASMailbox"));
    assert_eq!(bench.sandbox.connections(), 1);
}

#[tokio::test]
async fn a_token_of_several_kilobytes_is_no_trouble() {
    let bench = Bench::ordinary().await.with_oauth(AccountType::Microsoft);
    let outcome = bench.upstream_with(Tokens::list(&[&"t".repeat(6000)])).deliver(&message(b"x\r\n")).await;
    assert_eq!(trouble(outcome).reply.unwrap().code(), 535);
}

#[tokio::test]
async fn a_missing_token_holds_the_lane_without_a_connection() {
    let account = "support".to_owned();
    for none in [
        NoToken::Unauthorized { account: account.clone() },
        NoToken::Rejected { account: account.clone(), reason: "invalid_grant".to_owned() },
        NoToken::Misconfigured { account, reason: "AADSTS7000222".to_owned() },
        NoToken::Unavailable { reason: "500".to_owned(), retry_after: Duration::from_secs(9) },
    ] {
        let bench = Bench::ordinary().await.with_oauth(AccountType::OAuth2);
        let tokens = Arc::new(Tokens { none: Some(none), ..Tokens::default() });
        let outcome = bench.upstream_with(tokens).deliver(&message(b"x\r\n")).await;
        assert_eq!((outcome.dispositions.len(), &outcome.lane), (0, &LaneEffect::Pause));
        assert!(!trouble(outcome).remedy.is_empty());
        assert_eq!(bench.sandbox.connections(), 0);
    }
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let mut bench = Bench::ordinary().await;
    bench.account.login = Login::Password {
        username: "support@example.com".to_owned(),
        password: "canary".to_owned().into(),
        mechanism: PasswordMechanism::Auto,
    };
    let upstream = bench.upstream();
    let (lane, trouble) = upstream.probe().await.unwrap_err();
    assert_eq!((lane, bench.sandbox.connections()), (LaneEffect::Pause, 1));
    assert!(!format!("{trouble:?}").contains("canary"));
}

#[tokio::test]
async fn content_arrives_octet_for_octet() {
    let long = [&[b'x'; 5000][..], b"\r\n"].concat();
    let cases: &[&[u8]] = &[
        b"",
        b"\r\n",
        b".\r\n",
        b"..\r\n.\r\n...\r\n\r\n.\r\n",
        b"Subject: caf\xe9\r\n\r\n\xff\xfe\r\n",
        b"a\0b\r\n",
        b"\r\n.\r\nMAIL FROM:<evil@example.com>\r\n",
        &long,
    ];
    let bench = Bench::ordinary().await;
    let upstream = bench.upstream();
    for octets in cases {
        assert!(delivered(&upstream.deliver(&message(octets)).await), "{octets:?}");
    }
    for (received, octets) in bench.sandbox.received().iter().zip(cases) {
        assert_eq!(received.octets, *octets);
    }
    assert_eq!((bench.sandbox.received().len(), bench.sandbox.connections()), (cases.len(), 1));
}

#[tokio::test]
async fn large_content_streams_from_its_file() {
    let bench = Bench::ordinary().await;
    let octets: Vec<u8> = (0..70_000u32)
        .flat_map(|n| format!("{}line {n}\r\n", if n % 3 == 0 { "." } else { "" }).into_bytes())
        .collect();
    assert!(octets.len() > 700_000);
    let path = bench.directory.path().join("content");
    std::fs::write(&path, &octets).unwrap();
    let mut attempt = message(b"");
    attempt.content = ContentSource::File { path: path.clone(), octets: octets.len() as u64 }.into();
    let upstream = bench.upstream();
    assert!(delivered(&upstream.deliver(&attempt).await));
    assert!(bench.sandbox.received()[0].octets == octets);

    // A file cut short never gets its final dot.
    attempt.content = ContentSource::File { path, octets: octets.len() as u64 + 1 }.into();
    let outcome = upstream.deliver(&attempt).await;
    assert!(matches!(&outcome.dispositions[..], [Disposition::Deferred(t)] if !t.in_doubt), "{outcome:?}");
    assert_eq!(bench.sandbox.received().len(), 1);
}

#[tokio::test]
async fn an_account_may_put_its_own_mailbox_in_the_senders_place() {
    let mut bench = Bench::ordinary().await;
    let mailbox = Mailbox::parse("support@example.com").unwrap();
    bench.account.sender = SenderPolicy::Rewrite(mailbox);
    let upstream = bench.upstream();
    let text = b"Subject: s\r\nFrom: Printer <printer@old.example>\r\n\r\n.From: body\r\n";
    let wanted = b"Subject: s\r\nFrom: Printer <support@example.com>\r\nReply-To: Printer <printer@old.example>\r\n\r\n.From: body\r\n";
    assert!(delivered(&upstream.deliver(&message(text)).await));
    let mut report = message(text);
    report.reverse_path = ReversePath::Null;
    assert!(delivered(&upstream.deliver(&report).await));
    // Out of a file, past the first block, in more than one write.
    let large = [&text[..], &b"line\r\n".repeat(100_000)].concat();
    let path = bench.directory.path().join("content");
    std::fs::write(&path, &large).unwrap();
    let mut attempt = message(b"");
    attempt.content = ContentSource::File { path, octets: large.len() as u64 }.into();
    assert!(delivered(&upstream.deliver(&attempt).await));

    let received = bench.sandbox.received();
    let senders: Vec<_> = received.iter().map(|received| received.from.as_str()).collect();
    assert_eq!(senders, ["support@example.com", "", "support@example.com"]);
    assert!(received[..2].iter().all(|received| received.octets == wanted));
    assert!(received[2].octets == [&wanted[..], &b"line\r\n".repeat(100_000)].concat());
}

#[tokio::test]
async fn every_recipient_gets_its_own_answer() {
    for pipelining in [true, false] {
        let bench = Bench::start(SandboxOptions { pipelining, ..SandboxOptions::default() }).await;
        let faults = bench.sandbox.faults();
        faults.always(Point::Rcpt(Some("no@example.org".to_owned())), reply("550 5.1.1 no such user"));
        faults.always(Point::Rcpt(Some("later@example.org".to_owned())), reply("450 4.2.0 greylisted"));
        let upstream = bench.upstream();
        let attempt =
            to(&["a@example.org", "no@example.org", "later@example.org", "b@example.org"], b"x\r\n");
        let outcome = upstream.deliver(&attempt).await;
        use Disposition::{Deferred, Delivered, Failed};
        assert!(
            matches!(&outcome.dispositions[..], [Delivered(_), Failed(_), Deferred(_), Delivered(_)]),
            "{outcome:?}"
        );
        assert_eq!(bench.sandbox.received()[0].to, ["a@example.org", "b@example.org"]);

        // All refused: nothing is sent, and the connection serves the next message.
        let outcome = upstream.deliver(&to(&["no@example.org"], b"x\r\n")).await;
        assert!(matches!(&outcome.dispositions[..], [Failed(_)]), "{outcome:?}");
        assert!(delivered(&upstream.deliver(&message(b"y\r\n")).await));
        assert_eq!((bench.sandbox.received().len(), bench.sandbox.connections()), (2, 1));
    }
}

#[tokio::test]
async fn many_recipients_go_in_several_flights() {
    let bench = Bench::ordinary().await;
    let names: Vec<String> = (0..300).map(|n| format!("r{n}@example.org")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(delivered(&bench.upstream().deliver(&to(&names, b"x\r\n")).await));
    assert_eq!(bench.sandbox.received()[0].to, names);
}

#[tokio::test]
async fn faults_before_mail_concern_the_lane_alone() {
    let cases = [
        (Point::Banner, reply("554 5.7.1 no"), LaneEffect::BackOff),
        (Point::Banner, Fault::Drop, LaneEffect::BackOff),
        (Point::Banner, reply("HTTP/1.1 400 Bad Request"), LaneEffect::BackOff),
        (Point::Ehlo, reply("421 4.3.2 busy"), LaneEffect::BackOff),
        (Point::Ehlo, Fault::Drop, LaneEffect::BackOff),
        (Point::StartTls, reply("454 4.7.0 no TLS now"), LaneEffect::BackOff),
        (Point::StartTls, Fault::Drop, LaneEffect::BackOff),
        (Point::Auth, reply("454 4.7.0 later"), LaneEffect::BackOff),
        (Point::Auth, reply("535 5.7.139 disabled"), LaneEffect::Pause),
        (Point::Auth, Fault::Drop, LaneEffect::BackOff),
    ];
    for (point, fault, lane) in cases {
        let bench = Bench::ordinary().await;
        bench.sandbox.faults().always(point.clone(), fault.clone());
        let outcome = bench.upstream().deliver(&message(b"x\r\n")).await;
        assert_eq!((&outcome.dispositions[..], &outcome.lane), (&[][..], &lane), "{point:?} {fault:?}");
        assert!(outcome.trouble.is_some());
    }
}

#[tokio::test]
async fn faults_in_a_transaction() {
    // What becomes of the recipient (none: untried), the lane, and whether the connection is kept.
    let cases = [
        (Point::Mail, reply("550 5.1.0 no"), Some("failed"), LaneEffect::None, 1),
        (Point::Mail, reply("451 4.3.0 later"), Some("deferred"), LaneEffect::None, 1),
        (Point::Mail, reply("530 5.7.57 who are you"), None, LaneEffect::Pause, 0),
        (Point::Mail, Fault::ReplyAndDrop("421 4.3.2 bye".into()), Some("deferred"), LaneEffect::BackOff, 0),
        (Point::Mail, Fault::Drop, Some("deferred"), LaneEffect::BackOff, 0),
        (
            Point::Rcpt(None),
            reply("550 5.4.5 daily limit"),
            None,
            LaneEffect::Hold(Duration::from_secs(3600)),
            1,
        ),
        (Point::Rcpt(None), Fault::Drop, Some("deferred"), LaneEffect::BackOff, 0),
        (Point::Data, reply("451 4.3.0 later"), Some("deferred"), LaneEffect::None, 1),
        (Point::Data, Fault::Drop, Some("deferred"), LaneEffect::BackOff, 0),
        (Point::Dot, reply("554 5.7.1 spam"), Some("failed"), LaneEffect::None, 1),
        (Point::Dot, reply("451 4.3.0 later"), Some("deferred"), LaneEffect::None, 1),
        (Point::Dot, Fault::ReplyAndDrop("421 4.3.2 bye".into()), Some("deferred"), LaneEffect::BackOff, 0),
    ];
    for (point, fault, want, lane, kept) in cases {
        let bench = Bench::ordinary().await;
        bench.sandbox.faults().once(point.clone(), fault.clone());
        let upstream = bench.upstream();
        let outcome = upstream.deliver(&message(b"x\r\n")).await;
        let got = outcome.dispositions.first().map(|disposition| match disposition {
            Disposition::Delivered(_) => "delivered",
            Disposition::Deferred(trouble) => {
                assert!(!trouble.in_doubt);
                "deferred"
            }
            Disposition::Failed(_) => "failed",
        });
        assert_eq!((got, &outcome.lane), (want, &lane), "{point:?} {fault:?}");
        assert_eq!(upstream.idle_connections(), kept, "{point:?} {fault:?}");
        assert!(delivered(&upstream.deliver(&message(b"y\r\n")).await), "after {point:?} {fault:?}");
    }
}

#[tokio::test]
async fn silence_after_the_final_dot_is_in_doubt_and_never_tried_again_at_once() {
    let bench = Bench::ordinary().await;
    let upstream = bench.upstream();
    assert!(delivered(&upstream.deliver(&message(b"first\r\n")).await));
    bench.sandbox.faults().once(Point::Dot, Fault::Drop);
    let outcome = upstream.deliver(&message(b"second\r\n")).await;
    let [Disposition::Deferred(trouble)] = &outcome.dispositions[..] else { panic!("{outcome:?}") };
    assert!(trouble.in_doubt && trouble.explanation.contains("duplicate"), "{trouble:?}");
    assert_eq!((bench.sandbox.received().len(), bench.sandbox.connections()), (2, 1));
}

#[tokio::test]
async fn a_stale_connection_is_replaced_within_the_same_attempt() {
    for fault in [Fault::Drop, Fault::ReplyAndDrop("421 4.4.2 idle for too long".to_owned())] {
        let bench = Bench::ordinary().await;
        let upstream = bench.upstream();
        assert!(delivered(&upstream.deliver(&message(b"first\r\n")).await));
        bench.sandbox.faults().once(Point::Mail, fault);
        assert!(delivered(&upstream.deliver(&message(b"second\r\n")).await));
        assert_eq!((bench.sandbox.received().len(), bench.sandbox.connections()), (2, 2));
    }
}

#[tokio::test]
async fn connections_are_kept_and_taken_leave_of() {
    let bench = Bench::ordinary().await;
    let upstream = bench.upstream();
    for _ in 0..5 {
        assert!(delivered(&upstream.deliver(&message(b"x\r\n")).await));
    }
    assert_eq!((bench.sandbox.connections(), upstream.idle_connections()), (1, 1));
    upstream.close_idle().await;
    assert_eq!(upstream.idle_connections(), 0);
    assert!(delivered(&upstream.deliver(&message(b"x\r\n")).await));
    assert_eq!(bench.sandbox.connections(), 2);
}

#[tokio::test]
async fn certificates_are_judged_in_plain_words() {
    let name = |name: &str| vec![name.to_owned()];
    let cases = [
        (SandboxOptions { certificate_expired: true, ..SandboxOptions::default() }, true, "expired"),
        (
            SandboxOptions { certificate_names: name("elsewhere.example"), ..SandboxOptions::default() },
            true,
            "another name",
        ),
        (SandboxOptions::default(), false, "does not trust"),
    ];
    for (options, trusted, words) in cases {
        let mut bench = Bench::start(options).await;
        if !trusted {
            let other = SandboxProvider::start(SandboxOptions::default()).await.unwrap();
            other.write_ca(bench.account.server.ca_file.as_ref().unwrap()).unwrap();
        }
        let outcome = bench.upstream().deliver(&message(b"x\r\n")).await;
        assert_eq!((outcome.dispositions.len(), &outcome.lane), (0, &LaneEffect::BackOff));
        let trouble = trouble(outcome);
        assert!(trouble.explanation.contains(words) && !trouble.remedy.is_empty(), "{trouble:?}");
        assert!(bench.sandbox.received().is_empty());

        bench.account.server.certificate_validation = false;
        assert!(delivered(&bench.upstream().deliver(&message(b"x\r\n")).await));
    }
}

#[tokio::test]
async fn nothing_is_sent_where_starttls_is_missing_or_tampered_with() {
    let bench = Bench::ordinary().await;
    bench.sandbox.faults().hide_starttls(true);
    let outcome = bench.upstream().deliver(&message(b"x\r\n")).await;
    assert_eq!(outcome.lane, LaneEffect::BackOff);
    assert!(trouble(outcome).explanation.contains("no STARTTLS"));

    bench.sandbox.faults().clear();
    bench.sandbox.faults().inject_after_starttls(true);
    let outcome = bench.upstream().deliver(&message(b"x\r\n")).await;
    assert_eq!((outcome.dispositions.len(), outcome.lane), (0, LaneEffect::BackOff));
    assert!(bench.sandbox.received().is_empty());
}

#[tokio::test]
async fn what_the_server_cannot_take_fails_before_mail() {
    let options = SandboxOptions { size: 10, smtputf8: false, ..SandboxOptions::default() };
    let bench = Bench::start(options).await;
    let upstream = bench.upstream();
    let outcome = upstream.deliver(&message(b"0123456789\r\n")).await;
    let status = |trouble: &Trouble| (trouble.stage, trouble.status.to_string());
    let [Disposition::Failed(trouble)] = &outcome.dispositions[..] else { panic!("{outcome:?}") };
    assert_eq!(status(trouble), (Stage::Mail, "5.3.4".to_owned()));
    assert!(trouble.explanation.contains("12 octets"), "{trouble:?}");

    let outcome = upstream.deliver(&to(&["jürgen@example.org", "x@bücher.example"], b"x\r\n")).await;
    let [Disposition::Failed(trouble), Disposition::Delivered(_)] = &outcome.dispositions[..] else {
        panic!("{outcome:?}")
    };
    assert_eq!(status(trouble), (Stage::Rcpt, "5.6.7".to_owned()));
    assert_eq!(bench.sandbox.received()[0].to, ["x@xn--bcher-kva.example"]);
}

#[tokio::test]
async fn parameters_of_mail_follow_what_is_offered() {
    let bench = Bench::ordinary().await;
    let mut attempt = to(&["jürgen@example.org"], b"x\r\n");
    attempt.body = BodyType::EightBitMime;
    attempt.reverse_path = ReversePath::Null;
    assert!(delivered(&bench.upstream().deliver(&attempt).await));
    let received = &bench.sandbox.received()[0];
    assert_eq!(received.mail_parameters, "SIZE=3 BODY=8BITMIME SMTPUTF8");
    assert_eq!((received.from.as_str(), &received.to[..]), ("", &["jürgen@example.org".to_owned()][..]));
}

#[tokio::test]
async fn wishes_about_notifications_go_along_where_the_server_offers_dsn() {
    let wish =
        |notify: &str, orcpt: &str| DsnRecipient { notify: notify.parse().ok(), orcpt: orcpt.parse().ok() };
    let wishes = vec![wish("SUCCESS,DELAY", "rfc822;Bob+2Bx@b.example"), wish("", ""), wish("NEVER", "")];
    let request = DsnRequest { ret: "HDRS".parse().ok(), envid: "QQ+3D1+20x".parse().ok() };
    let mut attempt = to(&["a@example.org", "b@example.org", "c@example.org"], b"x\r\n");
    attempt.dsn = Dsn::new(request, wishes);
    for (dsn, mail, rcpts) in [
        (
            true,
            "SIZE=3 RET=HDRS ENVID=QQ+3D1+20x",
            ["NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2Bx@b.example", "", "NOTIFY=NEVER"],
        ),
        (false, "SIZE=3", ["", "", ""]),
    ] {
        let bench = Bench::start(SandboxOptions { dsn, ..SandboxOptions::default() }).await;
        let outcome = bench.upstream().deliver(&attempt).await;
        assert!(delivered(&outcome), "{outcome:?}");
        assert_eq!(outcome.dsn_passed_on, dsn);
        let received = &bench.sandbox.received()[0];
        assert_eq!(
            (received.mail_parameters.as_str(), &received.rcpt_parameters[..]),
            (mail, &rcpts.map(str::to_owned)[..])
        );
    }
}

#[tokio::test]
async fn a_trouble_says_at_which_stage_it_struck() {
    for (point, stage) in [
        (Point::Banner, Stage::Banner),
        (Point::Auth, Stage::Auth),
        (Point::Mail, Stage::Mail),
        (Point::Rcpt(None), Stage::Rcpt),
        (Point::Data, Stage::Data),
        (Point::Dot, Stage::Content),
    ] {
        let bench = Bench::ordinary().await;
        bench.sandbox.faults().always(point.clone(), reply("550 5.7.1 no"));
        let outcome = bench.upstream().deliver(&message(b"x\r\n")).await;
        let trouble = match &outcome.dispositions[..] {
            [Disposition::Failed(trouble)] => trouble.clone(),
            _ => trouble(outcome),
        };
        assert_eq!((trouble.stage, trouble.status.to_string().as_str()), (stage, "5.7.1"), "{point:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_not_reached() {
    let bench = Bench::ordinary().await;
    let upstream = bench.upstream();
    drop(bench.sandbox);
    tokio::task::yield_now().await;
    let (lane, trouble) = upstream.probe().await.unwrap_err();
    assert_eq!(lane, LaneEffect::BackOff);
    assert!(!trouble.explanation.is_empty());
}

#[tokio::test]
async fn idle_connections_end_by_themselves() {
    let bench = Bench::ordinary().await;
    let upstream = bench.upstream();
    assert!(delivered(&upstream.deliver(&message(b"x\r\n")).await));
    assert_eq!(upstream.idle_connections(), 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    while upstream.idle_connections() > 0 {
        tokio::task::yield_now().await;
    }
}

/// What a subscriber writes, kept.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_and_no_content_reaches_the_log_at_any_level() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // For the whole process: a subscriber of one thread misses what other threads registered first.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    for mechanism in ["PLAIN", "LOGIN", "CRAM-MD5"] {
        let options = SandboxOptions { mechanisms: vec![mechanism], ..SandboxOptions::default() };
        let mut bench = Bench::start(options).await;
        bench.upstream().deliver(&message(b"canary-content\r\n")).await;
        let password = "canary-password".to_owned().into();
        bench.account.login = Login::Password {
            username: "support@example.com".to_owned(),
            password,
            mechanism: PasswordMechanism::Auto,
        };
        bench.upstream().probe().await.unwrap_err();
    }
    let mut tokens = Vec::new();
    for mechanism in ["XOAUTH2", "OAUTHBEARER"] {
        let bench = Bench::start(SandboxOptions { mechanisms: vec![mechanism], ..Default::default() }).await;
        let bench = bench.with_oauth(AccountType::Google);
        let token = bench.sandbox.grants().issue_access_token(Duration::from_secs(60));
        let upstream = bench.upstream_with(Tokens::list(&["canary-token", &token]));
        assert!(delivered(&upstream.deliver(&message(b"canary-content\r\n")).await));
        tokens.push(token);
    }

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("AUTH XOAUTH2 ***") && log.contains("AUTH OAUTHBEARER ***"), "{log}");
    assert!(log.contains("RCPT TO:<a@example.org>"), "{log}");
    // Base64 at any of its three alignments keeps a recognisable middle.
    for canary in ["canary", "Y2FuYXJ5", "NhbmFye", "jYW5hcn", "sandbox-password", &tokens[0], &tokens[1]] {
        assert!(!log.contains(canary), "{canary} is in the log");
    }
    events::keep(&log);
}

/// One HTTP request to the sandbox: its head and its body.
async fn http(address: &str, request: String) -> (String, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn the_sandbox_grants_tokens_that_its_smtp_server_takes() {
    let options = SandboxOptions { rotate: true, ..SandboxOptions::default() };
    let bench = Bench::start(options).await.with_oauth(AccountType::OAuth2);
    let endpoint: url::Url = bench.sandbox.token_endpoint().parse().unwrap();
    let address = endpoint.authority().to_owned();
    let get = |query: &str| {
        format!(
            "GET /authorize?response_type=code&client_id=sandbox-client&redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2Fcb&state=s&code_challenge_method=S256&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM{query} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )
    };
    let post = |body: &str| {
        let body = format!("{body}&client_id=sandbox-client&client_secret=sandbox-secret");
        format!(
            "POST /token HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let (_, page) = http(&address, get("")).await;
    assert!(page.contains("Approve") && page.contains("decision=approve"), "{page}");
    let (head, _) = http(&address, get("&decision=approve")).await;
    let location = head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    let back: url::Url = location.parse().unwrap();
    let (_, code) = back.query_pairs().find(|(name, _)| name == "code").unwrap();

    // The verifier of RFC 7636, appendix B.
    let redeem = format!(
        "grant_type=authorization_code&code={code}&redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2Fcb&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    let (_, body) = http(&address, post(&redeem)).await;
    let first: serde_json::Value = serde_json::from_str(&body).unwrap();
    let (_, again) = http(&address, post(&redeem)).await;
    assert!(again.contains("invalid_grant"), "a code is good once: {again}");

    let refresh =
        format!("grant_type=refresh_token&refresh_token={}", first["refresh_token"].as_str().unwrap());
    let (_, body) = http(&address, post(&refresh)).await;
    let second: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    let (_, body) = http(&address, post(&refresh)).await;
    assert!(body.contains("invalid_grant"), "a rotated token is used up: {body}");
    assert_eq!(bench.sandbox.grants().token_requests(), 4);

    let tokens = Tokens::list(&[second["access_token"].as_str().unwrap()]);
    assert!(delivered(&bench.upstream_with(tokens).deliver(&message(b"x\r\n")).await));

    bench.sandbox.grants().set_broken(true);
    let (head, body) = http(&address, post(&refresh)).await;
    assert!(head.starts_with("HTTP/1.1 500") && body.contains("<h1>"));
}

#[tokio::test]
async fn a_verdict_ahead_of_the_final_dot_is_none() {
    let long = b"a line of some length, again and again\r\n".repeat(200_000);
    for (verdict, failed) in [("250 2.0.0 taken", false), ("554 5.7.1 spam", true)] {
        let bench = Bench::ordinary().await;
        bench.sandbox.faults().once(Point::Content, reply(verdict));
        let upstream = bench.upstream();
        let outcome = upstream.deliver(&message(&long)).await;
        match &outcome.dispositions[..] {
            [Disposition::Deferred(trouble)] => {
                assert!(!failed && !trouble.in_doubt, "{verdict}: {trouble:?}")
            }
            [Disposition::Failed(trouble)] => assert!(failed, "{verdict}: {trouble:?}"),
            other => panic!("{verdict}: {other:?}"),
        }
        assert_eq!((upstream.idle_connections(), bench.sandbox.received().len()), (0, 0), "{verdict}");
        assert!(delivered(&upstream.deliver(&message(b"x\r\n")).await), "{verdict}");
    }
}

#[tokio::test]
async fn a_connection_on_which_the_login_has_gone_is_not_used_again() {
    let bench = Bench::ordinary().await;
    let upstream = bench.upstream();
    assert!(delivered(&upstream.deliver(&message(b"1\r\n")).await));
    bench.sandbox.faults().once(Point::Mail, reply("530 5.7.0 authentication required"));
    assert_eq!(upstream.deliver(&message(b"2\r\n")).await.lane, LaneEffect::Pause);
    assert_eq!(upstream.idle_connections(), 0);
    assert!(delivered(&upstream.deliver(&message(b"2\r\n")).await));
}
