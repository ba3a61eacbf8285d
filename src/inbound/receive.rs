//! One message from DATA, or its first BDAT, to its reply (steps 6 to 8 of the path).

use super::{Client, Sink};
use crate::{
    account::AccountId,
    mail::{
        Envelope, Reply,
        trace::{Headed, Heading, Protocol, Trace},
    },
    queue::{CommitError, Commitment, Receipt},
    smtp::{ChunkDecoder, DataDecoder, Pace, Progress, command::Chunk, limits, replies},
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tracing::warn;

/// Where a message comes from, for its trace field.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) client: Client,
    pub(super) client_name: String,
    pub(super) protocol: Protocol,
    /// TLS version and cipher, where the connection is under TLS.
    pub(super) cipher: Option<Arc<str>>,
    pub(super) hostname: Arc<str>,
    pub(super) at: SystemTime,
}

/// A refusal and the word for it in logs.
type Refusal = (&'static str, Reply);

/// How the content's octets are told from commands.
#[derive(Debug)]
enum Framing {
    Data(DataDecoder),
    /// And whether the chunk under way is the last.
    Chunks(ChunkDecoder, bool),
}

/// A message coming in. Dropped, it leaves nothing behind.
pub(super) struct Reception<S> {
    sink: S,
    receipt: Receipt,
    origin: Origin,
    limit: u64,
    framing: Framing,
    heading: Heading,
    /// Decoded octets not written yet: a line's start that may be a header field's, and besides never more than one
    /// read.
    pending: Vec<u8>,
    octets: u64,
    /// Whether the trace field is written.
    traced: bool,
    refusal: Option<Refusal>,
    pace: Pace,
}

impl<S: Sink> Reception<S> {
    /// A message that comes by DATA. `limit` is in octets of content, `patience` how long silence is borne.
    pub(super) fn data(sink: S, receipt: Receipt, origin: Origin, limit: u64, patience: Duration) -> Self {
        Self::new(Framing::Data(DataDecoder::default()), sink, receipt, origin, limit, patience)
    }

    /// A message that comes by BDAT.
    pub(super) fn chunks(sink: S, receipt: Receipt, origin: Origin, limit: u64, patience: Duration) -> Self {
        Self::new(Framing::Chunks(ChunkDecoder::default(), false), sink, receipt, origin, limit, patience)
    }

    fn new(
        framing: Framing,
        sink: S,
        receipt: Receipt,
        origin: Origin,
        limit: u64,
        patience: Duration,
    ) -> Self {
        Self {
            sink,
            receipt,
            origin,
            limit,
            framing,
            heading: Heading::default(),
            pending: Vec::new(),
            octets: 0,
            traced: false,
            refusal: None,
            pace: Pace::new(patience),
        }
    }

    /// The octets that come next are a chunk's.
    pub(super) fn begin_chunk(&mut self, chunk: Chunk) {
        if let Framing::Chunks(decoder, last) = &mut self.framing {
            decoder.begin(chunk.octets);
            *last = chunk.last;
        }
    }

    /// Takes the next octets from the wire; done is the end of data, or of the chunk. A message that will be refused
    /// is read to its end and not kept.
    pub(super) async fn take(&mut self, input: &[u8]) -> Progress {
        let before = self.pending.len();
        self.pending.reserve_exact(input.len());
        let (progress, complete) = self.decode(input);
        self.pace.came(progress.consumed);
        self.octets += (self.pending.len() - before) as u64;
        if self.octets > self.limit {
            self.refuse("size", replies::too_big());
        }
        if self.refusal.is_none()
            && let Err(error) = self.pass_on(before, complete).await
        {
            self.refusal.get_or_insert(refusal(&error));
        }
        if self.refusal.is_some() {
            self.pending.clear();
        }
        if self.pending.is_empty() {
            // A client may keep us waiting for the rest; what it sent need not be kept meanwhile.
            self.pending = Vec::new();
        }
        progress
    }

    /// Whether the client is to be given up: it sends far more than will ever be taken.
    pub(super) fn is_waste(&self) -> bool {
        self.octets > self.limit.saturating_add(limits::WASTE)
    }

    /// How long its next octets are waited for.
    pub(super) fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }

    /// Whether the client ends its lines with bare LF.
    pub(super) fn bare_lf_client(&self) -> bool {
        matches!(&self.framing, Framing::Data(decoder) if decoder.bare_lf_client())
    }

    /// Its envelope, and the octets of content that have come.
    pub(super) fn extent(&self) -> (&Envelope, u64) {
        (&self.receipt.envelope, self.octets)
    }

    /// Why the message will be refused, and the word for it in logs, where it is known by now.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// The account that will carry it.
    pub(super) fn account(&self) -> &AccountId {
        &self.receipt.account
    }

    /// Hands the whole message over. `Err` is our refusal to send and the word for it in logs.
    pub(super) async fn finish(self) -> Result<Commitment, Refusal> {
        match self.refusal {
            Some(refusal) => Err(refusal),
            None => self.sink.commit(self.receipt).await.map_err(|error| refusal(&error)),
        }
    }

    /// What was used of the input, and whether the message is complete.
    fn decode(&mut self, input: &[u8]) -> (Progress, bool) {
        match &mut self.framing {
            Framing::Data(decoder) => {
                let progress = decoder.decode(input, &mut self.pending);
                (progress, progress.done)
            }
            Framing::Chunks(decoder, last) => {
                let progress = decoder.decode(input, &mut self.pending);
                let complete = progress.done && *last;
                if complete {
                    decoder.finish(&mut self.pending);
                }
                (progress, complete)
            }
        }
    }

    /// Writes what is pending, from `new` on not looked at yet: the trace field before it, what is missing in the
    /// header section behind that.
    async fn pass_on(&mut self, new: usize, complete: bool) -> Result<(), CommitError> {
        if !self.traced {
            let field = self.trace(|trace| trace.received());
            self.sink.write(field.as_bytes()).await?;
            self.traced = true;
        }
        match self.heading.advance(&self.pending, new, complete) {
            Headed::Past => {}
            Headed::Part(_) | Headed::End(_) if self.heading.scan().hops() > limits::HOPS => {
                self.refuse("hops", replies::too_many_hops());
                return Ok(());
            }
            Headed::Part(part) => {
                self.sink.write(&self.pending[..part]).await?;
                self.pending.drain(..part);
                return Ok(());
            }
            Headed::End(part) => {
                self.sink.write(&self.pending[..part]).await?;
                self.pending.drain(..part);
                let missing = self.trace(|trace| trace.missing(self.heading.scan()));
                if !missing.is_empty() {
                    self.sink.write(missing.as_bytes()).await?;
                }
            }
        }
        if !self.pending.is_empty() {
            self.sink.write(&self.pending).await?;
            self.pending.clear();
            self.sink.send_ahead(&self.receipt).await;
        }
        Ok(())
    }

    fn trace(&self, text: impl FnOnce(&Trace<'_>) -> String) -> String {
        let Origin { client, client_name, protocol, cipher, hostname, at } = &self.origin;
        let (client, id, protocol, at) = (client.in_trace(), self.sink.id(), *protocol, *at);
        let cipher = cipher.as_deref();
        text(&Trace { client_name, client: &client, hostname, protocol, cipher, id, at })
    }

    fn refuse(&mut self, reason: &'static str, reply: Reply) {
        self.refusal.get_or_insert((reason, reply));
    }
}

/// What a client is told of our own inability: nothing about our insides.
fn refusal(error: &CommitError) -> Refusal {
    match error {
        CommitError::Full => ("storage", replies::no_room()),
        CommitError::Io(_) => {
            warn!(target: "waxseal::inbound", %error, "a message could not be stored; the client keeps it");
            ("storage", replies::storage_trouble())
        }
    }
}
