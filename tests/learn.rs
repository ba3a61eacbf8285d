//! `waxseal learn` in the daemon's place: what clients do, over sockets, and the configuration that comes of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use base64::Engine as _;
use rustix::process::Signal;
use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    process::Stdio,
};
use support::{
    House, PATIENCE, Running,
    client::{Client, message, stuffed},
    free_port, run,
    tls::Certificate,
    until, waxseal,
};
use waxseal::config::{Config, load};

/// `waxseal learn`, running.
struct Learn<'a> {
    house: &'a House,
    child: Running,
}

impl<'a> Learn<'a> {
    /// Starts it, and waits until it listens.
    fn start(house: &'a House, arguments: &[&str]) -> Self {
        let file = |name: &str| fs::File::create(house.path(name)).unwrap();
        let child = waxseal()
            .arg("learn")
            .args(arguments)
            .arg("--config")
            .arg(house.config())
            .stdout(Stdio::from(file("learn.out")))
            .stderr(Stdio::from(file("learn.err")))
            .spawn()
            .unwrap();
        let mut learn = Self { house, child: Running(child) };
        until("listening", || {
            let ended = learn.child.0.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", learn.news());
            learn.news().contains("listening at ").then_some(())
        });
        learn
    }

    fn news(&self) -> String {
        fs::read_to_string(self.house.path("learn.err")).unwrap()
    }

    /// Ends it by a signal; what it printed.
    fn end(mut self, signal: Signal) -> String {
        self.child.signal(signal);
        let status = self.child.wait();
        assert_eq!(status.code(), Some(0), "{status}: {}", self.news());
        fs::read_to_string(self.house.path("learn.out")).unwrap()
    }
}

/// A configuration with nothing but a listener in it.
fn listening(extra: &str) -> House {
    let house = House::new();
    house.configure_with("info", extra, "");
    house
}

/// A client at this address of this host.
fn client_at(source: [u8; 4], address: SocketAddr) -> Client {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        socket.connect(address).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = Client::over(stream);
    assert!(client.reply().unwrap().starts_with("220 "));
    client
}

fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Says lines, and holds the replies against how they are to begin.
#[track_caller]
fn say(client: &mut Client, lines: &[(&str, &str)]) {
    for (line, wanted) in lines {
        let reply = client.command(line).unwrap();
        assert!(reply.starts_with(wanted), "{line}: {reply}");
    }
}

const TICKETING: [u8; 4] = [127, 0, 0, 2];
const PRINTER: [u8; 4] = [127, 0, 0, 3];

/// What two applications say. `outcome` is how their messages are answered.
fn traffic(address: SocketAddr, outcome: &str) {
    let mut ticketing = client_at(TICKETING, address);
    let plain = format!("AUTH PLAIN {}", base64("\0tickets\0first-canary"));
    say(&mut ticketing, &[("EHLO ticketing.corp.example", "250"), (&plain, "235 ")]);
    for subject in ["one", "two"] {
        say(
            &mut ticketing,
            &[
                ("MAIL FROM:<tickets@example.com> SIZE=4000", "250 "),
                ("RCPT TO:<a@example.org>", "250 "),
                ("RCPT TO:<b@example.org>", "250 "),
                ("DATA", "354 "),
            ],
        );
        ticketing.write(&stuffed(&message(subject))).unwrap();
        let reply = ticketing.reply().unwrap();
        assert!(reply.starts_with(outcome), "{reply}");
    }
    say(&mut ticketing, &[("QUIT", "221 ")]);

    let mut printer = client_at(PRINTER, address);
    say(
        &mut printer,
        &[
            ("HELO printer", "250 "),
            ("AUTH LOGIN", "334 "),
            (&base64("scan@example.net"), "334 "),
            (&base64("second-canary"), "235 "),
            ("third-canary", "500 "),
            ("MAIL FROM:<scan@example.net>", "250 "),
            ("RCPT TO:<not an address>", "501 "),
            ("RCPT TO:<c@example.org>", "250 "),
            ("DATA", "354 "),
        ],
    );
    printer.write(&stuffed(&message("scan"))).unwrap();
    let reply = printer.reply().unwrap();
    assert!(reply.starts_with(outcome), "{reply}");
    say(&mut printer, &[("QUIT", "221 ")]);
}

