//! What commands show at a terminal, and nowhere else: colours, and how far long work has come.
#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod support;

use rustix::process::Signal;
use support::{
    House, Provider, Ran,
    client::{message, submit},
    run,
    terminal::Terminal,
    waxseal,
};
use waxseal::sandbox::SandboxOptions;

/// What a command shows at a terminal of this kind.
fn at_terminal(house: &House, arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String) {
    let (terminal, device) = Terminal::open();
    let mut command = waxseal();
    command.args(arguments).arg("--config").arg(house.config()).envs(environment.iter().copied());
    command.stdout(device.try_clone().unwrap()).stderr(device);
    let status = command.status().unwrap();
    drop(command);
    (status.code().unwrap(), terminal.screen())
}

fn with_three_held() -> (Provider, House, support::Running) {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    house.configure(&house.oauth(&provider, "person", "a.example"));
    let daemon = house.serve();
    let large = [message("large"), b"x\r\n".repeat(200 << 10)].concat();
    for _ in 0..3 {
        submit(house.smtp, "app@a.example", &large).unwrap();
    }
    house.cli(&["queue", "hold", "--all"]).ok();
    (provider, house, daemon)
}

#[test]
fn states_have_colours_at_a_terminal_that_knows_them() {
    let (_provider, house, _daemon) = with_three_held();
    let (code, screen) = at_terminal(&house, &["queue", "list"], &[("TERM", "xterm")]);
    assert_eq!(code, 0);
    assert_eq!(screen.matches("\x1b[33mheld").count(), 3, "{screen}");
    assert!(screen.starts_with("\x1b[1mID "), "{screen}");
    let (_, screen) = at_terminal(&house, &["status"], &[("TERM", "xterm")]);
    assert!(screen.contains("\x1b[31mneeds_authorization\x1b[0m"), "{screen}");
    for environment in [&[("TERM", "xterm"), ("NO_COLOR", "1")] as &[_], &[("TERM", "dumb")], &[]] {
        let (code, screen) = at_terminal(&house, &["queue", "list"], environment);
        assert_eq!(code, 0);
        assert!(screen.starts_with("ID ") && !screen.contains('\x1b'), "{environment:?}: {screen}");
    }
    // In a pipe neither colours nor a head.
    let Ran { stdout, .. } =
        run(waxseal().args(["queue", "list", "--config"]).arg(house.config()).env("TERM", "xterm"));
    assert!(stdout.matches("\theld\t").count() == 3 && !stdout.contains('\x1b'), "{stdout}");
}

#[test]
fn verifying_shows_how_far_it_has_come_of_a_queue_at_work_and_of_one_that_is_stopped() {
    let (_provider, house, mut daemon) = with_three_held();
    let look = |whole: &str, then: &str| {
        let (code, screen) = at_terminal(&house, &["queue", "verify"], &[("TERM", "xterm")]);
        assert_eq!(code, 0, "{screen}");
        let (begun, ended) =
            (screen.find("reading the queue: 0 %, 0 B of 1.8 MiB"), screen.find("messages       3"));
        assert!(begun.is_some() && begun < ended, "{screen}");
        assert!(screen.contains(whole), "{screen}");
        // The line is gone before anything else is said.
        let next = screen.rsplit_once("\r\x1b[K").map_or("", |(_, next)| next);
        assert!(next.starts_with(then), "{screen}");
        assert!(screen.ends_with("\x1b[32msound\x1b[0m\r\n"), "{screen}");
    };
    // A daemon says it as often as it is listened to.
    look(" of 1.8 MiB", "messages ");
    // With `--json` the progress is beside the JSON, not in it.
    let (terminal, device) = Terminal::open();
    let mut command = waxseal();
    command
        .args(["queue", "verify", "--json", "--config"])
        .arg(house.config())
        .env("TERM", "xterm")
        .stderr(device);
    let output = command.output().unwrap();
    drop(command);
    assert!(serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["sound"].as_bool().unwrap());
    assert!(terminal.screen().contains("reading the queue: "));
    let (code, screen) = at_terminal(&house, &["queue", "verify"], &[("TERM", "dumb")]);
    assert!(code == 0 && screen.starts_with("messages ") && !screen.contains('\x1b'), "{screen}");
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());
    look("reading the queue: 100 %, 1.8 MiB of 1.8 MiB", "waxseal: the daemon is not running");
    let piped = house.cli(&["queue", "verify"]);
    assert!(!piped.stdout.contains('\r') && !piped.stderr.contains("reading"), "{piped:?}");
}
