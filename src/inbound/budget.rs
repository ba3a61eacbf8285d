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
}

impl Share {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, octets: 0, recipients: 0 }
    }

    /// Takes room for a recipient of about so many octets, unless there is none.
    pub(super) fn take(&mut self, octets: u64) -> bool {
        if self.recipients >= FREE {
            let taken = self
                .budget
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(octets));
            if taken.is_err() {
                return false;
            }
            self.octets += octets;
        }
        self.recipients += 1;
        true
    }

    /// The envelope is gone.
    pub(super) fn give_back(&mut self) {
        self.budget.left.fetch_add(std::mem::take(&mut self.octets), Ordering::Relaxed);
        self.recipients = 0;
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
        let taken = (0..100).take_while(|_| greedy.take(1 << 20)).count();
        assert_eq!(taken, 26);
        let mut modest = Share::new(budget.clone());
        assert_eq!((0..100).take_while(|_| modest.take(100)).count(), 10);
        drop(greedy);
        assert!(modest.take(100));
        modest.give_back();
        assert_eq!(budget.left.load(Ordering::Relaxed), ENVELOPES);
    }
}
