//! So many messages in such a time, whichever time of that length one looks at. Pure.

use crate::{account::Rate, queue::schedule::Millis};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Remembers the last starts, as many as the rate allows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct RateWindow {
    starts: VecDeque<Millis>,
}

impl RateWindow {
    /// `Ok` where one more may start now, else the earliest time it may.
    pub(super) fn ask(&mut self, rate: Option<Rate>, now: Millis) -> Result<(), Millis> {
        let Some(rate) = rate else {
            self.starts = VecDeque::new();
            return Ok(());
        };
        let window = rate.per.as_millis() as u64;
        // A clock that was set back must not hold the lane until it has caught up.
        while self.starts.front().is_some_and(|start| *start + window <= now || *start > now) {
            self.starts.pop_front();
        }
        match self.starts.front() {
            Some(oldest) if self.starts.len() >= rate.count.max(1) as usize => Err(oldest + window),
            _ => Ok(()),
        }
    }

    /// One has started.
    pub(super) fn start(&mut self, rate: Option<Rate>, now: Millis) {
        if rate.is_some() {
            self.starts.push_back(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn no_window_of_a_minute_sees_more_than_thirty() {
        let rate = Some(Rate { count: 30, per: Duration::from_secs(60) });
        let mut window = RateWindow::default();
        let mut started: Vec<Millis> = Vec::new();
        for now in (0..300_000).step_by(250) {
            if window.ask(rate, now).is_ok() {
                window.start(rate, now);
                started.push(now);
            }
        }
        for (i, start) in started.iter().enumerate() {
            let within = started[i..].iter().take_while(|s| **s < start + 60_000).count();
            assert!(within <= 30, "{within} from {start}");
        }
        assert_eq!(started.len(), 150, "and the rate is used in full");
    }

    #[test]
    fn no_rate_never_waits() {
        let mut window = RateWindow::default();
        assert_eq!(window.ask(None, 0), Ok(()));
    }
}
