//! The circuit breaker of an account's lane. Pure: time and chance are arguments.

use crate::outbound::LaneEffect;
use crate::queue::schedule::{Millis, jittered};
use std::time::Duration;

/// What closed the brake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The server is away or busy.
    BackOff,
    /// Login or token trouble.
    Pause,
    /// A quota is used up.
    Hold,
}

/// Whether a lane may start a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// As many as its pacing allows.
    Go,
    /// One, to see whether the trouble is over.
    Probe,
    /// None before this time.
    Wait(Millis),
    /// None until the probe under way has ended.
    Probing,
}

/// Untried lets one through until it has worked: ten connections with a wrong password at once would lock an account.
/// Open lets everything through. Closed lets one probe through each time its wait is over; the waits double.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brake {
    /// Nothing has gone through since the start, or since the account was configured.
    Untried {
        /// One is on its way.
        probing: bool,
    },
    /// No trouble.
    Open,
    /// Trouble.
    Closed {
        /// Its kind.
        cause: Cause,
        /// When the next probe may go.
        until: Millis,
        /// How many times in a row it has been closed.
        streak: u32,
        /// One probe is under way.
        probing: bool,
    },
}

impl Cause {
    /// First and longest wait before a probe. A login is not tried fast enough to lock an account.
    fn waits(self) -> (Duration, Duration) {
        match self {
            Self::BackOff => (Duration::from_secs(5), Duration::from_secs(600)),
            Self::Pause => (Duration::from_secs(30), Duration::from_secs(900)),
            Self::Hold => (Duration::from_secs(900), Duration::from_secs(86_400)),
        }
    }
}

impl Brake {
    /// What the lane may do now. A probe that is granted has to be followed by [`Brake::after`].
    pub fn ask(&mut self, now: Millis) -> Leave {
        match self {
            Self::Open => Leave::Go,
            Self::Untried { probing: true } | Self::Closed { probing: true, .. } => Leave::Probing,
            Self::Untried { probing } => {
                *probing = true;
                Leave::Probe
            }
            Self::Closed { until, .. } if now < *until => Leave::Wait(*until),
            Self::Closed { probing, .. } => {
                *probing = true;
                Leave::Probe
            }
        }
    }

    /// Takes in what an attempt said about the lane. Returns whether the brake opened or closed by it.
    pub fn after(&mut self, effect: &LaneEffect, now: Millis, chance: f64) -> bool {
        let (cause, at_least) = match effect {
            LaneEffect::None => {
                let was_closed = self.cause().is_some();
                *self = Self::Open;
                return was_closed;
            }
            LaneEffect::BackOff => (Cause::BackOff, Duration::ZERO),
            LaneEffect::Pause => (Cause::Pause, Duration::ZERO),
            LaneEffect::Hold(wait) => (Cause::Hold, *wait),
        };
        let (streak, changed) = match self {
            // Several connections report the same trouble: that is one failure, not many.
            Self::Closed { cause: earlier, probing: false, until, .. }
                if *earlier == cause && now < *until =>
            {
                return false;
            }
            Self::Closed { streak, cause: earlier, .. } => (*streak + 1, *earlier != cause),
            Self::Open | Self::Untried { .. } => (0, true),
        };
        let (first, longest) = cause.waits();
        let wait = first.saturating_mul(1 << streak.min(16)).min(longest).max(at_least);
        let until = now.saturating_add(jittered(wait, chance).as_millis() as u64);
        *self = Self::Closed { cause, until, streak, probing: false };
        changed
    }

    /// The trouble is said to be over (a token came, an operator asked): probe at once.
    pub fn release(&mut self, now: Millis) {
        if let Self::Closed { until, .. } = self {
            *until = now;
        }
    }

    /// The account was configured anew: what was true of it may not be now.
    pub fn reconfigured(&mut self, now: Millis) {
        match self {
            Self::Open => *self = Self::default(),
            _ => self.release(now),
        }
    }

    /// A granted probe ended without an answer: another may go.
    pub fn forget_probe(&mut self) {
        if let Self::Untried { probing } | Self::Closed { probing, .. } = self {
            *probing = false;
        }
    }

    /// What closed it, while it is closed.
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Open | Self::Untried { .. } => None,
            Self::Closed { cause, .. } => Some(*cause),
        }
    }
}

impl Default for Brake {
    fn default() -> Self {
        Self::Untried { probing: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_one_has_gone_through_only_one_goes() {
        let mut brake = Brake::default();
        assert_eq!(brake.ask(0), Leave::Probe);
        assert_eq!(brake.ask(0), Leave::Probing);
        assert!(!brake.after(&LaneEffect::None, 1, 0.5), "nothing was wrong, so nothing is told");
        assert_eq!(brake.ask(1), Leave::Go);
        brake.reconfigured(2);
        assert_eq!(brake.ask(2), Leave::Probe);
        assert!(brake.after(&LaneEffect::Pause, 3, 0.5));
    }

    #[test]
    fn trouble_closes_a_probe_opens() {
        let mut brake = Brake::Open;
        assert_eq!(brake.ask(0), Leave::Go);
        assert!(brake.after(&LaneEffect::Pause, 0, 0.5));
        assert_eq!(brake.ask(29_999), Leave::Wait(30_000));
        assert_eq!(brake.ask(30_000), Leave::Probe);
        assert_eq!(brake.ask(30_001), Leave::Probing);
        assert!(!brake.after(&LaneEffect::Pause, 31_000, 0.5), "still the same trouble");
        assert_eq!(brake.ask(31_000), Leave::Wait(91_000));
        assert_eq!(brake.ask(91_000), Leave::Probe);
        assert!(brake.after(&LaneEffect::None, 92_000, 0.5));
        assert_eq!(brake.ask(92_000), Leave::Go);
    }

    #[test]
    fn waits_double_up_to_a_limit() {
        let mut brake = Brake::default();
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..9 {
            brake.after(&LaneEffect::BackOff, now, 0.5);
            let Leave::Wait(until) = brake.ask(now) else { panic!() };
            waits.push((until - now) / 1000);
            now = until;
            assert_eq!(brake.ask(now), Leave::Probe);
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
    }

    #[test]
    fn ten_connections_failing_together_count_once() {
        let mut brake = Brake::default();
        for _ in 0..10 {
            brake.after(&LaneEffect::Pause, 0, 0.5);
        }
        assert_eq!(brake.ask(0), Leave::Wait(30_000));
    }

    #[test]
    fn a_hold_lasts_at_least_as_long_as_asked() {
        let mut brake = Brake::default();
        brake.after(&LaneEffect::Hold(Duration::from_secs(3600)), 0, 0.5);
        assert_eq!(brake.ask(0), Leave::Wait(3_600_000));
        brake.release(10);
        assert_eq!(brake.ask(10), Leave::Probe);
    }
}
