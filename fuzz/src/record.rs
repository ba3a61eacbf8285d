//! Records whose checksum holds, whatever stands in them: read or refused, and what is read can be written again.

use waxseal::queue::record::{self, ContentPlace, Damage, HEADER, MAGIC, Record};

/// The first octet says which kind the record is of, and whether what follows is its meta part or is put behind the keys
/// of one that is whole.
pub fn holds(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else { return };
    let (kind, whole) = (first % 5, first / 5 % 2 == 0);
    let meta = if whole { rest.to_vec() } else { [PLAIN[usize::from(kind)].as_bytes(), rest, b"}"].concat() };
    let octets = frame(kind, &meta, b"content");
    match record::decode(&octets) {
        Ok((record, content, length)) => {
            assert_eq!((content, length), (&b"content"[..], octets.len()));
            let again = write(&record);
            let (read, _, length) = record::decode(&again).expect("a record that was just written");
            assert_eq!(length, again.len());
            let without_crc = |record: &Record| format!("{record:?}").replace("crc: None", "crc: Some(0)");
            assert_eq!(without_crc(&read), without_crc(&record));
        }
        Err(Damage::Later { .. }) => assert!(!(1..=3).contains(&kind)),
        Err(damage) => assert_eq!(damage, Damage::Corrupt, "nothing is cut off"),
    }
}

/// The meta part of each kind with the least in it, up to its end. There are none of the first and the last.
const PLAIN: [&str; 5] = [
    "{",
    r#"{"id":7,"at":0,"account":"a","from":"a@b.example","to":["b@c.example","postmaster"],"size":7"#,
    r#"{"id":7,"recipients":"pdfFxX","attempts":1,"next":5"#,
    r#"{"id":7"#,
    "{",
];

/// As `src/queue/record.rs` describes it.
pub(super) fn frame(kind: u8, meta: &[u8], content: &[u8]) -> Vec<u8> {
    let mut rest = vec![1, kind];
    rest.extend_from_slice(&(meta.len() as u32).to_le_bytes());
    rest.extend_from_slice(&(content.len() as u32).to_le_bytes());
    rest.extend_from_slice(meta);
    rest.extend_from_slice(content);
    let checksum = crc32fast::hash(&rest).to_le_bytes();
    let octets = [&MAGIC[..], &checksum, &rest].concat();
    assert_eq!(octets.len(), HEADER + meta.len() + content.len());
    octets
}

fn write(record: &Record) -> Vec<u8> {
    match record {
        Record::Received { received, content: ContentPlace::Record } => {
            record::encode_received(received, &Default::default()).head
        }
        Record::Received { received, content: ContentPlace::File { crc } } => {
            // Records of a time before the checksum are not written any more.
            record::encode_received_in_file(received, crc.unwrap_or_default())
        }
        Record::Status { id, status, events } => record::encode_status(*id, status, events),
        Record::Done { id, events } => record::encode_done(*id, events),
    }
}
