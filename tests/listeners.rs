//! The front door of the real binary: Unix sockets, socket activation, TLS, logins, and who is let in at all.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use rustix::process::Signal;
use std::{
    fs,
    io::Read,
    net::TcpListener,
    os::{
        fd::OwnedFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    process::{Command, Stdio},
};
use support::{
    House, Provider, Running,
    client::{Client, message},
    until, waxseal,
};
use waxseal::sandbox::SandboxOptions;

/// One account for example.com, which needs no server to take mail.
const ACCOUNT: &str = "[account.main]\ntype = \"basic\"\ndomain = \"example.com\"\naddress = \"127.0.0.1\"\n\
                       port = 9\nuse_authentication = false\n";

/// Sends one message, and takes its 250.
fn send(client: &mut Client, subject: &str) {
    client.hello().unwrap();
    client.send("app@example.com", "someone@example.org", &message(subject)).unwrap();
    client.command("QUIT").unwrap();
}

/// All that comes until the other end closes.
fn read_all(mut stream: impl Read) -> String {
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    String::from_utf8_lossy(&got).into_owned()
}

fn uid() -> u32 {
    rustix::process::getuid().as_raw()
}

#[test]
fn mail_comes_over_a_unix_socket_and_says_so() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    let extra = "[[listener]]\naddress = \"unix:run/smtp.sock\"\n";
    house.configure_with("info", extra, &house.basic(&provider, "main", "example.com"));
    let path = house.path("run/smtp.sock");

    let ran = house.cli(&["serve"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("run/smtp.sock cannot be listened on; its directory"), "{}", ran.stderr);

    fs::create_dir(house.path("run")).unwrap();
    drop(UnixListener::bind(&path).unwrap());
    let mut daemon = house.serve();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
    send(&mut Client::local(&path).unwrap(), "local");
    let arrived = provider.arrivals(1);
    let text = String::from_utf8(arrived[0].octets.clone()).unwrap();
    let wanted = format!("Received: from app.example.com (local uid {})\r\n\tby relay.example.com", uid());
    assert!(text.starts_with(&wanted), "{text}");

    // The same path in a second house: its owner lives.
    let other = House::beside(&provider);
    let address = format!("[[listener]]\naddress = \"unix:{}\"\n", path.display());
    other.configure_with("info", &address, ACCOUNT);
    let ran = other.cli(&["serve"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("another process listens on this socket"), "{}", ran.stderr);
    send(&mut Client::local(&path).unwrap(), "still-there");

    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());
    assert!(!path.exists(), "the socket file stays behind");
}

#[test]
fn what_a_killed_daemon_left_behind_is_replaced() {
    let house = House::new();
    house.configure_with("info", "[[listener]]\naddress = \"unix:smtp.sock\"\n", ACCOUNT);
    let path = house.path("smtp.sock");
    house.serve().kill();
    assert!(path.exists());
    assert!(UnixStream::connect(&path).is_err());
    let _daemon = house.serve();
    send(&mut Client::local(&path).unwrap(), "again");
}

#[test]
fn a_user_of_this_host_has_so_many_connections() {
    let house = House::new();
    let rest = format!("[limits]\nconnections_per_client = 2\n{ACCOUNT}");
    house.configure_with("info", "[[listener]]\naddress = \"unix:smtp.sock\"\n", &rest);
    let path = house.path("smtp.sock");
    let _daemon = house.serve();
    let held = [Client::local(&path).unwrap(), Client::local(&path).unwrap()];
    let third = read_all(UnixStream::connect(&path).unwrap());
    assert!(third.starts_with("421 4.7.0 "), "{third}");
    house.log_line(&["client refused", &format!("client=uid:{}", uid()), "reason=\"connections\""]);
    // Another client is another matter, and a place given back is free.
    Client::connect(house.smtp).unwrap();
    drop(held);
    until("a free place", || Client::local(&path).ok());
}

/// `waxseal serve` with one socket passed as systemd passes it (sd_listen_fds(3)).
fn serve_with_socket(house: &House, socket: impl Into<OwnedFd>) -> Running {
    let log = fs::File::options().create(true).append(true).open(house.path("daemon.log")).unwrap();
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=smtp exec \"$@\"";
    let mut command = Command::new("/bin/sh");
    command.env_clear().args(["-c", script, "sh"]).arg(waxseal().get_program());
    command.args(["serve", "--config"]).arg(house.config());
    command.stdin(Stdio::from(socket.into())).stdout(Stdio::null()).stderr(log);
    Running(command.spawn().unwrap())
}

/// A configuration whose only listener is `systemd:smtp`.
fn configure_activated(house: &House, extra: &str) {
    house.configure_with("info", extra, ACCOUNT);
    let text = fs::read_to_string(house.config()).unwrap();
    let address = format!("address = \"{}\"", house.smtp);
    fs::write(house.config(), text.replacen(&address, "address = \"systemd:smtp\"", 1)).unwrap();
}

#[test]
fn systemd_may_pass_a_unix_socket_or_a_tcp_one() {
    let house = House::new();
    configure_activated(&house, "");
    let path = house.path("activated.sock");
    let mut daemon = serve_with_socket(&house, UnixListener::bind(&path).unwrap());
    send(&mut Client::local(&path).unwrap(), "activated");
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());
    assert!(path.exists(), "the file is systemd's");

    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let _daemon = serve_with_socket(&house, socket);
    send(&mut Client::connect(address).unwrap(), "activated");
}

#[test]
fn a_passed_socket_is_held_against_its_clients() {
    let house = House::new();
    configure_activated(&house, "");
    let mut daemon = serve_with_socket(&house, TcpListener::bind("0.0.0.0:0").unwrap());
    assert_eq!(daemon.wait().code(), Some(1));
    house.log_line(&["systemd:smtp", "can be reached from beyond this host", "clients"]);

    let house = House::new();
    configure_activated(&house, "clients = [\"127.0.0.1\"]");
    let mut daemon = serve_with_socket(&house, UnixListener::bind(house.path("activated.sock")).unwrap());
    assert_eq!(daemon.wait().code(), Some(1));
    house.log_line(&["systemd:smtp", "leave `clients` out"]);
}
