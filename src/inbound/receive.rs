//! One message from DATA to its reply (steps 6 to 8 of the path).

use super::{Client, Sink, conversation::Route};
use crate::{
    mail::{
        Envelope, Reply,
        trace::{HeaderScan, Protocol, Trace},
    },
    queue::{CommitError, Commitment, Receipt},
    smtp::{DataDecoder, Progress, limits, replies},
};
use std::{sync::Arc, time::SystemTime};
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

/// A message coming in. Dropped, it leaves nothing behind.
pub(super) struct Reception<S> {
    sink: S,
    receipt: Receipt,
    origin: Origin,
    limit: u64,
    decoder: DataDecoder,
    scan: HeaderScan,
    /// Decoded octets not written yet: the header section so far, and after it never more than one read.
    pending: Vec<u8>,
    octets: u64,
    traced: bool,
    refusal: Option<Refusal>,
}

impl<S: Sink> Reception<S> {
    /// `limit` is in octets of content.
    pub(super) fn new(sink: S, envelope: Envelope, route: Route, origin: Origin, limit: u64) -> Self {
        let Route { account, application } = route;
        Self {
            sink,
            receipt: Receipt { envelope, account, application },
            origin,
            limit,
            decoder: DataDecoder::default(),
            scan: HeaderScan::default(),
            pending: Vec::new(),
            octets: 0,
            traced: false,
            refusal: None,
        }
    }

    /// Takes the next octets from the wire. A message that will be refused is read to its end and not kept.
    pub(super) async fn take(&mut self, input: &[u8]) -> Progress {
        let before = self.pending.len();
        let progress = self.decoder.decode(input, &mut self.pending);
        self.octets += (self.pending.len() - before) as u64;
        if self.octets > self.limit {
            self.refuse("size", replies::too_big());
        }
        if self.refusal.is_none()
            && let Err(error) = self.pass_on(progress.done).await
        {
            self.refuse_for(&error);
        }
        if self.refusal.is_some() {
            self.pending.clear();
        }
        progress
    }

    /// Whether the client ends its lines with bare LF.
    pub(super) fn bare_lf_client(&self) -> bool {
        self.decoder.bare_lf_client()
    }

    /// Hands the whole message over. `Err` is our refusal to send and the word for it in logs.
    pub(super) async fn finish(self) -> Result<Commitment, Refusal> {
        match self.refusal {
            Some(refusal) => Err(refusal),
            None => self.sink.commit(self.receipt).await.map_err(|error| refusal(&error)),
        }
    }

    async fn pass_on(&mut self, done: bool) -> Result<(), CommitError> {
        if !self.traced {
            let seen =
                self.scan.advance(&self.pending) || done || self.pending.len() >= limits::HEADER_SECTION;
            if !seen {
                return Ok(());
            }
            if self.scan.hops() > limits::HOPS {
                self.refuse("hops", replies::too_many_hops());
                return Ok(());
            }
            let prefix = self.prefix();
            self.sink.write(prefix.as_bytes()).await?;
            self.traced = true;
        }
        if !self.pending.is_empty() {
            self.sink.write(&self.pending).await?;
            self.pending.clear();
            self.sink.send_ahead(&self.receipt);
        }
        Ok(())
    }

    fn prefix(&self) -> String {
        let Origin { client, client_name, protocol, cipher, hostname, at } = &self.origin;
        let (client, id, protocol, at) = (client.in_trace(), self.sink.id(), *protocol, *at);
        let cipher = cipher.as_deref();
        Trace { client_name, client: &client, hostname, protocol, cipher, id, at }.prefix(&self.scan)
    }

    fn refuse(&mut self, reason: &'static str, reply: Reply) {
        self.refusal.get_or_insert((reason, reply));
    }

    fn refuse_for(&mut self, error: &CommitError) {
        self.refusal.get_or_insert(refusal(error));
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
