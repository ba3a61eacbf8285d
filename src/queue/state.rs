//! The index of the queue: every message in exactly one place, every segment with what lives in it. No I/O.

use super::{
    journal::{Place, SegmentNumber},
    lane::Lane,
    schedule::Millis,
};
use crate::{account::AccountId, mail::QueueId};
use std::collections::{BTreeMap, HashMap};

/// Where a message is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// In its lane, fresh or due at `next_attempt_at`.
    Waiting,
    /// Claimed: a transaction is under way, or its records are being moved.
    Active,
    /// Held by an operator, or because it cannot be read.
    Held,
    /// Failed, and kept.
    Failed,
}

/// What the index knows of a message; the rest is read from the journal.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its account.
    pub account: AccountId,
    /// Its receipt.
    pub received: Place,
    /// Its latest status, where one has been written.
    pub status: Option<Place>,
    /// Octets of content.
    pub size: u64,
    /// Whether the content is in a file of its own.
    pub file: bool,
    /// When it came.
    pub received_at: Millis,
    /// When it is due.
    pub next_attempt_at: Millis,
    /// When it failed, for `keep_failed`.
    pub failed_at: Millis,
    /// Transactions tried.
    pub attempts: u32,
    /// Where it is.
    pub phase: Phase,
}

/// What a segment file holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Octets of the file.
    pub octets: u64,
    /// Octets of records that are still needed.
    pub live: u64,
}

/// All of it, under one lock that is never held across I/O.
#[derive(Debug, Default)]
pub struct State {
    /// The messages.
    pub items: HashMap<QueueId, Item>,
    /// The lanes, one an account; an account that is gone keeps its lane while it has mail.
    pub lanes: HashMap<AccountId, Lane>,
    segments: BTreeMap<SegmentNumber, Usage>,
    /// Octets of content files.
    pub file_octets: u64,
}

impl State {
    /// The lane of an account.
    pub fn lane(&mut self, account: &AccountId) -> &mut Lane {
        if !self.lanes.contains_key(account) {
            self.lanes.insert(account.clone(), Lane::default());
        }
        self.lanes.entry(account.clone()).or_default()
    }

    /// A segment found at start.
    pub fn add_segment(&mut self, number: SegmentNumber, octets: u64) {
        self.segments.entry(number).or_default().octets = octets;
    }

    /// Octets were appended that nobody will need: a record of departure.
    pub fn appended(&mut self, place: Place) {
        self.segments.entry(place.segment).or_default().octets += u64::from(place.length);
    }

    /// A record is needed from now on.
    pub fn occupy(&mut self, place: Place) {
        self.segments.entry(place.segment).or_default().live += u64::from(place.length);
    }

    /// A record is not needed any more.
    pub fn vacate(&mut self, place: Place) {
        if let Some(usage) = self.segments.get_mut(&place.segment) {
            usage.live = usage.live.saturating_sub(u64::from(place.length));
        }
    }

    /// A message has a new status record.
    pub fn restatus(&mut self, id: QueueId, place: Place) {
        self.appended(place);
        self.occupy(place);
        let earlier = self.items.get_mut(&id).and_then(|item| item.status.replace(place));
        match (earlier, self.items.contains_key(&id)) {
            (Some(earlier), _) => self.vacate(earlier),
            (None, true) => {}
            (None, false) => self.vacate(place),
        }
    }

    /// Takes a message out of the index.
    pub fn forget(&mut self, id: QueueId) -> Option<Item> {
        let item = self.items.remove(&id)?;
        self.vacate(item.received);
        if let Some(status) = item.status {
            self.vacate(status);
        }
        if item.file {
            self.file_octets = self.file_octets.saturating_sub(item.size);
        }
        Some(item)
    }

    /// Takes the oldest segments that nothing lives in out of the index; their files may go. Only from the front: a
    /// record of departure must outlive the receipt that it is about. The newest one stays, it is written to.
    pub fn dead_segments(&mut self) -> Vec<SegmentNumber> {
        let mut dead = Vec::new();
        while self.segments.len() > 1 {
            match self.segments.first_entry() {
                Some(first) if first.get().live == 0 => {
                    dead.push(*first.key());
                    first.remove();
                }
                _ => break,
            }
        }
        dead
    }

    /// The segment to move living records out of: the oldest, once more than half of a journal of more than
    /// `slack` octets is dead.
    pub fn sparse_segment(&self, slack: u64) -> Option<SegmentNumber> {
        let (octets, live) =
            self.segments.values().fold((0, 0), |sum, usage| (sum.0 + usage.octets, sum.1 + usage.live));
        let oldest = self.segments.first_key_value().map(|(number, _)| *number);
        if octets > slack + 2 * live && self.segments.len() > 1 { oldest } else { None }
    }

    /// Octets on disk, journal and content files.
    pub fn octets(&self) -> u64 {
        self.segments.values().map(|usage| usage.octets).sum::<u64>() + self.file_octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(segment: u32) -> Place {
        Place { segment, offset: 0, length: 100 }
    }

    #[test]
    fn segments_die_from_the_front_only() {
        let mut state = State::default();
        for segment in 1..=3 {
            state.add_segment(segment, 1000);
        }
        state.occupy(place(1));
        assert!(state.dead_segments().is_empty(), "2 is empty, but 1 lives");
        state.vacate(place(1));
        assert_eq!(state.dead_segments(), [1, 2], "3 is written to");
    }

    #[test]
    fn a_mostly_dead_journal_has_a_segment_to_move() {
        let mut state = State::default();
        state.add_segment(1, 1000);
        state.add_segment(2, 10);
        state.occupy(place(1));
        assert_eq!(state.sparse_segment(0), Some(1));
        assert_eq!(state.sparse_segment(10_000), None);
    }
}
