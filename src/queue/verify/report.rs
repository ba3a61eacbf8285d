//! What a verification found, for people and for programs.

use crate::mail::QueueId;

/// Findings that are kept; of what lies beyond only the number is.
const FINDINGS: usize = 1000;

/// How much there is of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Segments of the journal.
    pub segments: usize,
    /// Octets of them.
    pub journal_octets: u64,
    /// Records that say that a message was committed.
    pub receipts: usize,
    /// Records that say where one stands.
    pub statuses: usize,
    /// Records that say that one has left.
    pub departures: usize,
    /// Messages that are in the queue.
    pub messages: usize,
    /// Content files.
    pub content_files: usize,
    /// Octets of them.
    pub content_octets: u64,
    /// Content files that have a checksum, and were held against it.
    pub checksums: usize,
    /// Content files of no message: being received just now, or left behind. The next start clears them away.
    pub leftovers: usize,
    /// Octets of torn tails, written when the power went and never acknowledged. The next start sets them aside.
    pub torn_octets: u64,
    /// What is damaged.
    pub damaged: usize,
}

/// What is wrong at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the queue's directory.
    pub file: String,
    /// The octet in it.
    pub offset: Option<u64>,
    /// The message that it is about, where that is known.
    pub queue_id: Option<QueueId>,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Octets of a segment that are no record.
    Unreadable {
        /// How many.
        octets: u64,
    },
    /// A record, or a whole file, of a later version.
    Later {
        /// Its version.
        version: u8,
    },
    /// A status of a message whose receipt is nowhere.
    NoReceipt,
    /// A status about another number of recipients than the message has.
    Recipients,
    /// A message whose content file is nowhere.
    NoContent,
    /// A content file of another length than was committed.
    Length {
        /// What was committed.
        committed: u64,
        /// What there is.
        found: u64,
    },
    /// A content file of another CRC-32 than was committed.
    Checksum {
        /// What was committed.
        committed: u32,
        /// What there is.
        found: u32,
    },
    /// A file that cannot be read.
    Io(String),
}

impl Problem {
    /// One word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::Later { .. } => "later_version",
            Self::NoReceipt => "no_receipt",
            Self::Recipients => "recipients",
            Self::NoContent => "no_content",
            Self::Length { .. } => "length",
            Self::Checksum { .. } => "checksum",
            Self::Io(_) => "io",
        }
    }
}

/// What it means to somebody who runs this queue.
impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable { octets } => write!(
                f,
                "{octets} octets are no record: the disk changed or lost them, and what they said is gone. The next \
                 start copies them to quarantine/ and goes on behind them"
            ),
            Self::Later { version } => write!(
                f,
                "of version {version}, written by a later waxseal. This one does not start on it: run that version or \
                 move the file away"
            ),
            Self::NoReceipt => f.write_str(
                "a status of a message whose receipt is nowhere: the message is lost, unless the damaged place that \
                 had its receipt can be read by hand",
            ),
            Self::Recipients => f.write_str(
                "a status about another number of recipients than its message has: the message will be held as \
                 unreadable",
            ),
            Self::NoContent => {
                f.write_str("its content file is missing: the message will be held as unreadable")
            }
            Self::Length { committed, found } => write!(
                f,
                "{found} octets where {committed} were committed: the message will be held as unreadable"
            ),
            Self::Checksum { committed, found } => write!(
                f,
                "its CRC-32 is {found:08x} where {committed:08x} was committed: the disk changed it, and the message \
                 would arrive damaged"
            ),
            Self::Io(error) => write!(f, "cannot be read: {error}"),
        }
    }
}

/// What came of it all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// How much there is.
    pub totals: Totals,
    /// What is wrong: at most the first thousand places.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.totals.damaged == 0
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.totals.damaged += 1;
        if self.findings.len() < FINDINGS {
            self.findings.push(finding);
        }
    }
}
