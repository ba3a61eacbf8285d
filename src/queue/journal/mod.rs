//! The journal: append-only segments under `queue/journal/`, written by one thread that syncs in groups.

mod handle;
mod head;
mod moved;
mod reader;
mod removal;
mod scan;
mod segment;
mod window;
mod writer;

pub use handle::{Durability, Journal, JournalOptions};
pub(in crate::queue) use scan::{Found, scan_up_to};
pub use scan::{Gap, LaterVersion, ScanError, Scanned, scan, scan_readonly};
pub use segment::{Place, SegmentNumber};
pub(in crate::queue) use segment::{list, path as segment_path, read, sync_directory};
