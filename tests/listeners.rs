//! The front door of the real binary: Unix sockets, socket activation, TLS, logins, and who is let in at all.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use argon2::{PasswordHasher, password_hash::SaltString};
use base64::Engine;
use rustix::process::Signal;
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
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
    client::{Client, message, stuffed},
    tls::Certificate,
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

/// The keys of a listener with TLS.
fn secured(mode: &str, made: &Certificate) -> String {
    let (certificate, key) = (made.certificate.display(), made.private_key.display());
    format!("tls = \"{mode}\"\ncertificate = \"{certificate}\"\nprivate_key = \"{key}\"\n")
}

/// A client that has gone through STARTTLS.
fn start_tls(address: SocketAddr, made: &Certificate) -> std::io::Result<Client> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(support::PATIENCE))?;
    let mut plain = Client::over(stream.try_clone()?);
    plain.reply()?;
    plain.hello()?;
    let reply = plain.command("STARTTLS")?;
    assert!(reply.starts_with("220 "), "{reply}");
    stream.flush()?;
    Ok(Client::over(made.secure(stream)?))
}

/// A client that begins with TLS, and has taken the greeting.
fn implicit_tls(address: SocketAddr, made: &Certificate) -> std::io::Result<Client> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(support::PATIENCE))?;
    let mut client = Client::over(made.secure(stream)?);
    let greeting = client.reply()?;
    assert!(greeting.starts_with("220 "), "{greeting}");
    Ok(client)
}

#[test]
fn mail_comes_over_starttls_and_over_tls_from_the_first_octet() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    let made = Certificate::write(house.directory.path(), "relay");
    let other = SocketAddr::from(([127, 0, 0, 1], support::free_port()));
    let extra = format!(
        "{}[[listener]]\naddress = \"{other}\"\n{}",
        secured("required", &made),
        secured("implicit", &made)
    );
    house.configure_with("info", &extra, &house.basic(&provider, "main", "example.com"));
    let checked = house.cli(&["check"]).ok();
    assert!(checked.contains("STARTTLS demanded, no AUTH") && checked.contains("relay.pem"), "{checked}");
    let _daemon = house.serve();

    let mut plain = Client::connect(house.smtp).unwrap();
    plain.hello().unwrap();
    let reply = plain.command("MAIL FROM:<app@example.com>").unwrap();
    assert_eq!(reply, "530 5.7.0 Must issue a STARTTLS command first");
    send(&mut start_tls(house.smtp, &made).unwrap(), "starttls");
    send(&mut implicit_tls(other, &made).unwrap(), "implicit");
    for arrived in provider.arrivals(2) {
        let text = String::from_utf8(arrived.octets.clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "Received: from app.example.com ([127.0.0.1])");
        assert!(lines[1].starts_with("\t(using TLSv1.3 with cipher TLS_"), "{text}");
        assert!(lines[2].contains(" with ESMTPS id "), "{text}");
    }
    // Plaintext on the port for TLS is answered at once, not at the deadline.
    let mut plain = TcpStream::connect(other).unwrap();
    plain.write_all(b"EHLO app\r\n").unwrap();
    let got = read_all(plain);
    assert!(got.starts_with("554 5.5.1 "), "{got}");
    house.log_line(&["rejected", "reason=\"plaintext\""]);
}

/// Whether a handshake with this certificate succeeds.
fn shows(house: &House, made: &Certificate) -> bool {
    start_tls(house.smtp, made).is_ok()
}

#[test]
fn a_renewed_certificate_is_taken_over_at_a_reload_and_a_wrong_one_is_not() {
    let house = House::new();
    let files = Certificate::write(house.directory.path(), "relay");
    house.configure_with("info", &secured("starttls", &files), ACCOUNT);
    let daemon = house.serve();
    assert!(shows(&house, &files));
    let mut before = start_tls(house.smtp, &files).unwrap();

    // Renewed in place, as certbot does.
    let renewed = Certificate::write(house.directory.path(), "relay");
    assert!(!shows(&house, &renewed), "nothing is read before the reload");
    daemon.signal(Signal::HUP);
    until("the renewed certificate", || shows(&house, &renewed).then_some(()));
    assert!(!shows(&house, &files));
    // Who was there already goes on.
    send(&mut before, "before");

    // A key that does not belong to it.
    let other = Certificate::write(house.directory.path(), "other");
    fs::copy(&other.private_key, &renewed.private_key).unwrap();
    let ran = house.cli(&["reload"]);
    assert_eq!(ran.code, 78, "{ran:?}");
    assert!(ran.stderr.contains("does not belong to the certificate"), "{ran:?}");
    daemon.signal(Signal::HUP);
    house.log_line(&["reload refused, the old configuration stays", "relay.key"]);
    assert!(shows(&house, &renewed));

    // Put right again, and under another name.
    house.configure_with("info", &secured("starttls", &other), ACCOUNT);
    house.cli(&["reload"]).ok();
    assert!(shows(&house, &other) && !shows(&house, &renewed));
}

