//! Events of the log that come of nothing else that tests do: a state directory in disorder, too few descriptors, a
//! stop that cuts off what does not end. `tests/interop/events.py` has all events and holds them against the document.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

mod support;

#[path = "events/parts.rs"]
mod parts;

use rustix::process::Signal;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
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
        &["alert begins", "account=\"nobody\""],
    ] {
        house.log_line(parts);
    }
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());
    house.log_line(&["the numbers of the last day cannot be written"]);

    // What was told a day ago, and lasts, is told again.
    let record = fs::read_to_string(state.join("alerts.json")).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert!(set_back(&mut record, 25 * 3_600_000) > 0, "{record}");
    fs::write(state.join("alerts.json"), record.to_string()).unwrap();
    let mut daemon = house.serve();
    house.log_line(&["alert lasts", "account=\"nobody\""]);
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());

    // What cannot even be read is left alone.
    fs::remove_file(state.join("alerts.json")).unwrap();
    directory("alerts.json/in-the-way");
    let _daemon = house.serve();
    house.log_line(&["the record of alerts cannot be read", "path="]);
    house.log_line(&["the record of alerts cannot be written; a restart may tell again"]);
    submit(house.smtp, "app@a.example", &message("still")).unwrap();
    provider.arrivals(2);
}

/// Sets every time in it, in milliseconds, back by so many; how many there were.
fn set_back(value: &mut serde_json::Value, by: u64) -> usize {
    match value {
        serde_json::Value::Array(all) => all.iter_mut().map(|one| set_back(one, by)).sum(),
        serde_json::Value::Object(all) => all.values_mut().map(|one| set_back(one, by)).sum(),
        other => match other.as_u64().filter(|number| *number > 1_600_000_000_000) {
            Some(number) => {
                *other = (number - by).into();
                1
            }
            None => 0,
        },
    }
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

/// Content that is gone, a directory for content that is gone, a certificate that is none, a command that is none.
#[test]
fn what_is_missing_is_told_of_and_nothing_else_stops() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    // It is there, and what is to run it is not.
    let command = house.path("page-me");
    fs::write(&command, "#!/nowhere/sh\n").unwrap();
    fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).unwrap();
    let works = house.basic(&provider, "works", "a.example");
    let cannot = house.basic(&provider, "cannot", "b.example").replace("ca.pem", "not-a-ca.pem");
    // One that trusts everybody says so at each connection.
    let trusting = house.basic(&provider, "trusting", "c.example");
    let (trusting, _) = trusting.split_once("ca_file").unwrap();
    let cannot = format!("{cannot}\n{trusting}certificate_validation = false\n");
    fs::write(house.path("not-a-ca.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    let nobody = house.oauth(&provider, "nobody", "nobody.example");
    house
        .configure(&format!("{works}\n{cannot}\n{nobody}\n[alert]\ncommand = [\"{}\"]\n", command.display()));
    let _daemon = house.serve();
    house.log_line(&["account cannot send; its mail is kept", "account=cannot", "error="]);
    house.log_line(&["alert command cannot be run", "event=", "account=", "error="]);

    submit(house.smtp, "app@c.example", &message("trusting")).unwrap();
    provider.arrivals(1);
    house.log_line(&["certificate is not validated", "account=trusting", "relay="]);

    let large = [message("large"), b"x\r\n".repeat(200 << 10)].concat();
    submit(house.smtp, "app@b.example", &large).unwrap();
    let content = house.state().join("queue/content");
    for file in fs::read_dir(&content).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    fs::remove_dir(&content).unwrap();
    let refused = submit(house.smtp, "app@a.example", &large).unwrap_err().to_string();
    assert!(refused.starts_with("451 4.3.0"), "{refused}");
    house.log_line(&["a message could not be stored; the client keeps it", "error="]);
    fs::create_dir(&content).unwrap();
    submit(house.smtp, "app@a.example", &message("small")).unwrap();
    provider.arrivals(2);

    // With a certificate the account could send, and what it has to send is not there.
    house.configure(&format!("{works}\n{}", house.basic(&provider, "cannot", "b.example")));
    house.cli(&["reload"]).ok();
    house.log_line(&["message cannot be read back; it is held", "queue_id=", "account=cannot", "error="]);
    house.message_becomes("held");
}

#[test]
fn a_spool_that_cannot_be_used_is_said() {
    let house = House::new();
    fs::write(house.path("file"), "in the way").unwrap();
    house.configure(&format!("spool = \"{}\"\n", house.path("file/spool").display()));
    let _daemon = house.serve();
    house.log_line(&["WARN", "the spool cannot be used, and mail left there waits", "spool="]);
}
