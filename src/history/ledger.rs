//! What has been told and is not written yet, and what is about to be told. Pure: no clock, no disk.
//!
//! An event is announced before its journal record is appended and told after it. The *mark* is the time before which
//! nothing is outstanding: every event older than the mark of a synced batch is on stable storage, whichever way the
//! tasks that told them were scheduled.

use std::collections::BTreeMap;

/// Milliseconds of a day, by which files are named.
pub(super) const DAY: u64 = 86_400_000;
/// So many octets of lines wait for the disk at most.
pub(super) const LIMIT: usize = 8 << 20;

/// Lines in the order in which they were told, with the day that each belongs to.
#[derive(Debug, Default)]
pub(super) struct Lines {
    octets: Vec<u8>,
    /// Day, and where its lines end.
    days: Vec<(u64, usize)>,
}

impl Lines {
    fn push(&mut self, day: u64, line: &[u8]) {
        self.octets.extend_from_slice(line);
        let end = self.octets.len();
        match self.days.last_mut() {
            Some(last) if last.0 == day => last.1 = end,
            _ => self.days.push((day, end)),
        }
    }

    /// Days counted from 1970-01-01, each with its lines; a day may come again.
    pub(super) fn parts(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let starts = std::iter::once(0).chain(self.days.iter().map(|(_, end)| *end));
        self.days.iter().zip(starts).map(|((day, end), start)| (*day, &self.octets[start..*end]))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    lines: Lines,
    /// Events that have been announced, by their time.
    announced: BTreeMap<u64, usize>,
    /// The earliest event that was never told, or was told in vain: the mark stays there, and the next start gets it
    /// from the journal.
    missed: Option<u64>,
    lost: u64,
}

impl Ledger {
    /// An event of this time will be told.
    pub(super) fn announce(&mut self, at: u64) {
        *self.announced.entry(at).or_insert(0) += 1;
    }

    /// What was announced for this time is told: whole lines, so many of them.
    pub(super) fn tell(&mut self, at: u64, lines: &[u8], count: usize) {
        self.settle(at);
        self.take_in(at, lines, count);
    }

    /// What was announced for this time will never be told.
    pub(super) fn miss(&mut self, at: u64) {
        self.settle(at);
        self.stop_at(at);
    }

    /// Takes lines that nobody announced.
    pub(super) fn take_in(&mut self, at: u64, lines: &[u8], count: usize) {
        if self.lines.octets.len() + lines.len() > LIMIT {
            self.lost += count as u64;
            self.stop_at(at);
        } else {
            self.lines.push(at / DAY, lines);
        }
    }

    /// The mark goes no further than this for the rest of the run.
    pub(super) fn stop_at(&mut self, at: u64) {
        self.missed = Some(self.missed.map_or(at, |earlier| earlier.min(at)));
    }

    fn settle(&mut self, at: u64) {
        if let Some(count) = self.announced.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                self.announced.remove(&at);
            }
        }
    }

    /// All lines that wait, and the mark that holds once they are on stable storage.
    pub(super) fn take(&mut self, now: u64) -> (Lines, u64) {
        let announced = self.announced.first_key_value().map(|(at, _)| *at);
        let mark = [announced, self.missed].into_iter().flatten().fold(now, u64::min);
        (std::mem::take(&mut self.lines), mark)
    }

    /// Lines that could not be written come back, before all others.
    pub(super) fn put_back(&mut self, mut lines: Lines) {
        for (day, part) in self.lines.parts() {
            lines.push(day, part);
        }
        self.lines = lines;
    }

    /// Whether there is room for lines of so many octets.
    pub(super) fn has_room(&self, octets: usize) -> bool {
        self.lines.octets.len() + octets <= LIMIT
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether so much waits that it should be written now.
    pub(super) fn is_filling(&self) -> bool {
        self.lines.octets.len() > LIMIT / 8
    }

    /// Events that found no room since the last call.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(lines: &Lines) -> Vec<(u64, String)> {
        lines.parts().map(|(day, part)| (day, String::from_utf8(part.to_vec()).unwrap())).collect()
    }

    #[test]
    fn lines_keep_their_order_and_their_day() {
        let mut ledger = Ledger::default();
        for (at, line) in [(DAY - 1, "a\n"), (DAY, "b\n"), (DAY + 5, "c\n"), (DAY - 2, "d\n")] {
            ledger.take_in(at, line.as_bytes(), 1);
        }
        let (lines, mark) = ledger.take(7 * DAY);
        assert_eq!(parts(&lines), [(0, "a\n".into()), (1, "b\nc\n".into()), (0, "d\n".into())]);
        assert_eq!(mark, 7 * DAY);
        assert!(ledger.is_empty());

        ledger.take_in(0, b"e\n", 1);
        ledger.put_back(lines);
        let (lines, _) = ledger.take(0);
        assert_eq!(
            parts(&lines),
            [(0, "a\n".into()), (1, "b\nc\n".into()), (0, "d\ne\n".into())],
            "what failed comes first"
        );
    }

    #[test]
    fn the_mark_waits_for_what_was_announced() {
        let mut ledger = Ledger::default();
        ledger.announce(10);
        ledger.announce(10);
        ledger.announce(20);
        ledger.tell(20, b"later\n", 1);
        assert_eq!(ledger.take(100).1, 10);
        ledger.tell(10, b"one\n", 1);
        assert_eq!(ledger.take(100).1, 10, "one of the two is outstanding");
        ledger.tell(10, b"two\n", 1);
        assert_eq!(ledger.take(100).1, 100);
    }

    #[test]
    fn what_is_missed_stops_the_mark_for_good() {
        let mut ledger = Ledger::default();
        ledger.announce(50);
        ledger.miss(50);
        assert_eq!(ledger.take(100).1, 50);
        ledger.take_in(60, &vec![b'x'; LIMIT], 1);
        ledger.take_in(40, b"no room\n", 2);
        assert!(!ledger.has_room(1));
        assert_eq!((ledger.take(100).1, ledger.take_lost(), ledger.take_lost()), (40, 2, 0));
        ledger.take_in(70, b"room again\n", 1);
        assert_eq!(ledger.take(100).1, 40);
    }
}
