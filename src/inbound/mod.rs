//! Mail in: listeners and sessions (steps 1 to 9 of a message's path), and the spool.

mod adapter;
mod answer;
mod auth;
mod budget;
mod client;
mod conversation;
mod flood;
mod gate;
mod input;
mod listener;
mod patience;
mod pickup;
mod receive;
mod session;
mod socket;
mod tls;

pub use budget::Budget;
pub use client::Client;
pub use gate::{Gate, Peer, Sink};
pub use listener::{Admission, Listener};
pub use pickup::Pickup;
pub use session::serve;
