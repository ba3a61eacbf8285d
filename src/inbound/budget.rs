//! Memory for envelopes: a thousand long addresses are a megabyte, and a thousand clients may name so many.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Octets that all envelopes under way may take together. An ordinary one of a thousand recipients takes 250 KiB.
const ENVELOPES: u64 = 16 << 20;
/// Recipients of an envelope that are not counted, so that mail for a few gets through whatever others do.
const FREE: u32 = 10;

/// What there is for all sessions.
#[derive(Debug)]
pub struct Budget {
    left: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: AtomicU64::new(ENVELOPES) }
    }
}

/// What one envelope has taken of it. Dropped, it gives it back.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    octets: u64,
    recipients: u32,
    /// Whether a recipient has been put off for want of room.
    short: bool,
}

/// What a recipient has taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken(u64);

impl Share {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, octets: 0, recipients: 0, short: false }
    }

    /// Takes room for a recipient of about so many octets, unless there is none. `Err` is whether that is new.
    pub(super) fn take(&mut self, octets: u64) -> Result<Taken, bool> {
        let octets = if self.recipients < FREE { 0 } else { octets };
        let left = &self.budget.left;
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(octets));
        if taken.is_err() {
            return Err(!std::mem::replace(&mut self.short, true));
        }
        self.octets += octets;
        self.recipients += 1;
        Ok(Taken(octets))
    }

    /// The recipient is none of the envelope's after all.
    pub(super) fn undo(&mut self, Taken(octets): Taken) {
        self.octets -= octets;
        self.recipients -= 1;
        self.budget.left.fetch_add(octets, Ordering::Relaxed);
    }

    /// The envelope is gone.
    pub(super) fn give_back(&mut self) {
        self.budget.left.fetch_add(std::mem::take(&mut self.octets), Ordering::Relaxed);
        (self.recipients, self.short) = (0, false);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_recipients_always_find_room_and_all_is_given_back() {
        let budget = Arc::new(Budget::default());
        let mut greedy = Share::new(budget.clone());
        let taken = (0..100).take_while(|_| greedy.take(1 << 20).is_ok()).count();
        assert_eq!(taken, 26);
        let mut modest = Share::new(budget.clone());
        assert_eq!((0..100).take_while(|_| modest.take(100).is_ok()).count(), 10);
        assert_eq!(modest.take(100), Err(false), "said before");
        drop(greedy);
        let taken = modest.take(100).unwrap();
        modest.undo(taken);
        assert_eq!(modest.take(100), Ok(Taken(100)));
        modest.give_back();
        assert_eq!(budget.left.load(Ordering::Relaxed), ENVELOPES);
    }
}
