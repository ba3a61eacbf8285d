//! The index of the queue: every message in exactly one state, every segment with what lives in it. No I/O.
//!
//! A message takes 56 octets here and 16 more while it waits; the rest is read from the journal when it is needed.

use super::{
    item::{Item, LaneNumber, Phase},
    journal::{Place, SegmentNumber},
    lane::Lane,
    schedule::Millis,
    sorted::Sorted,
};
use crate::{account::AccountId, mail::QueueId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a segment file holds.
#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    /// Octets of the file.
    octets: u64,
    /// Octets of records that are still needed.
    live: u64,
}

/// All of it, under one lock that is never held across I/O.
#[derive(Debug, Default)]
pub(super) struct State {
    items: Sorted<Item>,
    /// One an account; an account that is gone keeps its lane while it has mail.
    lanes: Vec<Lane>,
    numbers: HashMap<AccountId, LaneNumber>,
    segments: BTreeMap<SegmentNumber, Usage>,
    /// Octets of content files.
    file_octets: u64,
    /// Failed messages by the time they failed.
    failed: Sorted<(Millis, QueueId)>,
    /// Messages about which somebody is still to be notified.
    pub(super) untold: BTreeSet<QueueId>,
}

impl State {
    /// The number of an account's lane, which is made where there is none.
    pub(super) fn lane_number(&mut self, account: &AccountId) -> LaneNumber {
        if let Some(number) = self.numbers.get(account) {
            return *number;
        }
        let number = LaneNumber(self.lanes.len() as u32);
        self.lanes.push(Lane::new(account.clone()));
        self.numbers.insert(account.clone(), number);
        number
    }

    /// The lane of an account, which is made where there is none.
    pub(super) fn lane(&mut self, account: &AccountId) -> &mut Lane {
        let number = self.lane_number(account);
        self.lane_mut(number)
    }

    /// The lane with this number.
    pub(super) fn lane_at(&self, number: LaneNumber) -> &Lane {
        &self.lanes[number.0 as usize]
    }

    fn lane_mut(&mut self, number: LaneNumber) -> &mut Lane {
        &mut self.lanes[number.0 as usize]
    }

    /// All lanes.
    pub(super) fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// All lanes.
    pub(super) fn lanes_mut(&mut self) -> &mut [Lane] {
        &mut self.lanes
    }

    /// One message.
    pub(super) fn item(&self, id: QueueId) -> Option<&Item> {
        self.items.get(id)
    }

