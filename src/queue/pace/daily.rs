//! So many recipients in any 24 hours. Pure.

use crate::queue::schedule::Millis;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

const HOUR: Millis = 3_600_000;
const HOURS: Millis = 24;

/// Recipients of the last 24 hours, by the hour. Providers count a moving day, so a count that begins anew at midnight
/// would let twice the limit through around it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct DailyCount {
    /// The hour since the epoch, and its recipients; oldest first.
    hours: VecDeque<(Millis, u32)>,
}

impl DailyCount {
    fn used(&mut self, now: Millis) -> u64 {
        let hour = now / HOUR;
        // An hour counts until it is over for a whole day; one in the future comes from a clock that was set back.
        self.hours.retain(|(at, _)| *at + HOURS >= hour && *at <= hour);
        self.hours.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// `Ok` where at least one more recipient has room, else when the oldest hour no longer counts.
    pub(super) fn ask(&mut self, limit: Option<u32>, now: Millis) -> Result<(), Millis> {
        let Some(limit) = limit else { return Ok(()) };
        if self.used(now) < u64::from(limit) {
            return Ok(());
        }
        Err(self.hours.front().map_or(now, |(oldest, _)| (oldest + HOURS + 1) * HOUR))
    }

    pub(super) fn reserve(&mut self, limit: Option<u32>, wanted: usize, now: Millis) -> usize {
        let Some(limit) = limit else {
            self.hours.clear();
            return wanted;
        };
        let room = u64::from(limit).saturating_sub(self.used(now));
        let granted = wanted.min(room as usize);
        if granted > 0 {
            let hour = now / HOUR;
            match self.hours.back_mut() {
                Some((at, count)) if *at == hour => *count += granted as u32,
                _ => self.hours.push_back((hour, granted as u32)),
            }
        }
        granted
    }

    pub(super) fn refund(&mut self, recipients: usize, now: Millis) {
        let hour = now / HOUR;
        if let Some((at, count)) = self.hours.back_mut()
            && *at + 1 >= hour
        {
            *count = count.saturating_sub(recipients as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_day_sees_more_than_the_limit() {
        let mut count = DailyCount::default();
        let mut sent: Vec<(Millis, usize)> = Vec::new();
        for minute in 0..3 * 24 * 60 {
            let now = minute * 60_000;
            let granted = count.reserve(Some(100), 3, now);
            sent.push((now, granted));
        }
        for start in (0..sent.len()).step_by(60) {
            let end = sent[start].0 + 24 * HOUR;
            let within: usize = sent[start..].iter().take_while(|(at, _)| *at < end).map(|(_, n)| n).sum();
            assert!(within <= 100, "{within} from minute {start}");
        }
        assert!(sent.iter().map(|(_, n)| n).sum::<usize>() >= 200, "and the next day goes on");
    }

    #[test]
    fn the_last_of_the_day_is_split_and_the_rest_told_when() {
        let mut count = DailyCount::default();
        assert_eq!(count.reserve(Some(10), 8, 5 * HOUR), 8);
        assert_eq!(count.reserve(Some(10), 8, 6 * HOUR), 2);
        assert_eq!(count.ask(Some(10), 6 * HOUR), Err(30 * HOUR));
        count.refund(1, 6 * HOUR);
        assert_eq!(count.ask(Some(10), 6 * HOUR), Ok(()));
        assert_eq!(count.ask(None, 6 * HOUR), Ok(()));
        assert_eq!(count.ask(Some(10), 30 * HOUR), Ok(()));
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out() {
        let mut count = DailyCount::default();
        count.reserve(Some(1), 1, 1_000 * HOUR);
        assert_eq!(count.ask(Some(1), 5 * HOUR), Ok(()));
    }
}
