//! The messages of a lane that wait, in fair order. Pure.
//!
//! Senders share a lane in turns, so that one noisy application does not starve another. They are told apart by a
//! hash in 64 classes, which bounds the memory whatever the number of senders; those in one class share its turn.
//! Within a class mail goes in the order of its arrival, before mail that is tried again.

use super::Fresh;
use crate::{
    mail::QueueId,
    queue::{schedule::Millis, sorted::Sorted},
};
use std::collections::{BTreeMap, VecDeque};

/// Which senders share a turn.
pub(in crate::queue) type SenderClass = u8;

/// The number of classes.
const CLASSES: u32 = 64;
/// One in so many turns of a class goes to a message that is tried again although new ones wait.
const RETRY_SHARE: u32 = 4;

/// The class of a sender: its application and its reverse-path, in lower case.
pub(in crate::queue) fn sender_class(application: Option<&str>, reverse_path: &str) -> SenderClass {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(application.unwrap_or_default().as_bytes());
    hasher.update(b"\0");
    hasher.update(reverse_path.to_ascii_lowercase().as_bytes());
    (hasher.finalize() % CLASSES) as SenderClass
}

/// How a message waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queue) enum Wait {
    /// Not tried yet: due since it came.
    Untried {
        /// When it came.
        received_at: Millis,
    },
    /// Tried, and due again at this time.
    Retry {
        /// When.
        at: Millis,
    },
}

#[derive(Debug, Default)]
struct Class {
    /// Not tried yet, on disk, by arrival.
    untried: Sorted<(Millis, QueueId)>,
    /// Just committed, with the content in memory, in order. All came after those in `untried`.
    fresh: VecDeque<Fresh>,
    /// To be tried again, by the time they are due.
    retries: Sorted<(Millis, QueueId)>,
    turns: u32,
}

impl Class {
    fn is_empty(&self) -> bool {
        self.untried.is_empty() && self.fresh.is_empty() && self.retries.is_empty()
    }

    fn has_new(&self) -> bool {
        !self.untried.is_empty() || !self.fresh.is_empty()
    }

    fn take(&mut self, now: Millis) -> Option<Next> {
        self.turns = self.turns.wrapping_add(1);
        let due = self.retries.first().is_some_and(|(at, _)| *at <= now);
        if due && (!self.has_new() || self.turns.is_multiple_of(RETRY_SHARE)) {
            return self.retries.pop_first().map(|(_, id)| Next::Stored(id));
        }
        if let Some((_, id)) = self.untried.pop_first() {
            return Some(Next::Stored(id));
        }
        self.fresh.pop_front().map(Next::Fresh)
    }
}

/// A message that goes next.
#[derive(Debug)]
pub(super) enum Next {
    Fresh(Fresh),
    Stored(QueueId),
}

/// The classes that have mail.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    classes: BTreeMap<SenderClass, Class>,
    /// The class that had the last turn.
    last: SenderClass,
}

impl Waiting {
    /// Adds a message just committed, if none of its sender's that came before it is on disk: those go first.
    pub(super) fn push_fresh(&mut self, class: SenderClass, fresh: Fresh) -> Result<(), Fresh> {
        let class = self.classes.entry(class).or_default();
        if !class.untried.is_empty() {
            return Err(fresh);
        }
        class.fresh.push_back(fresh);
        Ok(())
    }

    /// Adds a message that is on disk.
    pub(super) fn push(&mut self, class: SenderClass, wait: Wait, id: QueueId) {
        let class = self.classes.entry(class).or_default();
        match wait {
            Wait::Untried { received_at } => class.untried.insert((received_at, id)),
            Wait::Retry { at } => class.retries.insert((at, id)),
        };
    }

    /// Whether mail of this class waits that has not been tried.
    pub(super) fn has_new(&self, class: SenderClass) -> bool {
        self.classes.get(&class).is_some_and(Class::has_new)
    }