/// What the real configuration makes of the text.
#[track_caller]
fn loaded(house: &House, text: &str) -> Config {
    let path = house.path("learned.toml");
    fs::write(&path, format!("hostname = \"relay.example.com\"\n{text}")).unwrap();
    load(Some(&path), std::iter::empty()).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

#[test]
fn two_applications_are_seen_and_a_daemon_with_what_is_printed_takes_their_mail() {
    let house = listening("");
    let learn = Learn::start(&house, &[]);
    traffic(house.smtp, "451 4.3.2 This relay is only learning");
    let printed = learn.end(Signal::INT);
    let news = fs::read_to_string(house.path("learn.err")).unwrap();
    assert!(!house.state().exists(), "nothing is stored");

    for part in [
        "127.0.0.2 a new client",
        "127.0.0.2 greets with EHLO ticketing.corp.example",
        "127.0.0.3 logs in by LOGIN as scan@example.net",
        "127.0.0.3 is refused: 500 5.5.2 Command not recognized",
        "127.0.0.2 offers a message to 2 recipients",
    ] {
        assert!(news.contains(part), "{part:?} is not in\n{news}");
    }
    for part in [
        "#   greeting  EHLO ticketing.corp.example\n",
        "#   greeting  HELO printer\n",
        "#   login     PLAIN as tickets\n",
        "#   login     LOGIN as scan@example.net\n",
        "#   senders   tickets@example.com\n",
        "#   messages  2, attempts included; 4 recipients, at most 2 a message; the largest 4 KiB\n",
        "500 5.5.2 Command not recognized (1)",
        "501 5.1.3 Bad recipient address",
        "# [application.ticketing]\n# clients = [\"127.0.0.2\"]\n# allowed_senders = [\"*@example.com\"]\n",
        "# [user.scan-example-net]\n# username = \"scan@example.net\"\n",
        "authentication = \"ignore\"\n",
    ] {
        assert!(printed.contains(part), "{part:?} is not in\n{printed}");
    }
    for canary in ["first-canary", "second-canary", "third-canary"] {
        for shown in [&news, &printed] {
            assert!(!shown.contains(canary) && !shown.contains(&base64(canary)), "{shown}");
        }
    }
    assert!(!printed.contains(&base64("\0tickets\0first-canary")));

    let config = loaded(&house, &printed);
    let accounts: Vec<_> = config.accounts.iter().map(|a| (a.id.as_str(), a.active)).collect();
    assert_eq!(accounts, [("example-com", false), ("example-net", false)]);
    assert_eq!(config.listeners[0].address.to_string(), house.smtp.to_string());

    // The same traffic, once the accounts are filled in; their server is away.
    let filled = printed
        .replace("active = false\n", "port = 9\n")
        .replace("fill-in.invalid", "127.0.0.1")
        .replace("FILL-IN", "filled");
    let own = format!(
        "state_dir = \"{}\"\nadmin.address = \"{}\"\nqueue.min_free = \"1MiB\"\n",
        house.state().display(),
        house.admin
    );
    fs::write(house.config(), format!("{own}{filled}")).unwrap();
    let _daemon = house.serve();
    traffic(house.smtp, "250 2.0.0 queued as ");
    assert_eq!(house.json(&["queue", "list"]).as_array().unwrap().len(), 3);
}

#[test]
fn no_way_of_sending_gets_a_message_accepted() {
    let house = listening("");
    let learn = Learn::start(&house, &[]);
    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    let refused = "451 4.3.2 ";
    let begin = [("MAIL FROM:<a@example.com>", "250 "), ("RCPT TO:<b@example.org>", "250 ")];
    say(&mut client, &begin);
    say(&mut client, &[("BDAT 5\r\nabc", "250 "), ("BDAT 3 LAST\r\nd", refused)]);
    say(&mut client, &begin);
    say(&mut client, &[("BDAT 0 LAST", refused)]);
    // As large as no listener would take it by default: its application is to keep it all the same.
    say(
        &mut client,
        &[("MAIL FROM:<a@example.com> SIZE=900000000", "250 "), begin[1], ("DATA", "354 "), (".", refused)],
    );
    say(&mut client, &begin);
    client.write(b"DATA\r\n").unwrap();
    assert!(client.reply().unwrap().starts_with("354 "));
    client.write(b"Subject: bare\n\nbare\n.\n").unwrap();
    client.write(b"\r\n.\r\n").unwrap();
    assert!(client.reply().unwrap().starts_with(refused));
    assert!(client.reply().is_err(), "closed");
    let printed = learn.end(Signal::TERM);
    assert!(printed.contains("ends lines with bare LF (1)"), "{printed}");
    assert!(printed.contains("[limits]\nmessage_size = \"1024MiB\"\n"), "{printed}");
    loaded(&house, &printed);
}

#[test]
fn a_session_under_way_ends_with_it() {
    let house = listening("");
    let learn = Learn::start(&house, &[]);
    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    let printed = learn.end(Signal::INT);
    assert!(client.reply().unwrap().starts_with("421 4.3.2 "));
    assert!(printed.contains("EHLO app.example.com") && !printed.contains("wrong"), "{printed}");
}

#[test]
fn it_ends_by_itself_and_needs_no_configuration() {
    let house = House::new();
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = waxseal();
    command.args(["learn", "--for", "200ms", "--listen", &address]);
    if std::path::Path::new(waxseal::config::DEFAULT_PATH).exists() {
        // This host has one; a configuration that says nothing stands for none.
        fs::write(house.config(), "").unwrap();
        command.arg("--config").arg(house.config());
    }
    let ran = run(&mut command);
    assert!(ran.stderr.contains(&format!("listening at {address}; no message is accepted")), "{ran:?}");
    let printed = ran.ok();
    assert!(
        printed.contains("# Nobody came.") && printed.contains(&format!("Nobody sent at {address}")),
        "{printed}"
    );
    loaded(&house, &printed);
}

#[test]
fn an_address_that_is_taken_is_said_with_the_way_out() {
    let house = House::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    house.configure("");
    let ran = house.cli(&["learn", "--listen", &address]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    for part in [
        &format!("{address} cannot be listened on"),
        "Stop it first (`systemctl stop waxseal.socket waxseal`)",
        "--listen",
    ] {
        assert!(ran.stderr.contains(part), "{ran:?}");
    }
}

#[test]
fn what_cannot_be_meant_is_usage_and_what_is_wrong_is_configuration() {
    let house = listening("");
    for arguments in
        [["learn", "--for", "soon"], ["learn", "--for", "0s"], ["learn", "--listen", "everywhere"]]
    {
        let ran = house.cli(&arguments);
        assert_eq!(ran.code, 2, "{ran:?}");
    }
    fs::write(house.config(), "nonsense = 1\n").unwrap();
    assert_eq!(house.cli(&["learn", "--for", "1s"]).code, 78);
    let help = house.cli(&["learn", "--help"]).ok();
    assert!(help.contains("No message is accepted") && help.contains("waxseal learn --for 10m"), "{help}");
}

#[test]
fn everybody_is_let_in_and_a_certificate_is_offered() {
    let house = House::new();
    let made = Certificate::write(house.directory.path(), "relay");
    let tls = format!(
        "tls = \"required\"\ncertificate = \"{}\"\nprivate_key = \"{}\"\n",
        made.certificate.display(),
        made.private_key.display()
    );
    // Neither this client nor anybody without a login or TLS gets past the daemon here.
    let extra = format!("clients = [\"192.0.2.0/24\"]\nauthentication = \"required\"\n{tls}");
    house.configure_with("info", &extra, "[user.somebody]\npassword = \"ink\"\n");
    let learn = Learn::start(&house, &[]);
    let mut plain = Client::connect(house.smtp).unwrap();
    say(&mut plain, &[("EHLO plain", "250"), ("MAIL FROM:<a@example.com>", "250 ")]);
    let mut stream = TcpStream::connect(house.smtp).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = Client::over(stream.try_clone().unwrap());
    client.reply().unwrap();
    say(&mut client, &[("EHLO sealed", "250"), ("STARTTLS", "220 ")]);
    stream.flush().unwrap();
    let mut client = Client::over(made.secure(stream).unwrap());
    say(&mut client, &[("EHLO sealed", "250"), ("MAIL FROM:<b@example.com>", "250 ")]);
    let printed = learn.end(Signal::INT);
    for part in [
        "asked for STARTTLS once; 1 connection under TLS; sends in the clear as well",
        "tls = \"starttls\"\n",
    ] {
        assert!(printed.contains(part), "{printed}");
    }
    let config = loaded(&house, &printed);
    assert_eq!(config.listeners[0].tls.word(), "starttls");
    assert_eq!(config.listeners[0].clients()[0].to_string(), "127.0.0.0/8");
}

#[test]
fn what_no_listener_could_do_for_a_client_is_said() {
    let house = listening("[[listener]]\naddress = \"unix:smtp.sock\"\n");
    let learn = Learn::start(&house, &[]);
    let mut client = Client::connect(house.smtp).unwrap();
    say(&mut client, &[("EHLO cram", "250"), ("AUTH CRAM-MD5", "504 "), ("AUTH a-canary", "504 ")]);
    let mut sealed = Client::connect(house.smtp).unwrap();
    sealed.write(b"\x16\x03\x01\x00\x05").unwrap();
    assert!(sealed.reply().is_err(), "closed");
    let mut local = Client::local(&house.path("smtp.sock")).unwrap();
    say(&mut local, &[("EHLO cron", "250"), ("MAIL FROM:<root@example.com>", "250 ")]);
    let printed = learn.end(Signal::INT);
    let uid = rustix::process::getuid().as_raw();
    for part in [
        "asked for CRAM-MD5, which there is not",
        "began with TLS once where none was due",
        "# tls = \"implicit\"\n",
        &format!("user {uid} of this host, at unix:"),
    ] {
        assert!(printed.contains(part), "{part} is not in\n{printed}");
    }
    assert!(!printed.contains("canary"), "{printed}");
    // Who came over TCP named no sender.
    let config = loaded(&house, &printed);
    let addresses: Vec<String> =
        config.listeners.iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(addresses, [format!("unix:{}", house.path("smtp.sock").display())]);
}

#[test]
fn a_socket_that_systemd_holds_is_not_to_be_had_by_hand() {
    let house = House::new();
    fs::write(house.config(), "[[listener]]\naddress = \"systemd:smtp\"\n").unwrap();
    let ran = house.cli(&["learn", "--for", "1s"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("no socket named smtp") && ran.stderr.contains("with --listen"), "{ran:?}");
}

#[test]
fn the_usual_limits_hold() {
    let house = House::new();
    house.configure_with("info", "", "[limits]\nconnections_per_client = 1\n");
    let learn = Learn::start(&house, &[]);
    let mut client = Client::connect(house.smtp).unwrap();
    let mut second = Client::knock(house.smtp).unwrap();
    assert!(second.reply().unwrap().starts_with("421 4.7.0 "));
    for _ in 0..9 {
        say(&mut client, &[("NONSENSE", "500 ")]);
    }
    say(&mut client, &[("NONSENSE", "421 4.7.0 Too many errors")]);
    assert!(client.reply().is_err(), "closed");
    let printed = learn.end(Signal::INT);
    for part in [
        "500 5.5.2 Command not recognized (9)",
        "421 4.7.0 Too many errors",
        "421 4.7.0 Too many connections",
    ] {
        assert!(printed.contains(part), "{part} is not in\n{printed}");
    }
}

#[test]
fn an_account_that_there_is_already_is_not_drafted() {
    let house = House::new();
    let account = "[account.main]\ntype = \"basic\"\ndomain = \"example.com\"\naddress = \"127.0.0.1\"\nport = 9\n\
                   use_authentication = false\n\
                   [account.idle]\ntype = \"basic\"\nactive = false\ndomain = \"example.org\"\naddress = \"127.0.0.1\"\n\
                   use_authentication = false\n";
    house.configure_with("info", "", account);
    let learn = Learn::start(&house, &["--json"]);
    let mut client = Client::connect(house.smtp).unwrap();
    client.hello().unwrap();
    for sender in ["a@example.com", "b@example.net", "c@example.org"] {
        say(&mut client, &[(&format!("MAIL FROM:<{sender}>"), "250 "), ("RSET", "250 ")]);
    }
    let printed = learn.end(Signal::INT);
    let json: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(json["listeners"], serde_json::json!([house.smtp.to_string()]));
    let seen = &json["clients"][0];
    assert_eq!(seen["client"], "127.0.0.1");
    assert_eq!(seen["greetings"], serde_json::json!(["EHLO app.example.com"]));
    assert_eq!(seen["senders"], serde_json::json!(["a@example.com", "b@example.net", "c@example.org"]));
    assert_eq!((&seen["mails"], &seen["messages"]), (&3.into(), &0.into()));
    let text = json["configuration"].as_str().unwrap();
    assert!(text.contains("# example.com has an account already: main."), "{text}");
    assert!(text.contains("# example.org has an account already: idle, which is inactive."), "{text}");
    let config = loaded(&house, text);
    assert_eq!(config.accounts.iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), ["example-net"]);
}
