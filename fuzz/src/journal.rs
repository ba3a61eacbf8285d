//! The journal reader: whatever a segment holds, every octet of it is accounted for, and what happens to one record
//! hides no other.

use super::record::frame;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;
use waxseal::queue::{
    journal::{Gap, ScanError, Scanned, scan_readonly},
    record::{self, Record},
};

/// Starts a segment.
const FILE_HEADER: &[u8; 16] = b"waxseal journal\x01";

/// The first octet says what follows: a segment as it is, one behind its header, or how to make and to damage one.
pub fn holds(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else { return };
    match kind % 4 {
        0 => drop(read(rest)),
        1 => drop(read(&[FILE_HEADER, rest].concat())),
        _ => survives(rest),
    }
}

/// What is in a segment: where records are, and what the scan says beside them. `None` where a later waxseal was here.
struct Segment {
    records: Vec<(usize, usize)>,
    scanned: Scanned,
}

fn read(octets: &[u8]) -> Option<Segment> {
    thread_local!(static PLACE: TempDir = tempfile::tempdir().expect("a directory for a segment"));
    PLACE.with(|place| {
        fs::write(file(place.path()), octets).expect("a segment can be written");
        let mut records = Vec::new();
        let take = |_: Record, at: waxseal::queue::journal::Place| {
            records.push((at.offset as usize, (at.offset + at.length) as usize));
        };
        let scanned = match scan_readonly(place.path(), take) {
            Ok(scanned) => scanned,
            Err(ScanError::Later(_)) => return None,
            Err(ScanError::Io(error)) => panic!("{error}"),
        };
        assert_eq!(scanned.segments, [(1, octets.len() as u64)]);
        let segment = Segment { records, scanned };
        segment.accounts_for(octets);
        Some(segment)
    })
}

fn file(directory: &Path) -> PathBuf {
    directory.join("0000000001.wxj")
}

impl Segment {
    fn accounts_for(&self, octets: &[u8]) {
        for (start, end) in &self.records {
            let (_, _, length) = record::decode(&octets[*start..]).expect("a record where one was found");
            assert_eq!(start + length, *end);
        }
        let gap = |gap: &Gap| (gap.octets.start as usize, gap.octets.end as usize);
        let mut spans = self.records.clone();
        spans.extend(self.scanned.gaps.iter().map(gap));
        spans.sort_unstable();
        let mut at = if octets.starts_with(FILE_HEADER) { FILE_HEADER.len() } else { 0 };
        for (start, end) in spans {
            assert_eq!(start, at, "octets are told of nowhere or twice");
            assert!(start < end && end <= octets.len());
            at = end;
        }
        // Zeros are room that nothing was written to.
        assert!(octets[at..].iter().all(|octet| *octet == 0), "octets from {at} on are told of nowhere");
        let torn = self.scanned.gaps.iter().filter(|gap| gap.torn);
        assert!(torn.clone().count() <= 1 && torn.clone().all(|gap| gap.octets.end == octets.len() as u64));
    }
}

/// What is done to a segment.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip { at: usize, with: u8 },
    Cut { at: usize },
    Zero { at: usize },
}

/// The last four octets say what happens to a segment and where; those before them make it.
fn survives(program: &[u8]) {
    let Some((records, &[kind, with, high, low])) = program.split_last_chunk::<4>() else { return };
    let (mut octets, ends) = segment_of(records);
    let at = usize::from(u16::from_be_bytes([high, low])) % octets.len();
    let damage = match kind % 3 {
        0 => Damage::Flip { at, with: with.max(1) },
        1 => Damage::Cut { at },
        _ => Damage::Zero { at },
    };
    match damage {
        Damage::Flip { at, with } => octets[at] ^= with,
        Damage::Cut { at } => octets.truncate(at),
        Damage::Zero { at } => octets[at..].fill(0),
    }
    let Some(segment) = read(&octets) else {
        assert!(
            ends.is_empty() || at < FILE_HEADER.len(),
            "{damage:?} made a sound record of a later version"
        );
        return;
    };
    let spared = |(start, end): &(usize, usize)| match damage {
        Damage::Flip { at, .. } => at < *start || *end <= at,
        Damage::Cut { at } | Damage::Zero { at } => *end <= at,
    };
    for span in ends.iter().filter(|span| spared(span)) {
        assert!(
            segment.records.contains(span),
            "{damage:?} hides the record at {span:?}: {:?}",
            segment.records
        );
    }
    if let Damage::Cut { at } = damage
        && at >= FILE_HEADER.len()
    {
        assert_eq!(segment.scanned.damaged(), 0, "what was not written whole is torn, not damaged");
    }
}

/// A segment, and where its records are. An octet says what comes next: a departure, a receipt with so many octets of
/// content, or one whose content looks like a record.
fn segment_of(program: &[u8]) -> (Vec<u8>, Vec<(usize, usize)>) {
    let (mut octets, mut spans, mut rest) = (FILE_HEADER.to_vec(), Vec::new(), program);
    while let [kind, behind @ ..] = rest {
        let id = spans.len() as u64;
        let departure = || frame(3, format!("{{\"id\":{id}}}").as_bytes(), b"");
        let record = match kind % 4 {
            0 => {
                rest = behind;
                departure()
            }
            1 => {
                rest = behind;
                receipt(id, &departure())
            }
            _ => {
                let (content, behind) = behind.split_at(usize::from(kind / 4).min(behind.len()));
                rest = behind;
                receipt(id, content)
            }
        };
        let start = octets.len();
        octets.extend(record);
        spans.push((start, octets.len()));
    }
    (octets, spans)
}

fn receipt(id: u64, content: &[u8]) -> Vec<u8> {
    let size = content.len();
    let meta = format!(
        "{{\"id\":{id},\"at\":0,\"account\":\"a\",\"from\":\"a@example.com\",\"to\":[\"b@example.org\"],\"size\":{size}}}"
    );
    frame(1, meta.as_bytes(), content)
}
