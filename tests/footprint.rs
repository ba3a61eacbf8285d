//! What clients cost the real binary: memory while thousands are connected, while one sends without end, and the time
//! that refused ones take.
//!
//! `cargo test --test footprint` holds the short forms. Figures worth quoting are a release build's:
//! `cargo test --release --test footprint -- --include-ignored --nocapture --test-threads 1`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]
#![allow(clippy::print_stdout, reason = "the figures are what it is run for")]

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use support::{
    House, PATIENCE, Provider, Running,
    client::{Client, message},
    tls::Certificate,
};
use waxseal::sandbox::SandboxOptions;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// What `/proc` says of the daemon.
struct Daemon(Running);

impl Daemon {
    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.0.0.id())
    }

    /// A line of its status, in octets.
    fn memory(&self, key: &str) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * KIB
    }

    /// Where memory goes, for those who want to know.
    fn anatomy(&self) -> String {
        let anonymous = mib(self.memory("RssAnon"));
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let threads = status.lines().find(|line| line.starts_with("Threads")).unwrap().replace('\t', " ");
        format!("{anonymous} anonymous, {threads}")
    }

    fn rss(&self) -> u64 {
        self.memory("VmRSS")
    }

    /// The peak since [`Daemon::forget_peak`].
    fn peak(&self) -> u64 {
        self.memory("VmHWM")
    }

    fn forget_peak(&self) {
        fs::write(self.proc("clear_refs"), "5").unwrap();
    }

    /// Processor time so far.
    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(self.proc("stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 1000 / 100)
    }
}

fn mib(octets: u64) -> String {
    format!("{:.1} MiB", octets as f64 / MIB as f64)
}

/// As many descriptors as there may be: for this process, and for the daemon that it starts.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// What a client without end sends before we take its part for played.
const ENDLESS: usize = 16 << 20;
/// A debug build is larger to begin with.
const LIMIT: u64 = if cfg!(debug_assertions) { 128 * MIB } else { 64 * MIB };
/// An account whose provider is not there.
const NOWHERE: &str = "[account.main]\ntype = \"basic\"\ndomain = \"example.com\"\naddress = \"127.0.0.1\"\nport = 9\n\
                       security = \"none\"\nuse_authentication = false\n";
const MANY: &str = "[limits]\nconnections = 5000\nconnections_per_client = 5000\n\n";

fn connect(address: SocketAddr, hello: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    say(&mut stream, hello);
    stream
}

/// Says hello, and reads the greeting and the reply.
fn say(stream: &mut (impl Read + Write), hello: &[u8]) {
    stream.write_all(hello).unwrap();
    let (mut got, mut part) = (Vec::new(), [0; 512]);
    while !String::from_utf8_lossy(&got).contains("250 SIZE") {
        let read = stream.read(&mut part).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&part[..read]);
    }
}

