//! One message from DATA, or its first BDAT, to its reply (steps 6 to 8 of the path).

use super::{Sink, conversation::Route};
use crate::{
    mail::{
        Envelope, Reply,
        trace::{HeaderScan, Protocol, Trace},
    },
    queue::{CommitError, Commitment, Receipt},
    smtp::{ChunkDecoder, DataDecoder, Pace, Progress, command::Chunk, limits, replies},
};
use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tracing::warn;

/// Where a message comes from, for its trace field.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) client: IpAddr,
    pub(super) client_name: String,
    pub(super) protocol: Protocol,
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
    origin: Origin,
    limit: u64,
    framing: Framing,
    scan: HeaderScan,
    /// Decoded octets not written yet: a line's start that may be a header field's, and besides never more than one
    /// read.
    pending: Vec<u8>,
    /// Octets of content written.
    written: u64,
    octets: u64,
    /// Whether the trace field is written, and whether what comes behind the header section is.
    headed: (bool, bool),
    refusal: Option<Refusal>,
    pace: Pace,
}

impl<S: Sink> Reception<S> {
    /// A message that comes by DATA. `limit` is in octets of content, `patience` how long silence is borne.
    pub(super) fn data(sink: S, origin: Origin, limit: u64, patience: Duration) -> Self {
        Self::new(Framing::Data(DataDecoder::default()), sink, origin, limit, patience)
    }

    /// A message that comes by BDAT.
    pub(super) fn chunks(sink: S, origin: Origin, limit: u64, patience: Duration) -> Self {
        Self::new(Framing::Chunks(ChunkDecoder::default(), false), sink, origin, limit, patience)
    }

    fn new(framing: Framing, sink: S, origin: Origin, limit: u64, patience: Duration) -> Self {
        Self {
            sink,
            origin,
            limit,
            framing,
            scan: HeaderScan::default(),
            pending: Vec::new(),
            written: 0,
            octets: 0,
            headed: (false, false),
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

    /// Why the message will be refused, and the word for it in logs, where it is known by now.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// Hands the whole message over. `Err` is our refusal to send and the word for it in logs.
    pub(super) async fn finish(self, envelope: Envelope, route: Route) -> Result<Commitment, Refusal> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let Route { account, application } = route;
        self.sink.commit(Receipt { envelope, account, application }).await.map_err(|error| refusal(&error))
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
        let (traced, headed) = self.headed;
        if !traced {
            let field = self.trace(|trace| trace.received());
            self.sink.write(field.as_bytes()).await?;
            self.headed.0 = true;
        }
        if !headed {
            let ended = self.scan.advance(&self.pending[new..]) || complete;
            if self.scan.hops() > limits::HOPS {
                self.refuse("hops", replies::too_many_hops());
                return Ok(());
            }
            let settled = usize::try_from(self.scan.settled() - self.written).unwrap_or(self.pending.len());
            self.sink.write(&self.pending[..settled]).await?;
            self.pending.drain(..settled);
            self.written += settled as u64;
            if !ended {
                return Ok(());
            }
            let missing = self.trace(|trace| trace.missing(&self.scan));
            if !missing.is_empty() {
                self.sink.write(missing.as_bytes()).await?;
            }
            self.headed.1 = true;
        }
        if !self.pending.is_empty() {
            self.sink.write(&self.pending).await?;
            self.pending.clear();
        }
        Ok(())
    }

    fn trace(&self, text: impl FnOnce(&Trace<'_>) -> String) -> String {
        let Origin { client, client_name, protocol, hostname, at } = &self.origin;
        let client_address = match client {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("IPv6:{address}"),
        };
        let (id, protocol, at) = (self.sink.id(), *protocol, *at);
        text(&Trace { client_name, client_address: &client_address, hostname, protocol, id, at })
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
