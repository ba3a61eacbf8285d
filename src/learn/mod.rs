//! What applications do when they hand in mail, and the configuration that takes their mail. Pure: what was seen comes
//! in, a report and TOML go out. `app` has the listeners that see it.
//!
//! Everything that clients say is theirs to choose: it is bounded here, and goes to a terminal or into a comment only
//! with its control characters shown.

mod accounts;
mod configuration;
mod habits;
mod listener;
mod network;
mod report;
mod text;

pub use configuration::{Around, configuration};
pub use habits::{Habits, Learned, Sender, Tally, Who};
pub use listener::{Certificate, Place, Reach};
pub use report::report;

#[cfg(test)]
#[path = "learn_tests.rs"]
mod tests;
