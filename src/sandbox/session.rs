//! One SMTP session of the sandbox: simple, correct and strict.

use super::{Fault, Point, Received, SandboxSecurity, provider::Shared, submission::Transport};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use md5::Md5;
use std::{future::pending, io, sync::Arc, time::Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

/// How a session ended.
pub(super) enum End {
    Closed,
    /// The client asked for TLS; the reply is still to be given.
    StartTls,
}

/// Who is logged in, by which mechanism, with which token.
#[derive(Clone)]
struct Identity {
    user: String,
    mechanism: &'static str,
    token: Option<usize>,
}

pub(super) struct Session<S> {
    stream: BufReader<S>,
    shared: Arc<Shared>,
    connection: usize,
    tls: String,
    identity: Option<Identity>,
    from: Option<(String, String)>,
    to: Vec<(String, String)>,
}

impl<S: Transport> Session<S> {
    pub(super) fn new(stream: BufReader<S>, shared: Arc<Shared>, connection: usize, tls: String) -> Self {
        Self { stream, shared, connection, tls, identity: None, from: None, to: Vec::new() }
    }

    pub(super) fn into_stream(self) -> BufReader<S> {
        self.stream
    }

    pub(super) async fn greet(&mut self) -> io::Result<()> {
        self.answer(Point::Banner, "220 sandbox.example ESMTP waxseal sandbox").await.map(|_| ())
    }

    /// Takes commands until the session ends.
    pub(super) async fn converse(&mut self) -> io::Result<End> {
        loop {
            let Some(line) = self.line().await? else { return Ok(End::Closed) };
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => {
                    self.forget();
                    let features = self.features();
                    let point = if self.tls == "none" { Point::Ehlo } else { Point::SecuredEhlo };
                    self.answer(point, &features).await?;
                }
                "STARTTLS" if self.offers_starttls() => return Ok(End::StartTls),
                "AUTH" => self.auth(rest).await?,
                "MAIL" => self.mail(rest).await?,
                "RCPT" => self.rcpt(rest).await?,
                "DATA" => self.data().await?,
                "RSET" => {
                    self.forget();
                    self.answer(Point::Reset, "250 2.0.0 reset").await?;
                }
                "NOOP" => self.send("250 2.0.0 OK").await?,
                "QUIT" => {
                    self.answer(Point::Quit, "221 2.0.0 bye").await?;
                    return Ok(End::Closed);
                }
                _ => self.send("500 5.5.1 unknown command").await?,
            }
        }
    }

    fn offers_starttls(&self) -> bool {
        self.shared.options.security == SandboxSecurity::StartTls
            && self.tls == "none"
            && !self.shared.faults.starttls_hidden()
    }

    fn offers_auth(&self) -> bool {
        let options = &self.shared.options;
        !options.mechanisms.is_empty() && (self.tls != "none" || options.security == SandboxSecurity::None)
    }

    fn features(&self) -> String {
        let options = &self.shared.options;
        let mut lines = vec!["250-sandbox.example greets you".to_owned()];
        if options.pipelining {
            lines.push("250-PIPELINING".to_owned());
        }
        if self.offers_starttls() {
            lines.push("250-STARTTLS".to_owned());
        }
        if self.offers_auth() {
            lines.push(format!("250-AUTH {}", options.mechanisms.join(" ")));
        }
        if options.smtputf8 {
            lines.push("250-SMTPUTF8".to_owned());
        }
        if options.dsn {
            lines.push("250-DSN".to_owned());
        }
        lines.push("250-8BITMIME".to_owned());
        lines.push(format!("250-SIZE {}", options.size));
        lines.push("250 ENHANCEDSTATUSCODES".to_owned());
        lines.join("\r\n")
    }

    async fn auth(&mut self, rest: &str) -> io::Result<()> {
        if !self.offers_auth() {
            return self.send("530 5.7.0 Must issue a STARTTLS command first").await;
        }
        let (mechanism, initial) = rest.split_once(' ').unwrap_or((rest, ""));
        let mechanism = mechanism.to_ascii_uppercase();
        let Some(mechanism) =
            self.shared.options.mechanisms.iter().find(|offered| **offered == mechanism).copied()
        else {
            return self.send("504 5.5.4 mechanism not offered").await;
        };
        if let Some(fault) = self.shared.faults.strike(&Point::Challenge)
            && !self.suffer(fault).await?
        {
            return Ok(());
        }
        let identity = match mechanism {
            "LOGIN" => {
                let user = self.challenge("VXNlcm5hbWU6", "").await?;
                let password = self.challenge("UGFzc3dvcmQ6", "").await?;
                self.check_password(mechanism, &user, &password)
            }
            "PLAIN" => {
                let response = self.challenge("", initial).await?;
                let mut parts = response.splitn(3, '\0').skip(1);
                let (user, password) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
                self.check_password(mechanism, user, password)
            }
            "CRAM-MD5" => {
                let challenge = format!("<{}.1700000000@sandbox.example>", self.connection);
                let response = self.challenge(&STANDARD.encode(&challenge), "").await?;
                self.check_digest(mechanism, &challenge, &response)
            }
            _ => {
                let response = self.challenge("", initial).await?;
                let identity = match mechanism {
                    "OAUTHBEARER" => self.check_bearer(mechanism, &response),
                    _ => self.check_token(mechanism, &response),
                };
                if identity.is_none() {
                    let reason =
                        r#"{"status":"401","schemes":"bearer","scope":"https://sandbox.example/smtp"}"#;
                    self.send(&format!("334 {}", STANDARD.encode(reason))).await?;
                    // RFC 7628 §3.2.3 wants ^A; XOAUTH2 an empty line.
                    let due = if mechanism == "OAUTHBEARER" { "AQ==" } else { "" };
                    if self.line().await?.is_none_or(|line| line != due) {
                        return self.send("501 5.5.2 that does not acknowledge the refusal").await;
                    }
                }
                identity
            }
        };
        match identity {
            Some(identity) => {
                if self.answer(Point::Auth, "235 2.7.0 welcome").await? {
                    self.identity = Some(identity);
                }
                Ok(())
            }
            None => self.answer(Point::Auth, "535 5.7.8 the credentials are not good").await.map(|_| ()),
        }
    }

    fn check_password(&self, mechanism: &'static str, user: &str, password: &str) -> Option<Identity> {
        let options = &self.shared.options;
        (user == options.username && password == options.password).then(|| Identity {
            user: user.to_owned(),
            mechanism,
            token: None,
        })
    }

    /// A user name and the password's keyed digest of the challenge (RFC 2195).
    fn check_digest(&self, mechanism: &'static str, challenge: &str, response: &str) -> Option<Identity> {
        let options = &self.shared.options;
        let (user, digest) = response.rsplit_once(' ')?;
        let mut mac = Hmac::<Md5>::new_from_slice(options.password.as_bytes()).ok()?;
        mac.update(challenge.as_bytes());
        let right: String = mac.finalize().into_bytes().iter().map(|octet| format!("{octet:02x}")).collect();
        (user == options.username && digest == right).then(|| Identity {
            user: user.to_owned(),
            mechanism,
            token: None,
        })
    }

    /// `n,a=USER,^Ahost=HOST^Aport=PORT^Aauth=Bearer TOKEN^A^A` (RFC 7628 §3.1).
    fn check_bearer(&self, mechanism: &'static str, response: &str) -> Option<Identity> {
        let (header, pairs) = response.strip_suffix("\x01\x01")?.split_once('\x01')?;
        let user = header.strip_prefix("n,a=")?.strip_suffix(',')?.replace("=2C", ",").replace("=3D", "=");
        let value = |key: &str| pairs.split('\x01').find_map(|pair| pair.strip_prefix(key));
        value("host=").filter(|host| !host.is_empty())?;
        value("port=")?.parse::<u16>().ok()?;
        self.bearer(mechanism, &user, value("auth=Bearer ")?)
    }

    fn check_token(&self, mechanism: &'static str, response: &str) -> Option<Identity> {
        let (user, token) =
            response.strip_prefix("user=")?.strip_suffix("\x01\x01")?.split_once("\x01auth=Bearer ")?;
        self.bearer(mechanism, user, token)
    }

    fn bearer(&self, mechanism: &'static str, user: &str, token: &str) -> Option<Identity> {
        let number = self.shared.grants.live(token)?;
        (user == self.shared.options.username).then(|| Identity {
            user: user.to_owned(),
            mechanism,
            token: Some(number),
        })
    }

    /// The client's response, decoded; asked for where no initial response came.
    async fn challenge(&mut self, challenge: &str, initial: &str) -> io::Result<String> {
        let response = if initial.is_empty() {
            self.send(&format!("334 {challenge}")).await?;
            self.line().await?.unwrap_or_default()
        } else {
            initial.to_owned()
        };
        Ok(STANDARD.decode(response).ok().and_then(|o| String::from_utf8(o).ok()).unwrap_or_default())
    }

    async fn mail(&mut self, rest: &str) -> io::Result<()> {
        if !self.shared.options.mechanisms.is_empty() && self.identity.is_none() {
            return self.send("530 5.7.0 Authentication Required").await;
        }
        if self.from.is_some() {
            return self.send("503 5.5.1 a transaction is open").await;
        }
        let Some((path, parameters)) = path(rest, "FROM:<") else {
            return self.send("501 5.5.4 MAIL FROM:<address> it is").await;
        };
        if !self.takes(&parameters, ["RET=", "ENVID="]) {
            return self.send("555 5.5.4 parameter not offered").await;
        }
        if self.answer(Point::Mail, "250 2.1.0 sender ok").await? {
            self.from = Some((path, parameters));
        }
        Ok(())
    }

    async fn rcpt(&mut self, rest: &str) -> io::Result<()> {
        if self.from.is_none() {
            return self.send("503 5.5.1 MAIL comes first").await;
        }
        let Some((path, parameters)) = path(rest, "TO:<") else {
            return self.send("501 5.5.4 RCPT TO:<address> it is").await;
        };
        if !self.takes(&parameters, ["NOTIFY=", "ORCPT="]) {
            return self.send("555 5.5.4 parameter not offered").await;
        }
        if self.answer(Point::Rcpt(Some(path.clone())), "250 2.1.5 recipient ok").await? {
            self.to.push((path, parameters));
        }
        Ok(())
    }

    /// Whether the parameters of DSN come only where it is offered.
    fn takes(&self, parameters: &str, of_dsn: [&str; 2]) -> bool {
        let foreign = |word: &str| of_dsn.iter().any(|keyword| word.starts_with(keyword));
        self.shared.options.dsn || !parameters.split(' ').any(foreign)
    }

    async fn data(&mut self) -> io::Result<()> {
        if self.from.is_none() {
            return self.send("503 5.5.1 MAIL comes first").await;
        }
        if self.to.is_empty() {
            return self.send("554 5.5.1 no valid recipients").await;
        }
        if !self.answer(Point::Data, "354 end with a dot").await? {
            return Ok(());
        }
        let (mut octets, mut line, mut bare) = (Vec::new(), Vec::new(), false);
        let mut answered = false;
        loop {
            line.clear();
            if self.stream.read_until(b'\n', &mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line == b".\r\n" {
                break;
            }
            let body = line.strip_suffix(b"\r\n");
            bare |= body.is_none_or(|body| body.contains(&b'\r'));
            octets.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            if let Some(fault) = self.shared.faults.strike(&Point::Content) {
                answered |= !self.suffer(fault).await?;
            }
        }
        let (from, mail_parameters) = self.from.take().unwrap_or_default();
        let (to, rcpt_parameters) = std::mem::take(&mut self.to).into_iter().unzip();
        if bare {
            return self.send("550 5.6.0 bare CR or LF in the content").await;
        }
        let message = Received {
            from,
            mail_parameters,
            to,
            rcpt_parameters,
            octets,
            user: self.identity.as_ref().map(|identity| identity.user.clone()),
            mechanism: self.identity.as_ref().map(|identity| identity.mechanism.to_owned()),
            token: self.identity.as_ref().and_then(|identity| identity.token),
            tls: self.tls.clone(),
            connection: self.connection,
            arrived_at: Instant::now(),
        };
        // Its verdict was given ahead of time.
        if answered {
            return Ok(());
        }
        // A message may have arrived although its sender is never told so.
        let fault = self.shared.faults.strike(&Point::Dot);
        if fault.as_ref().is_none_or(Fault::keeps_the_message) {
            self.shared.messages.add(message)?;
        }
        if let Some(fault) = fault
            && !self.suffer(fault).await?
        {
            return Ok(());
        }
        self.send("250 2.0.0 taken").await
    }

    fn forget(&mut self) {
        self.from = None;
        self.to.clear();
    }

    /// Gives the ordinary reply unless a fault strikes; whether it was given.
    async fn answer(&mut self, point: Point, ordinary: &str) -> io::Result<bool> {
        if let Some(fault) = self.shared.faults.strike(&point)
            && !self.suffer(fault).await?
        {
            return Ok(false);
        }
        self.send(ordinary).await?;
        Ok(true)
    }

    /// Does what the fault says; whether the ordinary reply is still to be given.
    pub(super) async fn suffer(&mut self, fault: Fault) -> io::Result<bool> {
        match fault {
            Fault::Reply(line) => self.send(&line).await.map(|()| false),
            Fault::ReplyAndDrop(line) => {
                self.send(&line).await?;
                self.stream.shutdown().await?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Fault::Octets(octets) => {
                self.stream.write_all(&octets).await?;
                self.stream.flush().await.map(|()| false)
            }
            Fault::OctetsAndDrop(octets) => {
                self.stream.write_all(&octets).await?;
                self.stream.shutdown().await?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Fault::Drop => Err(io::ErrorKind::ConnectionAborted.into()),
            Fault::Reset => {
                self.stream.get_ref().tcp().set_zero_linger()?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Fault::Delay(time) => {
                tokio::time::sleep(time).await;
                Ok(true)
            }
            Fault::Silence => pending().await,
        }
    }

    async fn send(&mut self, line: &str) -> io::Result<()> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await?;
        self.stream.flush().await
    }

    /// The next line without its CRLF; `None` at the end of the connection.
    async fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        if self.stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.strip_suffix(b"\r\n").ok_or(io::ErrorKind::InvalidData)?;
        String::from_utf8(line.to_vec()).map(Some).map_err(io::Error::other)
    }
}

/// The path and the parameters behind it.
fn path(rest: &str, keyword: &str) -> Option<(String, String)> {
    let head = rest.get(..keyword.len())?;
    if !head.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let (path, parameters) = rest[keyword.len()..].rsplit_once('>')?;
    Some((path.to_owned(), parameters.trim().to_owned()))
}
