use super::*;
use crate::{
    account::AccountId,
    mail::{BodyType, Envelope, ForwardPath, QueueId, ReversePath},
    queue::{disk::HostDisk, entry::Received, record},
};
use std::fs;

const HEADER: usize = segment::FILE_HEADER.len();

struct Journal {
    directory: tempfile::TempDir,
}

impl Journal {
    /// A segment of these octets, behind the header of the file.
    fn of(parts: &[Vec<u8>]) -> Self {
        let journal = Self { directory: tempfile::tempdir().unwrap() };
        journal.write(1, parts);
        journal
    }

    fn write(&self, number: SegmentNumber, parts: &[Vec<u8>]) {
        let octets = [segment::FILE_HEADER.to_vec(), parts.concat()].concat();
        fs::write(self.path(number), octets).unwrap();
    }

    fn path(&self, number: SegmentNumber) -> PathBuf {
        segment::path(self.directory.path(), number)
    }

    fn edit(&self, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut octets = fs::read(self.path(1)).unwrap();
        edit(&mut octets);
        fs::write(self.path(1), octets).unwrap();
    }

    fn quarantine(&self) -> PathBuf {
        self.directory.path().join("quarantine")
    }

    fn scan(&self) -> Result<Scanned, ScanError> {
        scan(&HostDisk, self.directory.path(), &self.quarantine(), |_, _| {})
    }

    /// The ids found, the damaged places, the octets of a torn tail.
    fn found(&self) -> (Vec<u64>, usize, usize) {
        let mut seen = Vec::new();
        let take = |record, _| {
            seen.push(match record {
                Record::Received { received, .. } => received.id.number(),
                Record::Status { id, .. } | Record::Done { id, .. } => id.number(),
            });
        };
        let scanned = scan_readonly(self.directory.path(), take).unwrap();
        (seen, scanned.damaged(), scanned.torn())
    }
}

fn done(n: u64) -> Vec<u8> {
    record::encode_done(QueueId::from_number(n), &[])
}

fn receipt(n: u64, content: &[u8]) -> Vec<u8> {
    let from = ReversePath::parse("a@example.com").unwrap();
    let to = vec![ForwardPath::parse("b@example.org").unwrap()];
    let received = Received {
        id: QueueId::from_number(n),
        received_at: 2,
        account: AccountId::new("x"),
        application: None,
        envelope: Envelope::new(from, to, BodyType::SevenBit, false).unwrap(),
        size: content.len() as u64,
        message_id: None,
        notification: false,
    };
    let octets = record::encode_received(&received, &bytes::Bytes::copy_from_slice(content));
    [&octets.head[..], &octets.content].concat()
}

fn three() -> Journal {
    Journal::of(&[done(1), done(2), done(3)])
}

/// Where the second of three records starts.
fn second() -> usize {
    HEADER + done(1).len()
}

/// A sound record of another version.
fn of_version(version: u8, kind: u8) -> Vec<u8> {
    let mut octets = done(9);
    (octets[8], octets[9]) = (version, kind);
    let checksum = crc32fast::hash(&octets[8..]);
    octets[4..8].copy_from_slice(&checksum.to_le_bytes());
    octets
}

#[test]
fn an_intact_segment_is_read_whole() {
    let journal = three();
    assert_eq!(journal.found(), (vec![1, 2, 3], 0, 0));
    let scanned = journal.scan().unwrap();
    assert_eq!((scanned.last, scanned.gaps), (1, vec![]));
}

#[test]
fn a_torn_tail_costs_only_the_last_record() {
    for cut in 1..done(3).len() {
        let journal = three();
        journal.edit(|octets| octets.truncate(octets.len() - cut));
        assert_eq!(journal.found(), (vec![1, 2], 0, done(3).len() - cut), "{cut} octets are missing");
    }
}

#[test]
fn a_tail_whose_octets_never_came_is_torn() {
    for zeros in 1..done(3).len() {
        let journal = three();
        let end = HEADER + 3 * done(1).len();
        journal.edit(|octets| octets[end - zeros..].fill(0));
        let torn = if zeros == done(3).len() { 0 } else { done(3).len() };
        assert_eq!(journal.found(), (vec![1, 2], 0, torn), "{zeros} octets are zero");
    }
}

#[test]
fn a_damaged_record_hides_no_other() {
    let journal = three();
    journal.edit(|octets| octets[second() + 20] ^= 1);
    assert_eq!(journal.found(), (vec![1, 3], 1, 0));
    // The next start sees the same.
    for _ in 0..2 {
        assert_eq!(journal.scan().unwrap().damaged(), 1);
        let copy = journal.quarantine().join(format!("0000000001-{}.octets", second()));
        assert_eq!(fs::read(copy).unwrap().len(), done(2).len());
    }
}

