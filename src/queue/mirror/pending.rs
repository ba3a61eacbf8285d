//! What the shared copy of a queue does not say yet. Pure.

use crate::mail::QueueId;
use std::collections::BTreeSet;

/// So many departures go in one statement, and so many of the rest at once.
const GONE: usize = 500;
const STATUSES: usize = 100;
const KEPT: usize = 16;

/// Messages about which the copy has something to learn.
#[derive(Debug, Default)]
pub(super) struct Pending {
    kept: BTreeSet<QueueId>,
    statuses: BTreeSet<QueueId>,
    gone: BTreeSet<QueueId>,
}

/// What is told next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) gone: Vec<QueueId>,
    pub(super) statuses: Vec<QueueId>,
    pub(super) kept: Vec<QueueId>,
}

impl Pending {
    /// A message is on this host's disk alone.
    pub(super) fn kept(&mut self, id: QueueId) {
        self.kept.insert(id);
    }

    /// A message has another status.
    pub(super) fn status(&mut self, id: QueueId) {
        self.statuses.insert(id);
    }

    /// A message has left.
    pub(super) fn gone(&mut self, id: QueueId) {
        self.kept.remove(&id);
        self.statuses.remove(&id);
        self.gone.insert(id);
    }

    /// A message is another node's.
    pub(super) fn forget(&mut self, id: QueueId) {
        self.kept.remove(&id);
        self.statuses.remove(&id);
        self.gone.remove(&id);
    }

    /// Whether its departure is still to be told.
    pub(super) fn is_gone(&self, id: QueueId) -> bool {
        self.gone.contains(&id)
    }

    /// Whether departures are still to be told: their records must not go before that.
    pub(super) fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    /// How many messages are on this host's disk alone.
    pub(super) fn alone(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.statuses.is_empty() && self.gone.is_empty()
    }

    /// What is to be told next; it stays until it is [`Pending::told`].
    pub(super) fn next(&self) -> Work {
        Work {
            gone: self.gone.iter().take(GONE).copied().collect(),
            statuses: self.statuses.iter().take(STATUSES).copied().collect(),
            kept: self.kept.iter().take(KEPT).copied().collect(),
        }
    }

    /// That was told. What has changed meanwhile is told again by whoever changed it.
    pub(super) fn told(&mut self, work: &Work) {
        for (set, told) in
            [(&mut self.gone, &work.gone), (&mut self.statuses, &work.statuses), (&mut self.kept, &work.kept)]
        {
            for id in told {
                set.remove(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> QueueId {
        QueueId::from_number(number)
    }

    #[test]
    fn a_message_that_has_left_has_nothing_else_to_tell() {
        let mut pending = Pending::default();
        pending.kept(id(1));
        pending.status(id(1));
        pending.status(id(2));
        assert_eq!((pending.alone(), pending.has_gone()), (1, false));
        pending.gone(id(1));
        let work = pending.next();
        assert_eq!(work, Work { gone: vec![id(1)], statuses: vec![id(2)], kept: vec![] });
        assert!(pending.is_gone(id(1)));
        pending.told(&work);
        assert!(pending.is_empty());
    }

    #[test]
    fn what_could_not_be_told_is_next_again() {
        let mut pending = Pending::default();
        (0..600).for_each(|number| pending.gone(id(number)));
        assert_eq!(pending.next().gone.len(), GONE);
        let work = pending.next();
        assert_eq!(work, pending.next());
        pending.told(&work);
        assert_eq!(pending.next().gone.len(), 100);
        pending.forget(id(599));
        assert_eq!(pending.next().gone.len(), 99);
    }
}
