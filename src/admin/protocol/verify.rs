//! What `queue verify` has found.

use serde::{Deserialize, Serialize};

/// How far the look at the queue has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressView {
    /// Octets that have been read.
    pub done: u64,
    /// Octets to read in all.
    pub of: u64,
}

/// Whether what the disk has of the queue is sound.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VerifyView {
    /// Nothing is damaged.
    pub sound: bool,
    /// Places that are damaged.
    pub damaged: usize,
    /// Messages in the queue.
    pub messages: usize,
    /// Segments of the journal.
    pub segments: usize,
    /// Octets of them.
    pub journal_octets: u64,
    /// Receipts in the journal.
    pub receipts: usize,
    /// Statuses in the journal.
    pub statuses: usize,
    /// Departures in the journal.
    pub departures: usize,
    /// Content files of messages.
    pub content_files: usize,
    /// Octets of them.
    pub content_octets: u64,
    /// Content files whose checksum was known and held against.
    pub checksums: usize,
    /// Content files of no message: being received just now, or to be cleared away at the next start.
    pub leftovers: usize,
    /// Octets of torn tails: never acknowledged.
    pub torn_octets: u64,
    /// What is damaged; the first thousand places.
    pub findings: Vec<FindingView>,
}

/// One damaged place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FindingView {
    /// The file, below `state_dir/queue`.
    pub file: String,
    /// The octet in it.
    pub offset: Option<u64>,
    /// The message, where that is known.
    pub id: Option<String>,
    /// `unreadable`, `later_version`, `no_receipt`, `recipients`, `no_content`, `length`, `checksum` or `io`.
    pub problem: String,
    /// What it means.
    pub meaning: String,
}
