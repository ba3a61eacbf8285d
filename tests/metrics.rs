//! `GET /metrics` of the real daemon: for whoever has the admin token, with what is known of accounts, tokens and queue.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::Duration,
};
use support::{
    House, Provider, browser,
    client::{Client, message, submit},
    until,
};
use waxseal::{
    meter::REJECTIONS,
    sandbox::{Fault, Point, SandboxOptions},
};

/// Status and text.
fn asked(house: &House, authorization: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(house.admin).unwrap();
    let host = house.admin;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{authorization}\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

#[test]
fn the_admin_token_shows_how_accounts_tokens_and_queue_stand() {
    let provider = Provider::start(SandboxOptions { auto_approve: true, ..SandboxOptions::default() });
    let house = House::beside(&provider);
    let person = house.oauth(&provider, "person", "a.example") + "client_secret_expires = \"2999-01-01\"\n";
    house.configure(&format!("{person}{}", house.oauth(&provider, "waiting", "b.example")));
    let _daemon = house.serve();
    house.authorize("person");
    submit(house.smtp, "app@b.example", &message("held")).unwrap();
    house.message_becomes("held");

    assert_eq!(asked(&house, "").0, 401);
    assert_eq!(asked(&house, "Authorization: Bearer guessed\r\n").0, 401);
    let token = fs::read_to_string(house.state().join("admin.token")).unwrap();
    let (status, text) = asked(&house, &format!("Authorization: Bearer {}\r\n", token.trim()));
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("content-type: text/plain; version=0.0.4"), "{text}");
    for line in [
        "waxseal_account_state{account=\"person\",state=\"ready\"} 1",
        "waxseal_account_state{account=\"person\",state=\"failing\"} 0",
        "waxseal_account_state{account=\"waiting\",state=\"needs_authorization\"} 1",
        "waxseal_token_refresh_total{account=\"person\",result=\"granted\"} 1",
        "# TYPE waxseal_token_refresh_total counter",
        "waxseal_queue_messages{account=\"waiting\",state=\"held\"} 1",
    ] {
        assert!(text.lines().any(|seen| seen == line), "{line}\n{text}");
    }
    let value = |name: &str| -> f64 {
        let line =
            text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}\n{text}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    assert!((3_500.0..=3_600.0).contains(&value("waxseal_token_expires_seconds{account=\"person\"}")));
    assert!(value("waxseal_grant_ends_seconds{account=\"person\",cause=\"the client secret ends\"}") > 1e9);
    assert!((0.0..60.0).contains(&value("waxseal_grant_age_seconds{account=\"person\"}")));
    assert!((0.0..60.0).contains(&value("waxseal_queue_oldest_seconds{account=\"waiting\"}")));
    assert!(value("waxseal_queue_bytes") > 0.0);
    assert_eq!((value("waxseal_store_up"), value("waxseal_store_uncopied_messages")), (1.0, 0.0));
    assert!(!text.contains(token.trim()) && !text.contains("sandbox-secret"));
}

/// All metrics of a house.
fn text(house: &House) -> String {
    let token = fs::read_to_string(house.state().join("admin.token")).unwrap();
    asked(house, &format!("Authorization: Bearer {}\r\n", token.trim())).1
}

/// Waits for a line.
#[track_caller]
fn seen(house: &House, line: &str) {
    until(&format!("the metric {line}"), || text(house).lines().any(|seen| seen == line).then_some(()));
}

