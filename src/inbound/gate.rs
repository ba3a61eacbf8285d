//! What sessions ask of the rest of the program.

use super::{Budget, Client};
use crate::{
    account::{AccountId, ApplicationId, Users},
    config::{Limits, ListenerSettings},
    mail::{QueueId, Reply, ReversePath},
    meter::Meter,
    queue::{CommitError, Commitment, Intake, Receipt},
    smtp::Seen,
};
use std::{future::Future, sync::Arc};

/// The rest of the program as sessions see it. Every answer is of the moment: a session asks anew for every MAIL,
/// so that a reloaded configuration takes effect with the next message.
pub trait Gate: Send + Sync + 'static {
    /// Where messages go.
    type Sink: Sink;

    /// The name in greeting, EHLO and trace field.
    fn hostname(&self) -> Arc<str>;

    /// Bounds on sessions and messages.
    fn limits(&self) -> Limits;

    /// What holds on the listener with this index in the configuration.
    fn listener(&self, index: usize) -> Option<Arc<ListenerSettings>>;

    /// Who may log in.
    fn users(&self) -> Arc<Users>;

    /// The application that connections of `client` to the listener with this index belong to, with the local user, by
    /// id, who has logged in.
    fn application(&self, listener: usize, client: Client, user: Option<&str>) -> Option<ApplicationId>;

    /// The account that a sender maps to, or the refusal: 550 5.7.1 naming the domain, or the sender that the application
    /// may not send as.
    fn route(&self, application: Option<&ApplicationId>, sender: &ReversePath) -> Result<AccountId, Reply>;

    /// Whether the queue can take a message of `size` octets, or of unknown size.
    fn has_room(&self, size: Option<u64>) -> bool;

    /// Memory for the envelopes of all sessions.
    fn envelopes(&self) -> Arc<Budget>;

    /// What went through.
    fn meter(&self) -> &Meter;

    /// A fresh message to write to.
    fn begin(&self) -> Self::Sink;

    /// Told what a client does, as it does it. As a rule nobody watches.
    fn observe(&self, _peer: &Peer, _seen: &Seen<'_>) {}
}

/// One message on its way onto stable storage. Dropped before [`Sink::commit`], it leaves nothing behind.
pub trait Sink: Send + 'static {
    /// The id that the message will have.
    fn id(&self) -> QueueId;

    /// Takes further canonical octets.
    fn write(&mut self, octets: &[u8]) -> impl Future<Output = Result<(), CommitError>> + Send;

    /// Told behind every write what is known of the message, for large ones that may be sent on while they still come.
    fn send_ahead(&mut self, receipt: &Receipt) -> impl Future<Output = ()> + Send;

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

    fn send_ahead(&mut self, receipt: &Receipt) -> impl Future<Output = ()> + Send {
        Intake::send_ahead(self, receipt)
    }

    fn commit(self, receipt: Receipt) -> impl Future<Output = Result<Commitment, CommitError>> + Send {
        Intake::commit(self, receipt)
    }
}

/// The other end of a session.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Who it is.
    pub client: Client,
    /// The index of the listener in the configuration.
    pub listener: usize,
    /// The listener as the configuration writes it, for logs.
    pub listener_name: Arc<str>,
    /// What held on the listener when the client came.
    pub settings: Arc<ListenerSettings>,
}
