//! Events of the log that come of nothing else that tests do: a state directory in disorder, too few descriptors, a
//! stop that cuts off what does not end. `tests/interop/events.py` has all events and holds them against the document.
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
    process::{Command, Stdio},
    time::Duration,
};
use support::{
    House, Provider, Running,
    client::{Client, message, stuffed, submit},
    until,
};
use waxseal::sandbox::{Fault, Point, SandboxOptions};

/// What lies in the way is told of, once it is met, and mail goes on.
#[test]
fn a_state_directory_in_disorder_is_told_of_and_mail_goes_on() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    let nobody = house.oauth(&provider, "nobody", "nobody.example");
    let account = house.basic(&provider, "works", "a.example") + "daily_recipients = 1000\n";
    house.configure(&format!("{account}\n{nobody}"));
    let state = house.state();
    let directory = |name: &str| fs::create_dir_all(state.join(name)).unwrap();
    let rubbish = |name: &str| fs::write(state.join(name), "rubbish").unwrap();
    directory("queue");
    directory("history/2020-01-02.jsonl/in-the-way");
    fs::write(state.join("history/2020-01-01.jsonl"), "").unwrap();
    for name in ["day.json", "alerts.json", "queue/pace.json"] {
        rubbish(name);
    }
    for name in ["day.json.new", "queue/pace.json.new"] {
        directory(name);
    }
    // Nobody listens there.
    let mut daemon = house.serve_in(&[("NOTIFY_SOCKET", "/nowhere/notify")]);
    submit(house.smtp, "app@a.example", &message("goes-on")).unwrap();
    provider.arrivals(1);
    for parts in [
        &["systemd not notified"] as &[&str],
        &["the numbers of the last day cannot be read: they begin anew"],
        &["pace.json cannot be read; counts begin anew"],
        &["pace.json not written"],
        &["the record of alerts was damaged: moved aside", "aside="],
        &["history outlived: day removed", "day=2020-01-01"],
        &["outlived history not removed"],
    ] {
        house.log_line(parts);
    }
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());
    house.log_line(&["the numbers of the last day cannot be written"]);

    // What cannot even be read is left alone.
    fs::remove_file(state.join("alerts.json")).unwrap();
    directory("alerts.json/in-the-way");
    let _daemon = house.serve();
    house.log_line(&["the record of alerts cannot be read", "path="]);
    house.log_line(&["the record of alerts cannot be written; a restart may tell again"]);
    submit(house.smtp, "app@a.example", &message("still")).unwrap();
    provider.arrivals(2);
}

/// Clients take all descriptors: they wait, the log says why, and once there are some again all goes on.
#[test]
fn without_descriptors_clients_wait_and_the_log_says_why() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    house.configure(&house.basic(&provider, "works", "a.example"));
    let log = fs::File::options().create(true).append(true).open(house.path("daemon.log")).unwrap();
    let child = Command::new("/bin/sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" serve --config \"$1\"", env!("CARGO_BIN_EXE_waxseal")])
        .arg(house.config())
        .env_clear()
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let _daemon = Running(child);
    house.log_line(&["listening", "listener="]);
    until("a control socket", || house.state().join("control.sock").exists().then_some(()));
    // The system takes connections to the backlog, whether the daemon can accept them or not.
    let clients: Vec<_> = (0..64).map(|_| Client::knock(house.smtp).unwrap()).collect();
    house.log_line(&["cannot accept", "listener=", "error="]);
    let mut asked = Running(
        support::waxseal()
            .args(["status", "--config"])
            .arg(house.config())
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    house.log_line(&["control socket", "error="]);
    drop(clients);
    assert!(asked.wait().success());
    submit(house.smtp, "app@a.example", &message("later")).unwrap();
    provider.arrivals(1);
}

/// A provider that takes longer than a stop may: sessions and transactions are cut off, told of, and tried again.
#[test]
fn a_stop_cuts_off_what_does_not_end() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    let account = house.basic(&provider, "works", "a.example") + "delivery = \"through\"\n";
    house.configure_with(
        "info,waxseal::outbound=trace",
        "",
        &format!("through_timeout = \"10m\"\n\n{account}"),
    );
    let mut daemon = house.serve();
    // It proves the account.
    submit(house.smtp, "app@a.example", &message("first")).unwrap();
    provider.arrivals(1);
    provider.faults().always(Point::Data, Fault::Delay(Duration::from_secs(120)));
    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    client.begin("app@a.example", "someone@example.org").unwrap();
    client.write(&stuffed(&message("slow"))).unwrap();
    until("a second transaction", || (house.log().matches("C: DATA").count() == 2).then_some(()));
    daemon.signal(Signal::TERM);
    house.log_line(&["sessions did not end", "left=1"]);
    house.log_line(&["transactions cut off by the shutdown are tried again"]);
    assert!(daemon.wait().success());
}