/// All that a client can say, in one go.
fn everything() -> Vec<u8> {
    let lines =
        b"EHLO app\r\nSTARTTLS\r\nMAIL FROM:<app@example.com>\r\nRCPT TO:<someone@example.org>\r\nDATA\r\n";
    [&lines[..], &stuffed(&message("outside")), b"QUIT\r\n"].concat()
}

#[test]
fn from_an_address_outside_of_clients_nothing_is_accepted_on_any_listener() {
    let house = House::new();
    let made = Certificate::write(house.directory.path(), "relay");
    let mut extra = "clients = [\"192.0.2.0/24\", \"::1\"]\n".to_owned();
    let mut listeners = vec![("none", house.smtp)];
    for mode in ["starttls", "required", "implicit"] {
        let address = SocketAddr::from(([127, 0, 0, 1], support::free_port()));
        listeners.push((mode, address));
        let tls = secured(mode, &made);
        extra += &format!("[[listener]]\naddress = \"{address}\"\nclients = [\"192.0.2.0/24\"]\n{tls}");
    }
    extra += "[[listener]]\naddress = \"unix:smtp.sock\"\n";
    house.configure_with("info", &extra, ACCOUNT);
    let _daemon = house.serve();
    for (mode, address) in listeners {
        // Nothing said, everything said, a handshake.
        for words in [vec![], everything(), b"\x16\x03\x01\x00\x05".to_vec()] {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
            let _ = stream.write_all(&words);
            let mut got = Vec::new();
            // What was said and not read may reset the connection.
            let _ = stream.read_to_end(&mut got);
            let wanted: &[u8] = match mode {
                "implicit" => &[21, 3, 3, 0, 2, 2, 49],
                _ => b"554 5.7.1 Access denied, this client may not submit here\r\n",
            };
            assert!(got == wanted || got.is_empty() && !words.is_empty(), "{mode}: {}", got.escape_ascii());
        }
        if mode == "implicit" {
            let error = implicit_tls(address, &made).err().unwrap();
            assert!(error.to_string().contains("AccessDenied"), "{error}");
        }
        house.log_line(&[
            "client refused",
            &format!("listener={address}"),
            "client=127.0.0.1",
            "reason=\"client\"",
        ]);
    }
    assert_eq!(house.json(&["queue", "list"]), serde_json::json!([]));
    // A Unix socket has no `clients`: whoever opens it may submit.
    send(&mut Client::local(&house.path("smtp.sock")).unwrap(), "inside");
}

#[test]
fn a_reload_shuts_a_client_out_of_a_session_that_is_open() {
    let house = House::new();
    house.configure_with("info", "", ACCOUNT);
    let _daemon = house.serve();
    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    house.configure_with("info", "clients = [\"192.0.2.0/24\"]", ACCOUNT);
    assert_eq!(house.cli(&["reload"]).ok(), "reloaded\n");
    let reply = client.command("MAIL FROM:<app@example.com>").unwrap();
    assert!(reply.starts_with("554 5.7.1 "), "{reply}");
    assert!(client.reply().is_err(), "closed");
    assert!(read_all(TcpStream::connect(house.smtp).unwrap()).starts_with("554 5.7.1 "));
    // The address alone waits for the next start.
    let text = fs::read_to_string(house.config()).unwrap();
    let other = SocketAddr::from(([127, 0, 0, 1], support::free_port()));
    fs::write(house.config(), text.replace(&house.smtp.to_string(), &other.to_string())).unwrap();
    let said = house.cli(&["reload"]).ok();
    assert!(said.contains("[[listener]]") && said.contains("next start"), "{said}");
}

/// NUL, user, NUL, password, in base64.
fn plain(user: &str, password: &str) -> String {
    let message = base64::engine::general_purpose::STANDARD.encode(format!("\0{user}\0{password}"));
    format!("AUTH PLAIN {message}")
}