#[test]
fn a_record_that_became_zeros_is_damaged() {
    let journal = three();
    journal.edit(|octets| octets[second()..second() + done(2).len()].fill(0));
    assert_eq!(journal.found(), (vec![1, 3], 1, 0));
}

#[test]
fn a_damaged_file_header_hides_no_record() {
    for bit in 0..8 * HEADER {
        let journal = three();
        journal.edit(|octets| octets[bit / 8] ^= 1 << (bit % 8));
        assert_eq!(journal.found(), (vec![1, 2, 3], 1, 0));
    }
}

#[test]
fn prewritten_zeros_are_no_damage() {
    let journal = three();
    journal.edit(|octets| octets.extend([0; 4096]));
    assert_eq!(journal.found(), (vec![1, 2, 3], 0, 0));
}

#[test]
fn a_scan_that_only_reads_sets_nothing_aside() {
    let journal = three();
    journal.edit(|octets| octets[second() + 20] ^= 1);
    let scanned = scan_readonly(journal.directory.path(), |_, _| {}).unwrap();
    assert_eq!(scanned.damaged(), 1);
    assert!(!journal.quarantine().exists());
}

/// Whoever sends a message with a journal record in it does not get that one read, not even if the disk damages the
/// message's own record.
#[test]
fn records_within_a_message_are_none() {
    let content = [b"x\r\n".to_vec(), done(7), b"\r\n".to_vec(), done(8), b"\r\n".to_vec()].concat();
    let record = receipt(1, &content);
    for bit in 0..8 * record.len() {
        let mut damaged = record.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let journal = Journal::of(&[damaged, done(2)]);
        let (seen, damaged, torn) = journal.found();
        let size = record.windows(7).position(|octets| octets == b"\"size\":").unwrap();
        let end = record.windows(3).position(|octets| octets == b"}x\r").unwrap();
        if (10..18).contains(&(bit / 8)) || (size..=end).contains(&(bit / 8)) {
            assert_eq!(seen.last(), Some(&2), "where its length is damaged the rest is looked through");
        } else {
            assert_eq!(seen, [2], "bit {bit}, octet {}", bit / 8);
        }
        assert!(damaged > 0 && torn == 0);
    }
}

#[test]
fn records_and_damage_across_windows_are_found() {
    let large = b"0123456789abcde\r\n".repeat(100_000);
    let parts = [done(1), receipt(2, &large), done(3), receipt(4, &large[..800_000]), done(5), done(6)];
    let journal = Journal::of(&parts);
    assert_eq!(journal.found(), (vec![1, 2, 3, 4, 5, 6], 0, 0));
    // The large one's length is damaged, so its end has to be looked for.
    journal.edit(|octets| octets[second() + 16] ^= 0x40);
    assert_eq!(journal.found(), (vec![1, 3, 4, 5, 6], 1, 0));
    // A claim of 63 MiB that the file could hold costs no memory and hides nothing.
    let mut liar = receipt(7, b"x\r\n");
    liar[14..18].copy_from_slice(&(3_000_000u32).to_le_bytes());
    let journal = Journal::of(&[vec![liar], parts.to_vec(), vec![receipt(8, &large)]].concat());
    assert_eq!(journal.found(), (vec![1, 2, 3, 4, 5, 6, 8], 1, 0));
}

#[test]
fn a_later_version_stops_the_scan_and_changes_nothing() {
    for (version, kind, words) in [(2, 3, "version 2, kind 3"), (1, 4, "version 1, kind 4")] {
        let journal = three();
        journal.edit(|octets| octets[second() + 20] ^= 1);
        journal.write(2, &[done(4), of_version(version, kind)]);
        let error = journal.scan().unwrap_err();
        assert!(!journal.quarantine().exists());
        let ScanError::Later(later) = &error else { panic!("{error}") };
        assert_eq!((later.file.clone(), later.version, later.kind), (journal.path(2), version, Some(kind)));
        let text = error.to_string();
        assert!(text.contains(words) && text.contains("written by a later waxseal; run that"), "{text}");
    }
}

#[test]
fn a_later_version_behind_damage_is_seen() {
    let journal = Journal::of(&[vec![0xff; 100], of_version(3, 1), done(1)]);
    assert!(matches!(journal.scan(), Err(ScanError::Later(_))));
}

#[test]
fn a_file_of_a_later_format_stops_the_scan() {
    let journal = three();
    fs::write(journal.path(2), [b"waxseal journal\x02".to_vec(), vec![0x55; 100]].concat()).unwrap();
    let error = journal.scan().unwrap_err().to_string();
    assert!(error.contains("a journal of version 2"), "{error}");
}
