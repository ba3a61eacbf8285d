//! Where records lie that had to be written again.

use super::segment::{Place, SegmentNumber};
use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

/// Records that were answered as written and then, because a sync failed, written again to another segment. As a rule
/// there are none. The index goes on naming the old places; since segments go from the oldest on, the new place outlives
/// the old one.
#[derive(Debug, Default)]
pub(super) struct Moved(RwLock<HashMap<(SegmentNumber, u32), Place>>);

impl Moved {
    /// Where a record lies now.
    pub(super) fn follow(&self, place: Place) -> Place {
        let moved = self.0.read().unwrap_or_else(PoisonError::into_inner);
        moved.get(&(place.segment, place.offset)).copied().unwrap_or(place)
    }

    /// The record that was answered to lie at `answered` lies at `now`.
    pub(super) fn set(&self, answered: Place, now: Place) {
        let mut moved = self.0.write().unwrap_or_else(PoisonError::into_inner);
        moved.insert((answered.segment, answered.offset), now);
    }

    /// A segment has gone, and nobody asks for its records any more.
    pub(super) fn forget(&self, number: SegmentNumber) {
        let mut moved = self.0.write().unwrap_or_else(PoisonError::into_inner);
        moved.retain(|(segment, _), _| *segment != number);
    }
}
