//! Memory that messages under way take together, and their turns at the disk.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Octets past which messages go to the disk sooner: some thirty of the largest that are kept in memory.
const ENOUGH: usize = 8 << 20;
/// Content files that are worked on at once. Each takes a thread while it lasts, and the disk does not get faster.
const TURNS: usize = 8;

/// What all messages under way take.
#[derive(Debug)]
pub(super) struct Pool {
    octets: AtomicUsize,
    turns: Semaphore,
}

impl Default for Pool {
    fn default() -> Self {
        Self { octets: AtomicUsize::new(0), turns: Semaphore::new(TURNS) }
    }
}

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
        self.pool.octets.fetch_add(octets, Ordering::Relaxed);
        self.pool.octets.fetch_sub(self.octets, Ordering::Relaxed);
        self.octets = octets;
    }

    /// Whether all of them take more than enough.
    pub(super) fn is_crowded(&self) -> bool {
        self.pool.octets.load(Ordering::Relaxed) > ENOUGH
    }

    /// Waits for a turn at the disk. It ends when what is returned is dropped.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.pool.turns.acquire().await.ok()
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
        assert_eq!(pool.octets.load(Ordering::Relaxed), 0);
    }
}
