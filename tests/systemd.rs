//! What systemd sees of the real daemon: its notifications, in order, and a listening socket that outlives it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

mod support;

use rustix::process::Signal;
use std::{
    fs,
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use support::{
    House, PATIENCE, Provider, Running, browser,
    client::{Client, message, stuffed, submit},
    until,
};
use waxseal::{
    failpoint,
    sandbox::{Fault, Point, SandboxOptions},
};

/// The manager's end of the socket.
struct Manager(UnixDatagram);

impl Manager {
    /// The next notification that has this in it; what comes before it is passed over.
    #[track_caller]
    fn hears(&self, part: &str) -> String {
        let mut octets = [0; 4096];
        let mut heard = Vec::new();
        loop {
            let Ok(length) = self.0.recv(&mut octets) else { panic!("{part:?} was not said, but {heard:?}") };
            let said = String::from_utf8_lossy(&octets[..length]).into_owned();
            if said.contains(part) {
                return said;
            }
            heard.push(said);
        }
    }
}

/// Starts the daemon as systemd does: what is passed is meant for its own pid. A passed socket is number 3.
fn started(house: &House, passed: Option<&TcpListener>, environment: &[(&str, &str)]) -> Running {
    let log = fs::File::options().create(true).append(true).open(house.path("daemon.log")).unwrap();
    let stdin = match passed {
        Some(socket) => Stdio::from(OwnedFd::from(socket.try_clone().unwrap())),
        None => Stdio::null(),
    };
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ WATCHDOG_PID=$$ exec \"$0\" serve --config \"$1\"";
    let child = Command::new("/bin/sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_waxseal")])
        .arg(house.config())
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(stdin)
        .stderr(log)
        .spawn()
        .unwrap();
    Running(child)
}

#[test]
fn the_manager_hears_how_the_daemon_stands() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    house.configure(&house.basic(&provider, "works", "a.example"));
    let path = house.path("notify");
    let manager = Manager(UnixDatagram::bind(&path).unwrap());
    manager.0.set_read_timeout(Some(PATIENCE)).unwrap();
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    let mut daemon = started(&house, None, &environment);
    manager.hears("READY=1");
    manager.hears("STATUS=1 of 1 accounts ready, 0 messages waiting, 0 held, 0 failed");
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");

    daemon.signal(Signal::HUP);
    assert!(manager.hears("RELOADING=1").contains("MONOTONIC_USEC="));
    let said = manager.hears("READY=1");
    assert!(said.contains("STATUS=1 of 1 accounts ready") && !said.contains("refused"), "{said}");
    let good = fs::read_to_string(house.config()).unwrap();
    fs::write(house.config(), good.replace("username", "usernme")).unwrap();
    daemon.signal(Signal::HUP);
    manager.hears("RELOADING=1");
    let said = manager.hears("READY=1");
    let status = said.lines().find(|line| line.starts_with("STATUS=")).unwrap();
    assert!(status.contains("; the last reload was refused at ") && status.contains("usernme"), "{said}");
    assert!(status.contains("; the configuration in force is that of "), "{said}");
    fs::write(house.config(), &good).unwrap();
    daemon.signal(Signal::HUP);
    manager.hears("RELOADING=1");
    let said = manager.hears("READY=1");
    assert!(!said.contains("refused"), "{said}");

    // The stop says how long each of its steps may take, and the watchdog is told of the daemon until its end.
    provider.faults().always(Point::Dot, Fault::Delay(Duration::from_secs(2)));
    submit(house.smtp, "app@a.example", &message("slow")).unwrap();
    until("a transaction", || (house.json(&["status"])["queue"]["active"] == 1).then_some(()));
    daemon.signal(Signal::TERM);
    assert!(manager.hears("STOPPING=1").contains("STATUS=stopping"));
    manager.hears("EXTEND_TIMEOUT_USEC=20000000");
    manager.hears("EXTEND_TIMEOUT_USEC=25000000");
    manager.hears("WATCHDOG=1");
    manager.hears("EXTEND_TIMEOUT_USEC=10000000");
    manager.hears("EXTEND_TIMEOUT_USEC=40000000");
    assert!(daemon.wait().success());
    // Nothing but the watchdog comes after that, and no status of before.
    manager.0.set_nonblocking(true).unwrap();
    let mut octets = [0; 4096];
    while let Ok(length) = manager.0.recv(&mut octets) {
        assert_eq!(&octets[..length], b"WATCHDOG=1\n", "{}", String::from_utf8_lossy(&octets[..length]));
    }
}

