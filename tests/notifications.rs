//! Notifications as they go out: whole letters held against `tests/notifications/*.eml`, which are written anew with
//! WAXSEAL_BLESS set, and their structure where what is told of is hostile.

// A test that fails is to say so at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use proptest::prelude::*;
use std::time::{Duration, SystemTime};
use waxseal::mail::{
    BodyType, Content, DsnRequest, EnhancedCode, ForwardPath, Mailbox, QueueId, Reply, ReversePath,
    notification::{
        Action, Digest, DigestEntry, Kind, Letterhead, Notification, Original, Report, ReportedRecipient,
    },
};

const ORIGINAL: &[u8] = b"Received: from app ([127.0.0.1])\r\n\tby relay.example.com (waxseal) with ESMTP id \
    1N85GP5PM0000;\r\n\tMon, 23 Nov 2026 10:00:00 +0000\r\nDate: Mon, 23 Nov 2026 11:00:00 +0100\r\nFrom: \
    alice@example.com\r\nTo: bob@example.org\r\nSubject: =?utf-8?Q?Rechnung_f=C3=BCr?= November\r\nMessage-ID: \
    <4711@app.example.com>\r\n\r\nDear Bob,\r\n.\r\nFrom here on it is the body.\r\n";

fn at(minutes: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_428_000 + minutes * 60)
}

fn letterhead() -> Letterhead {
    Letterhead {
        hostname: "relay.example.com".into(),
        from: Mailbox::parse("postmaster@example.com").unwrap(),
        to: Mailbox::parse("alice@example.com").unwrap(),
        id: QueueId::from_number(8),
        date: at(5),
    }
}

fn report(original: &[u8], recipients: Vec<ReportedRecipient>) -> Report<'_> {
    Report {
        letterhead: letterhead(),
        queue_id: QueueId::from_number(7),
        arrival: at(0),
        dsn: DsnRequest::default(),
        original: Original { octets: original, size: original.len() as u64, smtputf8: false },
        recipients,
    }
}

/// A recipient that was refused in these words.
fn refused(address: &str, reply: &str, explanation: &str) -> ReportedRecipient {
    let (code, text) = reply.split_once(' ').unwrap();
    let reply = Reply::received(code.parse().unwrap(), text);
    ReportedRecipient {
        final_recipient: ForwardPath::parse(address).unwrap(),
        orcpt: None,
        action: Action::Failed,
        status: reply.enhanced().unwrap_or(EnhancedCode(5, 0, 0)),
        remote_mta: Some("smtp.example.net".into()),
        diagnostic: Some(reply),
        explanation: explanation.into(),
        remedy: "check the address for a mistake, or ask the recipient for the right one".into(),
        last_attempt: Some(at(4)),
    }
}

fn bob() -> ReportedRecipient {
    refused("bob@example.org", "550 5.1.1 <bob@example.org>: user unknown", "there is no such mailbox")
}

fn away(address: &str, action: Action) -> ReportedRecipient {
    ReportedRecipient {
        action,
        status: EnhancedCode(4, 4, 1),
        remote_mta: None,
        diagnostic: None,
        remedy: "check the address and port, the name server and the firewall".into(),
        ..refused(address, "450 x", "the server cannot be reached: 192.0.2.1:587: no route to host")
    }
}

fn delayed(address: &str) -> ReportedRecipient {
    away(address, Action::Delayed { will_retry_until: Some(at(7200)) })
}

fn relayed(address: &str) -> ReportedRecipient {
    ReportedRecipient {
        action: Action::Relayed,
        explanation: String::new(),
        remedy: String::new(),
        ..refused(address, "250 2.0.0 OK queued as 77", "")
    }
}

/// The header section and the parts, each with its own; taken apart as RFC 2046 says, and nothing else.
struct Parsed {
    head: String,
    parts: Vec<(String, Vec<u8>)>,
}

fn parse(notification: &Notification) -> Parsed {
    let octets = &notification.octets;
    Content::new(Bytes::copy_from_slice(octets)).expect("canonical octets");
    assert!(octets.split(|octet| *octet == b'\n').all(|line| line.len() <= 999), "a line is too long");
    assert_eq!(octets.is_ascii(), notification.body == BodyType::SevenBit);
    let split = |octets: &[u8]| {
        let at = memchr::memmem::find(octets, b"\r\n\r\n").expect("an empty line");
        (String::from_utf8(octets[..at + 2].to_vec()).unwrap(), octets[at + 4..].to_vec())
    };
    let (head, _) = split(octets);
    assert_eq!(head.is_ascii(), !notification.smtputf8);
    let boundary = head.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
    let delimiter = format!("\r\n--{boundary}");
    let body = &octets[head.len()..];
    let places: Vec<usize> = memchr::memmem::find_iter(body, &delimiter).collect();
    assert!(body.ends_with(format!("{delimiter}--\r\n").as_bytes()));
    let parts = places.windows(2).map(|pair| split(&body[pair[0] + delimiter.len() + 2..pair[1]])).collect();
    Parsed { head, parts }
}

