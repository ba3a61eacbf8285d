//! Content on a connection: DATA and BDAT, up to their replies.

use super::{End, Session, Waited, waited};
use crate::{
    failpoint::{self, Point},
    inbound::{
        Gate,
        conversation::Next,
        receive::{Origin, Reception},
    },
    mail::Reply,
    meter::unix_millis,
    queue::{Commitment, Receipt},
    smtp::{Pace, Seen, command::Chunk, limits, replies},
};
use std::time::{Duration, SystemTime};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout_at},
};
use tracing::{debug, info};

/// How long content may still come after a shutdown has begun.
const DATA_GRACE: Duration = Duration::from_secs(5);

impl<S, G> Session<S, G>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    G: Gate,
{
    /// Takes content up to the end of data, and answers it.
    pub(super) async fn receive(&mut self) -> Result<Next, End> {
        let receipt = self.talk.conversation().and_then(|conversation| conversation.data());
        let Some(receipt) = receipt else { return Ok(Next::Abandon) };
        let Some(origin) = self.origin(&receipt) else { return Ok(Next::Abandon) };
        let limits = self.gate.limits();
        let (size, patience) = (limits.message_size, limits.data_timeout);
        let mut reception = Reception::data(self.gate.begin(), receipt, origin, size, patience);
        match self.take_content(&mut reception).await? {
            Next::Command => Ok(self.settle(reception).await),
            next => Ok(next),
        }
    }

    /// Takes a chunk's octets, and answers it: as a message where it was the last. The octets of a chunk that has no
    /// place here are taken all the same, so that nobody runs them as commands.
    pub(super) async fn receive_chunk(&mut self, chunk: Chunk) -> Result<Next, End> {
        let limits = self.gate.limits();
        let Some(conversation) = self.talk.conversation() else { return Ok(Next::Abandon) };
        let taken = conversation.chunk();
        if chunk.octets > limits.message_size.saturating_add(limits::WASTE) {
            conversation.note_rejection("size", &replies::too_big());
            return Ok(self.close_with(&replies::too_big()));
        }
        let begun = match taken {
            Ok(begun) => begun,
            Err(refusal) => {
                return match self.pass_over(chunk.octets, limits.data_timeout).await? {
                    Next::Command => Ok(self.refuse_chunk(refusal)),
                    next => Ok(next),
                };
            }
        };
        let mut reception = match (begun, self.reception.take()) {
            (Some(receipt), _) => {
                let Some(origin) = self.origin(&receipt) else { return Ok(Next::Abandon) };
                let (size, patience) = (limits.message_size, limits.data_timeout);
                Box::new(Reception::chunks(self.gate.begin(), receipt, origin, size, patience))
            }
            (None, Some(reception)) => reception,
            (None, None) => return Ok(Next::Abandon),
        };
        reception.begin_chunk(chunk);
        match self.take_content(&mut reception).await? {
            Next::Command => {}
            next => return Ok(next),
        }
        if chunk.last {
            return Ok(self.settle(*reception).await);
        }
        let Some(conversation) = self.talk.conversation() else { return Ok(Next::Abandon) };
        let reply = match reception.refusal() {
            Some((reason, reply)) => {
                conversation.note_rejection(reason, reply);
                conversation.watch(&Seen::Refused(reply));
                conversation.cut_short();
                reply.clone()
            }
            None => {
                self.reception = Some(reception);
                replies::chunk_taken(chunk.octets)
            }
        };
        self.say(&reply);
        Ok(Next::Command)
    }

    fn origin(&mut self, receipt: &Receipt) -> Option<Origin> {
        let (hostname, client) = (self.gate.hostname(), self.peer.client);
        let conversation = self.talk.conversation()?;
        let cipher = conversation.cipher();
        let (client_name, protocol) = conversation.client(receipt.envelope.smtputf8());
        let (client_name, at) = (client_name.to_owned(), SystemTime::now());
        Some(Origin { client, client_name, protocol, cipher, hostname, at })
    }

    /// Takes octets up to the end of data or of the chunk. Anything but [`Next::Command`] ends the session.
    async fn take_content(&mut self, reception: &mut Reception<G::Sink>) -> Result<Next, End> {
        let mut grace = None;
        loop {
            let progress = reception.take(self.input.octets()).await;
            self.input.consume(progress.consumed);
            if progress.done {
                return Ok(Next::Command);
            }
            if reception.is_waste() {
                return Ok(self.close_with(&replies::too_big()));
            }
            self.flush().await?;
            if let Some(end) = self.more_content(reception.pace(), &mut grace).await? {
                return Ok(end);
            }
        }
    }

    /// Takes a chunk's octets and keeps none.
    async fn pass_over(&mut self, octets: u64, patience: Duration) -> Result<Next, End> {
        let (mut left, mut grace) = (octets, None);
        let mut pace = Pace::new(patience);
        loop {
            let here = self.input.octets().len();
            let used = usize::try_from(left).map_or(here, |left| left.min(here));
            self.input.consume(used);
            pace.came(used);
            left -= used as u64;
            if left == 0 {
                return Ok(Next::Command);
            }
            self.flush().await?;
            if let Some(end) = self.more_content(&mut pace, &mut grace).await? {
                return Ok(end);
            }
        }
    }

    fn refuse_chunk(&mut self, refusal: Reply) -> Next {
        let Some(conversation) = self.talk.conversation() else { return Next::Abandon };
        let (reply, next) = conversation.refuse_chunk(refusal);
        if let Some(reply) = reply {
            self.say(&reply);
        }
        next
    }

    async fn settle(&mut self, reception: Reception<G::Sink>) -> Next {
        let bare_lf = reception.bare_lf_client();
        let account = reception.account().clone();
        let (envelope, octets) = reception.extent();
        self.gate.observe(&self.peer, &Seen::Message { envelope, octets, bare_lf });
        let outcome = reception.finish().await;
        if outcome.is_ok() {
            self.gate.meter().received(&self.peer.listener_name, account.as_str(), unix_millis());
        }
        if let Some(conversation) = self.talk.conversation() {
            conversation.over();
        }
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
                    conversation.watch(&Seen::Refused(&reply));
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

    /// Waits for more. `Some` is how the session ends where nothing comes.
    async fn more_content(
        &mut self,
        pace: &mut Pace,
        grace: &mut Option<Instant>,
    ) -> Result<Option<Next>, End> {
        let begun = Instant::now();
        let waited = self.await_content(begun + pace.left(), grace).await;
        pace.waited(begun.elapsed());
        match waited {
            Waited::Input => Ok(None),
            Waited::Gone => {
                debug!(target: "waxseal::inbound", client = %self.peer.client, "gone inside DATA");
                Err(End::Gone)
            }
            Waited::TimedOut => Ok(Some(self.close_with(&replies::timed_out()))),
            Waited::Shutdown => Ok(Some(self.close_with(&replies::shutting_down()))),
        }
    }

    /// Waits for content. Once a shutdown has begun, `grace` is the instant at which patience ends.
    async fn await_content(&mut self, deadline: Instant, grace: &mut Option<Instant>) -> Waited {
        if grace.is_none() {
            tokio::select! {
                biased;
                read = timeout_at(deadline, self.input.read(&mut self.stream)) => return waited(read),
                () = self.shutdown.cancelled() => {}
            }
        }
        let end = *grace.get_or_insert_with(|| Instant::now() + DATA_GRACE);
        match timeout_at(end.min(deadline), self.input.read(&mut self.stream)).await {
            Err(_) if end <= deadline => Waited::Shutdown,
            read => waited(read),
        }
    }
}
