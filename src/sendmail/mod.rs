//! sendmail(8): what programs of this host call to send mail. A client of the daemon's own listener that holds no
//! secret and opens nothing of the daemon's: it runs as whoever calls it.
//!
//! A message is read to its end, handed over by SMTP, and what could not be handed over is left in the spool.

mod addresses;
mod aliases;
mod bridge;
mod compose;
mod dialogue;
mod exit;
mod header;
mod identity;
mod input;
mod message;
pub mod options;
mod recipients;
mod submit;
mod transport;

pub use bridge::bridge;
pub use exit::Exit;
pub use submit::{Report, submit};
