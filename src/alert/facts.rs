//! What is so at one instant, and what it says about each alert. Pure.

use super::{
    notice::{Event, Key},
    watch::Limits,
};
use crate::{
    account::AccountId,
    config::{show_duration, show_size},
    mail::{Day, Timestamp},
    queue::schedule::Millis,
};
use std::{collections::BTreeMap, time::Duration};

/// How an account stands, as `waxseal account list` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountState {
    /// Nothing is known to be wrong.
    Ready,
    /// It has no grant, or its grant was refused.
    NeedsAuthorization,
    /// It cannot send, or gets no token for now.
    Failing,
    /// It is switched off.
    Inactive,
}

/// An account.
#[derive(Debug, Clone)]
pub struct AccountFact {
    /// Its id.
    pub id: AccountId,
    /// How it stands.
    pub state: AccountState,
    /// Whether it needs no token, or has one.
    pub granted: bool,
    /// When something was delivered through it last, since the start.
    pub delivered_at: Option<Millis>,
    /// What is wrong, where something is.
    pub explanation: String,
    /// What to do about it.
    pub remedy: String,
    /// The day on which its client secret ends.
    pub secret_ends: Option<Day>,
    /// When the provider will end the grant, where that is known.
    pub grant_ends: Option<Millis>,
}

impl AccountFact {
    /// The explanation, as the end of a sentence.
    fn trouble(&self) -> &str {
        let explanation = self.explanation.trim_end_matches(['.', ' ']);
        if explanation.is_empty() { "the log says why" } else { explanation }
    }
}

/// The mail of one account that waits.
#[derive(Debug, Clone)]
pub struct LaneFact {
    /// The account.
    pub account: AccountId,
    /// How many messages wait; at least 1.
    pub messages: usize,
    /// When the oldest of them came.
    pub oldest: Millis,
    /// When one was delivered last, since the start.
    pub delivered_at: Option<Millis>,
    /// Whether its pacing allows nothing more at present.
    pub paced: bool,
}

/// Disk and queue, in octets.
#[derive(Debug, Clone, Copy)]
pub struct DiskFact {
    /// Free on the disk.
    pub free: u64,
    /// `[queue] min_free`.
    pub min_free: u64,
    /// Taken by the queue.
    pub used: u64,
    /// `[queue] max_size`.
    pub max_size: u64,
}

/// The database that several nodes share.
#[derive(Debug, Clone)]
pub struct StoreFact {
    /// Why it does not serve, where it does not.
    pub trouble: Option<String>,
    /// Since when that is so.
    pub since: Option<Millis>,
}

/// Everything that alerts are decided from.
#[derive(Debug, Clone)]
pub struct Facts {
    /// All configured accounts.
    pub accounts: Vec<AccountFact>,
    /// The accounts with mail that waits; they need not be configured any more.
    pub lanes: Vec<LaneFact>,
    /// Disk and queue.
    pub disk: DiskFact,
    /// The database that several nodes share, where they do.
    pub store: Option<StoreFact>,
    /// When the daemon started.
    pub started_at: Millis,
}

/// What the facts say about one alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// It is so, at least since then, and worth telling once it has been so for a while.
    Holds { since: Millis, after: Duration, explanation: String, remedy: String },
    /// Neither begins nor ends it.
    Unclear,
    /// It is not so: over where a delivery since it began proves that, else once it has not been so for a while.
    Over { delivered_at: Option<Millis>, after: Duration, explanation: String },
}

/// Over at once.
pub(super) fn over(explanation: String) -> Finding {
    Finding::Over { delivered_at: None, after: Duration::ZERO, explanation }
}

impl Facts {
    /// One finding an alert that these facts have anything to say about.
    pub(super) fn findings(&self, limits: &Limits, now: Millis) -> BTreeMap<Key, Finding> {
        let mut findings = BTreeMap::new();
        for account in &self.accounts {
            findings.insert(Key::of(Event::NeedsAuthorization, &account.id), authorization(account, now));
            findings.insert(Key::of(Event::Failing, &account.id), failing(account, limits, now));
            findings.insert(Key::of(Event::GrantEnds, &account.id), ending(account, limits, now));
        }
        for lane in &self.lanes {
            findings.insert(Key::of(Event::QueueStuck, &lane.account), self.stuck(lane, limits, now));
        }
        findings.insert(Key { event: Event::DiskLow, account: None }, self.disk.low(now));
        findings.insert(Key { event: Event::QueueNearlyFull, account: None }, self.disk.nearly_full(now));
        if let Some(store) = &self.store {
            findings.insert(Key { event: Event::StoreAway, account: None }, store.away(now));
        }
        findings
    }

