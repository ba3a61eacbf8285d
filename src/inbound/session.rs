//! One connection, from the greeting to its close (steps 2 to 9 of the path). TLS that begins in its midst begins a
//! new session: nothing that was said before is known to it (RFC 3207 §4.2).

mod content;
mod security;

use super::{Gate, Peer, adapter::Talk, conversation::Next, input::Input, receive::Reception};
use crate::{
    mail::Reply,
    meter::unix_millis,
    smtp::{Encryption, LineSplitter, Seen, Split, line::is_tls_handshake, replies},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

/// Replies are held back while commands wait to be answered (RFC 2920 §3.2), up to so many octets.
const HELD_REPLIES: usize = 8 * 1024;
/// A session that waits keeps room for so many octets of replies.
const KEPT_REPLIES: usize = 128;
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
    gate.observe(&peer, &Seen::Connected);
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

struct Session<S, G: Gate> {
    stream: S,
    gate: Arc<G>,
    peer: Peer,
    shutdown: CancellationToken,
    talk: Talk<G>,
    input: Input,
    out: Vec<u8>,
    /// A message of which chunks have come, and not the last. Boxed: most sessions have none.
    reception: Option<Box<Reception<G::Sink>>>,
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
        let (input, out, reception) = (Input::default(), Vec::new(), None);
        Self { stream, gate, peer, shutdown, talk, input, out, reception }
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
                self.gate.meter().rejected(&self.peer.listener_name, "tls", unix_millis());
                info!(target: "waxseal::inbound", client = %self.peer.client, listener = %self.peer.listener_name,
                    reason = "tls", "rejected");
                self.gate.observe(&self.peer, &Seen::UndueTls);
                return Ok(Next::Abandon);
            }
            let next = match splitter.split(self.input.octets()) {
                Split::Line { line, consumed } => {
                    let next = self.talk.hear(line, &mut self.out).await;
                    self.input.consume(consumed);
                    next
                }
                Split::TooLong { bdat: false, consumed } => {
                    self.input.consume(consumed);
                    self.talk.complain(replies::line_too_long(), &mut self.out)
                }
                // What would follow are octets of a chunk, to be taken for commands by nobody.
                Split::TooLong { bdat: true, .. } => return Ok(self.close_with(&replies::chunk_unclear())),
                Split::Endless => return Ok(self.close_with(&replies::line_too_long())),
                Split::More { consumed } => {
                    self.input.consume(consumed);
                    self.flush().await?;
                    // One deadline for the whole line: dribbling octets does not put it off.
                    let patience = self.gate.limits().command_timeout;
                    let line = *deadline.get_or_insert_with(|| Instant::now() + patience);
                    match self.await_command(line).await {
                        Waited::Input => continue,
                        Waited::Gone => return Err(End::Gone),
                        Waited::TimedOut => return Ok(self.close_with(&replies::timed_out())),
                        Waited::Shutdown => return Ok(self.close_with(&replies::shutting_down())),
                    }
                }
            };
            deadline = None;
            if self.talk.conversation().is_none_or(|conversation| !conversation.is_chunking()) {
                self.reception = None;
            }
            self.keep_back().await;
            if self.out.len() > HELD_REPLIES {
                self.flush().await?;
            }
            let next = match next {
                Next::Command => continue,
                // Boxed: what content and logins take of memory an idle session does not.
                Next::Data => Box::pin(self.receive()).await?,
                Next::Chunk(chunk) => Box::pin(self.receive_chunk(chunk)).await?,
                Next::Verify => Box::pin(self.verify()).await?,
                Next::StartTls | Next::Close | Next::Abandon => return Ok(next),
            };
            match next {
                Next::Command if !self.shutdown.is_cancelled() => {}
                Next::Command => return Ok(self.close_with(&replies::shutting_down())),
                next => return Ok(next),
            }
        }
    }

    /// Whoever has had many addresses refused waits for the next refusal.
    async fn keep_back(&mut self) {
        if let Some(delay) = self.talk.conversation().and_then(|conversation| conversation.take_delay()) {
            tokio::select! {
                () = self.shutdown.cancelled() => {}
                () = sleep(delay) => {}
            }
        }
    }

    async fn await_command(&mut self, deadline: Instant) -> Waited {
        let begun = Instant::now();
        // Between chunks the patience with the message is used up, too.
        let message = self.reception.as_mut().map(|reception| begun + reception.pace().left());
        let deadline = message.map_or(deadline, |message| deadline.min(message));
        let came = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => Waited::Shutdown,
            read = timeout_at(deadline, self.input.read(&mut self.stream)) => waited(read),
        };
        if let Some(reception) = &mut self.reception {
            reception.pace().waited(begun.elapsed());
        }
        came
    }

    fn say(&mut self, reply: &Reply) {
        reply.write_to(&mut self.out);
    }

    fn close_with(&mut self, reply: &Reply) -> Next {
        self.gate.observe(&self.peer, &Seen::Refused(reply));
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
        if self.out.capacity() <= KEPT_REPLIES {
            self.out.clear()
        } else {
            self.out = Vec::new()
        }
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
