//! Reading the whole journal at start. What cannot be read is set aside, never deleted.

use super::segment::{self, Place, SegmentNumber};
use crate::queue::record::{self, Damage, Record};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

/// What the scan found beside records.
#[derive(Debug, Default)]
pub struct Scanned {
    /// The newest segment, 0 where there is none.
    pub last: SegmentNumber,
    /// Every segment with its length in octets, oldest first.
    pub segments: Vec<(SegmentNumber, u64)>,
    /// Damaged places within the journal, copied to `quarantine/`.
    pub damaged: usize,
    /// Octets of a torn tail: written when the power went, never acknowledged. Copied to `quarantine/` too.
    pub torn: usize,
}

/// Gives every record to `take`, oldest first. A damaged place is passed over to the next record that can be read.
///
/// # Errors
/// Where the directory or a segment cannot be read, or a damaged place cannot be set aside.
pub fn scan(directory: &Path, quarantine: &Path, mut take: impl FnMut(Record, Place)) -> io::Result<Scanned> {
    let mut scanned = Scanned::default();
    let numbers = segment::list(directory)?;
    scanned.last = numbers.last().copied().unwrap_or(0);
    for number in numbers {
        let (octets, mut at) = segment::read_all(directory, number)?;
        scanned.segments.push((number, octets.len() as u64));
        while at < octets.len() {
            match record::decode(&octets[at..]) {
                Ok((record, _, length)) => {
                    take(record, Place { segment: number, offset: at as u32, length: length as u32 });
                    at += length;
                }
                Err(damage) => {
                    let end = resynchronize(&octets, at);
                    if octets[at..end].iter().all(|octet| *octet == 0) {
                        at = end;
                        continue;
                    }
                    set_aside(quarantine, number, at, &octets[at..end])?;
                    if damage == Damage::Short && end == octets.len() {
                        scanned.torn += end - at;
                    } else {
                        scanned.damaged += 1;
                    }
                    at = end;
                }
            }
        }
    }
    Ok(scanned)
}

/// Where the next readable record after `at` starts, or the end.
fn resynchronize(octets: &[u8], at: usize) -> usize {
    memchr::memmem::find_iter(&octets[at + 1..], &record::MAGIC)
        .map(|found| at + 1 + found)
        .find(|start| record::decode(&octets[*start..]).is_ok())
        .unwrap_or(octets.len())
}

fn set_aside(quarantine: &Path, number: SegmentNumber, at: usize, octets: &[u8]) -> io::Result<()> {
    fs::create_dir_all(quarantine)?;
    let mut copy = File::create(quarantine.join(format!("{number:010}-{at}.octets")))?;
    copy.write_all(octets)?;
    copy.sync_all()?;
    segment::sync_directory(quarantine)?;
    tracing::warn!(
        target: "waxseal::queue",
        segment = number, offset = at, octets = octets.len(),
        "unreadable octets in the journal set aside in quarantine/"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::QueueId;

    /// A segment with three records and then `tail`; `edit` damages it.
    fn scan_edited(edit: impl FnOnce(&mut Vec<u8>, &[usize])) -> (Vec<u64>, Scanned) {
        let directory = tempfile::tempdir().unwrap();
        let (_, header) = segment::create(directory.path(), 1).unwrap();
        let path = segment::path(directory.path(), 1);
        let mut octets = fs::read(&path).unwrap();
        let mut starts = vec![header as usize];
        for n in 1..=3 {
            octets.extend(record::encode_done(QueueId::from_number(n), &[]));
            starts.push(octets.len());
        }
        edit(&mut octets, &starts);
        fs::write(&path, octets).unwrap();
        let mut seen = Vec::new();
        let scanned = scan(directory.path(), &directory.path().join("quarantine"), |record, _| {
            let Record::Done { id, .. } = record else { panic!() };
            seen.push(id.number());
        });
        (seen, scanned.unwrap())
    }

    #[test]
    fn an_intact_segment_is_read_whole() {
        let (seen, scanned) = scan_edited(|_, _| {});
        assert_eq!((seen, scanned.damaged, scanned.torn, scanned.last), (vec![1, 2, 3], 0, 0, 1));
    }

    #[test]
    fn a_torn_tail_costs_only_the_last_record() {
        let (seen, scanned) = scan_edited(|octets, starts| octets.truncate(starts[3] - 5));
        assert_eq!((seen, scanned.damaged), (vec![1, 2], 0));
        assert!(scanned.torn > 0);
    }

    #[test]
    fn a_damaged_record_hides_no_other() {
        let (seen, scanned) = scan_edited(|octets, starts| octets[starts[1] + 20] ^= 1);
        assert_eq!((seen, scanned.damaged, scanned.torn), (vec![1, 3], 1, 0));
    }

    #[test]
    fn a_damaged_file_header_hides_no_record() {
        let (seen, scanned) = scan_edited(|octets, _| octets[3] ^= 1);
        assert_eq!((seen, scanned.damaged), (vec![1, 2, 3], 1));
    }

    #[test]
    fn prewritten_zeros_are_no_damage() {
        let (seen, scanned) = scan_edited(|octets, _| octets.extend([0; 4096]));
        assert_eq!((seen, scanned.damaged, scanned.torn), (vec![1, 2, 3], 0, 0));
    }
}
