//! The real binary at half of what it can do, with faults on, for as long as one likes: nothing is lost, and memory,
//! file descriptors and the disk stay what they were. Half an hour of it:
//! `cargo test --release --test soak -- --ignored --nocapture`; `SOAK_MINUTES` is another length, `SOAK_SEED` repeats
//! a run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]
#![allow(clippy::print_stdout, reason = "the figures are what it is run for")]

mod load;
mod support;

use load::{
    clients::{CLIENTS, Load},
    ledger::Ledger,
    samples::{Gauge, Sample, median},
    weather::{Climate, Weather},
};
use rustix::process::Signal;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use support::{House, Provider};
use waxseal::sandbox::SandboxOptions;

/// A segment of the queue's journal: so much may lie there although nothing in it lives.
const SEGMENT: u64 = 64 << 20;
/// Connections that an account may open; there are two accounts with passwords and two with tokens.
const CONNECTIONS: usize = 4;
const DOMAINS: [&str; 4] = ["a.example", "b.example", "c.example", "d.example"];

/// How long everything takes.
struct Plan {
    measured: Duration,
    load: Duration,
    climate: Climate,
    /// How long the queue may take to empty, and then the rest to come to rest.
    drain: Duration,
    rest: Duration,
    /// Whether it is long enough to say of memory, descriptors and disk that they are flat.
    tells: bool,
}

#[test]
fn nothing_is_lost_under_load_with_faults() {
    soak(&Plan {
        measured: Duration::from_secs(1),
        load: Duration::from_secs(5),
        climate: Climate { between: Duration::from_millis(1500), logins: false },
        drain: Duration::from_secs(60),
        rest: Duration::ZERO,
        tells: false,
    });
}

#[test]
#[ignore = "takes half an hour"]
fn half_an_hour_at_half_speed_with_faults() {
    let minutes = std::env::var("SOAK_MINUTES").ok().and_then(|minutes| minutes.parse().ok()).unwrap_or(30.0);
    soak(&Plan {
        measured: Duration::from_secs(10),
        load: Duration::from_secs_f64(minutes * 60.0),
        climate: Climate { between: Duration::from_secs(8), logins: true },
        drain: Duration::from_secs(600),
        rest: Duration::from_secs(240),
        tells: true,
    });
}

fn soak(plan: &Plan) {
    let seed = std::env::var("SOAK_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed} (SOAK_SEED)");
    let (provider, house) = scene();
    let mut daemon = house.serve();
    let ledger = Arc::new(Ledger::default());
    let post = Post::deliver(&provider, &ledger);
    let gauge = Gauge::on(daemon.0.id(), &house);
    let before = gauge.look();
    let mut load = Load {
        address: house.smtp,
        ledger: ledger.clone(),
        domains: DOMAINS.map(String::from).to_vec(),
        seed,
        rate: None,
        rough: false,
        until: Instant::now() + plan.measured,
    };

    let begun = Instant::now();
    run(&load);
    empties(&house, plan.drain);
    let most = ledger.tally().acknowledged as f64 / begun.elapsed().as_secs_f64();
    println!("the maximum: {most:.0} messages a second, from the first to the last delivery; half of it now");

    let weather = Weather::start(&provider, plan.climate);
    let watch = gauge.watch(Duration::from_secs(5).min(plan.load / 4));
    load = Load { rate: Some(most / 2.0), rough: true, until: Instant::now() + plan.load, ..load };
    let earlier = ledger.tally().acknowledged;
    run(&load);
    let samples = watch.stop();
    let past = weather.stop();
    let rate = (ledger.tally().acknowledged - earlier) as f64 / plan.load.as_secs_f64();
    let drained = empties(&house, plan.drain);
    all_are_told(&ledger, plan.drain);
    let after = comes_to_rest(&gauge, &before, plan);
    let open = gauge.open();
    post.stop();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0), "{}", house.log());

    let tally = ledger.tally();
    println!("{}", after.row());
    println!(
        "{} acknowledged ({rate:.0} a second under {} faults): {} arrived, {} failed of whose senders {} were told, \
         {} duplicates of {} dropped after the dot, {} broken off; drained in {drained:.1?}",
        tally.acknowledged,
        past.faults,
        tally.arrived,
        tally.failed,
        tally.notified,
        tally.duplicates,
        past.drops,
        tally.broken_off
    );
    ledger.check();
    assert!(tally.duplicates <= past.drops, "more duplicates than connections dropped after the dot");
    let refusals = ledger.refusals.lock().unwrap();
    assert!(refusals.is_empty(), "{} clients did not get their 250: {:?}", refusals.len(), refusals.first());
    let log = house.log();
    let bad = |line: &&str| ["ERROR", "panicked"].iter().any(|word| line.contains(word));
    assert_eq!(log.lines().find(bad), None);
    assert_eq!(after.contents, 0, "content is left behind");
    if plan.tells {
        is_flat(&samples, &before, &after, &open);
    }
}

