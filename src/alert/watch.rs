//! Which alerts begin, last and end. Pure: facts, time and what was told before are arguments.

use super::{
    facts::{Facts, Finding, over},
    notice::{Event, Key, Notice, Phase},
};
use crate::{account::AccountId, mail::Day, queue::schedule::Millis};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, UNIX_EPOCH},
};

/// Days before the end of a client secret at which that is told.
const MARKS: [u64; 3] = [60, 30, 7];
const DAY: Millis = 86_400_000;

/// How long something has to be so.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// An account fails for so long before it is told.
    pub failing: Duration,
    /// Mail waits, and nothing is delivered, for so long before it is told.
    pub stuck: Duration,
    /// The end of a grant is told so long ahead.
    pub ending: Duration,
    /// What lasts is told again after so long.
    pub again: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            failing: Duration::from_secs(5 * 60),
            stuck: Duration::from_secs(3600),
            ending: Duration::from_secs(3 * 86_400),
            again: Duration::from_secs(86_400),
        }
    }
}

/// An alert that was told and is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lasting {
    /// Since when it is so.
    pub(super) since: Millis,
    /// When it was told last.
    pub(super) told_at: Millis,
}

/// What was told: all that has to survive a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Alerts that are not over.
    pub(super) lasting: BTreeMap<Key, Lasting>,
    /// The end of a client secret, and the mark that was told last.
    pub(super) secrets: BTreeMap<AccountId, (Day, u64)>,
}

/// The one who watches.
#[derive(Debug)]
pub struct Watch {
    limits: Limits,
    told: Told,
    /// What holds and is not told yet, or is told and does not hold, each with the time since when.
    turning: BTreeMap<Key, Millis>,
}

impl Watch {
    /// Begins with nothing told.
    pub fn new(limits: Limits) -> Self {
        Self::resume(limits, Told::default())
    }

    pub(super) fn resume(limits: Limits, told: Told) -> Self {
        Self { limits, told, turning: BTreeMap::new() }
    }

    pub(super) fn told(&self) -> &Told {
        &self.told
    }

    /// Whether there is an alert about this account's ability to send that is not over.
    pub fn suspects(&self, account: &AccountId) -> bool {
        let told = |event| self.told.lasting.contains_key(&Key::of(event, account));
        told(Event::NeedsAuthorization) || told(Event::Failing)
    }

    /// What is to be told now. It counts as told from here on.
    pub fn look(&mut self, facts: &Facts, now: Millis) -> Vec<Notice> {
        let mut findings = facts.findings(&self.limits, now);
        for key in self.told.lasting.keys() {
            // Nothing is said about it any more: an account that is gone, a lane without mail.
            findings.entry(key.clone()).or_insert_with(|| over(gone(key)));
        }
        self.turning.retain(|key, _| findings.contains_key(key));
        let mut notices: Vec<Notice> =
            findings.into_iter().filter_map(|(key, finding)| self.weigh(key, finding, now)).collect();
        notices.extend(self.secrets(facts, now));
        notices
    }

    fn weigh(&mut self, key: Key, finding: Finding, now: Millis) -> Option<Notice> {
        let long_enough =
            |since: Millis, wait: Duration| now.saturating_sub(since) >= wait.as_millis() as u64;
        let lasting = self.told.lasting.get(&key).copied();
        match (finding, lasting) {
            (Finding::Unclear, _) | (Finding::Over { .. }, None) => {
                self.turning.remove(&key);
                None
            }
            (Finding::Holds { since, after, explanation, remedy }, None) => {
                let since = *self.turning.entry(key.clone()).or_insert(since);
                if !long_enough(since, after) {
                    return None;
                }
                self.turning.remove(&key);
                self.told.lasting.insert(key.clone(), Lasting { since, told_at: now });
                Some(Notice { key, phase: Phase::Begins, since, at: now, explanation, remedy })
            }
            (Finding::Holds { explanation, remedy, .. }, Some(Lasting { since, told_at })) => {
                self.turning.remove(&key);
                // A clock that was set back must not silence it until it has caught up.
                let due = long_enough(told_at, self.limits.again);
                let told_at = if due { now } else { told_at.min(now) };
                self.told.lasting.insert(key.clone(), Lasting { since, told_at });
                due.then_some(Notice { key, phase: Phase::Lasts, since, at: now, explanation, remedy })
            }
            (Finding::Over { delivered_at, after, explanation }, Some(Lasting { since, .. })) => {
                let over_since = *self.turning.entry(key.clone()).or_insert(now);
                let proven = delivered_at.is_some_and(|at| at > since);
                if !proven && !long_enough(over_since, after) {
                    return None;
                }
                self.turning.remove(&key);
                self.told.lasting.remove(&key);
                let remedy = String::new();
                let explanation = if proven { works(&key) } else { explanation };
                Some(Notice { key, phase: Phase::Ended, since, at: now, explanation, remedy })
            }
        }
    }

    fn secrets(&mut self, facts: &Facts, now: Millis) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut known = BTreeSet::new();
        for account in &facts.accounts {
            let Some(ends) = account.secret_ends else { continue };
            let end = ends.start().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
            let Some(mark) = MARKS.into_iter().rev().find(|days| now + days * DAY >= end) else { continue };
            known.insert(account.id.clone());
            let before = self.told.secrets.insert(account.id.clone(), (ends, mark));
            // A clock that was set back reaches no earlier mark.
            if before.is_some_and(|(day, told)| day == ends && told <= mark) {
                self.told.secrets.extend(before.map(|before| (account.id.clone(), before)));
                continue;
            }
            let id = &account.id;
            let left = end.saturating_sub(now).div_ceil(DAY);
            let explanation = if now >= end {
                format!("The client secret of the account {id} ended on {ends}.")
            } else {
                let days = if left == 1 { "1 day".into() } else { format!("{left} days") };
                format!("The client secret of the account {id} ends on {ends}, in {days}.")
            };
            notices.push(Notice {
                key: Key::of(Event::ClientSecretExpires, id),
                phase: Phase::Begins,
                since: now,
                at: now,
                explanation,
                remedy:
                    "Make a new secret at the provider, put it in place of `client_secret` with its day in \
                         `client_secret_expires`, and reload."
                        .into(),
            });
        }
        self.told.secrets.retain(|account, _| known.contains(account));
        notices
    }
}

fn works(key: &Key) -> String {
    let account = key.account.as_ref().map_or("", AccountId::as_str);
    format!("The account {account} works again: mail was delivered through it.")
}

fn gone(key: &Key) -> String {
    match (&key.account, key.event) {
        (Some(account), Event::QueueStuck) => format!("No mail of the account {account} waits any more."),
        (Some(account), _) => format!("The account {account} is not configured any more."),
        (None, _) => "It is not so any more.".into(),
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
