//! One connection, from the greeting to its close (steps 2 to 9 of the path). TLS that begins in its midst begins a
//! new session: nothing that was said before is known to it (RFC 3207 §4.2).

mod security;

use super::{
    Gate, Peer,
    adapter::Talk,
    conversation::Next,
    input::Input,
    receive::{Origin, Reception},
};
use crate::{
    failpoint::{self, Point},
    mail::Reply,
    queue::Commitment,
    smtp::{Encryption, LineSplitter, Split, line::is_tls_handshake, replies},
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

/// Replies are held back while commands wait to be answered (RFC 2920 §3.2), up to so many octets.
const HELD_REPLIES: usize = 8 * 1024;
/// How long content may still come after a shutdown has begun.
const DATA_GRACE: Duration = Duration::from_secs(5);
/// How long, and for how many octets, the client's own close is awaited, so that a reset does not overtake the
/// last reply.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 256 * 1024);

/// Serves one client until it goes, errs too much or `shutdown` is cancelled.
///
/// A message that is complete is committed whatever happens to the client then; one that is not leaves nothing.
/// After `shutdown` content may still come to its end, for 5 seconds at most.
pub async fn serve<S, G>(stream: S, gate: Arc<G>, peer: Peer, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    G: Gate,
{
    let client = peer.client;
    let mut session = Session::new(stream, gate, peer, shutdown, None);
    let end = if session.peer.settings.tls.encryption() == Encryption::Implicit {
        Box::pin(session.go_under_tls(true)).await
    } else {
        session.greet();
        match session.run().await {
            // What only sessions under TLS need is taken from the heap once they do.
            End::StartTls => Box::pin(session.go_under_tls(false)).await,
            end => end,
        }
    };
    debug!(target: "waxseal::inbound", %client, ?end, "session ended");
}

/// Why a session ended.
#[derive(Debug)]
enum End {
    /// We closed it, for a reason already told to the client.
    Closed,
    /// What came was not SMTP, or no reply could be brought to the client.
    Abandoned,
    /// The client closed it, or it broke.
    Gone,
    /// It goes on as another, once the TLS handshake that is due has been done.
    StartTls,
}

/// What waiting for the client brought.
enum Waited {
    Input,
    Gone,
    TimedOut,
    Shutdown,
}

struct Session<S, G> {
    stream: S,
    gate: Arc<G>,
    peer: Peer,
    shutdown: CancellationToken,
    talk: Talk<G>,
    input: Input,
    out: Vec<u8>,
}

impl<S, G> Session<S, G>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    G: Gate,
{
    /// `cipher` is TLS version and cipher, where `stream` is under TLS.
    fn new(
        stream: S,
        gate: Arc<G>,
        peer: Peer,
        shutdown: CancellationToken,
        cipher: Option<Arc<str>>,
    ) -> Self {
        let talk = Talk::new(Arc::clone(&gate), peer.clone(), cipher);
        Self { stream, gate, peer, shutdown, talk, input: Input::new(), out: Vec::new() }
    }

    fn greet(&mut self) {
        self.say(&Reply::bare(220, format!("{} ESMTP waxseal", self.gate.hostname())));
    }

    async fn run(&mut self) -> End {
        match self.commands().await {
            Ok(next) => self.close(next).await,
            Err(end) => end,
        }
    }

    /// Brings the last replies to the client, and the connection to the end that `next` says.
    async fn close(&mut self, next: Next) -> End {
        if self.flush().await.is_err() {
            return End::Gone;
        }
        if next == Next::StartTls {
            return End::StartTls;
        }
        let closed = timeout(LINGER.0, self.stream.shutdown()).await;
        if next == Next::Abandon || !matches!(closed, Ok(Ok(()))) {
            return End::Abandoned;
        }
        self.linger().await;
        End::Closed
    }

    /// Answers commands until the session is to be closed. The last replies are not flushed yet.
    async fn commands(&mut self) -> Result<Next, End> {
        let mut splitter = LineSplitter::default();
        let mut deadline = None;
        loop {
            if is_tls_handshake(self.input.octets()) {
                info!(target: "waxseal::inbound", client = %self.peer.client, listener = %self.peer.listener_name,
                    reason = "tls", "rejected");
                return Ok(Next::Abandon);
            }
            let next = match splitter.split(self.input.octets()) {
                Split::Line { line, consumed } => {
                    let next = self.talk.hear(line, &mut self.out).await;
                    self.input.consume(consumed);
                    next
                }
                Split::TooLong { consumed } => {
                    self.input.consume(consumed);
                    self.talk.complain(replies::line_too_long(), &mut self.out)
                }
                Split::More { consumed } => {
                    self.input.consume(consumed);
                    self.flush().await?;
                    // One deadline for the whole line: dribbling octets does not put it off.
                    let patience = self.gate.limits().command_timeout;
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + patience);
                    match self.await_command(deadline).await {
                        Waited::Input => continue,
                        Waited::Gone => return Err(End::Gone),
                        Waited::TimedOut => return Ok(self.close_with(&replies::timed_out())),
                        Waited::Shutdown => return Ok(self.close_with(&replies::shutting_down())),
                    }
                }
            };
            deadline = None;
            if self.out.len() > HELD_REPLIES {
                self.flush().await?;
            }
            match next {
                Next::Command => {}
                Next::Data => match self.receive().await? {
                    Next::Command if !self.shutdown.is_cancelled() => {}
                    Next::Command => return Ok(self.close_with(&replies::shutting_down())),
                    next => return Ok(next),
                },
                Next::Verify => match self.verify().await? {
                    Next::Command => {}
                    next => return Ok(next),
                },
                Next::StartTls | Next::Close | Next::Abandon => return Ok(next),
            }
        }
    }

    /// Takes content up to the end of data, and answers it.
    async fn receive(&mut self) -> Result<Next, End> {
        let limits = self.gate.limits();
        let Some(conversation) = self.talk.conversation() else { return Ok(Next::Abandon) };
        let Some((envelope, route)) = conversation.finish() else { return Ok(Next::Abandon) };
        let origin = Origin {
            client: self.peer.client,
            client_name: conversation.client_name().to_owned(),
            protocol: conversation.protocol(),
            cipher: conversation.cipher(),
            hostname: self.gate.hostname(),
            at: SystemTime::now(),
        };
        let mut reception = Reception::new(self.gate.begin(), envelope, route, origin, limits.message_size);
        let mut grace = None;
        loop {
            let progress = reception.take(self.input.octets()).await;
            self.input.consume(progress.consumed);
            if progress.done {
                break;
            }
            self.flush().await?;
            match self.await_content(limits.data_timeout, &mut grace).await {
                Waited::Input => {}
                Waited::Gone => {
                    debug!(target: "waxseal::inbound", client = %self.peer.client, "gone inside DATA");
                    return Err(End::Gone);
                }
                Waited::TimedOut => return Ok(self.close_with(&replies::timed_out())),
                Waited::Shutdown => return Ok(self.close_with(&replies::shutting_down())),
            }
        }
        self.input.shrink();
        Ok(self.settle(reception).await)
    }

    async fn settle(&mut self, reception: Reception<G::Sink>) -> Next {
        let bare_lf = reception.bare_lf_client();
        let outcome = reception.finish().await;
        let reply = match outcome {
            Ok(commitment) => {
                if let Some(conversation) = self.talk.conversation() {
                    conversation.forgive();
                }
                match commitment {
                    Commitment::Durable(id) => replies::queued(id),
                    Commitment::Relayed(_, reply) | Commitment::Refused(reply) => reply,
                }
            }
            Err((reason, reply)) => {
                if let Some(conversation) = self.talk.conversation() {
                    conversation.note_rejection(reason, &reply);
                }
                reply
            }
        };
        failpoint::reach(Point::Unanswered);
        self.say(&reply);
        if bare_lf {
            // Where such a message ends is a matter of opinion; what follows could have been smuggled in.
            info!(target: "waxseal::inbound", client = %self.peer.client, listener = %self.peer.listener_name,
                "the client ends lines with bare LF: one message taken, connection closed");
            return Next::Close;
        }
        Next::Command
    }

    async fn await_command(&mut self, deadline: Instant) -> Waited {
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => Waited::Shutdown,
            read = timeout_at(deadline, self.input.read(&mut self.stream)) => waited(read),
        }
    }

    /// Waits for content. Once a shutdown has begun, `grace` is the instant at which patience ends.
    async fn await_content(&mut self, patience: Duration, grace: &mut Option<Instant>) -> Waited {
        let deadline = Instant::now() + patience;
        if grace.is_none() {
            tokio::select! {
                biased;
                read = timeout_at(deadline, self.input.read_content(&mut self.stream)) => return waited(read),
                () = self.shutdown.cancelled() => {}
            }
        }
        let end = *grace.get_or_insert_with(|| Instant::now() + DATA_GRACE);
        match timeout_at(end.min(deadline), self.input.read_content(&mut self.stream)).await {
            Err(_) if end <= deadline => Waited::Shutdown,
            read => waited(read),
        }
    }

    fn say(&mut self, reply: &Reply) {
        reply.write_to(&mut self.out);
    }

    fn close_with(&mut self, reply: &Reply) -> Next {
        self.say(reply);
        Next::Close
    }

    /// Brings all replies to the client, or gives it up.
    async fn flush(&mut self) -> Result<(), End> {
        if self.out.is_empty() {
            return Ok(());
        }
        let write = async {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await
        };
        let written = timeout(self.gate.limits().command_timeout, write).await;
        self.out.clear();
        match written {
            Ok(Ok(())) => Ok(()),
            _ => Err(End::Gone),
        }
    }

    async fn linger(&mut self) {
        let drain = async {
            let (mut waste, mut left) = ([0u8; 1024], LINGER.1);
            while let Ok(read @ 1..) = self.stream.read(&mut waste).await {
                left = left.saturating_sub(read);
                if left == 0 {
                    break;
                }
            }
        };
        // Late or not, the connection ends here.
        let _ = timeout(LINGER.0, drain).await;
    }
}

fn waited(read: Result<std::io::Result<usize>, tokio::time::error::Elapsed>) -> Waited {
    match read {
        Ok(Ok(1..)) => Waited::Input,
        Ok(_) => Waited::Gone,
        Err(_) => Waited::TimedOut,
    }
}