#[test]
#[ignore = "takes a release build and thousands of descriptors"]
fn two_thousand_idle_and_two_hundred_active_clients_stay_below_64_mib() {
    raise_descriptors();
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    house.configure(&(MANY.to_owned() + &house.basic(&provider, "main", "example.com")));
    let daemon = Daemon(house.serve());
    let at_rest = daemon.rss();
    let idle: Vec<TcpStream> = (0..2000).map(|_| connect(house.smtp, b"EHLO app.example.com\r\n")).collect();
    let with_idle = daemon.rss();
    println!("at rest {}, with 2,000 idle clients {}: {}", mib(at_rest), mib(with_idle), daemon.anatomy());
    println!("that is {:.1} KiB each", (with_idle - at_rest) as f64 / KIB as f64 / idle.len() as f64);

    // In the middle of a message of any size, and silent: the worst that a client can do without being read on.
    for octets in [2_000, 60_000, 250_000, 3_000_000] {
        daemon.forget_peak();
        let stuck: Vec<Client> = (0..200)
            .map(|_| {
                let mut client = Client::connect(house.smtp).unwrap();
                client.hello().unwrap();
                client.begin("app@example.com", "someone@example.org").unwrap();
                client.write(&message("stuck")).unwrap();
                client.write(&vec![b'x'; octets]).unwrap();
                client
            })
            .collect();
        thread::sleep(Duration::from_secs(1));
        let (now, peak) = (daemon.rss(), daemon.peak());
        println!(
            "200 clients inside messages of {octets} octets: {}, peak {}: {}",
            mib(now),
            mib(peak),
            daemon.anatomy()
        );
        assert!(peak < LIMIT, "{}", mib(peak));
        drop(stuck);
    }

    // A thousand recipients each, as long as addresses may be: past the memory for envelopes they are put off.
    daemon.forget_peak();
    let mut put_off = 0;
    let recipients: String =
        (0..1000).map(|n| format!("RCPT TO:<{n:0>200}@{}example.net>\r\n", "long.".repeat(45))).collect();
    let greedy: Vec<Client> = (0..200)
        .map(|_| {
            let mut client = Client::connect(house.smtp).unwrap();
            client.hello().unwrap();
            assert!(client.command("MAIL FROM:<app@example.com>").unwrap().starts_with("250 "));
            client.write(recipients.as_bytes()).unwrap();
            let replies = (0..1000).map(|_| client.reply().unwrap());
            put_off += replies.filter(|reply| reply.starts_with("452 4.3.1 ")).count();
            client
        })
        .collect();
    let peak = daemon.peak();
    println!("200 clients with 1,000 long recipients each: peak {}, {put_off} put off", mib(peak));
    assert!(peak < LIMIT && put_off > 0, "{}", mib(peak));
    drop(greedy);

    // And sending as fast as they can.
    daemon.forget_peak();
    let (stop, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let active: Vec<_> = (0..200)
        .map(|number: usize| {
            let (stop, taken, address) = (stop.clone(), taken.clone(), house.smtp);
            thread::spawn(move || {
                let mut client = Client::connect(address).unwrap();
                client.hello().unwrap();
                for round in number.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let mut content = message("active");
                    let lines = [20, 200, 2_000, 6_000][round % 4];
                    content.extend_from_slice(
                        "forty octets of content, more or less\r\n".repeat(lines).as_bytes(),
                    );
                    match client.send("app@example.com", "someone@example.org", &content) {
                        Ok(_) => taken.fetch_add(1, Ordering::Relaxed),
                        Err(error) => panic!("{error}"),
                    };
                }
            })
        })
        .collect();
    thread::sleep(Duration::from_secs(10));
    stop.store(true, Ordering::Relaxed);
    for client in active {
        client.join().unwrap();
    }
    let peak = daemon.peak();
    let taken = taken.load(Ordering::Relaxed);
    let (highest, then, anatomy) = (mib(peak), mib(daemon.rss()), daemon.anatomy());
    println!("200 clients sending for 10 s: {taken} messages, peak {highest}, then {then}: {anatomy}");
    assert!(peak < LIMIT, "{}", mib(peak));
    drop(idle);
}

#[test]
#[ignore = "takes a release build and thousands of descriptors"]
fn two_thousand_idle_clients_under_tls_stay_below_64_mib() {
    raise_descriptors();
    let house = House::new();
    let certificate = Certificate::write(house.directory.path(), "relay");
    house.configure_with(
        "info",
        "tls = \"implicit\"\ncertificate = \"relay.pem\"\nprivate_key = \"relay.key\"\n",
        &(MANY.to_owned() + NOWHERE),
    );
    let daemon = Daemon(house.serve());
    let at_rest = daemon.rss();
    let idle: Vec<_> = (0..2000)
        .map(|_| {
            let stream = TcpStream::connect(house.smtp).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut stream = certificate.secure(stream).unwrap();
            say(&mut stream, b"EHLO app.example.com\r\n");
            stream
        })
        .collect();
    let with_idle = daemon.rss();
    println!("at rest {}, with 2,000 idle clients under TLS {}", mib(at_rest), mib(with_idle));
    println!("that is {:.1} KiB each", (with_idle - at_rest) as f64 / KIB as f64 / idle.len() as f64);
    assert!(daemon.peak() < LIMIT, "{}", mib(daemon.peak()));
}

