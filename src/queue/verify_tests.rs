use super::*;
use crate::{
    account::AccountId,
    mail::{BodyType, Envelope, ForwardPath, ReversePath},
    queue::{entry::Received, status::Status},
};

fn id(n: u64) -> QueueId {
    QueueId::from_number(n)
}

fn receipt(n: u64, content: ContentPlace) -> Record {
    let from = ReversePath::parse("a@example.com").unwrap();
    let to = ["b@example.org", "c@example.org"].map(|to| ForwardPath::parse(to).unwrap()).to_vec();
    let envelope = Envelope::new(from, to, BodyType::SevenBit, false).unwrap();
    let account = AccountId::new("x");
    let received = Received {
        id: id(n),
        received_at: 1,
        account,
        application: None,
        envelope,
        size: 10,
        message_id: None,
        notification: false,
    };
    Record::Received { received, content }
}

fn in_file(n: u64, crc: Option<u32>) -> Record {
    receipt(n, ContentPlace::File { crc })
}

fn status(n: u64, recipients: usize) -> Record {
    Record::Status { id: id(n), status: Status::fresh(recipients, 1), events: Vec::new() }
}

fn done(n: u64) -> Record {
    Record::Done { id: id(n), events: Vec::new() }
}

/// A content file: whose, its octets, its CRC-32.
type InFile = (u64, u64, u32);

/// What is found wrong with these records and content files, told by message and word.
fn judge(records: &[Record], files: &[InFile], gone: &[u64]) -> Vec<(u64, &'static str)> {
    let mut audit = Audit::default();
    for (offset, record) in records.iter().enumerate() {
        audit.record(record, || Spot { file: "journal/1".into(), offset: offset as u64 });
    }
    for (n, octets, crc) in files {
        let contents = Contents { octets: *octets, crc: *crc };
        audit.content_file(format!("content/{n}"), Some(id(*n)), Ok(contents));
    }
    let report = audit.finish(|id| !gone.contains(&id.number()), |id| format!("content/{id}"));
    assert_eq!(report.totals.damaged, report.findings.len());
    let told = |finding: &Finding| (finding.queue_id.unwrap().number(), finding.problem.word());
    report.findings.iter().map(told).collect()
}

#[test]
fn what_fits_together_is_sound() {
    let record = receipt(1, ContentPlace::Record);
    let records = [
        record.clone(),
        status(1, 2),
        in_file(2, Some(7)),
        in_file(3, None),
        // Moved: status and departure may be in front of the receipt's copy, or be all that is left.
        status(4, 2),
        receipt(4, ContentPlace::Record),
        status(5, 2),
        done(5),
        in_file(6, Some(9)),
        done(6),
        record,
    ];
    assert_eq!(judge(&records, &[(2, 10, 7), (3, 10, 8), (6, 1, 1), (99, 5, 5)], &[]), []);
}

#[test]
fn what_does_not_fit_is_told() {
    let cases: [(&str, &[Record], &[InFile]); 6] = [
        ("no_receipt", &[status(1, 2)], &[]),
        ("recipients", &[receipt(1, ContentPlace::Record), status(1, 3)], &[]),
        ("no_content", &[in_file(1, None)], &[(2, 10, 7)]),
        ("length", &[in_file(1, None)], &[(1, 9, 7)]),
        ("length", &[in_file(1, Some(7))], &[(1, 9, 7)]),
        ("checksum", &[in_file(1, Some(7))], &[(1, 10, 8)]),
    ];
    for (word, records, files) in cases {
        assert_eq!(judge(records, files, &[]), [(1, word)]);
    }
}

#[test]
fn what_has_left_meanwhile_is_not_missed() {
    assert_eq!(judge(&[in_file(1, None)], &[], &[1]), []);
    assert_eq!(judge(&[receipt(1, ContentPlace::Record), status(1, 3)], &[], &[1]), []);
}

#[test]
fn findings_are_bounded_and_counted() {
    let mut audit = Audit::default();
    for offset in 0..5000 {
        audit.problem("journal/1".into(), Some(offset), Problem::Unreadable { octets: 1 });
    }
    let report = audit.finish(|_| true, |_| String::new());
    assert_eq!((report.totals.damaged, report.findings.len()), (5000, 1000));
    assert!(!report.is_sound());
}
