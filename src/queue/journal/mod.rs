//! The journal: append-only segments under `queue/journal/`, written by one thread that syncs in groups.

mod scan;
mod segment;
mod writer;

pub use scan::{Scanned, scan};
pub(in crate::queue) use segment::sync_directory;
pub use segment::{Place, SegmentNumber};
pub use writer::{Durability, Journal};
