//! The control socket's language: one request a connection, as a line of JSON; answers are lines of JSON, the last of
//! which is `done` or `failed`. Keys are only ever added.

mod examination;
mod passphrase;
mod status;
mod verify;

pub use examination::{ExaminationView, StepView};
pub use passphrase::Passphrase;
pub use status::{ListenerView, NodeView, RateView, RefusedReload, StatusView, StoreView};
pub use verify::{FindingView, ProgressView, VerifyView};

use serde::{Deserialize, Serialize};

/// What the CLI asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// All accounts: `done` with a list of [`AccountView`].
    AccountList,
    /// One account: `done` with an [`AccountView`].
    AccountShow {
        /// Its id.
        id: String,
    },
    /// Generate Tokens: `progress` with a [`Consent`], then `done` with the [`AccountView`] once the browser has
    /// come back to the callback address.
    Authorize {
        /// The account's id.
        id: String,
        /// By device (RFC 8628): the [`Consent`] has a code.
        #[serde(default)]
        device: bool,
        /// A link for another machine: `done` with the [`Consent`], at once.
        #[serde(default)]
        link: bool,
    },
    /// The redirected URL, pasted by hand: `done` with the [`AccountView`].
    AuthorizePaste {
        /// The URL.
        url: String,
    },
    /// Refreshes the token now.
    AccountRefresh {
        /// The account's id.
        id: String,
    },
    /// Drops the stored tokens.
    AccountForget {
        /// The account's id.
        id: String,
    },
    /// Grants for another host: `done` with a [`ParcelView`].
    AccountExport {
        /// Of these accounts; of all where there are none.
        ids: Vec<String>,
        /// What the parcel is sealed to.
        passphrase: Passphrase,
    },
    /// Grants from another host: `done` with a list of [`ArrivalView`].
    AccountImport {
        /// The parcel.
        parcel: String,
        /// What it is sealed to.
        passphrase: Passphrase,
        /// Take them in place of grants that are not known to be dead.
        replace: bool,
    },
    /// Walks the account's way upstream: `progress` with an [`ExaminationView`], then `done` with a sentence.
    AccountTest {
        /// The account's id.
        id: String,
        /// Send a message to this address in the end.
        #[serde(default)]
        to: Option<String>,
    },
    /// The same for several accounts, or for all: `progress` with an [`ExaminationView`] each.
    Doctor {
        /// Their ids; none is all active ones.
        ids: Vec<String>,
    },
    /// The queue, of all nodes: `done` with a list of [`MessageView`]. This and what else is asked of the queue may have a
    /// [`LeftOut`] before it.
    QueueList {
        /// Only this account's messages.
        account: Option<String>,
        /// At most so many, the oldest first.
        most: usize,
    },
    /// One message: `done` with a [`MessageView`].
    QueueShow {
        /// Its id.
        id: String,
    },
    /// Reads everything that the disk has of the queue: `progress` with a [`ProgressView`] at times, then `done` with a
    /// [`VerifyView`].
    QueueVerify,
    /// Does something to messages: `done` with how many it was done to.
    QueueChange {
        /// What.
        change: QueueChange,
        /// These messages.
        ids: Vec<String>,
        /// All of this account's.
        account: Option<String>,
        /// All there are.
        all: bool,
    },
    /// What became of messages: `done` with a [`TraceView`].
    Trace {
        /// A queue id, a Message-ID or an address.
        query: String,
        /// At most so many messages, the latest first.
        limit: usize,
    },
    /// `done` with a [`StatusView`].
    Status,
    /// Re-reads the configuration.
    Reload,
    /// A link that logs a browser in to the console, once: `done` with it.
    AdminUrl,
}

/// Grants on their way to another host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ParcelView {
    /// The sealed text.
    pub parcel: String,
    /// The accounts whose grants are in it.
    pub accounts: Vec<String>,
}

/// What became of one grant of a parcel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ArrivalView {
    /// Its account.
    pub account: String,
    /// Why it was not taken; absent where it was.
    pub refused: Option<String>,
}

/// What can be done to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueChange {
    /// Due now.
    Retry,
    /// Not to be sent.
    Hold,
    /// No longer held.
    Release,
    /// Out of the queue for good.
    Remove,
}

/// A line of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// More is to come.
    Progress(serde_json::Value),
    /// That is all.
    Done(serde_json::Value),
    /// It was not done.
    Failed {
        /// A sentence for the operator.
        message: String,
        /// The exit code that the CLI ends with.
        exit_code: u8,
    },
}

