//! Notifications: what became of a message, told to its sender (RFC 3464 in the form of RFC 6522). Pure.
//!
//! Three kinds of people and programs read one: the sender, who has never heard of SMTP, reads the text; programs read
//! the delivery status; whoever needs the message again finds its header, or all of it, behind. Nothing that a client
//! or a provider wrote can get out of its place: text is cleaned and folded, and the boundary occurs in no part.

mod compose;
mod digest;
mod explain;
mod header;
mod lines;
mod returned;
mod status;
mod wanted;
pub(in crate::mail) mod words;

pub use digest::{Digest, DigestEntry};
pub use returned::Original;
pub use wanted::{is_automatic, is_notifiable, is_wanted};

use super::{
    BodyType, DsnRequest, EnhancedCode, ForwardPath, Mailbox, OriginalRecipient, QueueId, Reply, Ret,
};
use std::time::SystemTime;

/// The header field by which our own notifications are known again. Its value is the queue id of the message that it
/// tells of, or `digest`.
pub const MARK: &str = "X-Waxseal-Notification";

/// A notification, ready to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Canonical octets, header section first: fit to become [`Content`](super::Content).
    pub octets: Vec<u8>,
    /// Whether there is an octet beyond ASCII.
    pub body: BodyType,
    /// Whether an address beyond ASCII is in the header section, so that only SMTPUTF8 can carry it.
    pub smtputf8: bool,
}

/// What every notification starts with.
#[derive(Debug, Clone)]
pub struct Letterhead {
    /// This host: the Reporting-MTA, and the right side of the Message-ID.
    pub hostname: String,
    /// Who it is shown to be from.
    pub from: Mailbox,
    /// Who gets it.
    pub to: Mailbox,
    /// The notification's own queue id, which its Message-ID and its boundary are made of.
    pub id: QueueId,
    /// When it is written.
    pub date: SystemTime,
}

/// What became of one message.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// From whom to whom.
    pub letterhead: Letterhead,
    /// The message.
    pub queue_id: QueueId,
    /// When it was received.
    pub arrival: SystemTime,
    /// What MAIL asked for.
    pub dsn: DsnRequest,
    /// Its content, as far as it was read for this.
    pub original: Original<'a>,
    /// The recipients to tell of.
    pub recipients: Vec<ReportedRecipient>,
}

/// What became of one recipient.
#[derive(Debug, Clone)]
pub struct ReportedRecipient {
    /// The address that was sent to.
    pub final_recipient: ForwardPath,
    /// The address that the sender knows.
    pub orcpt: Option<OriginalRecipient>,
    /// What is reported.
    pub action: Action,
    /// Why, in the terms of RFC 3463. Its class is made to fit the action.
    pub status: EnhancedCode,
    /// The host name of the server that was spoken to.
    pub remote_mta: Option<String>,
    /// What it said.
    pub diagnostic: Option<Reply>,
    /// A clause that says why, without capital and full stop.
    pub explanation: String,
    /// A clause that says what to do; empty where there is nothing.
    pub remedy: String,
    /// When it was tried last.
    pub last_attempt: Option<SystemTime>,
}

/// What is reported of a recipient (RFC 3464 §2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It was refused.
    Failed,
    /// It was put off until it was too old.
    Expired,
    /// It has not been delivered so far.
    Delayed {
        /// How long it will be tried.
        will_retry_until: Option<SystemTime>,
    },
    /// It was handed to a server that does not tell of deliveries.
    Relayed,
}

/// What a notification is about as a whole; the worst news counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A recipient will not get the message.
    Failed,
    /// A recipient has not got it so far.
    Delayed,
    /// It was handed to a server that does not tell of deliveries.
    Relayed,
}

impl Action {
    /// What a notification with this action alone is about.
    pub fn kind(self) -> Kind {
        match self {
            Self::Failed | Self::Expired => Kind::Failed,
            Self::Delayed { .. } => Kind::Delayed,
            Self::Relayed => Kind::Relayed,
        }
    }
}

impl Report<'_> {
    /// Writes the notification; `None` where there is nobody to tell of.
    pub fn compose(&self) -> Option<Notification> {
        let kind = self.recipients.iter().map(|recipient| recipient.action.kind()).min()?;
        Some(compose::report(self, kind))
    }

    /// `RET=`.
    fn ret(&self) -> Option<Ret> {
        self.dsn.ret
    }
}
