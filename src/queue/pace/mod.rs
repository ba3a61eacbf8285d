//! How fast an account's lane may go: what is configured, what is used up, and what the provider taught. Pure, but for
//! `memory`, which keeps it on disk.

mod daily;
mod learned;
pub(super) mod memory;
mod rate;

use super::schedule::Millis;
use crate::account::Pacing;
use daily::DailyCount;
use learned::Learned;
use rate::RateWindow;
use serde::{Deserialize, Serialize};

/// The pace of one lane. It is kept across restarts: a provider counts on whether we are restarted or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Pace {
    rate: RateWindow,
    daily: DailyCount,
    learned: Learned,
}

impl Pace {
    /// Transactions that may be under way at once.
    pub(super) fn connections(&self, pacing: &Pacing) -> usize {
        self.learned.connections(pacing.max_connections.max(1))
    }

    /// `Ok` where one more may start now, else the earliest time that it may.
    pub(super) fn ask(&mut self, pacing: &Pacing, now: Millis) -> Result<(), Millis> {
        self.rate.ask(pacing.rate_limit, now)?;
        self.learned.ask(now)?;
        self.daily.ask(pacing.daily_recipients, now)
    }

    /// One has started.
    pub(super) fn start(&mut self, pacing: &Pacing, now: Millis) {
        self.rate.start(pacing.rate_limit, now);
        self.learned.start(now);
    }

    /// Counts recipients that are about to be sent to: as many of `wanted` as the day still has room for.
    pub(super) fn reserve(&mut self, pacing: &Pacing, wanted: usize, now: Millis) -> usize {
        self.daily.reserve(pacing.daily_recipients, wanted, now)
    }

    /// Gives back what was reserved and not used.
    pub(super) fn refund(&mut self, recipients: usize, now: Millis) {
        self.daily.refund(recipients, now);
    }

    /// The provider wants less at once (432), or less in all (421, 450).
    pub(super) fn slow_down(&mut self, pacing: &Pacing, too_many_at_once: bool, now: Millis) {
        self.learned.slow_down(pacing.max_connections.max(1), too_many_at_once, now);
    }

    /// The provider took one. Returns whether the lane may go faster from now on.
    pub(super) fn went_well(&mut self, pacing: &Pacing) -> bool {
        self.learned.went_well(pacing.max_connections.max(1))
    }

    /// What was learned, in words, while it restrains.
    pub(super) fn learned(&self, pacing: &Pacing) -> Option<String> {
        self.learned.in_words(pacing.max_connections.max(1))
    }
}
