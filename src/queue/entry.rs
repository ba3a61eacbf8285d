//! A queued message as values: what was received. Pure. Where its recipients stand is in `status`.

use super::schedule::Millis;
use crate::{
    account::{AccountId, ApplicationId},
    mail::{Envelope, ForwardPath, QueueId},
};

/// What never changes about a queued message.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its id.
    pub id: QueueId,
    /// When it was committed.
    pub received_at: Millis,
    /// The account that its reverse-path mapped to.
    pub account: AccountId,
    /// The application that it came from.
    pub application: Option<ApplicationId>,
    /// Its envelope.
    pub envelope: Envelope,
    /// Octets of content.
    pub size: u64,
    /// The name that the message has in its header section, for the history.
    pub message_id: Option<String>,
    /// Whether it is a notification of our own.
    pub notification: bool,
}

/// The recipients of an envelope at these indexes.
pub(crate) fn paths(envelope: &Envelope, indexes: &[usize]) -> Vec<ForwardPath> {
    indexes.iter().filter_map(|i| envelope.forward_paths().get(*i)).cloned().collect()
}
