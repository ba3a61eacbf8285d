//! Memory that messages under way take together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Octets past which messages go to the disk sooner: some fifty of the largest that are kept in memory.
const ENOUGH: usize = 12 << 20;

/// What all messages under way take.
#[derive(Debug, Default)]
pub(super) struct Pool(AtomicUsize);

/// What one of them takes. Dropped, it is given back.
#[derive(Debug)]
pub(super) struct Share {
    pool: Arc<Pool>,
    octets: usize,
}

impl Share {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self { pool, octets: 0 }
    }

    /// The message takes so many octets now.
    pub(super) fn set(&mut self, octets: usize) {
        self.pool.0.fetch_add(octets, Ordering::Relaxed);
        self.pool.0.fetch_sub(self.octets, Ordering::Relaxed);
        self.octets = octets;
    }

    /// Whether all of them take more than enough.
    pub(super) fn is_crowded(&self) -> bool {
        self.pool.0.load(Ordering::Relaxed) > ENOUGH
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back() {
        let pool = Arc::new(Pool::default());
        let mut shares: Vec<Share> = (0..3).map(|_| Share::new(pool.clone())).collect();
        for share in &mut shares {
            share.set(ENOUGH);
            share.set(ENOUGH / 3);
        }
        assert!(!shares[0].is_crowded());
        shares[1].set(ENOUGH);
        assert!(shares[0].is_crowded());
        shares.remove(1);
        assert!(!shares[0].is_crowded());
        drop(shares);
        assert_eq!(pool.0.load(Ordering::Relaxed), 0);
    }
}
