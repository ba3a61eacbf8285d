//! Log lines about refused clients, when there are very many of them: a flood of clients is to be no flood of log.

use std::time::{Duration, Instant};

/// Lines at once.
const BURST: u32 = 20;
/// Then one in so long.
const PACE: Duration = Duration::from_secs(1);

/// Which refusals are told of, one listener's.
#[derive(Debug)]
pub(super) struct Flood {
    lines: u32,
    /// The last time that a line was won.
    won: Instant,
    untold: u64,
}

impl Flood {
    pub(super) fn new(now: Instant) -> Self {
        Self { lines: BURST, won: now, untold: 0 }
    }

    /// A client was refused. `Some` where it is to be told of: with how many before it that were not.
    pub(super) fn refused(&mut self, now: Instant) -> Option<u64> {
        let won = now.saturating_duration_since(self.won).as_secs() / PACE.as_secs();
        if won > 0 {
            self.lines = self.lines.saturating_add(u32::try_from(won).unwrap_or(BURST)).min(BURST);
            self.won = now;
        }
        if self.lines == 0 {
            self.untold += 1;
            return None;
        }
        self.lines -= 1;
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_told_of_one_by_one_and_a_flood_is_counted() {
        let begun = Instant::now();
        let mut flood = Flood::new(begun);
        assert_eq!((0..BURST).filter_map(|_| flood.refused(begun)).sum::<u64>(), 0);
        assert_eq!((0..1000).filter_map(|_| flood.refused(begun)).count(), 0);
        assert_eq!(flood.refused(begun + PACE), Some(1000));
        assert_eq!(flood.refused(begun + PACE), None);
        assert_eq!(flood.refused(begun + 100 * PACE), Some(1));
        assert_eq!((1..100).filter_map(|_| flood.refused(begun + 100 * PACE)).count(), BURST as usize - 1);
    }
}
