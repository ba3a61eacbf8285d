//! waxseal: an SMTP relay proxy. Plain local mail comes in; it leaves over TLS, authenticated with OAuth 2.0
//! or a password. `ARCHITECTURE.md` has the path of a message and the code map; the modules below are listed
//! from the top floor down, and none imports one above it (`tests/architecture.rs`).

pub mod app;
pub mod cli;
pub mod sendmail;

pub mod admin;
pub mod alert;
pub mod inbound;

pub mod queue;

pub mod outbound;

pub mod import;
pub mod learn;
pub mod oauth;

pub mod config;
pub mod draft;
pub mod history;
pub mod spool;
pub mod store;

pub mod account;
pub mod smtp;

pub mod database;
pub mod failpoint;
pub mod mail;
pub mod meter;
pub mod telemetry;

pub mod sandbox;

/// How often properties are tried by `cargo test`, and with which chance: the same ones each time, so that a test that
/// passed once passes again. What chance finds beyond them is the fuzz targets' business, in `fuzz/`.
#[cfg(test)]
pub(crate) fn smoke() -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        cases: 2000,
        rng_seed: proptest::test_runner::RngSeed::Fixed(0x7761_7873_6561_6c00),
        failure_persistence: None,
        ..Default::default()
    }
}
