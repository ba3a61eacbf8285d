//! Whether what the disk has of the queue is sound: every record, every content file, and what they say of each other.
//! Pure: the records and files are shown to an [`Audit`], which judges.

mod report;

pub use report::{Finding, Problem, Report, Totals};

use super::record::{ContentPlace, Record};
use crate::mail::QueueId;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Where a record lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The file, relative to the queue's directory.
    pub file: String,
    /// The octet in it.
    pub offset: u64,
}

/// What a receipt says of a content file.
#[derive(Debug, Clone, Copy)]
struct Promise {
    octets: u64,
    crc: Option<u32>,
}

/// What a content file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// Its octets.
    pub octets: u64,
    /// Their CRC-32.
    pub crc: u32,
}

/// Takes what is found on the disk and judges. While it does, it keeps some 40 octets a message of the queue.
#[derive(Debug, Default)]
pub struct Audit {
    report: Report,
    /// Messages in the queue, with the number of their recipients.
    living: HashMap<QueueId, u32>,
    promises: BTreeMap<QueueId, Promise>,
    /// Statuses whose receipt has not been seen yet, the first of each message.
    loose: HashMap<QueueId, Spot>,
    /// Statuses that do not fit, the last of each message.
    misfits: HashMap<QueueId, Spot>,
    /// Messages whose content file was there.
    kept: BTreeSet<QueueId>,
}

impl Audit {
    /// A segment was read.
    pub fn segment(&mut self, octets: u64) {
        self.report.totals.segments += 1;
        self.report.totals.journal_octets += octets;
    }

    /// A record, in the order of the journal.
    pub fn record(&mut self, record: &Record, spot: impl FnOnce() -> Spot) {
        let totals = &mut self.report.totals;
        match record {
            Record::Received { received, content } => {
                totals.receipts += 1;
                self.living.insert(received.id, received.envelope.forward_paths().len() as u32);
                self.loose.remove(&received.id);
                if let ContentPlace::File { crc } = content {
                    self.promises.insert(received.id, Promise { octets: received.size, crc: *crc });
                }
            }
            Record::Status { id, status, .. } => {
                totals.statuses += 1;
                match self.living.get(id) {
                    // The receipt may have been moved behind it.
                    None => {
                        self.loose.entry(*id).or_insert_with(spot);
                    }
                    Some(count) if *count as usize != status.recipients.len() => {
                        self.misfits.insert(*id, spot());
                    }
                    Some(_) => {
                        self.misfits.remove(id);
                    }
                }
            }
            Record::Done { id, .. } => {
                totals.departures += 1;
                self.living.remove(id);
                self.promises.remove(id);
                self.loose.remove(id);
                self.misfits.remove(id);
            }
        }
    }

    /// Octets of a torn tail.
    pub fn torn(&mut self, octets: u64) {
        self.report.totals.torn_octets += octets;
    }

    /// Something that is wrong whatever else there is.
    pub fn problem(&mut self, file: String, offset: Option<u64>, problem: Problem) {
        self.report.add(Finding { file, offset, queue_id: None, problem });
    }

    /// A content file, after all records; `contents` is what it was found to be.
    pub fn content_file(&mut self, file: String, id: Option<QueueId>, contents: Result<Contents, String>) {
        let totals = &mut self.report.totals;
        let promise = id.and_then(|id| self.promises.get(&id).copied());
        let (Some(id), Some(promise)) = (id, promise) else {
            totals.leftovers += 1;
            return;
        };
        self.kept.insert(id);
        totals.content_files += 1;
        let problem = match contents {
            Err(error) => Problem::Io(error),
            Ok(Contents { octets, crc }) => {
                totals.content_octets += octets;
                totals.checksums += usize::from(promise.crc.is_some());
                match promise.crc {
                    _ if octets != promise.octets => {
                        Problem::Length { committed: promise.octets, found: octets }
                    }
                    Some(committed) if committed != crc => Problem::Checksum { committed, found: crc },
                    _ => return,
                }
            }
        };
        self.report.add(Finding { file, offset: None, queue_id: Some(id), problem });
    }

    /// The verdict. Of a queue at work, `still_here` says which messages have not left meanwhile; `content_name` is the
    /// file that a message's content should be in.
    pub fn finish(
        mut self,
        still_here: impl Fn(QueueId) -> bool,
        content_name: impl Fn(QueueId) -> String,
    ) -> Report {
        self.report.totals.messages = self.living.len();
        let mut late = Vec::new();
        let mut add = |id, Spot { file, offset }, problem| {
            late.push(Finding { file, offset: Some(offset), queue_id: Some(id), problem });
        };
        self.loose.into_iter().for_each(|(id, spot)| add(id, spot, Problem::NoReceipt));
        let misfits = self.misfits.into_iter().filter(|(id, _)| still_here(*id));
        misfits.for_each(|(id, spot)| add(id, spot, Problem::Recipients));
        late.sort_by(|a, b| (&a.file, a.offset).cmp(&(&b.file, b.offset)));
        for id in self.promises.into_keys().filter(|id| !self.kept.contains(id) && still_here(*id)) {
            let (file, problem) = (content_name(id), Problem::NoContent);
            late.push(Finding { file, offset: None, queue_id: Some(id), problem });
        }
        late.into_iter().for_each(|finding| self.report.add(finding));
        self.report
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
