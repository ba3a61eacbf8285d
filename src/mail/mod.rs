//! The vocabulary of mail: mailboxes, paths, envelopes, replies, trace fields. Pure: no I/O, no clock.

mod canonical;
mod content;
mod dsn;
mod envelope;
pub mod header;
mod mailbox;
pub mod notification;
mod path;
mod phrase;
mod queue_id;
mod reply;
mod rewrite;
mod timestamp;
pub mod trace;
mod xtext;

pub use canonical::Canonicalizer;
pub use content::{Content, ContentSource, NotCanonical};
pub use dsn::{Dsn, DsnError, DsnRecipient, DsnRequest, EnvelopeId, Notify, OriginalRecipient, Ret};
pub use envelope::{BodyType, Envelope, NoRecipients};
pub use mailbox::{Domain, Mailbox, MailboxError};
pub use path::{ForwardPath, ReversePath};
pub use phrase::phrase;
pub use queue_id::{QueueId, QueueIdError};
pub use reply::{EnhancedCode, Reply, ReplyClass};
pub use rewrite::SenderRewriter;
pub use timestamp::{Day, Timestamp};
