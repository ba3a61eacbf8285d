//! The vocabulary of mail: mailboxes, paths, envelopes, replies, trace fields. Pure: no I/O, no clock.

mod content;
mod dsn;
mod envelope;
mod mailbox;
pub mod notification;
mod path;
mod queue_id;
mod reply;
mod timestamp;
pub mod trace;
mod xtext;

pub use content::{Content, ContentSource, NotCanonical};
pub use dsn::{Dsn, DsnError, DsnRecipient, DsnRequest, EnvelopeId, Notify, OriginalRecipient, Ret};
pub use envelope::{BodyType, Envelope, NoRecipients};
pub use mailbox::{Domain, Mailbox, MailboxError};
pub use path::{ForwardPath, ReversePath};
pub use queue_id::{QueueId, QueueIdError};
pub use reply::{EnhancedCode, Reply, ReplyClass};
pub use timestamp::{Day, Timestamp};
