//! One thing to tell. Pure.

use crate::{account::AccountId, queue::schedule::Millis};

/// What can be wrong. The words are those of the JSON that `[alert] command` gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// An account has no grant, or its grant was refused.
    NeedsAuthorization,
    /// An account cannot send: login, server or quota.
    Failing,
    /// A provider will end a grant within days.
    GrantEnds,
    /// A client secret is near its end. Told once at each mark; it neither lasts nor ends.
    ClientSecretExpires,
    /// Mail of an account waits, and none of it was delivered for long.
    QueueStuck,
    /// The disk has little room left.
    DiskLow,
    /// The queue is near `max_size`.
    QueueNearlyFull,
    /// The database that several nodes share does not serve this one.
    StoreAway,
}

/// Where in its life an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It is told for the first time.
    Begins,
    /// It is told again because it lasts.
    Lasts,
    /// What it was about is over.
    Ended,
}

impl Event {
    const ALL: [Self; 8] = [
        Self::NeedsAuthorization,
        Self::Failing,
        Self::GrantEnds,
        Self::ClientSecretExpires,
        Self::QueueStuck,
        Self::DiskLow,
        Self::QueueNearlyFull,
        Self::StoreAway,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NeedsAuthorization => "account_needs_authorization",
            Self::Failing => "account_failing",
            Self::GrantEnds => "grant_ends",
            Self::ClientSecretExpires => "client_secret_expires",
            Self::QueueStuck => "queue_stuck",
            Self::DiskLow => "disk_low",
            Self::QueueNearlyFull => "queue_nearly_full",
            Self::StoreAway => "store_away",
        }
    }

    /// What a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == word)
    }
}

impl Phase {
    const ALL: [Self; 3] = [Self::Begins, Self::Lasts, Self::Ended];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begins => "begins",
            Self::Lasts => "lasts",
            Self::Ended => "ended",
        }
    }

    /// What a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == word)
    }
}

/// What an alert is about. There is at most one alert a key at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// What is wrong.
    pub event: Event,
    /// With which account, where it is about one.
    pub account: Option<AccountId>,
}

impl Key {
    /// About an account.
    pub fn of(event: Event, account: &AccountId) -> Self {
        Self { event, account: Some(account.clone()) }
    }
}

/// What operators are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub key: Key,
    /// Whether that begins, lasts or has ended.
    pub phase: Phase,
    /// Since when it is so.
    pub since: Millis,
    /// When this was found.
    pub at: Millis,
    /// What is known, in sentences.
    pub explanation: String,
    /// What to do; empty where there is nothing.
    pub remedy: String,
}

impl Notice {
    /// A line for a subject, in ASCII.
    pub fn headline(&self) -> String {
        let account = self.key.account.as_ref().map_or("", AccountId::as_str);
        let what = match self.key.event {
            Event::NeedsAuthorization => format!("account {account} needs authorization"),
            Event::Failing => format!("account {account} cannot send"),
            Event::GrantEnds => format!("the grant of account {account} nears its end"),
            Event::ClientSecretExpires => format!("the client secret of account {account} nears its end"),
            Event::QueueStuck => format!("mail of account {account} does not move"),
            Event::DiskLow => "the disk is nearly full".into(),
            Event::QueueNearlyFull => "the queue is nearly full".into(),
            Event::StoreAway => "the database that the nodes share is away".into(),
        };
        match self.phase {
            Phase::Begins => what,
            Phase::Lasts => format!("still: {what}"),
            Phase::Ended => format!("over: {what}"),
        }
    }
}
