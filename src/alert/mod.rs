//! Alerts: what an operator is told of without having asked. `watch` decides from facts which alerts begin, last and
//! end; `book` keeps what was told across restarts; `command` and `mail` are the two ways out beside the log.

mod book;
mod command;
mod facts;
mod mail;
mod notice;
mod tell;
mod watch;

pub use facts::{AccountFact, AccountState, DiskFact, Facts, LaneFact, StoreFact};
pub use notice::{Event, Key, Notice, Phase};
pub use tell::Alerts;
pub use watch::{Limits, Watch};
