//! Mail out: connections to smarthosts, the dialogue, and what its replies mean.

mod auth;
mod classify;
mod connect;
mod content;
mod dialogue;
mod encode;
mod examine;
mod failure;
mod flight;
mod growing;
mod pool;
mod reason;
mod replies;
mod report;
mod stage;
mod tls;
mod transaction;
mod wire;
mod wording;

pub use classify::{Fate, Verdict, classify};
pub use encode::DotStuffer;
pub use examine::{Examination, Leg, Walked};
pub use growing::{Grower, Growing, growing};
pub use pool::{Begun, Upstream};
pub use replies::{NoReply, first_reply};
pub use stage::Stage;
pub use tls::UpstreamError;

use crate::mail::{BodyType, ContentSource, Dsn, EnhancedCode, ForwardPath, QueueId, Reply, ReversePath};
use std::time::Duration;

/// One transaction that is to be tried.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The message, for the log.
    pub queue_id: QueueId,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO, at least one, in the order in which outcomes are given back.
    pub recipients: Vec<ForwardPath>,
    /// What was declared about the content.
    pub body: BodyType,
    /// Whether the client said SMTPUTF8.
    pub smtputf8: bool,
    /// What was asked for about notifications, by the recipients' index here. Passed on where the server offers DSN.
    pub dsn: Option<Box<Dsn>>,
    /// The content.
    pub content: AttemptContent,
}

/// What is to be sent.
#[derive(Debug, Clone)]
pub enum AttemptContent {
    /// All of it is here.
    Whole(ContentSource),
    /// It is still being received.
    Growing(Growing),
}

impl AttemptContent {
    /// Its octets, where they are known.
    fn octets(&self) -> Option<u64> {
        match self {
            Self::Whole(source) => Some(source.len()),
            Self::Growing(_) => None,
        }
    }
}

impl From<ContentSource> for AttemptContent {
    fn from(source: ContentSource) -> Self {
        Self::Whole(source)
    }
}

/// What happened to one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// The provider answered for it: our responsibility ends.
    Delivered(Reply),
    /// Try again on the schedule.
    Deferred(Trouble),
    /// This recipient will not get the message.
    Failed(Trouble),
}

/// What went wrong, for the people who read logs and listings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Where in the dialogue it struck.
    pub stage: Stage,
    /// What it is in the terms of RFC 3463: the reply's enhanced code, or ours where the reply has none or there is
    /// no reply.
    pub status: EnhancedCode,
    /// The provider's reply, where it gave one.
    pub reply: Option<Reply>,
    /// One plain sentence.
    pub explanation: String,
    /// What to do about it; empty where there is nothing to do but wait.
    pub remedy: String,
    /// Silence after the final dot: the provider may have the message, so a retry may duplicate it.
    pub in_doubt: bool,
}

/// What an attempt says about the account's lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneEffect {
    /// Nothing: go on.
    None,
    /// The server cannot be reached or is busy: slow down, then try again. No message's attempt is burnt
    /// by what happened before MAIL.
    BackOff,
    /// Login or token trouble: hold the account's mail until it is cured; probe with growing pauses.
    Pause,
    /// A quota is used up: hold for this long.
    Hold(Duration),
}

/// The result of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// A disposition per recipient in the attempt's order; empty where no transaction took place, and then the
    /// message has not been tried at all.
    pub dispositions: Vec<Disposition>,
    /// What it means for the account.
    pub lane: LaneEffect,
    /// The trouble behind `lane`, where there is any.
    pub trouble: Option<Trouble>,
    /// `host:port` of the server, and the TLS version and suite, for the log.
    pub relay: String,
    /// `TLSv1.3 TLS13_AES_128_GCM_SHA256`, or `none`.
    pub tls: String,
    /// Whether the server offered DSN, so that it was told what the sender wants to hear and answers for deliveries
    /// from here on. Where it did not, a success that was asked for is for us to tell of (RFC 3461 §5.2.2).
    pub dsn_passed_on: bool,
}