/// `password` as an argon2 hash that is made quickly.
fn hashed(password: &str) -> String {
    let params = argon2::Params::new(64, 1, 1, None).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let salt = SaltString::encode_b64(b"some salt").unwrap();
    argon2.hash_password(password.as_bytes(), &salt).unwrap().to_string()
}

#[test]
fn users_log_in_and_their_mail_belongs_to_their_application() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    let made = Certificate::write(house.directory.path(), "relay");
    let extra =
        format!("{}authentication = \"required\"\napplication = \"office\"\n", secured("starttls", &made));
    let hash = hashed("toner-canary");
    let rest = format!(
        "[user.printer]\npassword = \"ink-canary\"\napplication = \"devices\"\n\
         [user.scanner]\nusername = \"scan@example.com\"\npassword = \"{hash}\"\n\
         [application.devices]\nallowed_senders = [\"*@example.com\"]\n[application.office]\n{}{}",
        house.basic(&provider, "main", "example.com"),
        house.basic(&provider, "other", "example.net"),
    );
    house.configure_with("debug", &extra, &rest);
    let _daemon = house.serve();

    let mut client = start_tls(house.smtp, &made).unwrap();
    client.hello().unwrap();
    assert!(client.command("MAIL FROM:<app@example.com>").unwrap().starts_with("530 5.7.0 "));
    assert!(client.command(&plain("printer", "toner-canary")).unwrap().starts_with("535 5.7.8 "));
    assert!(client.command(&plain("printer", "ink-canary")).unwrap().starts_with("235 2.7.0 "));
    client.send("app@example.com", "someone@example.org", &message("printer")).unwrap();
    // The application comes with the user, and with it whom it may send as.
    let reply = client.command("MAIL FROM:<app@example.net>").unwrap();
    assert_eq!(reply, "550 5.7.1 the application devices may not send as app@example.net");

    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    assert!(client.command(&plain("SCAN@example.com", "toner-canary")).unwrap().starts_with("235 "));
    client.send("app@example.net", "someone@example.org", &message("scanner")).unwrap();
    let texts: Vec<String> =
        provider.arrivals(2).iter().map(|a| String::from_utf8(a.octets.clone()).unwrap()).collect();
    assert!(texts.iter().any(|text| text.contains(" with ESMTPSA id ")), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains(" with ESMTPA id ")), "{texts:?}");
    house.log_line(&["received", "application=\"devices\""]);
    house.log_line(&["received", "application=\"office\""]);
    house.log_line(&["logged in", "user=printer", "client=127.0.0.1"]);
    house.log_line(&["login failed", "user=\"printer\""]);

    let status = house.json(&["status"]);
    assert_eq!(status["users"], 2);
    assert_eq!(status["listener_settings"][0]["tls"], "starttls");
    let text = house.cli(&["status"]).ok();
    assert!(
        text.contains(&format!("{}  STARTTLS offered, AUTH required, application office", house.smtp)),
        "{text}"
    );
    let route = house.cli(&["route", "app@example.net", "--user", "printer"]);
    assert!(route.code == 1 && route.stdout.contains("may not send as app@example.net"), "{route:?}");

    // A user who is taken away is nobody at the next MAIL.
    let without = rest.replace("[user.scanner]\nusername = \"scan@example.com\"", "[user.plotter]");
    house.configure_with("debug", &extra, &without);
    house.cli(&["reload"]).ok();
    assert!(client.command("MAIL FROM:<app@example.net>").unwrap().starts_with("530 5.7.0 "));

    for shown in [house.log(), house.cli(&["check"]).ok(), house.cli(&["check", "--json"]).ok()] {
        for secret in ["ink-canary", "toner-canary", &hash, &plain("printer", "ink-canary")[11..]] {
            assert!(!shown.contains(secret), "{secret} in\n{shown}");
        }
    }
}

#[test]
fn a_device_that_insists_on_a_login_is_let_in_as_anybody() {
    let house = House::new();
    house.configure_with("info", "authentication = \"ignore\"\n", ACCOUNT);
    let _daemon = house.serve();
    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    assert!(client.command("auth login").unwrap().starts_with("334 "));
    assert!(client.command("c29tZWJvZHk").unwrap().starts_with("334 "));
    assert!(client.command("").unwrap().starts_with("235 "));
    send(&mut client, "ignored");
}