#[test]
fn messages_are_counted_by_listener_account_and_reason_and_the_day_survives_a_restart() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    let away = house.basic(&provider, "away", "away.example");
    let away = away.replace(&format!("port = {}", provider.smtp_address().port()), "port = 9");
    house.configure(&(house.basic(&provider, "works", "a.example") + &away));
    let daemon = house.serve();
    let listener = house.smtp.to_string();
    seen(&house, &format!("waxseal_connections{{listener=\"{listener}\"}} 0"));
    seen(&house, "waxseal_messages_delivered_total{account=\"works\"} 0");

    submit(house.smtp, "app@a.example", &message("one")).unwrap();
    provider.arrivals(1);
    seen(&house, &format!("waxseal_messages_received_total{{listener=\"{listener}\",account=\"works\"}} 1"));
    seen(&house, "waxseal_messages_delivered_total{account=\"works\"} 1");
    seen(&house, "waxseal_delivery_seconds_bucket{account=\"works\",le=\"+Inf\"} 1");
    seen(&house, "waxseal_delivery_seconds_count{account=\"works\"} 1");
    seen(&house, "waxseal_upstream_connections{account=\"works\"} 1");

    submit(house.smtp, "app@b.example", &message("nobody")).unwrap_err();
    seen(&house, &format!("waxseal_messages_rejected_total{{listener=\"{listener}\",reason=\"sender\"}} 1"));
    submit(house.smtp, "app@away.example", &message("later")).unwrap();
    seen(&house, "waxseal_messages_deferred_total{account=\"away\",reason=\"connection\"} 1");
    provider.faults().once(Point::Rcpt(None), Fault::Reply("550 5.1.1 no such user".to_owned()));
    submit(house.smtp, "app@a.example", &message("nobody-there")).unwrap();
    seen(&house, "waxseal_messages_failed_total{account=\"works\",reason=\"recipient\"} 1");
    // The sender is told of it, by a message of waxseal's own.
    seen(&house, "waxseal_messages_received_total{listener=\"waxseal\",account=\"works\"} 1");

    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    seen(&house, &format!("waxseal_connections{{listener=\"{listener}\"}} 1"));
    drop(client);
    seen(&house, &format!("waxseal_connections{{listener=\"{listener}\"}} 0"));

    let received = |house: &House| house.json(&["status"])["rates"]["received"].clone();
    let before = received(&house);
    assert_eq!((&before["hour"], &before["day"]), (&4.into(), &4.into()));
    assert!(house.cli(&["status"]).ok().contains("last hour  4 received, "));
    daemon.signal(rustix::process::Signal::TERM);
    let mut daemon = daemon;
    assert!(daemon.wait().success());
    let _daemon = house.serve();
    until("the day as it was", || (received(&house) == before).then_some(()));
    seen(&house, &format!("waxseal_connections{{listener=\"{listener}\"}} 0"));
    assert!(browser::get(&format!("http://{}/metrics", house.admin)).unwrap().status == 401);
}

#[test]
fn a_day_that_is_damaged_begins_anew() {
    let house = House::new();
    house.configure("");
    fs::create_dir_all(house.state()).unwrap();
    fs::write(house.state().join("day.json"), "{").unwrap();
    let _daemon = house.serve();
    house.log_line(&["the numbers of the last day cannot be read: they begin anew"]);
    assert_eq!(house.json(&["status"])["rates"]["received"]["day"], 0);
}

#[test]
fn what_is_exposed_is_documented_and_the_other_way_round() {
    let provider = Provider::start(SandboxOptions { auto_approve: true, ..SandboxOptions::default() });
    let house = House::beside(&provider);
    house.configure(&(house.oauth(&provider, "a", "a.example") + "client_secret_expires = \"2999-01-01\"\n"));
    let _daemon = house.serve();
    house.authorize("a");
    let exposed: std::collections::BTreeSet<String> = text(&house)
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned))
        .collect();
    let documented: std::collections::BTreeSet<String> = include_str!("../docs/metrics.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned))
        .filter(|name| name.contains('_') && !name.starts_with("in_"))
        .collect();
    assert_eq!(exposed, documented);
}

/// What `/metrics` says.
struct Scrape(String);

impl Scrape {
    fn of(house: &House) -> Self {
        let token = fs::read_to_string(house.state().join("admin.token")).unwrap();
        let (status, text) = asked(house, &format!("Authorization: Bearer {}\r\n", token.trim()));
        assert_eq!(status, 200, "{text}");
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        Self(body.to_owned())
    }

    /// Waits until a sample has this value.
    #[track_caller]
    fn until(house: &House, sample: &str, value: f64) -> Self {
        until(&format!("{sample} {value}"), || {
            Some(Self::of(house)).filter(|scrape| scrape.get(sample) == Some(value))
        })
    }

    fn get(&self, sample: &str) -> Option<f64> {
        let value = |line: &str| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok();
        self.0.lines().find_map(value)
    }

    /// All values of a label of a metric.
    fn values(&self, name: &str, label: &str) -> BTreeSet<&str> {
        let lines = self.0.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
        lines.filter_map(|line| line.split_once(&format!("{label}=\""))?.1.split('"').next()).collect()
    }
}