/// A provider that takes passwords and tokens, and a house with two accounts for either.
fn scene() -> (Arc<Provider>, House) {
    let options = SandboxOptions { expires_in: Duration::from_secs(90), ..Default::default() };
    let provider = Arc::new(Provider::start(options));
    let house = House::beside(&provider);
    let account = |(number, domain): (usize, &&str)| {
        let id = domain.split('.').next().unwrap();
        let pace = format!("max_connections = {CONNECTIONS}\n");
        if number.is_multiple_of(2) {
            format!("{}{pace}\n", house.basic(&provider, id, domain))
        } else {
            let grant = provider.grants().issue_refresh_token();
            format!("{}{pace}refresh_token = \"{grant}\"\n\n", house.oauth(&provider, id, domain))
        }
    };
    let accounts: String = DOMAINS.iter().enumerate().map(account).collect();
    house.configure_with("warn", "", &format!("keep_failed = \"1m\"\n\n{accounts}"));
    (provider, house)
}

fn run(load: &Load) {
    for client in load.start() {
        client.join().unwrap();
    }
}

/// Waits until nothing is left to be delivered; how long that took.
fn empties(house: &House, patience: Duration) -> Duration {
    let begun = Instant::now();
    loop {
        let status = house.json(&["status"]);
        let counts = status["queue"].as_object().unwrap();
        let rest: u64 =
            counts.iter().filter(|(state, _)| *state != "failed").filter_map(|(_, n)| n.as_u64()).sum();
        if rest == 0 {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < patience, "the queue does not empty: {counts:?}\n{status:#}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until the senders of failed messages have been told: the last notification enters the queue a moment after it
/// was empty. What is missing after that the ledger says.
fn all_are_told(ledger: &Ledger, patience: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < patience {
        let tally = ledger.tally();
        if tally.notified >= tally.failed {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until idle connections are closed, failed messages gone and dead segments removed, as far as there is time.
fn comes_to_rest(gauge: &Gauge, before: &Sample, plan: &Plan) -> Sample {
    let deadline = Instant::now() + plan.rest;
    loop {
        let sample = gauge.look();
        let rests = sample.descriptors <= before.descriptors && sample.queue <= SEGMENT && sample.depth == 0;
        if rests || Instant::now() >= deadline {
            return sample;
        }
        thread::sleep(Duration::from_secs(1));
    }
}

fn is_flat(samples: &[Sample], before: &Sample, after: &Sample, open: &[PathBuf]) {
    let quarter = |number: usize| &samples[samples.len() * (number - 1) / 4..samples.len() * number / 4];
    let (second, last) = (quarter(2), quarter(4));
    let memory = [median(second, |s| s.rss), median(last, |s| s.rss)];
    let descriptors = [second, last].map(|q| median(q, |s| s.descriptors as u64));
    println!(
        "medians of the second and the last quarter: RSS {:.1} and {:.1} MiB, descriptors {} and {}",
        memory[0] as f64 / 1_048_576.0,
        memory[1] as f64 / 1_048_576.0,
        descriptors[0],
        descriptors[1]
    );
    assert!(memory[1] <= memory[0] + memory[0] / 10 + (4 << 20), "memory grows");
    // Clients and upstream connections come and go; what leaks stays.
    let most = (CLIENTS + DOMAINS.len() * CONNECTIONS) as u64;
    assert!(descriptors[1] <= descriptors[0] + most / 2, "descriptors grow");
    assert!(
        after.descriptors <= before.descriptors,
        "{} descriptors before, {} after: {open:?}",
        before.descriptors,
        after.descriptors
    );
    assert_eq!(after.depth, 0, "failed messages are kept for a minute only");
    assert!(after.queue <= SEGMENT, "{} octets in an empty queue", after.queue);
}

/// Takes what arrives at the provider into the ledger, so that neither keeps it.
struct Post {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Post {
    fn deliver(provider: &Arc<Provider>, ledger: &Arc<Ledger>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (provider, ledger, stopped) = (provider.clone(), ledger.clone(), stop.clone());
        let thread = thread::spawn(move || {
            loop {
                // Whatever arrived before the stop is taken.
                let last = stopped.load(Ordering::Relaxed);
                provider.take_received().iter().for_each(|message| ledger.arrived(message));
                if last {
                    return;
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        Self { stop, thread }
    }

    #[track_caller]
    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}