/// What a client sends without end, up to what the daemon takes of it.
fn send_without_end(address: SocketAddr, start: &[u8], piece: &[u8], octets: usize) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(start).unwrap();
    // Replies are read, or the connection would be reset with unread ones in it.
    let mut replies = stream.try_clone().unwrap();
    let reader = thread::spawn(move || {
        let mut got = Vec::new();
        let _ = replies.read_to_end(&mut got);
        String::from_utf8_lossy(&got).into_owned()
    });
    let block = piece.repeat((64 << 10) / piece.len());
    let mut left = octets;
    while left > 0 && stream.write_all(&block).is_ok() {
        left = left.saturating_sub(block.len());
    }
    let _ = stream.write_all(b"\r\n.\r\nQUIT\r\n");
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let got = reader.join().unwrap();
    assert!(got.contains("500 5.5.2 ") || got.contains("552 5.3.4 "), "{got}");
}

#[test]
fn a_client_without_end_moves_memory_by_less_than_2_mib() {
    let house = House::new();
    // What comes past the limit is read on and not kept, so that both are seen.
    house.configure(&("[limits]\nmessage_size = \"8MiB\"\n\n".to_owned() + NOWHERE));
    let daemon = Daemon(house.serve());
    // Once before it counts, so that threads and their stacks are there.
    let data = b"EHLO app\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n";
    send_without_end(house.smtp, &[&data[..], b"Subject: x\r\n"].concat(), b"x", ENDLESS);
    let cases: [(&str, Vec<u8>, &[u8]); 6] = [
        ("a command line", b"EHLO ".to_vec(), b"x"),
        ("a header line", [&data[..], b"Subject: "].concat(), b"x"),
        ("a header field's name", data.to_vec(), b"x"),
        ("a folded header field", [&data[..], b"Message-ID: <"].concat(), b"x\r\n "),
        ("header fields", data.to_vec(), b"X-Field: value\r\n"),
        ("a body line", [&data[..], b"Subject: x\r\n\r\n"].concat(), b"x"),
    ];
    for (what, start, piece) in cases {
        let before = daemon.rss();
        daemon.forget_peak();
        send_without_end(house.smtp, &start, piece, ENDLESS);
        let moved = daemon.peak().saturating_sub(before);
        println!("{what} without end: peak {} above {}", mib(moved), mib(before));
        assert!(moved < 2 * MIB, "{what}: {}", mib(moved));
    }
}

#[test]
fn refused_clients_cost_next_to_nothing() {
    let clients = 10_000;
    let house = House::new();
    house.configure_with("info", "clients = [\"192.0.2.1/32\"]", NOWHERE);
    let daemon = Daemon(house.serve());
    let refused = || {
        let mut got = String::new();
        let mut stream = TcpStream::connect(house.smtp).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.read_to_string(&mut got).unwrap();
        assert!(got.starts_with("554 5.7.1 "), "{got}");
    };
    (0..100).for_each(|_| refused());
    let (before, memory, begun) = (daemon.cpu(), daemon.rss(), Instant::now());
    daemon.forget_peak();
    let log = house.log().len();
    (0..clients).for_each(|_| refused());
    let (cpu, moved) = (daemon.cpu() - before, daemon.peak().saturating_sub(memory));
    println!(
        "{clients} refused clients in {:.1} s: {} ms of processor time, {} of memory, {} octets of log",
        begun.elapsed().as_secs_f64(),
        cpu.as_millis(),
        mib(moved),
        house.log().len() - log
    );
    assert!(moved < MIB, "{}", mib(moved));
    assert!(cpu < Duration::from_secs(5), "{cpu:?}");
    assert!(house.log().len() - log < 20_000, "a flood of clients is a flood of log");
}