#[test]
fn reasons_follow_the_replies_and_connections_are_counted_over_a_reload() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    house.configure(
        &(house.basic(&provider, "app", "a.example") + &house.oauth(&provider, "waiting", "w.example")),
    );
    let _daemon = house.serve();
    submit(house.smtp, "app@w.example", &message("held")).unwrap();
    seen(&house, "waxseal_messages_deferred_total{account=\"waiting\",reason=\"token\"} 1");
    for (point, reply, reason) in [
        (Point::Banner, "421 4.3.2 busy", "rate"),
        (Point::Rcpt(None), "451 4.2.0 greylisted", "recipient"),
        (Point::Dot, "452 4.3.1 no room", "content"),
    ] {
        provider.faults().once(point, Fault::ReplyAndDrop(reply.into()));
        submit(house.smtp, "app@a.example", &message(reason)).unwrap();
        let line = format!("waxseal_messages_deferred_total{{account=\"app\",reason=\"{reason}\"}} 1");
        seen(&house, &line);
        house.cli(&["queue", "retry", "--account", "app"]).ok();
        until("the message", || provider.received().iter().any(|m| contains(m, reason)).then_some(()));
    }
    seen(&house, "waxseal_messages_delivered_total{account=\"app\"} 3");

    let struck = provider.faults().struck();
    provider.faults().once(Point::Dot, Fault::Delay(Duration::from_secs(4)));
    submit(house.smtp, "app@a.example", &message("slow")).unwrap();
    until("a transaction", || (provider.faults().struck() > struck).then_some(()));
    let more = fs::read_to_string(house.config()).unwrap() + &house.basic(&provider, "later", "l.example");
    fs::write(house.config(), more).unwrap();
    house.cli(&["reload"]).ok();
    let scrape = Scrape::of(&house);
    assert_eq!(scrape.get("waxseal_messages_delivered_total{account=\"later\"}"), Some(0.0));
    assert_eq!(scrape.get("waxseal_messages_delivered_total{account=\"app\"}"), Some(3.0));
    assert_eq!(scrape.get("waxseal_upstream_connections{account=\"app\"}"), Some(1.0));
    seen(&house, "waxseal_messages_delivered_total{account=\"app\"} 4");
    // It was the old upstream's, and is not kept.
    seen(&house, "waxseal_upstream_connections{account=\"app\"} 0");
}

fn contains(message: &waxseal::sandbox::Received, subject: &str) -> bool {
    String::from_utf8_lossy(&message.octets).contains(&format!("Subject: {subject}\r\n"))
}

