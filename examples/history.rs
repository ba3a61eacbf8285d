//! What the history costs: `cargo run --release --example history [MESSAGES]`. Tells two events a message, as a
//! delivery at the first attempt does, and searches the files afterwards. Prints microseconds a message and MB a second.

#![allow(clippy::print_stdout)] // the figures are what this program is for

use std::{
    io,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use waxseal::{
    history::{Event, History, Query, What, search},
    mail::QueueId,
    queue::record,
};

const ACCOUNT: &str = "support";

fn received(id: QueueId, number: u64) -> Event {
    Event {
        account: ACCOUNT.into(),
        from: Some("app@example.com".into()),
        to: vec![format!("customer-{}@example.org", number % 5000)],
        size: Some(4096),
        message_id: Some(format!("<20261124.{number}.4711@app.example.com>")),
        application: Some("ticketing".into()),
        ..Event::new(id.unix_millis(), id, What::Received)
    }
}

fn delivered(receipt: &Event) -> Event {
    Event {
        account: ACCOUNT.into(),
        to: receipt.to.clone(),
        relay: "smtp.office365.com:587".into(),
        tls: "TLSv1.3 TLS13_AES_256_GCM_SHA384".into(),
        reply: "250 2.0.0 OK <20261124.4711@app.example.com> [Hostname=AM0PR01MB1234.eurprd01.prod.exchangelabs.com]"
            .into(),
        delay_ms: Some(42),
        attempt: Some(1),
        ..Event::new(receipt.at + 42, receipt.id, What::Delivered)
    }
}

/// Processor time of this process.
fn processor() -> Duration {
    let usage = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = usage.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

fn main() -> io::Result<()> {
    let count = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(500_000u64);
    let directory = std::env::temp_dir().join(format!("waxseal-history-{}", std::process::id()));
    let start = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let history = History::open(&directory, Duration::from_secs(86_400))?;

    let id = |number: u64| QueueId::new(start + number / 100, (number % 100) as u32);
    let (mut telling, mut encoding) = (Duration::ZERO, Duration::ZERO);
    let before = processor();
    for number in 0..count {
        let began = Instant::now();
        let receipt = received(id(number), number);
        let told = history.prepare(std::slice::from_ref(&receipt));
        told.tell();
        let end = [delivered(&receipt)];
        let told = history.prepare(&end);
        telling += began.elapsed();
        let began = Instant::now();
        std::hint::black_box(record::encode_done(receipt.id, &end));
        encoding += began.elapsed();
        let began = Instant::now();
        told.tell();
        telling += began.elapsed();
        if number % 2000 == 1999 {
            // Some 20,000 messages a second: more than the disk of a relay takes.
            std::thread::sleep(Duration::from_millis(95));
        }
    }
    history.sync_blocking();
    let spent = processor() - before;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    println!(
        "telling: {:.2} µs a message for its tasks, {:.2} µs to put the events in the journal's record, \
         {:.2} µs of processor time in all, the writing thread's included",
        each(telling),
        each(encoding),
        each(spent)
    );

    let mut octets = 0;
    for (what, text) in [
        ("a Message-ID that is not there", "<nowhere@app.example.com>".to_owned()),
        ("an address that is not there", "stranger@example.org".to_owned()),
        ("a domain that is not there", "*@example.net".to_owned()),
        ("the first Message-ID of all", "<20261124.0.4711@app.example.com>".to_owned()),
        ("an address with 100 messages", "customer-77@example.org".to_owned()),
        ("a queue id", id(count / 2).to_string()),
    ] {
        let began = Instant::now();
        let found = search(&directory, &Query::parse(&text), 20, &|| false)?;
        let took = began.elapsed();
        octets = octets.max(found.octets);
        println!(
            "search for {what}: {} found, {:.0} MB looked at in {took:.0?}: {:.0} MB/s",
            found.messages.len(),
            found.octets as f64 / 1e6,
            found.octets as f64 / 1e6 / took.as_secs_f64()
        );
    }
    drop(history);
    let size: u64 = std::fs::read_dir(&directory)?
        .map(|entry| entry.map_or(0, |e| e.metadata().map_or(0, |m| m.len())))
        .sum();
    println!("size: {} octets a message", size / count);
    std::fs::remove_dir_all(directory)
}