    fn stuck(&self, lane: &LaneFact, limits: &Limits, now: Millis) -> Finding {
        let for_long = |since: Millis| now.saturating_sub(since) >= limits.stuck.as_millis() as u64;
        if !for_long(lane.oldest.max(lane.delivered_at.unwrap_or(0))) {
            return over(format!("Mail of the account {} moves again.", lane.account));
        }
        let account = self.accounts.iter().find(|account| account.id == lane.account);
        let in_trouble = account.is_some_and(|account| {
            matches!(account.state, AccountState::NeedsAuthorization | AccountState::Failing)
        });
        // What has its own alert, is as configured, or has had no time yet is not "stuck".
        if in_trouble || lane.paced || !for_long(self.started_at) {
            return Finding::Unclear;
        }
        let remedy = match account.map(|account| account.state) {
            None => "No account of this name is configured: bring it back, or `waxseal queue release` or `remove` \
                     its mail."
                .to_owned(),
            Some(AccountState::Inactive) => {
                "The account is inactive: set `active = true` and reload.".to_owned()
            }
            Some(_) => {
                format!("`waxseal queue list --account {}` shows the provider's last replies.", lane.account)
            }
        };
        Finding::Holds {
            since: lane.oldest,
            after: Duration::ZERO,
            explanation: format!(
                "{} of the account {} {} waiting, and nothing was delivered through it for more than {}.",
                if lane.messages == 1 { "1 message".into() } else { format!("{} messages", lane.messages) },
                lane.account,
                if lane.messages == 1 { "is" } else { "are" },
                show_duration(limits.stuck)
            ),
            remedy,
        }
    }
}

fn authorization(account: &AccountFact, now: Millis) -> Finding {
    let id = &account.id;
    match account.state {
        AccountState::NeedsAuthorization => Finding::Holds {
            since: now,
            after: Duration::ZERO,
            explanation: format!("The account {id} needs authorization: {}.", account.trouble()),
            remedy: account.remedy.clone(),
        },
        AccountState::Inactive => over(format!("The account {id} is not active any more.")),
        AccountState::Ready | AccountState::Failing if account.granted => {
            over(format!("The account {id} is authorized."))
        }
        // Tokens are being asked for.
        AccountState::Ready | AccountState::Failing => Finding::Unclear,
    }
}

fn ending(account: &AccountFact, limits: &Limits, now: Millis) -> Finding {
    let id = &account.id;
    match account.grant_ends {
        // A dead grant has an alert of its own.
        _ if account.state == AccountState::NeedsAuthorization => Finding::Unclear,
        Some(ends) if ends <= now + limits.ending.as_millis() as u64 => Finding::Holds {
            since: now,
            after: Duration::ZERO,
            explanation: format!(
                "The provider ends the grant of the account {id} on {}.",
                Timestamp::from_millis(ends)
            ),
            remedy: format!(
                "Run `waxseal account authorize {id}` before that. At Google the week of an application in testing \
                 ends for good once it is published."
            ),
        },
        _ => over(format!("The grant of the account {id} does not end soon any more.")),
    }
}

fn failing(account: &AccountFact, limits: &Limits, now: Millis) -> Finding {
    let id = &account.id;
    match account.state {
        AccountState::Failing => Finding::Holds {
            since: now,
            after: limits.failing,
            explanation: format!("The account {id} cannot send: {}.", account.trouble()),
            remedy: account.remedy.clone(),
        },
        AccountState::NeedsAuthorization => Finding::Unclear,
        AccountState::Inactive => over(format!("The account {id} is not active any more.")),
        // After a start, or new tokens, nothing is known to be wrong because nothing was tried.
        AccountState::Ready => Finding::Over {
            delivered_at: account.delivered_at,
            after: limits.failing,
            explanation: format!("Nothing is known to be wrong with the account {id} any more."),
        },
    }
}

/// A database that fails over is away for a moment.
const FAILOVER: Duration = Duration::from_secs(120);

impl StoreFact {
    fn away(&self, now: Millis) -> Finding {
        let Some(trouble) = &self.trouble else {
            return over("The database that the nodes share serves again.".into());
        };
        Finding::Holds {
            since: self.since.unwrap_or(now),
            after: FAILOVER,
            explanation: format!("{trouble}. Mail is taken and kept on this host, and nothing is sent."),
            remedy: "`waxseal store check` says more; mail goes by itself once the database is back.".into(),
        }
    }
}

impl DiskFact {
    fn low(&self, now: Millis) -> Finding {
        let (low, enough) = (self.min_free.saturating_mul(2), self.min_free / 2 * 5);
        if self.free >= enough.max(low) {
            return over(format!("The disk has room again: {} are free.", rounded(self.free)));
        }
        if self.free >= low {
            return Finding::Unclear;
        }
        Finding::Holds {
            since: now,
            after: Duration::ZERO,
            explanation: format!(
                "Only {} are free on the queue's disk; with less than {} (`min_free`) new mail is refused.",
                rounded(self.free),
                show_size(self.min_free)
            ),
            remedy: "Make room on the disk.".into(),
        }
    }

    fn nearly_full(&self, now: Millis) -> Finding {
        if self.used <= self.max_size / 4 * 3 {
            return over(format!("The queue has room again: it takes {}.", rounded(self.used)));
        }
        if self.used <= self.max_size / 5 * 4 {
            return Finding::Unclear;
        }
        Finding::Holds {
            since: now,
            after: Duration::ZERO,
            explanation: format!(
                "The queue takes {}; past {} (`max_size`) new mail is refused.",
                rounded(self.used),
                show_size(self.max_size)
            ),
            remedy: "`waxseal status` shows what keeps its mail; failed mail can be removed.".into(),
        }
    }
}

/// Two digits at least, in whole units: nobody reads octets.
fn rounded(octets: u64) -> String {
    let shift = [30, 20, 10].into_iter().find(|shift| octets >= 10 << shift).unwrap_or(0);
    show_size(octets >> shift << shift)
}
