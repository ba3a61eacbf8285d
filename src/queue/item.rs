//! What the index knows of one message, in 56 octets. Pure.

use super::{
    entry::Received,
    journal::{Place, SegmentNumber},
    lane::{SenderClass, Wait, sender_class},
    schedule::Millis,
    sorted::Keyed,
    status::Status,
};
use crate::{account::ApplicationId, mail::QueueId};

/// Where a message is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// In its lane, fresh or due at a time.
    Waiting,
    /// Claimed: a transaction is under way, or its records are being moved.
    Active,
    /// Held by an operator, or because it cannot be read.
    Held,
    /// Failed, and kept.
    Failed,
}

/// A lane by its place in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LaneNumber(pub(super) u32);

/// What the index knows of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub(super) id: QueueId,
    /// Its receipt.
    pub(super) received: Place,
    /// Its latest status; [`Place::NONE`] where none has been written.
    pub(super) status: Place,
    /// Octets of content.
    pub(super) size: u64,
    /// When it came while it has not been tried, then when it is due again, and in the end when it failed.
    pub(super) at: Millis,
    pub(super) lane: LaneNumber,
    /// Which senders it takes turns with.
    pub(super) class: SenderClass,
    pub(super) phase: Phase,
    /// Whether a transaction has been tried.
    pub(super) tried: bool,
    pub(super) marks: Marks,
}

/// What is true of a message or not, in one octet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Marks(u8);

impl Marks {
    /// The content is in a file of its own.
    pub(super) const FILE: u8 = 1;
    /// Somebody has been warned that it is late, or nobody wants to be.
    pub(super) const WARNED: u8 = 2;

    fn has(self, mark: u8) -> bool {
        self.0 & mark != 0
    }

    pub(super) fn with(self, mark: u8, set: bool) -> Self {
        if set { Self(self.0 | mark) } else { self }
    }
}

impl Keyed for Item {
    type Key = QueueId;
    fn key(&self) -> QueueId {
        self.id
    }
}

impl Item {
    /// A message just received, or found: active until it is put into its lane.
    pub(super) fn received(received: &Received, file: bool, place: Place, lane: LaneNumber) -> Self {
        let application = received.application.as_ref().map(ApplicationId::as_str);
        Self {
            id: received.id,
            received: place,
            status: Place::NONE,
            size: received.size,
            at: received.received_at,
            lane,
            class: sender_class(application, &received.envelope.reverse_path().to_string()),
            phase: Phase::Active,
            tried: false,
            marks: Marks::default().with(Marks::FILE, file),
        }
    }

    /// Whether the content is in a file of its own.
    pub(super) fn has_file(&self) -> bool {
        self.marks.has(Marks::FILE)
    }

    /// Whether it has been warned of as late, or nobody wants to be.
    pub(super) fn is_warned(&self) -> bool {
        self.marks.has(Marks::WARNED)
    }

    /// It need not be warned of.
    pub(super) fn mark_warned(&mut self) {
        self.marks = self.marks.with(Marks::WARNED, true);
    }

    /// Takes on what a status says, of a message that does not wait; `lane` where it was given to another account.
    pub(super) fn stand(&mut self, status: &Status, lane: Option<LaneNumber>) {
        self.tried = status.attempts > 0;
        self.marks = self.marks.with(Marks::WARNED, status.warned);
        self.lane = lane.unwrap_or(self.lane);
        (self.phase, self.at) = match status.failed_at {
            Some(at) if !status.is_pending() => (Phase::Failed, at),
            _ => (
                if status.held { Phase::Held } else { Phase::Active },
                if self.tried { status.next_attempt_at } else { self.at },
            ),
        };
    }

    pub(super) fn wait(&self) -> Wait {
        if self.tried { Wait::Retry { at: self.at } } else { Wait::Untried { received_at: self.at } }
    }

    /// Whether one of its records lies in this segment.
    pub(super) fn is_in(&self, segment: SegmentNumber) -> bool {
        self.received.segment == segment || self.status.segment == segment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_as_small_as_promised() {
        assert_eq!(size_of::<Item>(), 56);
    }
}
