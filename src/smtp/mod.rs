//! The server's half of SMTP as octets and decisions (RFC 5321). Pure: no I/O, no clock.

pub mod auth;
pub mod chunk;
pub mod command;
pub mod data;
pub mod limits;
pub mod line;
pub mod pace;
pub mod replies;
mod seen;
pub mod standing;
pub mod transaction;

pub use chunk::ChunkDecoder;
pub use command::Command;
pub use data::{DataDecoder, Progress};
pub use line::{LineSplitter, Split};
pub use pace::Pace;
pub use seen::Seen;
pub use standing::{Authentication, Encryption, Standing};
pub use transaction::{MailTransaction, Sender};