impl Parsed {
    /// The values of all fields of that name, unfolded, in the header section or the part with this number.
    fn fields(text: &str, name: &str) -> Vec<String> {
        let unfolded = text.replace("\r\n ", " ").replace("\r\n\t", " ");
        let start = format!("{name}: ");
        unfolded.split("\r\n").filter_map(|line| line.strip_prefix(&start).map(str::to_owned)).collect()
    }

    fn types(&self) -> Vec<String> {
        self.parts.iter().flat_map(|(head, _)| Self::fields(head, "Content-Type")).collect()
    }

    fn status(&self, name: &str) -> Vec<String> {
        Self::fields(std::str::from_utf8(&self.parts[1].1).unwrap(), name)
    }
}

fn held_against_its_file(name: &str, notification: &Notification) {
    let path = format!("{}/tests/notifications/{name}.eml", env!("CARGO_MANIFEST_DIR"));
    let text = String::from_utf8(notification.octets.clone()).unwrap().replace("\r\n", "\n");
    if std::env::var_os("WAXSEAL_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, wanted, "{path}; look at it, and set WAXSEAL_BLESS if it is right");
}

#[test]
fn letters_read_as_they_should() {
    let mixed = vec![
        bob(),
        refused("\"b o b\"@example.org", "550 5.1.1 no", "there is no such mailbox"),
        delayed("carol@example.org"),
        away("dora@example.org", Action::Expired),
        delayed("emil@example.org"),
        relayed("postmaster"),
    ];
    let mut asked = report(ORIGINAL, vec![bob()]);
    asked.dsn = DsnRequest { ret: "HDRS".parse().ok(), envid: "QQ+2B314159".parse().ok() };
    asked.recipients[0].orcpt = "rfc822;Bob+2Bsales@example.org".parse().ok();
    let mut utf8 = report(
        "Subject: Grüße\r\nDate: x\r\n\r\nhej\r\n".as_bytes(),
        vec![refused("jürgen@bücher.example", "550 5.1.1 nö", "there is no such mailbox")],
    );
    utf8.letterhead.to = Mailbox::parse("åsa@example.com").unwrap();
    utf8.original.smtputf8 = true;
    utf8.recipients[0].orcpt = "utf-8;j\\x{FC}rgen@b\\x{FC}cher.example".parse().ok();
    let cases = [
        ("failed", report(ORIGINAL, vec![bob()])),
        ("failed-ret-hdrs", asked),
        ("expired", report(ORIGINAL, vec![away("bob@example.org", Action::Expired)])),
        ("delayed", report(ORIGINAL, vec![delayed("bob@example.org")])),
        ("relayed", report(ORIGINAL, vec![relayed("bob@example.org")])),
        ("mixed", report(ORIGINAL, mixed)),
        ("utf8", utf8),
    ];
    for (name, report) in cases {
        let notification = report.compose().expect("somebody to tell of");
        parse(&notification);
        held_against_its_file(name, &notification);
    }
}

#[test]
fn a_digest_lists_what_failed() {
    let entry = |n: u64, to: &str| DigestEntry {
        queue_id: QueueId::from_number(n),
        from: ReversePath::parse("alice@example.com").unwrap(),
        recipient: ForwardPath::parse(to).unwrap(),
        when: at(n),
        explanation: "there is no such mailbox".into(),
        diagnostic: Some(Reply::received(550, "5.1.1 no\nsuch user")),
    };
    let entries = vec![entry(1, "bob@example.org"), entry(2, "jürgen@example.org")];
    let mut digest = Digest {
        letterhead: letterhead(),
        kind: Kind::Failed,
        since: at(0),
        until: at(60),
        entries,
        more: 25,
    };
    let notification = digest.compose().unwrap();
    Content::new(Bytes::copy_from_slice(&notification.octets)).expect("canonical octets");
    assert_eq!((notification.body, notification.smtputf8), (BodyType::SevenBit, false));
    held_against_its_file("digest", &notification);

    (digest.entries, digest.more) = (vec![], 0);
    assert_eq!(digest.compose(), None);
}

#[test]
fn there_is_no_letter_about_nobody() {
    assert_eq!(report(ORIGINAL, vec![]).compose(), None);
}

#[test]
fn every_recipient_has_its_own_group_of_fields() {
    let recipients =
        vec![bob(), delayed("carol@example.org"), away("dora@x", Action::Expired), relayed("e@x")];
    let parsed = parse(&report(ORIGINAL, recipients).compose().unwrap());
    assert_eq!(parsed.status("Action"), ["failed", "delayed", "failed", "relayed"]);
    assert_eq!(parsed.status("Status"), ["5.1.1", "4.4.1", "4.4.1", "2.0.0"]);
    assert_eq!(parsed.status("Will-Retry-Until").len(), 1);
    assert_eq!(parsed.status("Diagnostic-Code").len(), 2);
    // Groups are set apart by an empty line: one for the message, one a recipient.
    assert_eq!(memchr::memmem::find_iter(&parsed.parts[1].1, b"\r\n\r\n").count(), 4);
    assert!(parsed.head.contains("Subject: Undelivered mail: "), "the worst news counts");
}

#[test]
fn the_class_of_a_status_fits_its_action() {
    let cases = [
        (Action::Failed, EnhancedCode(2, 0, 0), "5.0.0"),
        (Action::Failed, EnhancedCode(4, 7, 60), "4.7.60"),
        (Action::Expired, EnhancedCode(5, 5, 1), "5.5.1"),
        (Action::Expired, EnhancedCode(2, 4, 7), "4.4.7"),
        (Action::Delayed { will_retry_until: None }, EnhancedCode(5, 2, 0), "4.2.0"),
        (Action::Relayed, EnhancedCode(5, 1, 5), "2.1.5"),
    ];
    for (action, status, wanted) in cases {
        let recipient = ReportedRecipient { action, status, ..bob() };
        let parsed = parse(&report(ORIGINAL, vec![recipient]).compose().unwrap());
        assert_eq!(parsed.status("Status"), [wanted], "{action:?}");
    }
}

#[test]
fn what_comes_back_follows_ret_and_size() {
    let huge = [b"Subject: big\r\n\r\n".as_slice(), &b"0123456789abcdef\r\n".repeat(10 << 16)].concat();
    assert!(huge.len() > 10 << 20);
    let cases: &[(&[u8], Option<&str>, &str)] = &[
        (ORIGINAL, None, "message/rfc822"),
        (ORIGINAL, Some("FULL"), "message/rfc822"),
        (ORIGINAL, Some("HDRS"), "text/rfc822-headers"),
        (&huge, None, "text/rfc822-headers"),
        (&huge, Some("FULL"), "text/rfc822-headers"),
    ];
    for (original, ret, wanted) in cases {
        let mut report = report(original, vec![bob()]);
        report.dsn.ret = ret.and_then(|ret| ret.parse().ok());
        let notification = report.compose().unwrap();
        assert!(notification.octets.len() < 100_000);
        let parsed = parse(&notification);
        assert_eq!(parsed.types()[2], *wanted, "{ret:?}");
        if *wanted == "message/rfc822" {
            assert_eq!(parsed.parts[2].1, *original, "octet for octet");
        }
    }
    // Read in part only, as a caller does with large content, it is the header section too.
    let mut part = report(&huge[..4096], vec![bob()]);
    part.original.size = huge.len() as u64;
    assert_eq!(parse(&part.compose().unwrap()).parts[2].1, b"Subject: big\r\n");
}

#[test]
fn no_boundary_of_the_original_ends_a_part_early() {
    let first = report(ORIGINAL, vec![bob()]).compose().unwrap();
    let boundary = |notification: &Notification| {
        let head = parse(notification).head;
        head.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let foreseen = boundary(&first);
    let stem = foreseen.trim_end_matches('0');
    for numbers in [0..1, 0..5000, 3..4] {
        let lines: String = numbers.map(|n| format!("--{stem}{n:08}\r\n--{stem}{n:08}--\r\n")).collect();
        let original = format!("Subject: x\r\n\r\n{lines}");
        let mut report = report(original.as_bytes(), vec![bob()]);
        report.dsn.ret = "FULL".parse().ok();
        let notification = report.compose().unwrap();
        let parsed = parse(&notification);
        assert_eq!(parsed.parts.len(), 3);
        assert_eq!(parsed.parts[2].1, original.as_bytes());
        assert!(!original.contains(&boundary(&notification)));
    }
}

#[test]
fn neither_original_nor_reply_writes_header_fields() {
    let original =
        b"Subject: =?utf-8?Q?x=0D=0ABcc:_evil@example.com?=\r\nMessage-ID: <a@b>\r\n\tBcc: c\r\n\r\n.\r\n";
    let mut recipient = bob();
    recipient.diagnostic =
        Some(Reply::received(550, "5.1.1 no\n\nFinal-Recipient: rfc822; x@y\n\n--evil\u{1b}[2J"));
    recipient.explanation = "first\r\n\r\nAction: delivered".into();
    recipient.remote_mta = Some("host\r\nAction: delivered".into());
    let mut report = report(original, vec![recipient]);
    report.letterhead.hostname = "relay\r\nBcc: x".into();
    let parsed = parse(&report.compose().unwrap());
    for injected in ["Bcc", "Action", "In-Reply-To"] {
        assert!(Parsed::fields(&parsed.head, injected).is_empty(), "{}", parsed.head);
    }
    assert_eq!((parsed.status("Action").len(), parsed.status("Final-Recipient").len()), (1, 1));
    assert!(!parsed.parts[0].1.contains(&0x1b) && !parsed.parts[1].1.contains(&0x1b));
}

#[test]
fn what_is_beyond_ascii_takes_the_types_of_rfc_6533() {
    let latin1 = b"Subject: caf\xe9\r\n\r\nx\r\n".as_slice();
    let utf8 = "Subject: café\r\n\r\nx\r\n".as_bytes();
    let status = "message/delivery-status";
    let cases = [
        (ORIGINAL, false, "bob@bücher.example", [status, "message/rfc822"], BodyType::SevenBit),
        (latin1, false, "bob@example.org", [status, "message/rfc822"], BodyType::EightBitMime),
        (utf8, true, "bob@example.org", [status, "message/global"], BodyType::EightBitMime),
        (
            ORIGINAL,
            true,
            "jürgen@example.org",
            ["message/global-delivery-status", "message/rfc822"],
            BodyType::EightBitMime,
        ),
    ];
    for (original, smtputf8, recipient, types, body) in cases {
        let mut report = report(original, vec![refused(recipient, "550 5.1.1 n\u{f6}", "no")]);
        report.original.smtputf8 = smtputf8;
        let notification = report.compose().unwrap();
        assert_eq!((notification.body, notification.smtputf8), (body, false), "{recipient}");
        let parsed = parse(&notification);
        assert_eq!(parsed.types()[1..], types, "{recipient}");
        let utf8 = types[0].contains("global");
        assert_eq!(parsed.status("Final-Recipient")[0].starts_with("utf-8; "), utf8);
        assert_eq!(parsed.status("Diagnostic-Code")[0].contains('ö'), utf8);
    }
}

#[test]
fn a_thousand_recipients_of_one_fate_share_one_explanation() {
    let recipients: Vec<_> = (0..1000).map(|n| delayed(&format!("r{n}@example.org"))).collect();
    let parsed = parse(&report(ORIGINAL, recipients).compose().unwrap());
    let text = String::from_utf8(parsed.parts[0].1.clone()).unwrap();
    assert_eq!(text.matches("What stands in the way").count(), 1);
    assert_eq!(parsed.status("Final-Recipient").len(), 1000);
}

proptest! {
    #[test]
    fn whatever_is_told_of_a_letter_stays_a_letter(
        original in prop::collection::vec(any::<u8>(), 0..400),
        field in "(Subject|Date|Message-ID|Content-Type): (\\PC|\r\n|\r|\n|=\\?utf-8\\?Q\\?|\\?=){0,80}\r\n\r\n",
        reply in "(\\PC|\n|\r|\0|--waxseal-0000000000008-00000000){0,200}",
        explanation in "\\PC{0,80}",
        full in any::<bool>(),
    ) {
        for original in [&original[..], field.as_bytes(), &[field.as_bytes(), &original].concat()] {
            let mut recipient = bob();
            recipient.diagnostic = Some(Reply::received(550, &reply));
            recipient.explanation.clone_from(&explanation);
            let mut report = report(original, vec![recipient, delayed("c@example.org")]);
            report.original.smtputf8 = full;
            report.dsn.ret = full.then(|| "FULL".parse().unwrap());
            let parsed = parse(&report.compose().unwrap());
            prop_assert!((2..=3).contains(&parsed.parts.len()));
            prop_assert_eq!(parsed.status("Action"), ["failed", "delayed"]);
            prop_assert_eq!(Parsed::fields(&parsed.head, "To"), ["<alice@example.com>"]);
            prop_assert_eq!(Parsed::fields(&parsed.head, "Subject").len(), 1);
        }
    }
}