/// What promtool looks at: every sample behind its own HELP and TYPE, no sample twice, counters named `_total`,
/// histograms whole and rising.
fn valid(text: &str) {
    let (mut name, mut kind) = (String::new(), String::new());
    let (mut names, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let (mut bucket, mut inf) = (f64::MIN, None);
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            name = help.split(' ').next().unwrap().to_owned();
            assert!(help.len() > name.len() + 1 && names.insert(name.clone()), "{line}");
        } else if let Some(typed) = line.strip_prefix("# TYPE ") {
            kind = typed.strip_prefix(&name).unwrap().trim().to_owned();
            assert!(["counter", "gauge", "histogram"].contains(&&*kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let value: f64 = value.parse().unwrap();
            assert!(seen.insert(series.to_owned()), "twice: {line}");
            let rest = series.strip_prefix(&*name).unwrap_or_else(|| panic!("{line} below {name}"));
            if kind != "histogram" {
                assert!(rest.is_empty() || rest.starts_with('{'), "{line}");
            } else if rest.starts_with("_bucket{") {
                assert!(value >= bucket || inf.is_some(), "{line}");
                (bucket, inf) = (value, rest.contains("le=\"+Inf\"").then_some(value));
            } else if rest.starts_with("_count{") {
                assert_eq!(Some(value), inf, "{line}");
            } else {
                assert!(rest.starts_with("_sum{"), "{line}");
            }
        }
    }
    assert!(seen.len() > 50, "{text}");
}

/// `docs/metrics.md` has every metric, label and reason word, and nothing else.
#[test]
fn the_document_tells_what_is_exposed() {
    let provider = Provider::start(SandboxOptions { auto_approve: true, ..SandboxOptions::default() });
    let house = House::beside(&provider);
    let waiting = house.oauth(&provider, "waiting", "w.example");
    house.configure(&(house.basic(&provider, "app", "a.example") + &waiting));
    let _daemon = house.serve();
    house.authorize("waiting");
    submit(house.smtp, "app@a.example", &message("one")).unwrap();
    let scrape = Scrape::until(&house, "waxseal_messages_delivered_total{account=\"app\"}", 1.0);
    valid(&scrape.0);
    assert!(!scrape.0.contains('@'), "no label has an address");
    let document = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let quoted =
        |cell: &str| -> BTreeSet<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let row = |line: &str| cells(line).first().is_some_and(|cell| cell.starts_with('`'));
    /// The rows below the heading that begins like this.
    fn table<'a>(document: &'a str, heading: &str) -> impl Iterator<Item = &'a str> {
        let start = document.find(heading).unwrap_or_else(|| panic!("no table {heading}"));
        document[start..].lines().skip(2).take_while(|line| line.starts_with('|'))
    }
    let metrics: Vec<Vec<String>> =
        table(&document, "| metric |").filter(|line| row(line)).map(cells).collect();
    let documented: BTreeSet<String> = metrics.iter().flat_map(|cells| quoted(&cells[0])).collect();
    let types = scrape.0.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    assert_eq!(documented, types.map(str::to_owned).collect());
    for cells in &metrics {
        let name = quoted(&cells[0]).into_iter().next().unwrap();
        let sample =
            |line: &&str| line.split('{').next().is_some_and(|n| n.trim_end_matches("_count") == name);
        let Some(sample) = scrape.0.lines().filter(|line| line.contains('{')).find(sample) else {
            // Nothing waits, no grant ends, or it has no labels.
            let absent = ["waxseal_queue_oldest_seconds", "waxseal_grant_ends_seconds"];
            assert!(cells[1] == "–" || absent.contains(&&*name), "{name} has no sample");
            continue;
        };
        let inside = sample.split_once('{').unwrap().1.rsplit_once('}').unwrap().0;
        let labels = inside.split("\",").map(|label| label.split('=').next().unwrap().to_owned());
        assert_eq!(labels.collect::<BTreeSet<_>>(), quoted(&cells[1]), "{name}");
    }
    let set =
        |values: BTreeSet<&str>| -> BTreeSet<String> { values.into_iter().map(str::to_owned).collect() };
    let reasons: Vec<Vec<String>> = table(&document, "| reason |").map(cells).collect();
    for (metric, column) in [("waxseal_messages_deferred_total", 1), ("waxseal_messages_failed_total", 2)] {
        let words = reasons.iter().filter(|cells| cells[column] == "yes").flat_map(|cells| quoted(&cells[0]));
        assert_eq!(words.collect::<BTreeSet<_>>(), set(scrape.values(metric, "reason")), "{metric}");
    }
    let words = table(&document, "| rejected because of |").flat_map(|line| quoted(&cells(line)[0]));
    assert_eq!(
        words.collect::<BTreeSet<_>>(),
        set(scrape.values("waxseal_messages_rejected_total", "reason"))
    );
}

/// The words that the inbound side gives for refusals are those that are shown from the start.
#[test]
fn every_rejection_in_the_sources_is_a_known_one() {
    fn visit(directory: &Path, text: &mut String) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { visit(&path, text) } else { text.push_str(&fs::read_to_string(path).unwrap()) }
        }
    }
    let mut text = String::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/inbound"), &mut text);
    let mut found = BTreeSet::new();
    for before in [
        "note_rejection(\"",
        "note_rejection(if login { \"",
        "} else { \"",
        "reason = \"",
        "refuse(\"",
        "Enough(\"",
        "=> (\"",
        "Err((\"",
        "|| (\"",
    ] {
        let parts = text.split(before).skip(1);
        found.extend(
            parts
                .filter_map(|part| part.split('"').next())
                .filter(|word| !word.is_empty() && word.bytes().all(|octet| octet.is_ascii_lowercase())),
        );
    }
    assert_eq!(found, REJECTIONS.into_iter().collect());
}
