//! Mail in: listeners and sessions (steps 1 to 9 of a message's path).

mod adapter;
mod budget;
mod conversation;
mod flood;
mod gate;
mod input;
mod listener;
mod patience;
mod receive;
mod session;

pub use budget::Budget;
pub use gate::{Gate, Peer, Sink};
pub use listener::{Admission, Listener};
pub use session::serve;
