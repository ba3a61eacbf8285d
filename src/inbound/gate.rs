//! What sessions ask of the rest of the program.

use super::Budget;
use crate::{
    account::{AccountId, ApplicationId},
    config::Limits,
    mail::{QueueId, Reply, ReversePath},
    queue::{CommitError, Commitment, Intake, Receipt},
};
use std::{future::Future, net::IpAddr, sync::Arc};

/// The rest of the program as sessions see it. Every answer is of the moment: a session asks anew for every MAIL,
/// so that a reloaded configuration takes effect with the next message.
pub trait Gate: Send + Sync + 'static {
    /// Where messages go.
    type Sink: Sink;

    /// The name in greeting, EHLO and trace field.
    fn hostname(&self) -> Arc<str>;

    /// Bounds on sessions and messages.
    fn limits(&self) -> Limits;

    /// The application that connections of `client` to the listener with this index belong to.
    fn application(&self, listener: usize, client: IpAddr) -> Option<ApplicationId>;

    /// The account that a sender maps to, or the refusal (550 5.7.1 naming the domain).
    fn route(&self, application: Option<&ApplicationId>, sender: &ReversePath) -> Result<AccountId, Reply>;

    /// Whether the queue can take a message of `size` octets, or of unknown size.
    fn has_room(&self, size: Option<u64>) -> bool;

    /// Memory for the envelopes of all sessions.
    fn envelopes(&self) -> Arc<Budget>;

    /// A fresh message to write to.
    fn begin(&self) -> Self::Sink;
}

/// One message on its way onto stable storage. Dropped before [`Sink::commit`], it leaves nothing behind.
pub trait Sink: Send + 'static {
    /// The id that the message will have.
    fn id(&self) -> QueueId;

    /// Takes further canonical octets.
    fn write(&mut self, octets: &[u8]) -> impl Future<Output = Result<(), CommitError>> + Send;

    /// Makes the message durable, or has the provider take it. After `Ok` the client is told what it says.
    fn commit(self, receipt: Receipt) -> impl Future<Output = Result<Commitment, CommitError>> + Send;
}

impl Sink for Intake {
    fn id(&self) -> QueueId {
        Intake::id(self)
    }

    fn write(&mut self, octets: &[u8]) -> impl Future<Output = Result<(), CommitError>> + Send {
        Intake::write(self, octets)
    }

    fn commit(self, receipt: Receipt) -> impl Future<Output = Result<Commitment, CommitError>> + Send {
        Intake::commit(self, receipt)
    }
}

/// The other end of a session.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The client's address; an IPv4-mapped IPv6 address as IPv4.
    pub client: IpAddr,
    /// The index of the listener in the configuration.
    pub listener: usize,
    /// The listener as the configuration writes it, for logs.
    pub listener_name: Arc<str>,
}
