//! What a command is answered with at once, and what comes of it.

use super::conversation::Next;
use crate::mail::Reply;

/// That.
pub(super) enum Answer {
    /// Nothing: the reply follows the octets.
    Octets,
    Go(Reply),
    /// This, and it is the last.
    Enough(Reply),
}

impl Answer {
    pub(super) fn with(self, next: Next) -> (Option<Reply>, Next) {
        match self {
            Self::Octets => (None, next),
            Self::Go(reply) => (Some(reply), next),
            Self::Enough(reply) => (Some(reply), Next::Close),
        }
    }
}
