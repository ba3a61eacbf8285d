//! Load on a daemon for as long as one likes: clients of every sort, a provider with faults, and what is measured.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

pub mod clients;
pub mod ledger;
pub mod samples;
pub mod weather;
