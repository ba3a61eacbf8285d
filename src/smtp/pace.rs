//! How long a client may take over content: against the slow loris, which sends an octet now and then and so holds a
//! connection for ever.

use super::limits::PACE;
use std::time::Duration;

/// Patience with one message. It is full at the start, waiting uses it up, octets bring it back, a second for every 500
/// of them, and it is never more than full. So silence is borne for as long as `full`, a slow line for as long as it
/// brings 500 octets a second, and an octet every now and then not much longer than silence.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    full: Duration,
    left: Duration,
}

impl Pace {
    /// Full patience.
    pub fn new(full: Duration) -> Self {
        Self { full, left: full }
    }

    /// How long the next octets are waited for.
    pub fn left(&self) -> Duration {
        self.left
    }

    /// The client was waited for. Time in which it had to wait for us does not count.
    pub fn waited(&mut self, time: Duration) {
        self.left = self.left.saturating_sub(time);
    }

    /// Octets have come.
    pub fn came(&mut self, octets: usize) {
        let won = Duration::from_secs(octets as u64) / PACE;
        self.left = self.left.saturating_add(won).min(self.full);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Duration = Duration::from_secs(600);

    /// When a client is given up that sends so many octets every so many seconds; `None` where it is not within a day.
    fn given_up(octets: usize, every: u64) -> Option<u64> {
        let mut pace = Pace::new(FULL);
        for at in (every..86_400).step_by(every as usize) {
            if pace.left() < Duration::from_secs(every) {
                return Some(at - every + pace.left().as_secs());
            }
            pace.waited(Duration::from_secs(every));
            pace.came(octets);
        }
        None
    }

    #[test]
    fn slow_lines_are_borne_and_dribblers_are_not() {
        assert_eq!(given_up(0, 1), Some(600), "silence");
        assert_eq!(given_up(1, 30), Some(600), "an octet every half a minute");
        assert_eq!(given_up(100, 1), Some(749), "a fifth of the pace");
        assert_eq!(given_up(500, 1), None, "500 octets a second");
        assert_eq!(given_up(300_000, 599), None, "much at once, then silence below the limit");
        assert_eq!(given_up(10_000_000, 601), Some(600), "silence past the limit");
    }

    #[test]
    fn patience_is_never_more_than_full() {
        let mut pace = Pace::new(FULL);
        pace.waited(Duration::from_secs(10));
        pace.came(usize::MAX);
        assert_eq!(pace.left(), FULL);
        pace.waited(2 * FULL);
        assert_eq!(pace.left(), Duration::ZERO);
    }
}
