//! A connection from its greeting to its QUIT: EHLO, STARTTLS, AUTH (RFC 5321, RFC 3207).

use super::{
    Stage, auth, connect,
    failure::{Cause, Failure},
    wire::{Stream, Wire},
};
use crate::{
    account::{Account, SecurityMode},
    failpoint::{self, Point},
    mail::{Reply, ReplyClass},
    oauth::TokenSource,
};
use rustls::ClientConfig;
use smtp_proto::{
    EXT_8BIT_MIME, EXT_DSN, EXT_PIPELINING, EXT_SIZE, EXT_SMTP_UTF8, EXT_START_TLS, EhloResponse,
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What the server said it can do.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Capabilities {
    pub(super) pipelining: bool,
    pub(super) eight_bit: bool,
    pub(super) smtputf8: bool,
    pub(super) starttls: bool,
    pub(super) dsn: bool,
    /// Whether SIZE= may be said, and the limit in octets; 0 is none (RFC 1870).
    pub(super) size: Option<u64>,
    /// smtp-proto's bits.
    pub(super) mechanisms: u64,
}

/// A connection ready for transactions.
pub(super) struct Connection {
    pub(super) wire: Wire,
    pub(super) capabilities: Capabilities,
    /// `TLSv1.3 TLS13_AES_128_GCM_SHA256`, or `none`.
    pub(super) tls: String,
    _counted: Counted,
}

/// Counts a connection for as long as it is open.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn begin(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What it takes to open a connection.
pub(super) struct Dialler<'a> {
    pub(super) account: &'a Account,
    pub(super) hostname: &'a str,
    pub(super) tls: Option<&'a Arc<ClientConfig>>,
    pub(super) tokens: &'a dyn TokenSource,
    /// How many connections are open.
    pub(super) open: &'a Arc<AtomicUsize>,
}

impl Dialler<'_> {
    /// Connects, secures the connection, and logs in. A refused access token is replaced once: it may have
    /// been withdrawn before its time.
    pub(super) async fn open(&self) -> Result<Connection, Failure> {
        let Some(mut credentials) = auth::Credentials::of(self.account, self.tokens).await? else {
            return self.greet().await.map(|(connection, _)| connection);
        };
        failpoint::reach(Point::CredentialsReady);
        for last in [false, true] {
            let (mut connection, on_loopback) = self.greet().await?;
            let exposed = connection.tls == "none" && !on_loopback;
            if exposed && !self.account.server.allow_plaintext_authentication {
                return Err(Failure::new(Stage::Auth, Cause::PlaintextLogin));
            }
            let offered = connection.capabilities.mechanisms;
            let server = (self.account.server.host.as_str(), self.account.server.port);
            let result = credentials.log_in(&mut connection.wire, offered, server).await;
            match result {
                Ok(()) => return Ok(connection),
                Err(failure) => {
                    connection.quit().await;
                    match credentials.renewed(&failure, self.account, self.tokens).await {
                        Some(renewed) if !last => credentials = renewed,
                        _ => return Err(failure),
                    }
                }
            }
        }
        // Both rounds return; the loop's shape hides it from the compiler.
        Err(Failure::new(Stage::Auth, Cause::Nonsense))
    }

    /// Everything up to AUTH. Also says whether the server is on loopback.
    pub(super) async fn greet(&self) -> Result<(Connection, bool), Failure> {
        let server = &self.account.server;
        let stream = connect::tcp(&server.host, server.port).await?;
        let counted = Counted::begin(self.open);
        let on_loopback = stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
        let mut wire = match (server.security, self.tls) {
            (SecurityMode::Tls, Some(config)) => {
                Wire::new(Stream::Tls(Box::new(connect::tls(stream, config, &server.host).await?)))
            }
            _ => Wire::new(Stream::Plain(stream)),
        };
        positive(Stage::Banner, wire.reply(Stage::Banner).await?)?;
        let mut capabilities = ehlo(&mut wire, self.hostname).await?;
        if server.security == SecurityMode::StartTls {
            if !capabilities.starttls {
                return Err(Failure::new(Stage::StartTls, Cause::NoStartTls));
            }
            wire = self.starttls(wire).await?;
            // What was said in the clear counts for nothing (RFC 3207 §4.2).
            capabilities = ehlo(&mut wire, self.hostname).await?;
        }
        let tls = wire.tls();
        if tls != "none" && !server.certificate_validation {
            tracing::warn!(account = %self.account.id, relay = %format_args!("{}:{}", server.host, server.port),
                "the server's certificate is not validated (certificate_validation = false)");
        }
        Ok((Connection { wire, capabilities, tls, _counted: counted }, on_loopback))
    }

    async fn starttls(&self, mut wire: Wire) -> Result<Wire, Failure> {
        positive(Stage::StartTls, wire.command(Stage::StartTls, "STARTTLS").await?)?;
        match (wire.into_stream(), self.tls) {
            ((Stream::Plain(stream), false), Some(config)) => {
                let stream = connect::tls(stream, config, &self.account.server.host).await?;
                Ok(Wire::new(Stream::Tls(Box::new(stream))))
            }
            _ => Err(Failure::new(Stage::StartTls, Cause::Injected)),
        }
    }
}

impl Connection {
    /// Says goodbye, as long as that takes no time.
    pub(super) async fn quit(mut self) {
        let _ = self.wire.command(Stage::Quit, "QUIT").await;
        self.wire.shut_down().await;
    }

    /// Ends a transaction that went nowhere. Whether the connection is clean afterwards.
    pub(super) async fn reset(&mut self) -> bool {
        matches!(self.wire.command(Stage::Reset, "RSET").await, Ok(reply) if reply.class() == ReplyClass::Completed)
    }
}

async fn ehlo(wire: &mut Wire, hostname: &str) -> Result<Capabilities, Failure> {
    wire.push(&format!("EHLO {hostname}"));
    wire.flush(Stage::Ehlo).await?;
    let (reply, octets) = wire.raw_reply(Stage::Ehlo).await?;
    positive(Stage::Ehlo, reply)?;
    let ehlo =
        EhloResponse::parse(&mut octets.iter()).map_err(|_| Failure::new(Stage::Ehlo, Cause::Nonsense))?;
    Ok(Capabilities {
        pipelining: ehlo.has_capability(EXT_PIPELINING),
        eight_bit: ehlo.has_capability(EXT_8BIT_MIME),
        smtputf8: ehlo.has_capability(EXT_SMTP_UTF8),
        starttls: ehlo.has_capability(EXT_START_TLS),
        dsn: ehlo.has_capability(EXT_DSN),
        size: ehlo.has_capability(EXT_SIZE).then_some(ehlo.size as u64),
        mechanisms: ehlo.auth(),
    })
}

fn positive(stage: Stage, reply: Reply) -> Result<(), Failure> {
    match reply.class() {
        ReplyClass::Completed => Ok(()),
        _ => Err(Failure::new(stage, Cause::Refused(reply))),
    }
}