    /// Takes a message out, wherever it waits; gives it back where its content is in memory.
    pub(super) fn remove(&mut self, number: SenderClass, wait: Wait, id: QueueId) -> Option<Fresh> {
        let class = self.classes.get_mut(&number)?;
        let fresh = match wait {
            Wait::Retry { at } => {
                class.retries.remove((at, id));
                None
            }
            Wait::Untried { received_at } => match class.untried.remove((received_at, id)) {
                Some(_) => None,
                None => {
                    let index = class.fresh.iter().position(|fresh| fresh.received.id == id);
                    index.and_then(|index| class.fresh.remove(index))
                }
            },
        };
        if class.is_empty() {
            self.classes.remove(&number);
        }
        fresh
    }

    /// Lets go of all content in memory: the messages are read back when their turn comes. Returns the octets freed.
    pub(super) fn shed(&mut self) -> u64 {
        let mut freed = 0;
        for class in self.classes.values_mut() {
            for fresh in std::mem::take(&mut class.fresh) {
                freed += fresh.in_memory();
                class.untried.insert((fresh.received.received_at, fresh.received.id));
            }
        }
        freed
    }

    /// When the next message is due: 0 where one is now, `None` where none waits.
    pub(super) fn due(&self) -> Option<Millis> {
        let due = |class: &Class| {
            if class.has_new() { Some(0) } else { class.retries.first().map(|(at, _)| *at) }
        };
        self.classes.values().filter_map(due).min()
    }

    /// The next message that is due: classes in turn.
    pub(super) fn take(&mut self, now: Millis) -> Option<Next> {
        let ready =
            |class: &Class| class.has_new() || class.retries.first().is_some_and(|(at, _)| *at <= now);
        let after = (std::ops::Bound::Excluded(self.last), std::ops::Bound::Unbounded);
        let number = self
            .classes
            .range(after)
            .chain(self.classes.range(..=self.last))
            .find(|(_, class)| ready(class))
            .map(|(number, _)| *number)?;
        let class = self.classes.get_mut(&number)?;
        let next = class.take(now);
        if class.is_empty() {
            self.classes.remove(&number);
        }
        self.last = number;
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> QueueId {
        QueueId::from_number(n)
    }

    fn drain(waiting: &mut Waiting, now: Millis) -> Vec<u64> {
        let next = || match waiting.take(now) {
            Some(Next::Stored(id)) => Some(id.number()),
            Some(Next::Fresh(fresh)) => Some(fresh.received.id.number()),
            None => None,
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_noisy_sender_does_not_starve_a_quiet_one() {
        let mut waiting = Waiting::default();
        for n in 0..1000 {
            waiting.push(7, Wait::Untried { received_at: n }, id(n));
        }
        waiting.push(9, Wait::Untried { received_at: 1000 }, id(1000));
        waiting.push(3, Wait::Retry { at: 5 }, id(1001));
        let order = drain(&mut waiting, 2000);
        assert_eq!(order[..5], [1001, 0, 1000, 1, 2]);
        assert_eq!(order.len(), 1002);
    }

    #[test]
    fn one_senders_mail_goes_in_the_order_of_its_arrival() {
        let mut waiting = Waiting::default();
        for n in [5, 1, 4, 2, 3] {
            waiting.push(0, Wait::Untried { received_at: n }, id(n));
        }
        assert_eq!(drain(&mut waiting, 0), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn retries_get_one_turn_in_four_and_all_of_them_when_nothing_is_new() {
        let mut waiting = Waiting::default();
        for n in 0..6 {
            waiting.push(0, Wait::Untried { received_at: n }, id(n));
        }
        for n in 10..14 {
            waiting.push(0, Wait::Retry { at: n }, id(n));
        }
        assert_eq!(drain(&mut waiting, 12), [0, 1, 2, 10, 3, 4, 5, 11, 12]);
        assert_eq!(waiting.due(), Some(13));
        assert_eq!(drain(&mut waiting, 13), [13]);
        assert_eq!(waiting.due(), None);
        assert!(waiting.classes.is_empty());
    }

    #[test]
    fn the_case_of_a_sender_does_not_matter_but_its_application_does() {
        assert_eq!(sender_class(None, "a@x.example"), sender_class(None, "A@X.example"));
        assert_ne!(sender_class(Some("erp"), "a@x.example"), sender_class(Some("crm"), "a@x.example"));
    }
}
