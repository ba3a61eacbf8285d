//! Large content goes to the provider while its client still sends it: by the time the client is done, so is the
//! provider, nearly.
//!
//! The provider gets the final dot only once the message is whole here. A client that goes, or a message that is refused
//! in the end, breaks the transaction off before that, and then the provider has nothing (RFC 5321 §4.1.1.4).

use super::slot::{Offer, Underway};
use crate::{
    mail::QueueId,
    outbound::{AttemptContent, Grower, growing},
    queue::{Queue, Receipt},
};
use std::path::PathBuf;
use tokio::runtime::Handle;

/// A transaction begun before its message is whole. Dropped, it is broken off.
pub(in crate::queue) struct Early {
    begun: Option<(Underway, Grower)>,
}

impl std::fmt::Debug for Early {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Early")
    }
}

impl Early {
    /// Begins one for a message whose first `octets` are in the file at `path`, where its account delivers `through` and
    /// has a connection to spare.
    pub(in crate::queue) fn begin(
        queue: &Queue,
        id: QueueId,
        receipt: &Receipt,
        path: PathBuf,
        octets: u64,
    ) -> Option<Self> {
        let (grower, growing) = growing(path, octets);
        let mut underway = queue.offer(Offer {
            id,
            account: &receipt.account,
            application: receipt.application.as_ref(),
            envelope: &receipt.envelope,
            content: AttemptContent::Growing(growing),
        })?;
        underway.given_up = Some(grower.given_up());
        Some(Self { begun: Some((underway, grower)) })
    }

    /// The file has so many octets now.
    pub(in crate::queue) fn grew(&self, octets: u64) {
        if let Some((_, grower)) = &self.begun {
            grower.grew(octets);
        }
    }

    /// The message is whole, with so many octets.
    pub(super) fn finish(mut self, octets: u64) -> Option<Underway> {
        let (underway, grower) = self.begun.take()?;
        grower.finish(octets);
        Some(underway)
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        let Some((Underway { slot, delivery, .. }, grower)) = self.begun.take() else { return };
        drop(grower);
        delivery.abort();
        // The lane has its connection back once this one is closed, not before.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let _ = delivery.await;
                drop(slot);
            });
        }
    }
}
