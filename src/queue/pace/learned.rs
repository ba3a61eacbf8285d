//! What the provider taught about its limits: halved when it complains, won back slowly while it does not. Pure.

use crate::queue::schedule::Millis;
use serde::{Deserialize, Serialize};

/// The first pause between starts, once the provider has asked for less.
const FIRST_PAUSE: Millis = 250;
const LONGEST_PAUSE: Millis = 60_000;
/// Complaints of connections that were opened together are one complaint.
const TOGETHER: Millis = 2_000;
/// Messages that go well, a connection, before more is tried.
const PATIENCE: u32 = 10;

/// Restraint beyond what is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Learned {
    /// Fewer connections than configured.
    connections: Option<usize>,
    /// Milliseconds between two starts.
    pause: Millis,
    last_start: Millis,
    last_complaint: Millis,
    /// Messages taken since the last change.
    taken: u32,
}

impl Learned {
    pub(super) fn connections(&self, configured: usize) -> usize {
        self.connections.map_or(configured, |learned| learned.clamp(1, configured))
    }

    pub(super) fn ask(&self, now: Millis) -> Result<(), Millis> {
        let next = self.last_start + self.pause;
        // A clock that was set back must not hold the lane until it has caught up.
        if self.pause == 0 || now >= next || now < self.last_start { Ok(()) } else { Err(next) }
    }

    pub(super) fn start(&mut self, now: Millis) {
        // Nothing to remember, and to write, where nothing restrains.
        if self.pause > 0 {
            self.last_start = now;
        }
    }

    pub(super) fn slow_down(&mut self, configured: usize, too_many_at_once: bool, now: Millis) {
        self.taken = 0;
        if now >= self.last_complaint && now - self.last_complaint < TOGETHER {
            return;
        }
        self.last_complaint = now;
        let connections = self.connections(configured);
        if too_many_at_once && connections > 1 {
            self.connections = Some(connections / 2);
        } else {
            self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        }
    }

    pub(super) fn went_well(&mut self, configured: usize) -> bool {
        if self.pause == 0 && self.connections.is_none() {
            return false;
        }
        self.taken += 1;
        let connections = self.connections(configured);
        if self.taken < PATIENCE * connections as u32 {
            return false;
        }
        self.taken = 0;
        self.connections = Some(connections + 1).filter(|more| *more < configured);
        self.pause = self.pause * 2 / 3;
        if self.pause < FIRST_PAUSE / 4 {
            self.pause = 0;
        }
        true
    }

    pub(super) fn in_words(&self, configured: usize) -> Option<String> {
        let connections = self.connections(configured);
        let fewer =
            (connections < configured).then(|| format!("{connections} of {configured} connections at once"));
        let slower =
            (self.pause > 0).then(|| format!("{:.1} s between two messages", self.pause as f64 / 1000.0));
        let words: Vec<String> = fewer.into_iter().chain(slower).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_halve_and_success_wins_back() {
        let mut learned = Learned::default();
        learned.slow_down(10, true, 10_000);
        assert_eq!(learned.connections(10), 5);
        learned.slow_down(10, true, 11_000);
        assert_eq!(learned.connections(10), 5, "the same complaint, from a connection opened with the first");
        learned.slow_down(10, true, 20_000);
        assert_eq!(learned.connections(10), 2);
        let mut taken = 0;
        while learned.connections(10) < 10 {
            learned.went_well(10);
            taken += 1;
            assert!(taken < 1_000);
        }
        assert_eq!(taken, PATIENCE * (2..10).sum::<u32>());
        assert_eq!((learned.in_words(10), learned.connections), (None, None));
    }

    #[test]
    fn a_pause_doubles_to_its_limit_and_goes_again() {
        let mut learned = Learned::default();
        let mut pauses = Vec::new();
        for n in 1..=10 {
            learned.slow_down(3, false, n * 10_000);
            pauses.push(learned.pause);
        }
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        learned.start(200_000);
        assert_eq!(learned.ask(200_001), Err(260_000));
        assert_eq!(learned.ask(260_000), Ok(()));
        assert_eq!(learned.ask(100_000), Ok(()), "the clock was set back");
        for _ in 0..2_000 {
            learned.went_well(3);
        }
        assert_eq!(learned.ask(200_001), Ok(()));
    }

    #[test]
    fn one_connection_that_is_still_too_many_is_paused() {
        let mut learned = Learned::default();
        learned.slow_down(1, true, 5_000);
        assert_eq!((learned.connections(1), learned.pause), (1, FIRST_PAUSE));
    }
}