/// The line is said anew when it has changed, and not otherwise.
#[test]
fn the_line_is_said_when_it_changes() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    house.configure(&house.basic(&provider, "works", "a.example"));
    let path = house.path("notify");
    let manager = Manager(UnixDatagram::bind(&path).unwrap());
    manager.0.set_read_timeout(Some(PATIENCE)).unwrap();
    let _daemon = started(&house, None, &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    manager.hears("READY=1");
    manager.hears("STATUS=1 of 1 accounts ready, 0 messages waiting");
    provider.faults().always(Point::Mail, Fault::Reply("451 4.3.0 later".into()));
    submit(house.smtp, "app@a.example", &message("waits")).unwrap();
    let mut octets = [0; 4096];
    let length = manager.0.recv(&mut octets).unwrap();
    let said = String::from_utf8_lossy(&octets[..length]).into_owned();
    assert!(said.starts_with("STATUS=1 of 1 accounts ready, 1 messages waiting"), "{said}");
}

/// A disk that never answers: the daemon's runtime turns on, and the watchdog hears nothing more of it.
#[test]
fn a_writer_that_hangs_in_its_disk_silences_the_watchdog() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    house.configure(&house.basic(&provider, "works", "a.example"));
    let path = house.path("notify");
    let manager = Manager(UnixDatagram::bind(&path).unwrap());
    manager.0.set_read_timeout(Some(PATIENCE)).unwrap();
    let stall = failpoint::Point::RecordWritten.name();
    let environment = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "400000"),
        (failpoint::STALL, stall.as_str()),
    ];
    let _daemon = started(&house, None, &environment);
    manager.hears("WATCHDOG=1");
    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    client.begin("app@a.example", "someone@example.org").unwrap();
    client.write(&stuffed(&message("stuck"))).unwrap();
    // Five times the watchdog's time without a word, but for what was under way when it stalled.
    manager.0.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let (mut octets, mut pings, deadline) = ([0; 4096], 0, Instant::now() + PATIENCE);
    while let Ok(length) = manager.0.recv(&mut octets) {
        let said = String::from_utf8_lossy(&octets[..length]);
        pings += usize::from(said.contains("WATCHDOG=1"));
        assert!(Instant::now() < deadline, "the watchdog is told that all is well; {pings} times");
    }
    assert_eq!(
        browser::get(&format!("http://{}/healthz", house.admin)).unwrap().status,
        200,
        "the runtime turns"
    );
}

#[test]
fn a_restart_refuses_nobody_where_the_manager_holds_the_socket() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    house.configure(&house.basic(&provider, "works", "a.example"));
    let text = fs::read_to_string(house.config()).unwrap();
    fs::write(house.config(), text.replace(&house.smtp.to_string(), "systemd:smtp")).unwrap();
    let socket = TcpListener::bind(house.smtp).unwrap();
    let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let environment = [("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "smtp")];
    let mut daemon = started(&house, Some(&socket), &environment);
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (address, over, sent) = (house.smtp, over.clone(), sent.clone());
            thread::spawn(move || {
                let mut acknowledged = 0;
                while !over.load(Ordering::Relaxed) {
                    // A connection is never refused; one that the stopping daemon has in hand may end with a 421, and
                    // what has no 250 is sent again.
                    let mut client = Client::connect(address).expect("a connection");
                    let subject = format!("c{number}-{acknowledged}");
                    let sent_one = client.hello().and_then(|()| {
                        client.send("app@a.example", "someone@example.org", &message(&subject))
                    });
                    if sent_one.is_ok() {
                        acknowledged += 1;
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                }
                acknowledged
            })
        })
        .collect();
    for _ in 0..2 {
        let before = sent.load(Ordering::Relaxed);
        until("mail that goes", || (sent.load(Ordering::Relaxed) > before + 20).then_some(()));
        daemon.signal(Signal::TERM);
        assert!(daemon.wait().success());
        daemon = started(&house, Some(&socket), &environment);
    }
    let before = sent.load(Ordering::Relaxed);
    until("mail that goes", || (sent.load(Ordering::Relaxed) > before + 20).then_some(()));
    over.store(true, Ordering::Relaxed);
    let acknowledged: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    provider.arrivals(acknowledged);
}