impl Answer {
    /// What it came to, for a person.
    pub(super) fn into_sentence(self) -> Result<String, String> {
        match self {
            Self::Done(serde_json::Value::String(sentence)) => Ok(sentence),
            Self::Done(_) | Self::Progress(_) => Ok("Done.".to_owned()),
            Self::Failed { message, .. } => Err(message),
        }
    }
}

/// What an answer leaves out, told before it: nodes that could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// In sentences.
    pub left_out: Vec<String>,
}

/// The provider's page for a consent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Consent {
    /// Its URL.
    pub url: String,
    /// Where the browser will come back to; empty where none does.
    pub redirect_uri: String,
    /// What the person types there, in the device flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_code: Option<String>,
    /// Seconds that the person may take.
    pub lasts: u64,
}

/// An account as listed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccountView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its description.
    #[serde(default)]
    pub description: String,
    /// `basic`, `oauth2`, `google` or `microsoft`.
    pub r#type: String,
    /// Its domain patterns.
    pub domains: Vec<String>,
    /// Whether it is active.
    pub active: bool,
    /// Its application.
    pub application: Option<String>,
    /// `ready`, `needs_authorization`, `failing` or `inactive`.
    pub state: String,
    /// When the access token ends (RFC 3339).
    pub token_expires_at: Option<String>,
    /// When a message was last delivered, since the start (RFC 3339).
    pub last_success_at: Option<String>,
    /// What is wrong, while something is.
    pub last_error: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// Its server as `host:port`.
    pub server: String,
    /// Who logs in.
    pub username: Option<String>,
    /// When somebody last agreed (RFC 3339).
    pub authorized_at: Option<String>,
    /// When the refresh token in force was obtained (RFC 3339).
    #[serde(default)]
    pub rotated_at: Option<String>,
    /// When tokens were last obtained (RFC 3339).
    #[serde(default)]
    pub refreshed_at: Option<String>,
    /// When the grant will end unless something is done, as far as that can be told ahead (RFC 3339).
    #[serde(default)]
    pub grant_ends_at: Option<String>,
    /// Of what.
    #[serde(default)]
    pub grant_ends_because: Option<String>,
    /// Messages waiting in the queue.
    pub queued: usize,
    /// What whoever has just authorized it should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

/// A queued message as listed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MessageView {
    /// Its id.
    pub id: String,
    /// The node that has it, where several share the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// `queued`, `active`, `deferred`, `held` or `failed`.
    pub state: String,
    /// Its account.
    pub account: String,
    /// Its reverse-path.
    pub from: String,
    /// Outstanding recipients.
    pub to: Vec<String>,
    /// Octets of content.
    pub size: u64,
    /// When it came (RFC 3339).
    pub received_at: String,
    /// When it is due (RFC 3339).
    pub next_attempt_at: Option<String>,
    /// Transactions tried.
    pub attempts: u32,
    /// What was said last.
    pub last_reply: String,
}

/// What the history has of some messages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TraceView {
    /// The messages, the latest first.
    pub messages: Vec<TracedView>,
    /// There are more than were asked for.
    pub more: bool,
    /// The first day that there is a history of, as `2026-11-24`.
    pub since: Option<String>,
}

/// What became of a message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TracedView {
    /// Its queue id.
    pub id: String,
    /// Its state in the queue, else `delivered`, `failed` or `removed`; `None` where that is not known.
    pub state: Option<String>,
    /// The account that carried it last.
    pub account: String,
    /// The application that it came from.
    pub application: Option<String>,
    /// Its reverse-path; `None` where its receipt is not in the history any more, as with all that follows.
    pub from: Option<String>,
    /// All its forward-paths.
    pub to: Vec<String>,
    /// Octets of content.
    pub size: Option<u64>,
    /// The name in its header section.
    pub message_id: Option<String>,
    /// When it came (RFC 3339).
    pub received_at: Option<String>,
    /// What the queue has of it now.
    pub queue: Option<MessageView>,
    /// Events that are left out, there being too many.
    pub left_out: usize,
    /// What happened, in order of time.
    pub events: Vec<EventView>,
}

/// An event in a message's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventView {
    /// When, with milliseconds (RFC 3339).
    pub at: String,
    /// `received`, `delivered`, `deferred`, `failed`, `expired`, `held`, `released`, `retried`, `removed`, `notified`.
    pub event: String,
    /// The account.
    pub account: String,
    /// The recipients that it is about.
    pub to: Vec<String>,
    /// `host:port` of the server.
    pub relay: String,
    /// TLS version and suite, or `none`.
    pub tls: String,
    /// The provider's own reply.
    pub reply: String,
    /// Our sentence about it.
    pub explanation: String,
    /// Milliseconds since receipt.
    pub delay_ms: Option<u64>,
    /// Which transaction it was, counted from 1.
    pub attempt: Option<u32>,
}
