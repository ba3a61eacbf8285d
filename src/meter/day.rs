//! The last day, minute by minute. Pure: `now` is an argument.

use super::Millis;

/// Minutes of a day.
pub const MINUTES: usize = 24 * 60;
const MINUTE: Millis = 60_000;

/// What went through in a minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Minute {
    /// Messages taken.
    pub received: u32,
    /// Messages delivered to everybody.
    pub delivered: u32,
    /// Attempts that left somebody for later.
    pub deferred: u32,
    /// Messages that somebody will not get.
    pub failed: u32,
    /// Refusals.
    pub rejected: u32,
    /// The most messages that were seen to wait.
    pub depth: u32,
    /// The longest time from receipt to delivery, in milliseconds.
    pub longest: u32,
    /// All such times, in milliseconds.
    pub delays: u64,
}

impl Minute {
    pub(super) fn delivered(&mut self, delay: Millis) {
        self.delivered += 1;
        self.delays = self.delays.saturating_add(delay);
        self.longest = self.longest.max(u32::try_from(delay).unwrap_or(u32::MAX));
    }

    pub(super) fn saw_depth(&mut self, messages: usize) {
        self.depth = self.depth.max(u32::try_from(messages).unwrap_or(u32::MAX));
    }
}

/// What went through in some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Messages taken.
    pub received: u64,
    /// Messages delivered to everybody.
    pub delivered: u64,
    /// Attempts that left somebody for later.
    pub deferred: u64,
    /// Messages that somebody will not get.
    pub failed: u64,
    /// Refusals.
    pub rejected: u64,
}

/// The last day: a minute is known from the first thing that was seen in it.
#[derive(Debug, Clone)]
pub struct Day {
    /// The latest minute that is known, since the Unix epoch.
    latest: u64,
    /// By the minute's number modulo their count.
    minutes: Box<[Option<Minute>]>,
}

impl Default for Day {
    fn default() -> Self {
        Self { latest: 0, minutes: vec![None; MINUTES].into() }
    }
}

impl Day {
    /// The minute of `now`. A clock that was set back counts into the latest minute.
    pub(super) fn at(&mut self, now: Millis) -> &mut Minute {
        let number = (now / MINUTE).max(self.latest);
        let passed = (number - self.latest).min(MINUTES as u64);
        for gone in 0..passed {
            self.minutes[slot(number - gone)] = None;
        }
        self.latest = number;
        self.minutes[slot(number)].get_or_insert_default()
    }

    /// The last day up to `now`, the oldest minute first; `None` where nothing was seen: the daemon was down.
    pub fn minutes(&self, now: Millis) -> Vec<Option<Minute>> {
        let end = (now / MINUTE).max(self.latest);
        (0..MINUTES as u64).rev().map(|back| self.minute(end.checked_sub(back)?)).collect()
    }

    /// What went through in the last so many minutes, the one under way included.
    pub fn sums(&self, now: Millis, minutes: u64) -> Sums {
        let end = (now / MINUTE).max(self.latest);
        let known = (0..minutes).filter_map(|back| self.minute(end.checked_sub(back)?));
        known.fold(Sums::default(), |sums, minute| Sums {
            received: sums.received + u64::from(minute.received),
            delivered: sums.delivered + u64::from(minute.delivered),
            deferred: sums.deferred + u64::from(minute.deferred),
            failed: sums.failed + u64::from(minute.failed),
            rejected: sums.rejected + u64::from(minute.rejected),
        })
    }

    fn minute(&self, number: u64) -> Option<Minute> {
        let known = number <= self.latest && self.latest - number < MINUTES as u64;
        self.minutes[slot(number)].filter(|_| known)
    }

    /// The minutes that are known, by their number since the Unix epoch.
    pub(super) fn known(&self) -> impl Iterator<Item = (u64, Minute)> {
        let first = self.latest.saturating_sub(MINUTES as u64 - 1);
        (first..=self.latest).filter_map(|number| Some((number, self.minute(number)?)))
    }

    /// Puts a minute in its place; they have to come in order.
    pub(super) fn put(&mut self, number: u64, minute: Minute) {
        *self.at(number.saturating_mul(MINUTE)) = minute;
    }
}

fn slot(number: u64) -> usize {
    (number % MINUTES as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 30_000_000 * MINUTE;

    #[test]
    fn minutes_pass_and_a_day_later_they_are_gone() {
        let mut day = Day::default();
        day.at(NOW).received = 3;
        day.at(NOW + 2 * MINUTE).received = 4;
        let minutes = day.minutes(NOW + 2 * MINUTE);
        let received: Vec<_> =
            minutes.iter().rev().take(4).map(|minute| minute.map(|m| m.received)).collect();
        assert_eq!(received, [Some(4), None, Some(3), None]);
        assert_eq!((day.sums(NOW + 2 * MINUTE, 5).received, day.sums(NOW + 3 * MINUTE, 2).received), (7, 4));
        day.at(NOW + (MINUTES as u64) * MINUTE);
        assert_eq!(day.sums(NOW + (MINUTES as u64) * MINUTE, MINUTES as u64).received, 4);
        day.at(NOW + 5 * (MINUTES as u64) * MINUTE);
        assert_eq!(day.sums(NOW + 5 * (MINUTES as u64) * MINUTE, MINUTES as u64).received, 0);
    }

    #[test]
    fn a_clock_set_back_counts_on() {
        let mut day = Day::default();
        day.at(NOW).received = 1;
        day.at(NOW - 10 * MINUTE).received += 1;
        assert_eq!(day.sums(NOW - 10 * MINUTE, 1).received, 2);
    }

    #[test]
    fn what_passed_without_a_look_is_not_taken_for_the_day_before() {
        let mut day = Day::default();
        day.at(NOW).received = 1;
        assert_eq!(day.minutes(NOW + MINUTE).last(), Some(&None));
        assert_eq!(day.sums(NOW + (MINUTES as u64) * MINUTE, MINUTES as u64).received, 0);
    }
}
