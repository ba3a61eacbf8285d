use super::*;
use crate::{
    config::{Config, load},
    mail::{BodyType, Envelope, ForwardPath, ReversePath},
    smtp::{Authentication, Seen, auth::Mechanism, replies},
};
use proptest::prelude::*;
use std::{collections::BTreeSet, fs};

/// What a client does.
#[derive(Debug, Clone)]
enum Does<'a> {
    Ehlo(&'a str),
    Helo(&'a str),
    StartTls,
    Secured,
    UndueTls,
    Plain(&'a str),
    Other(&'static str),
    /// MAIL from here, in the clear.
    Mail(&'a str),
    /// MAIL under TLS.
    Sealed(&'a str),
    /// A message from here, to so many, of so many octets.
    Message(&'a str, usize, u64),
    Wrong,
}

fn see(learned: &mut Learned, listener: usize, client: &str, deeds: &[Does<'_>]) -> Vec<String> {
    let who = Who::Network(client.parse().unwrap());
    let mut news: Vec<_> = learned.take(listener, who, &Seen::Connected).into_iter().collect();
    for deed in deeds {
        let path = match deed {
            Does::Mail(sender) | Does::Sealed(sender) | Does::Message(sender, ..) => {
                ReversePath::parse(sender).unwrap()
            }
            _ => ReversePath::Null,
        };
        let recipients = match deed {
            Does::Message(_, recipients, _) => *recipients,
            _ => 1,
        };
        let envelope =
            Envelope::new(path.clone(), vec![ForwardPath::Postmaster; recipients], BodyType::SevenBit, false)
                .unwrap();
        let wrong = replies::unknown_command();
        let seen = match deed {
            Does::Ehlo(name) => Seen::Greeting { name, esmtp: true },
            Does::Helo(name) => Seen::Greeting { name, esmtp: false },
            Does::StartTls => Seen::StartTls,
            Does::Secured => Seen::Secured,
            Does::UndueTls => Seen::UndueTls,
            Does::Plain(username) => Seen::Login { mechanism: Mechanism::Plain, username },
            Does::Other(name) => Seen::OtherMechanism(name),
            Does::Mail(_) => Seen::Sender { path: &path, size: None, secure: false },
            Does::Sealed(_) => Seen::Sender { path: &path, size: None, secure: true },
            Does::Message(_, _, octets) => {
                Seen::Message { envelope: &envelope, octets: *octets, bare_lf: false }
            }
            Does::Wrong => Seen::Refused(&wrong),
        };
        news.extend(learned.take(listener, who, &seen));
    }
    news
}

fn place(address: &str, reach: Reach) -> Place {
    Place { address: address.to_owned(), reach, tls: None, application: None, verifies: None }
}

fn written(learned: &Learned, places: &[Place]) -> String {
    let account_of = |_: &str| None;
    let (accounts, applications) = (BTreeSet::new(), BTreeSet::new());
    configuration(
        learned,
        &Around { places, account_of: &account_of, accounts, applications, message_size: 50 << 20 },
    )
}

/// What the real configuration makes of it; the files that it may name are there.
fn loaded(text: &str) -> Config {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waxseal.toml");
    fs::write(&path, format!("hostname = \"relay.example.com\"\n{text}")).unwrap();
    fs::write(directory.path().join("printer.password"), "ink").unwrap();
    load(Some(&path), std::iter::empty()).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// The words alone, wherever lines are broken.
fn flat(text: &str) -> String {
    text.split_whitespace().filter(|word| *word != "#").collect::<Vec<_>>().join(" ")
}

/// The text with these suggestions taken up: comments that begin so.
fn taken_up(text: &str, beginnings: &[&str]) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if beginnings.iter().any(|beginning| rest.starts_with(beginning)) => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn clients(config: &Config, listener: usize) -> Vec<String> {
    config.listeners[listener].clients().iter().map(ToString::to_string).collect()
}

#[test]
fn two_applications_become_a_listener_and_an_account_for_each_domain() {
    let mut learned = Learned::default();
    see(
        &mut learned,
        0,
        "192.0.2.7",
        &[
            Does::Ehlo("ticketing.corp.example"),
            Does::Mail("app@example.com"),
            Does::Message("app@example.com", 2, 3000),
        ],
    );
    see(&mut learned, 0, "192.0.2.9", &[Does::Helo("localhost"), Does::Mail("scan@gmail.com"), Does::Wrong]);
    see(&mut learned, 0, "198.51.100.66", &[Does::Ehlo("scanner"), Does::Wrong]);
    let text = written(&learned, &[place("0.0.0.0:25", Reach::Network)]);
    let config = loaded(&text);
    assert_eq!(clients(&config, 0), ["192.0.2.7/32", "192.0.2.9/32"]);
    assert_eq!(config.listeners[0].authentication, Authentication::None);
    assert!(text.contains("# 198.51.100.66 came and named no sender"), "{text}");
    let accounts: Vec<_> =
        config.accounts.iter().map(|a| (a.id.as_str(), a.kind.as_str(), a.active)).collect();
    assert_eq!(accounts, [("example-com", "basic", false), ("gmail-com", "google", false)]);

    assert!(config.applications.is_empty(), "a suggestion");
    let config = loaded(&taken_up(&text, &["[application", "clients", "allowed_senders"]));
    let applications: Vec<_> =
        config.applications.iter().map(|a| (a.id.as_str(), a.clients[0].to_string())).collect();
    assert_eq!(applications, [("gmail-com", "192.0.2.9/32".into()), ("ticketing", "192.0.2.7/32".into())]);
    assert!(config.applications[1].refusal(&ReversePath::parse("x@gmail.com").unwrap()).is_some());
}

#[test]
fn clients_of_one_domain_are_not_told_apart() {
    let mut learned = Learned::default();
    for client in ["192.0.2.7", "192.0.2.9"] {
        see(&mut learned, 0, client, &[Does::Mail("app@example.com")]);
    }
    let text = written(&learned, &[place("0.0.0.0:25", Reach::Network)]);
    assert!(!text.contains("[application"), "{text}");
    assert_eq!(loaded(&text).accounts.len(), 1);
}

#[test]
fn who_logs_in_is_let_in_and_can_be_verified_once_there_is_a_password() {
    let mut learned = Learned::default();
    see(
        &mut learned,
        0,
        "127.0.0.1",
        &[Does::Plain("printer"), Does::Plain("PRINTER"), Does::Mail("p@example.com")],
    );
    let text = written(&learned, &[place("127.0.0.1:25", Reach::Loopback)]);
    let config = loaded(&text);
    assert_eq!(config.listeners[0].authentication, Authentication::Ignore);
    assert_eq!(clients(&config, 0), ["127.0.0.0/8"]);
    let verifying = taken_up(&text, &["[user.", "password ="]).replace("\"ignore\"\n", "\"required\"\n");
    let config = loaded(&verifying);
    assert_eq!(config.listeners[0].authentication, Authentication::Required);
    assert_eq!(config.users.all().len(), 1, "{verifying}");
}

#[test]
fn logins_from_beyond_this_host_that_count_take_tls() {
    let mut learned = Learned::default();
    see(&mut learned, 0, "192.0.2.7", &[Does::Plain("printer"), Does::Mail("p@example.com")]);
    let far = written(&learned, &[place("192.0.2.1:25", Reach::Network)]);
    assert!(far.contains("not taken in the clear"), "{far}");
    let near = written(&learned, &[place("127.0.0.1:25", Reach::Loopback)]);
    assert!(!near.contains("not taken in the clear"), "{near}");
    let asking = Place { verifies: Some("required"), ..place("192.0.2.1:25", Reach::Network) };
    let known = written(&learned, &[asking]);
    assert!(known.contains("authentication = \"required\"` here"), "{known}");
    assert_eq!(loaded(&known).listeners[0].authentication, Authentication::Ignore);
}

#[test]
fn what_clients_want_of_tls_is_said() {
    let cases: [(&[Does<'_>], bool, &str); 5] = [
        (&[Does::StartTls, Does::Mail("a@example.com")], false, "tls = \"starttls\""),
        (
            &[Does::StartTls, Does::Secured, Does::Sealed("a@example.com")],
            true,
            "`tls = \"required\"` would do",
        ),
        (&[Does::Mail("a@example.com")], true, "Sends in the clear: 192.0.2.7."),
        (&[Does::Ehlo("x")], false, "it may want STARTTLS"),
        (&[Does::UndueTls], false, "address = \"0.0.0.0:465\""),
    ];
    for (deeds, has_certificate, wanted) in cases {
        let mut learned = Learned::default();
        see(&mut learned, 0, "192.0.2.7", deeds);
        let certificate =
            || Certificate { tls: "starttls", certificate: "c.pem".into(), private_key: "c.key".into() };
        let tls = has_certificate.then(certificate);
        let text = written(&learned, &[Place { tls, ..place("0.0.0.0:25", Reach::Network) }]);
        assert!(flat(&text).contains(wanted), "{wanted} not in\n{text}");
        assert_eq!(
            text.contains("\ntls = \"starttls\"\ncertificate = \"c.pem\"\n"),
            has_certificate,
            "{text}"
        );
        text.parse::<toml::Table>().unwrap();
    }
}

#[test]
fn senders_that_no_account_can_have_are_said_and_not_drafted() {
    let mut learned = Learned::default();
    let senders = ["", "root@localhost", "x@[192.0.2.1]", "a@known.example", "b@free.example"];
    see(&mut learned, 0, "192.0.2.7", &senders.map(Does::Mail));
    let account_of = |sender: &str| sender.ends_with("@known.example").then(|| "support".to_owned());
    let places = [place("0.0.0.0:25", Reach::Network)];
    let accounts = BTreeSet::from(["free-example".to_owned()]);
    let around = Around {
        places: &places,
        account_of: &account_of,
        accounts,
        applications: BTreeSet::new(),
        message_size: 1 << 20,
    };
    let text = configuration(&learned, &around);
    for wanted in [
        "sends from the null reverse-path <>",
        "sends as root@localhost, which no provider has",
        "sends as x@[192.0.2.1], which no provider has",
        "known.example has an account already: support.",
    ] {
        assert!(flat(&text).contains(wanted), "{wanted} not in\n{text}");
    }
    let config = loaded(&text);
    let ids: Vec<_> = config.accounts.iter().map(|account| account.id.as_str()).collect();
    assert_eq!(ids, ["free-example-2"]);
}

#[test]
fn a_message_over_the_limit_raises_it() {
    for (octets, wanted) in [(50 << 20, 50 << 20), ((50 << 20) + 1, 64 << 20), (65 << 20, 128 << 20)] {
        let mut learned = Learned::default();
        see(
            &mut learned,
            0,
            "127.0.0.1",
            &[Does::Mail("a@example.com"), Does::Message("a@example.com", 1, octets)],
        );
        let config = loaded(&written(&learned, &[place("127.0.0.1:25", Reach::Loopback)]));
        assert_eq!(config.limits.message_size, wanted, "{octets}");
    }
}

#[test]
fn where_nobody_came_there_is_nothing_and_a_socket_has_no_clients() {
    let mut learned = Learned::default();
    let places = [place("192.0.2.1:25", Reach::Network), place("unix:/run/waxseal/smtp.sock", Reach::Socket)];
    let text = written(&learned, &places);
    assert!(text.contains("Nobody sent at 192.0.2.1:25"), "{text}");
    assert_eq!(loaded(&text).listeners[0].address.to_string(), "127.0.0.1:25");
    assert_eq!(report(&learned, &places), "# Nobody came.\n");

    let path = ReversePath::parse("a@example.com").unwrap();
    learned.take(1, Who::Local(33), &Seen::Sender { path: &path, size: None, secure: false });
    let config = loaded(&written(&learned, &places));
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].address.to_string(), "unix:/run/waxseal/smtp.sock");
}

#[test]
fn the_report_has_what_was_seen_and_news_come_once() {
    let mut learned = Learned::default();
    let deeds = [
        Does::Ehlo("ticketing"),
        Does::StartTls,
        Does::Plain("printer"),
        Does::Plain(""),
        Does::Other("CRAM-MD5"),
        Does::Mail("app@example.com"),
        Does::Message("app@example.com", 3, 2000),
        Does::Wrong,
    ];
    let news = see(&mut learned, 0, "192.0.2.7", &deeds);
    assert_eq!(news.len(), deeds.len() + 1, "{news:?}");
    assert_eq!(news[1], "192.0.2.7 greets with EHLO ticketing");
    assert_eq!(news[7], "192.0.2.7 offers a message to 3 recipients, 2 KiB, and keeps it");
    assert_eq!(see(&mut learned, 0, "192.0.2.7", &deeds), [""; 0], "nothing new");
    let text = report(&learned, &[place("0.0.0.0:25", Reach::Network)]);
    let wanted = "\
# 192.0.2.7, at 0.0.0.0:25: 2 connections
#   greeting  EHLO ticketing
#   TLS       asked for STARTTLS 2 times; sends in the clear
#   login     PLAIN as somebody whose name cannot be read, PLAIN as printer; asked for CRAM-MD5, which there
#             is not
#   senders   app@example.com
#   messages  2, attempts included; 6 recipients, at most 3 a message; the largest 2 KiB
#   wrong     500 5.5.2 Command not recognized (2)
#
";
    assert_eq!(text, wanted);
}

#[test]
fn whoever_says_something_else_each_time_fills_nothing() {
    let mut learned = Learned::default();
    let names: Vec<String> = (0..1000).map(|n| format!("h{n}")).collect();
    see(&mut learned, 0, "192.0.2.7", &names.iter().map(|name| Does::Ehlo(name)).collect::<Vec<_>>());
    let (_, _, habits) = learned.clients().next().unwrap();
    assert_eq!((habits.greetings.iter().count(), habits.greetings.left_out()), (100, 900));
    assert!(report(&learned, &[]).contains("and 990 more"));
    for n in 0..300_u32 {
        let client = std::net::Ipv4Addr::from(n).to_string();
        see(&mut learned, 1, &client, &names.iter().map(|name| Does::Helo(name)).collect::<Vec<_>>());
    }
    let kept: usize = learned.clients().map(|(_, _, habits)| habits.greetings.iter().count()).sum();
    assert!((19_000..=20_000).contains(&kept), "{kept}");
    for n in 0..5000_u32 {
        learned.take(0, Who::Network(std::net::Ipv4Addr::from(n).into()), &Seen::Connected);
    }
    assert_eq!((learned.clients().count(), learned.passed_over()), (4096, 1205));
}

proptest! {
    #![proptest_config(crate::smoke())]

    #[test]
    fn whatever_clients_say_stays_what_it_is(
        names in prop::collection::vec("(?s).{0,40}", 1..4),
        users in prop::collection::vec("(?s).{0,40}|\n\\[account.evil\\]\n|\"\"\"", 0..4),
        locals in prop::collection::vec("[a-z\"#=\\[\\]]{1,20}", 0..4),
    ) {
        let mut learned = Learned::default();
        let senders: Vec<String> = locals.iter().map(|local| format!("{local}@example.com")).collect();
        let senders: Vec<_> = senders.iter().filter(|sender| ReversePath::parse(sender).is_ok()).collect();
        let deeds: Vec<_> = names.iter().map(|name| Does::Ehlo(name))
            .chain(users.iter().map(|user| Does::Plain(user)))
            .chain(senders.iter().map(|sender| Does::Mail(sender)))
            .collect();
        for line in see(&mut learned, 0, "192.0.2.7", &deeds) {
            prop_assert!(!line.contains(char::is_control), "{line:?}");
        }
        let places = [place("0.0.0.0:25", Reach::Network)];
        let text = format!("{}{}", report(&learned, &places), written(&learned, &places));
        let table: toml::Table = text.parse().unwrap();
        let keys: Vec<&str> = table.keys().map(String::as_str).collect();
        let wanted: &[&str] = if senders.is_empty() { &[] } else { &["account", "listener"] };
        prop_assert_eq!(keys, wanted);
    }
}
