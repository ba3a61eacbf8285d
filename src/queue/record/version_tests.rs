//! What earlier versions wrote is read for ever. Files of their octets are added here and never changed.

use super::*;
use crate::{
    mail::{EnhancedCode, Notify, Reply, Ret},
    queue::status::RecipientStatus,
};

/// A segment as version 1 wrote it, of November 2026, before content files had checksums.
const VERSION_1: &[u8] = include_bytes!("../../../tests/fixtures/journal-version-1.wxj");

fn id(sequence: u32) -> QueueId {
    QueueId::new(1_763_900_000_000, sequence)
}

/// The records of a segment, with their content parts.
fn records(segment: &[u8]) -> Vec<(Record, &[u8])> {
    let mut rest = segment.strip_prefix(b"waxseal journal\x01").unwrap();
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (record, content, length) = decode(rest).unwrap();
        records.push((record, content));
        rest = &rest[length..];
    }
    records
}

#[test]
fn version_1_is_read() {
    let records = records(VERSION_1);
    assert_eq!(records.len(), 6);

    let (Record::Received { received, content }, octets) = &records[0] else { panic!() };
    assert_eq!((received.id, received.received_at, received.size), (id(1), 1_763_900_000_007, 16));
    assert_eq!((*content, *octets), (ContentPlace::Record, &b"Subject: x\r\n\r\n\xe9\n"[..]));
    assert_eq!(received.account, AccountId::new("support"));
    assert_eq!(received.application, Some(ApplicationId::new("ticketing")));
    let envelope = &received.envelope;
    assert_eq!(envelope.reverse_path().to_string(), "app@example.com");
    let paths: Vec<String> = envelope.forward_paths().iter().map(ToString::to_string).collect();
    assert_eq!(paths, ["a@example.org", "\"b c\"@example.org", "postmaster"]);
    assert_eq!((envelope.body(), envelope.smtputf8()), (BodyType::EightBitMime, false));

    let (Record::Received { received, content }, b"") = &records[1] else { panic!() };
    assert_eq!((received.id, received.size, &received.application), (id(2), 300_000, &None));
    assert_eq!(*content, ContentPlace::File { crc: None });
    assert_eq!(*received.envelope.reverse_path(), ReversePath::Null);
    assert_eq!((received.envelope.body(), received.envelope.smtputf8()), (BodyType::SevenBit, true));

    let (Record::Received { received, .. }, b"x\r\n") = &records[2] else { panic!() };
    assert_eq!(received.envelope.dsn().ret, Some(Ret::Headers));
    assert_eq!(received.envelope.dsn().envid.as_ref().map(ToString::to_string).as_deref(), Some("QQ+2B314"));
    let wish = received.envelope.dsn_recipient(0);
    assert_eq!(wish.notify, "SUCCESS,DELAY".parse::<Notify>().ok());
    assert_eq!(wish.orcpt.as_ref().map(ToString::to_string).as_deref(), Some("rfc822;a+2Bx@example.org"));

    let (Record::Status { id: of, status, .. }, b"") = &records[3] else { panic!() };
    let statuses: Vec<_> = status.recipients.iter().map(|recipient| recipient.status).collect();
    assert_eq!(*of, id(1));
    assert_eq!(statuses, [RecipientStatus::Delivered, RecipientStatus::Pending, RecipientStatus::Pending]);
    assert_eq!((status.attempts, status.next_attempt_at, status.held), (1, 1_763_900_060_000, true));
    assert_eq!(
        (status.last_reply.as_str(), status.failed_at, status.warned),
        ("450 4.2.0 later", None, false)
    );

    let (Record::Status { id: of, status, .. }, b"") = &records[4] else { panic!() };
    assert_eq!((*of, status.attempts, status.failed_at), (id(3), 4, Some(1_763_900_080_000)));
    assert_eq!((status.warned, &status.account), (true, &Some(AccountId::new("other"))));
    let [first, second] = status.recipients.as_slice() else { panic!() };
    assert_eq!((first.status, first.told), (RecipientStatus::Failed, true));
    assert_eq!((second.status, second.told), (RecipientStatus::Expired, false));
    let said = first.said.as_ref().unwrap();
    assert_eq!((said.at, said.relay.as_str()), (1_763_900_070_000, "smtp.example.com:587"));
    assert_eq!(said.status, EnhancedCode(5, 1, 1));
    assert_eq!(said.reply, Some(Reply::new(550, EnhancedCode(5, 1, 1), "no such mailbox\nreally")));
    assert_eq!(said.explanation, "there is no such mailbox");
    assert_eq!((said.remedy.as_str(), &second.said), ("check the address", &first.said));

    assert!(matches!(&records[5], (Record::Done { id: of, .. }, b"") if *of == id(2)));
}

/// The octets that today's writer makes of what it read are those that were read, so that nothing of it is lost when the
/// compaction, or an operator, has a record written again.
#[test]
fn what_is_written_today_is_still_version_1() {
    let mut written = b"waxseal journal\x01".to_vec();
    for (record, content) in records(VERSION_1) {
        written.extend(match record {
            Record::Received { received, content: place } => encode_receipt(&received, place, content),
            Record::Status { id, status, events } => encode_status(id, &status, &events),
            Record::Done { id, events } => encode_done(id, &events),
        });
    }
    assert_eq!(written, VERSION_1);
}
