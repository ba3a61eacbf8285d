//! `waxseal demo`: the whole way on loopback, step by step, with a sandbox in place of a provider.

use super::{
    arguments::Demo,
    output::say,
    runtime::{block_on, ended},
};
use crate::{
    account::AccountId,
    app::App,
    config,
    oauth::WAITED_FOR,
    sandbox::{SandboxOptions, SandboxProvider},
    telemetry,
};
use anyhow::{Context as _, bail, ensure};
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use url::Url;

const SENDER: &str = "tickets@example.com";
const RECIPIENT: &str = "someone@example.org";
const PATIENCE: Duration = Duration::from_secs(30);
/// What the demo sends: a leading dot and Latin-1 have to arrive as they left.
const BODY: &[u8] = b"From: Ticketing <tickets@example.com>\r\nTo: someone@example.org\r\n\
Subject: Printer on fire\r\n\r\nThe printer in room 7 is on fire.\r\n\
.A line with a leading dot, and one in Latin-1: caf\xe9.\r\n";

/// Whether a message is what arrived, but for the fields that a relay adds around its header section.
fn is_in(arrived: &[u8], sent: &[u8]) -> bool {
    let behind_header = memchr::memmem::find(sent, b"\r\n\r\n").map_or(sent.len(), |at| at + 2);
    let (section, body) = sent.split_at(behind_header);
    memchr::memmem::find(arrived, section).is_some() && arrived.ends_with(body)
}

pub(super) fn demo(arguments: &Demo) -> ExitCode {
    telemetry::start(telemetry::Format::Text, "warn");
    ended(block_on(async { run(arguments).await.context("demo") }))
}

/// The demo's files, gone when it ends.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("waxseal-demo-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn run(arguments: &Demo) -> anyhow::Result<()> {
    let scratch = Scratch::make()?;
    step(
        1,
        "a sandbox provider starts: OAuth 2.0 authorization server, SMTP submission with STARTTLS and XOAUTH2",
    );
    let options = SandboxOptions {
        auto_approve: true,
        rotate: true,
        mechanisms: vec!["XOAUTH2"],
        ..Default::default()
    };
    let sandbox = SandboxProvider::start(options).await.context("the sandbox does not start")?;
    detail(&format!("SMTP {}, token endpoint {}", sandbox.smtp_address(), sandbox.token_endpoint()));

    step(2, "a relay is configured for it");
    let path = scratch.0.join("waxseal.toml");
    let text = configuration(&scratch.0, &sandbox, arguments.port)?;
    fs::write(&path, &text)?;
    text.lines().for_each(detail);
    let config = config::load(Some(&path), std::iter::empty()).map_err(|e| anyhow::anyhow!("{e}"))?;
    let app = App::start(config, Some(path)).await?;
    let relay = *app.addresses().first().context("the relay has no listener")?;

    step(
        3,
        "Generate Tokens: a browser goes to the provider's page, agrees, and comes back to the callback address",
    );
    let account = AccountId::new("demo");
    let redirect = app.service.redirect_uri().context("no redirect URI")?;
    let consent = app.service.tokens.begin(&account, &redirect, WAITED_FOR).await?;
    browse(consent.url).await?;
    let grant = app.service.tokens.status(&account).context("the account has no grant")?;
    ensure!(grant.expires_at.is_some(), "no token came: {}", grant.trouble.unwrap_or_default());
    detail("access token and refresh token are in the store, sealed");

    step(4, "an application hands a message to the relay, in plain SMTP, without logging in");
    for line in submit(relay).await? {
        detail(&line);
    }

    step(5, "the provider receives it");
    let received = tokio::time::timeout(PATIENCE, sandbox.wait_for(1)).await;
    let received =
        received.ok().and_then(|all| all.into_iter().next()).context("the message did not arrive")?;
    let unknown = || "-".to_owned();
    detail(&format!("account    {} ({})", account, received.user.clone().unwrap_or_else(unknown)));
    detail(&format!(
        "mechanism  {}, with access token number {}",
        received.mechanism.clone().unwrap_or_else(unknown),
        received.token.map_or_else(unknown, |number| number.to_string())
    ));
    detail(&format!("secured    {}", received.tls));
    detail(&format!("envelope   <{}> to <{}>", received.from, received.to.join(">, <")));
    String::from_utf8_lossy(&received.octets).lines().for_each(|line| detail(&format!("| {line}")));
    ensure!(is_in(&received.octets, BODY), "the content did not arrive octet for octet");
    ensure!(received.mechanism.as_deref() == Some("XOAUTH2"), "the relay did not log in with XOAUTH2");
    ensure!(received.tls != "none", "the relay did not use TLS");
    say("\nThe message arrived: listener, queue, token, STARTTLS, XOAUTH2, sandbox.");

    if !arguments.once {
        say(&format!(
            "\nThe relay stays up on {relay}. Point an application at it (sender in example.com), for instance:\n\n  \
             swaks --server {relay} --from {SENDER} --to {RECIPIENT}\n\nWhat arrives is shown here. Ctrl-C ends it."
        ));
        let mut shown = 1;
        loop {
            tokio::select! {
                all = sandbox.wait_for(shown + 1) => {
                    for message in &all[shown..] {
                        detail(&format!("arrived: <{}> to <{}>, {} octets", message.from, message.to.join(">, <"), message.octets.len()));
                    }
                    shown = all.len();
                }
                _ = tokio::signal::ctrl_c() => break,
            }
        }
    }
    app.stop(|_| {}).await;
    Ok(())
}

