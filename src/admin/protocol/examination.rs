//! Accounts examined step by step.

use serde::{Deserialize, Serialize};

/// An account's way upstream, as far as it goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExaminationView {
    /// The account.
    pub account: String,
    /// Its server as `host:port`.
    pub server: String,
    /// The steps up to the first that fails.
    pub steps: Vec<StepView>,
    /// Nothing is missing.
    pub well: bool,
    /// What is missing.
    pub verdict: String,
    /// What cures it; empty where there is nothing to do but wait.
    pub cure: String,
    /// The exit code that goes with it: 0, 1 where somebody has to act, 69 where the server is not to be had.
    pub exit_code: u8,
}

/// One step of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepView {
    /// `DNS`, `TCP`, `TLS`, `token`, `AUTH` or `MAIL FROM`.
    pub step: String,
    /// Whether it went well.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
    /// Milliseconds that it took.
    pub ms: u64,
}

impl ExaminationView {
    /// Out of an answer's progress.
    pub(in crate::admin) fn read(value: serde_json::Value) -> Option<Self> {
        serde_json::from_value(value).ok()
    }
}