    /// All messages, the oldest first.
    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        self.items.iter()
    }

    /// Takes a message into the index. A waiting one still has to enter its lane: [`State::enqueue`].
    pub(super) fn insert(&mut self, item: Item) {
        self.occupy(item.received);
        self.occupy(item.status);
        if item.has_file() {
            self.file_octets += item.size;
        }
        self.count(&item, 1);
        if let Some(before) = self.items.insert(item) {
            self.uncount(before);
        }
    }

    /// Takes a message out of the index; gives back the octets of memory freed by it too.
    pub(super) fn forget(&mut self, id: QueueId) -> Option<(Item, u64)> {
        let item = self.items.remove(id)?;
        let freed = self.dequeue(&item);
        self.uncount(item);
        self.untold.remove(&id);
        Some((item, freed))
    }

    fn uncount(&mut self, item: Item) {
        self.count(&item, -1);
        self.vacate(item.received);
        self.vacate(item.status);
        if item.has_file() {
            self.file_octets = self.file_octets.saturating_sub(item.size);
        }
    }

    /// Changes what is known of a message that does not wait, keeping all sums true. Its id stays.
    pub(super) fn change(&mut self, id: QueueId, change: impl FnOnce(&mut Item)) {
        let Some(item) = self.items.get_mut(id) else { return };
        let before = *item;
        change(item);
        item.id = id;
        let after = *item;
        self.count(&before, -1);
        self.count(&after, 1);
    }

    fn count(&mut self, item: &Item, by: isize) {
        if item.phase == Phase::Failed {
            if by > 0 {
                self.failed.insert((item.at, item.id));
            } else {
                self.failed.remove((item.at, item.id));
            }
        }
        let tally = &mut self.lane_mut(item.lane).tally;
        let count = match item.phase {
            Phase::Waiting if item.tried => &mut tally.deferred,
            Phase::Waiting => &mut tally.queued,
            Phase::Active => &mut tally.active,
            Phase::Held => &mut tally.held,
            Phase::Failed => &mut tally.failed,
        };
        *count = count.saturating_add_signed(by);
    }

    /// Puts a message that is on disk into its lane.
    pub(super) fn enqueue(&mut self, id: QueueId) {
        self.change(id, |item| item.phase = Phase::Waiting);
        if let Some(item) = self.items.get(id).copied() {
            self.lane_mut(item.lane).push(item.class, item.wait(), id);
        }
    }

    fn dequeue(&mut self, item: &Item) -> u64 {
        if item.phase != Phase::Waiting {
            return 0;
        }
        self.lane_mut(item.lane).remove(item.class, item.wait(), item.id)
    }

    /// Claims a message that is not active, for an operator or for moving it: nobody sends it meanwhile. Gives back
    /// what it was, and the octets of memory freed.
    pub(super) fn withdraw(&mut self, id: QueueId) -> Option<(Item, u64)> {
        let item = *self.items.get(id)?;
        if item.phase == Phase::Active {
            return None;
        }
        let freed = self.dequeue(&item);
        self.change(id, |item| item.phase = Phase::Active);
        Some((item, freed))
    }

    /// A segment found at start.
    pub(super) fn add_segment(&mut self, number: SegmentNumber, octets: u64) {
        self.segments.entry(number).or_default().octets = octets;
    }

    /// Octets were appended.
    pub(super) fn appended(&mut self, place: Place) {
        if place != Place::NONE {
            self.segments.entry(place.segment).or_default().octets += u64::from(place.length);
        }
    }

    /// A record is needed from now on.
    fn occupy(&mut self, place: Place) {
        if place != Place::NONE {
            self.segments.entry(place.segment).or_default().live += u64::from(place.length);
        }
    }

    /// A record is not needed any more.
    fn vacate(&mut self, place: Place) {
        if let Some(usage) = self.segments.get_mut(&place.segment) {
            usage.live = usage.live.saturating_sub(u64::from(place.length));
        }
    }

    /// A message's receipt, and its status where it has one, lie elsewhere from now on.
    pub(super) fn relocate(&mut self, id: QueueId, received: Place, status: Place) {
        let Some(item) = self.items.get_mut(id) else { return };
        let before =
            [std::mem::replace(&mut item.received, received), std::mem::replace(&mut item.status, status)];
        self.occupy(received);
        self.occupy(status);
        for place in before {
            self.vacate(place);
        }
    }

    /// A message has a new status record. Of a message that has left, it is not needed.
    pub(super) fn restatus(&mut self, id: QueueId, place: Place) {
        if let Some(item) = self.items.get(id) {
            let received = item.received;
            self.relocate(id, received, place);
        }
    }

    /// Takes the oldest segments that nothing lives in out of the index; their files may go. Only from the front: a
    /// record of departure must outlive the receipt that it is about. The newest one stays, it is written to.
    pub(super) fn dead_segments(&mut self) -> Vec<SegmentNumber> {
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
    pub(super) fn sparse_segment(&self, slack: u64) -> Option<SegmentNumber> {
        let (octets, live) =
            self.segments.values().fold((0, 0), |sum, usage| (sum.0 + usage.octets, sum.1 + usage.live));
        let oldest = self.segments.first_key_value().map(|(number, _)| *number);
        if octets > slack + 2 * live && self.segments.len() > 1 { oldest } else { None }
    }

    /// The messages that failed before `limit`, the oldest first.
    pub(super) fn failed_before(&self, limit: Millis) -> Vec<QueueId> {
        self.failed.iter().take_while(|(at, _)| *at < limit).map(|(_, id)| *id).collect()
    }

    /// Octets on disk, journal and content files.
    pub(super) fn octets(&self) -> u64 {
        self.segments.values().map(|usage| usage.octets).sum::<u64>() + self.file_octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::item::Marks;

    fn place(segment: u32) -> Place {
        Place { segment, offset: 0, length: 100 }
    }

    fn item(state: &mut State, id: u64, segment: u32) -> Item {
        Item {
            id: QueueId::from_number(id),
            received: place(segment),
            status: Place::NONE,
            size: 7,
            at: id,
            lane: state.lane_number(&AccountId::new("x")),
            class: 0,
            phase: Phase::Active,
            tried: false,
            marks: Marks::default().with(Marks::FILE, true),
        }
    }

    #[test]
    fn segments_die_from_the_front_only() {
        let mut state = State::default();
        for segment in 1..=3 {
            state.add_segment(segment, 1000);
        }
        let item = item(&mut state, 1, 1);
        state.insert(item);
        assert!(state.dead_segments().is_empty(), "2 is empty, but 1 lives");
        state.forget(item.id);
        assert_eq!(state.dead_segments(), [1, 2], "3 is written to");
    }

    #[test]
    fn a_mostly_dead_journal_has_a_segment_to_move() {
        let mut state = State::default();
        state.add_segment(1, 1000);
        state.add_segment(2, 10);
        let item = item(&mut state, 1, 1);
        state.insert(item);
        assert_eq!(state.sparse_segment(0), Some(1));
        assert_eq!(state.sparse_segment(10_000), None);
    }

    #[test]
    fn the_sums_follow_every_change() {
        let mut state = State::default();
        let item = item(&mut state, 1, 1);
        state.insert(item);
        let tally = |state: &State| {
            let t = state.lane_at(item.lane).tally;
            [t.queued, t.deferred, t.active, t.held, t.failed]
        };
        assert_eq!((tally(&state), state.octets()), ([0, 0, 1, 0, 0], 7));
        state.enqueue(item.id);
        assert_eq!(tally(&state), [1, 0, 0, 0, 0]);
        assert_eq!(state.withdraw(item.id).map(|(item, _)| item.phase), Some(Phase::Waiting));
        assert!(state.withdraw(item.id).is_none(), "it is active");
        state.change(item.id, |item| item.tried = true);
        state.enqueue(item.id);
        assert_eq!(tally(&state), [0, 1, 0, 0, 0]);
        state.withdraw(item.id);
        state.change(item.id, |item| (item.phase, item.at) = (Phase::Failed, 50));
        assert_eq!((tally(&state), state.failed_before(51)), ([0, 0, 0, 0, 1], vec![item.id]));
        assert!(state.failed_before(50).is_empty());
        state.forget(item.id);
        assert_eq!((tally(&state), state.octets(), state.failed_before(51)), ([0; 5], 0, vec![]));
    }
}