fn step(number: usize, text: &str) {
    say(&format!("\n{number}. {text}"));
}

fn detail(text: &str) {
    say(&format!("   {text}"));
}

/// A file as a user would write it.
fn configuration(directory: &Path, sandbox: &SandboxProvider, port: u16) -> anyhow::Result<String> {
    let ca = directory.join("sandbox-ca.pem");
    sandbox.write_ca(&ca)?;
    let port = if port == 0 { free_port()? } else { port };
    let admin = free_port()?;
    let smtp = sandbox.smtp_address();
    let options = sandbox.options();
    Ok(format!(
        r#"hostname  = "relay.example.com"
state_dir = "{state}"

[[listener]]
address = "127.0.0.1:{port}"

[admin]
address = "127.0.0.1:{admin}"

[account.demo]
type     = "oauth2"
domain   = "example.com"
address  = "{host}"
port     = {smtp_port}
ca_file  = "{ca}"
username = "{username}"
client_id              = "{client_id}"
client_secret          = "{client_secret}"
authorization_endpoint = "{authorization}"
token_endpoint         = "{token}"
scope                  = "mail offline_access"
"#,
        state = directory.join("state").display(),
        host = smtp.ip(),
        smtp_port = smtp.port(),
        ca = ca.display(),
        username = options.username,
        client_id = options.client_id,
        client_secret = options.client_secret.as_deref().unwrap_or_default(),
        authorization = sandbox.authorization_endpoint(),
        token = sandbox.token_endpoint(),
    ))
}

/// A port that is free now. Somebody may take it before the relay does; then the relay says so.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Follows redirects as a browser would, over plain HTTP on loopback.
async fn browse(mut url: Url) -> anyhow::Result<()> {
    for _ in 0..5 {
        detail(&format!("GET {}", url.as_str().split('?').next().unwrap_or_default()));
        let host = url.host_str().context("no host")?.to_owned();
        let port = url.port_or_known_default().unwrap_or(80);
        let mut stream = TcpStream::connect((host.as_str(), port)).await?;
        let target =
            url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await?;
        let response = String::from_utf8_lossy(&response).into_owned();
        let head = response.split("\r\n\r\n").next().unwrap_or_default();
        let status = head.split(' ').nth(1).unwrap_or_default();
        let location = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("location").then(|| value.trim().to_owned())
        });
        match (status, location) {
            ("200", _) => return Ok(()),
            ("302" | "303" | "307", Some(location)) => url = url.join(&location)?,
            _ => bail!("{} answered {status}", url.path()),
        }
    }
    bail!("the provider redirects without end")
}

/// Speaks SMTP as an old application does; returns the dialogue.
async fn submit(relay: SocketAddr) -> anyhow::Result<Vec<String>> {
    let mut stream = BufReader::new(TcpStream::connect(relay).await?);
    let mut dialogue = Vec::new();
    reply(&mut stream, "220", &mut dialogue).await?;
    let commands = [
        "HELO ticketing".to_owned(),
        format!("MAIL FROM:<{SENDER}>"),
        format!("RCPT TO:<{RECIPIENT}>"),
        "DATA".into(),
    ];
    for command in commands {
        dialogue.push(format!("C: {command}"));
        stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        reply(&mut stream, if command == "DATA" { "354" } else { "250" }, &mut dialogue).await?;
    }
    dialogue.push(format!("C: ({} octets, and a dot)", BODY.len()));
    // The one line that begins with a dot is sent with another before it (RFC 5321 §4.5.2).
    let at = BODY.windows(3).position(|octets| octets == b"\n.A").context("no leading dot")? + 1;
    stream.write_all(&[&BODY[..at], b".", &BODY[at..], b".\r\n"].concat()).await?;
    reply(&mut stream, "250", &mut dialogue).await?;
    stream.write_all(b"QUIT\r\n").await?;
    Ok(dialogue)
}

async fn reply(
    stream: &mut BufReader<TcpStream>,
    expected: &str,
    dialogue: &mut Vec<String>,
) -> anyhow::Result<()> {
    let mut line = String::new();
    tokio::time::timeout(PATIENCE, stream.read_line(&mut line))
        .await
        .context("the relay does not answer")??;
    dialogue.push(format!("S: {}", line.trim_end()));
    ensure!(line.starts_with(expected), "the relay answered {}", line.trim_end());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_relay_adds_is_no_difference_and_all_else_is() {
        let good = [b"Received: x\r\n", &BODY[..BODY.len()]].concat();
        let text = String::from_utf8_lossy(BODY).into_owned();
        let with_date = text.replacen("\r\n\r\n", "\r\nDate: now\r\n\r\n", 1);
        assert!(is_in(&good, BODY) && is_in(with_date.as_bytes(), text.as_bytes()));
        for (from, to) in [("Printer", "printer"), ("caf", "kaf"), ("\r\n.A", "\r\nA")] {
            assert!(!is_in(text.replacen(from, to, 1).as_bytes(), text.as_bytes()), "{from}");
        }
    }
}
