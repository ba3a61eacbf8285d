//! Journal records as octets: framing, checksum, version. Pure.
//!
//! A record is `magic(4) checksum(4) version(1) kind(1) meta_length(4) content_length(4) meta content`, integers
//! little-endian; the checksum (CRC-32) covers all that follows it. The meta part is JSON, to which keys are only
//! ever added: an older reader passes over what it does not know.

mod frame;
mod status;
#[cfg(test)]
#[path = "record/version_tests.rs"]
mod version_tests;
mod wreck;

pub use frame::{HEADER, MAGIC, Octets, frame_length};
pub use wreck::{claimed_length, contradicts_itself};

use super::{entry::Received, schedule::Millis, status::Status};
use crate::{
    account::{AccountId, ApplicationId},
    history::Event,
    mail::{BodyType, DsnRecipient, DsnRequest, Envelope, ForwardPath, QueueId, ReversePath},
};
use bytes::Bytes;
use frame::{CHECKED, LARGE, VERSION, begin, finish, frame};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Why octets are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// They end before the record does.
    #[error("cut short")]
    Short,
    /// No magic, impossible lengths, or a checksum that does not agree.
    #[error("damaged")]
    Corrupt,
    /// Sound, and written by a later version: of a version or a kind that this one does not know.
    #[error("of a later version")]
    Later {
        /// Its version octet.
        version: u8,
        /// Its kind octet.
        kind: u8,
    },
}

/// What a record says.
#[derive(Debug, Clone)]
pub enum Record {
    /// A message was committed.
    Received {
        /// The message.
        received: Received,
        /// Where its content is.
        content: ContentPlace,
    },
    /// Its status changed.
    Status {
        /// The message.
        id: QueueId,
        /// Its status from now on.
        status: Status,
        /// What happened, for the history.
        events: Vec<Event>,
    },
    /// It has left the queue.
    Done {
        /// The message.
        id: QueueId,
        /// What happened, for the history.
        events: Vec<Event>,
    },
}

/// Where the content of a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentPlace {
    /// It is the content part of the record.
    Record,
    /// It is in a file of its own.
    File {
        /// The CRC-32 of it, which records have since it is computed.
        crc: Option<u32>,
    },
}

#[derive(Serialize, Deserialize)]
struct ReceivedMeta {
    id: u64,
    at: Millis,
    account: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    application: Option<String>,
    from: String,
    to: Vec<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    eight_bit: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    utf8: bool,
    size: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    file: bool,
    /// CRC-32 of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crc: Option<u32>,
    /// RET, as in MAIL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ret: Option<String>,
    /// ENVID, as in MAIL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    envid: Option<String>,
    /// One a recipient, in the order of `to`; absent where none asked for anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dsn: Vec<DsnMeta>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    notification: bool,
}

/// What a RCPT asked for, as it said it.
#[derive(Serialize, Deserialize)]
struct DsnMeta {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notify: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    orcpt: Option<String>,
}

fn is_false(value: &bool) -> bool {
    !*value
}

#[derive(Serialize, Deserialize)]
struct DoneMeta<'a> {
    id: u64,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    events: Cow<'a, [Event]>,
}

/// The record of a committed message with its content in it.
pub fn encode_received(received: &Received, content: &Bytes) -> Octets {
    if content.len() < LARGE {
        return encode_receipt(received, ContentPlace::Record, content).into();
    }
    let mut head = begin(1, &receipt_meta(received, ContentPlace::Record), content.len());
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&head[CHECKED..]);
    checksum.update(content);
    finish(&mut head, checksum.finalize());
    Octets { head, content: content.clone() }
}

/// The record of a committed message whose content is in a file with this CRC-32.
pub fn encode_received_in_file(received: &Received, crc: u32) -> Vec<u8> {
    encode_receipt(received, ContentPlace::File { crc: Some(crc) }, &[])
}

fn encode_receipt(received: &Received, place: ContentPlace, content: &[u8]) -> Vec<u8> {
    frame(1, &receipt_meta(received, place), content)
}

fn receipt_meta(received: &Received, place: ContentPlace) -> ReceivedMeta {
    let envelope = &received.envelope;
    let (file, crc) = match place {
        ContentPlace::Record => (false, None),
        ContentPlace::File { crc } => (true, crc),
    };
    ReceivedMeta {
        id: received.id.number(),
        at: received.received_at,
        account: received.account.as_str().to_owned(),
        application: received.application.as_ref().map(|a| a.as_str().to_owned()),
        from: envelope.reverse_path().to_string(),
        to: envelope.forward_paths().iter().map(ToString::to_string).collect(),
        eight_bit: envelope.body() == BodyType::EightBitMime,
        utf8: envelope.smtputf8(),
        size: received.size,
        file,
        crc,
        ret: envelope.dsn().ret.map(|ret| ret.to_string()),
        envid: envelope.dsn().envid.as_ref().map(ToString::to_string),
        dsn: dsn_meta(envelope),
        message_id: received.message_id.clone(),
        notification: received.notification,
    }
}

fn dsn_meta(envelope: &Envelope) -> Vec<DsnMeta> {
    let count = envelope.forward_paths().len();
    if (0..count).all(|index| *envelope.dsn_recipient(index) == DsnRecipient::default()) {
        return Vec::new();
    }
    let meta = |DsnRecipient { notify, orcpt }: &DsnRecipient| DsnMeta {
        notify: notify.map(|notify| notify.to_string()),
        orcpt: orcpt.as_ref().map(ToString::to_string),
    };
    (0..count).map(|index| meta(envelope.dsn_recipient(index))).collect()
}

/// The record of a changed status, with what happened.
pub fn encode_status(id: QueueId, status: &Status, events: &[Event]) -> Vec<u8> {
    frame(2, &status::meta(id, status, events), &[])
}

/// The record of a message that has left, with what happened.
pub fn encode_done(id: QueueId, events: &[Event]) -> Vec<u8> {
    frame(3, &DoneMeta { id: id.number(), events: events.into() }, &[])
}

/// Reads the record that starts `octets`: what it says, its content part and its whole length.
pub fn decode(octets: &[u8]) -> Result<(Record, &[u8], usize), Damage> {
    let length = frame_length(octets)?;
    let octets = octets.get(..length).ok_or(Damage::Short)?;
    let number = |at: usize| u32::from_le_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
    if crc32fast::hash(&octets[CHECKED..]) != number(4) {
        return Err(Damage::Corrupt);
    }
    let (version, kind) = (octets[8], octets[9]);
    if version != VERSION {
        return Err(Damage::Later { version, kind });
    }
    let (meta, content) = octets[HEADER..].split_at(number(10) as usize);
    let record = match kind {
        1 => received(meta)?,
        2 => {
            let meta = serde_json::from_slice(meta).map_err(|_| Damage::Corrupt)?;
            let (id, status, events) = status::read(meta)?;
            Record::Status { id, status, events }
        }
        3 => {
            let meta: DoneMeta<'_> = serde_json::from_slice(meta).map_err(|_| Damage::Corrupt)?;
            Record::Done { id: QueueId::from_number(meta.id), events: meta.events.into_owned() }
        }
        _ => return Err(Damage::Later { version, kind }),
    };
    Ok((record, content, length))
}

/// Sees whether a record's checksum holds without having all of it at once.
#[derive(Debug)]
pub struct Check {
    hasher: crc32fast::Hasher,
    expected: [u8; 4],
}

impl Check {
    /// Begins with the first octets of a record, [`HEADER`] at least; the others follow by [`Check::update`].
    pub fn begin(octets: &[u8]) -> Self {
        let (mut hasher, mut expected) = (crc32fast::Hasher::new(), [0; 4]);
        if let Some(header) = octets.get(..HEADER) {
            expected.copy_from_slice(&header[4..8]);
            hasher.update(&header[8..]);
        }
        Self { hasher, expected }
    }

    /// Takes further octets, those behind the header first.
    pub fn update(&mut self, octets: &[u8]) {
        self.hasher.update(octets);
    }

    /// Whether the checksum agrees with all that was given.
    pub fn holds(self) -> bool {
        self.hasher.finalize().to_le_bytes() == self.expected
    }
}

fn received(meta: &[u8]) -> Result<Record, Damage> {
    let meta: ReceivedMeta = serde_json::from_slice(meta).map_err(|_| Damage::Corrupt)?;
    let to: Result<Vec<_>, _> = meta.to.iter().map(|to| ForwardPath::parse(to)).collect();
    let body = if meta.eight_bit { BodyType::EightBitMime } else { BodyType::SevenBit };
    let from = ReversePath::parse(&meta.from).map_err(|_| Damage::Corrupt)?;
    let envelope = Envelope::new(from, to.map_err(|_| Damage::Corrupt)?, body, meta.utf8);
    // A wish that cannot be read costs the wish, never the message.
    let request = DsnRequest { ret: read(meta.ret), envid: read(meta.envid) };
    let wishes = meta.dsn.into_iter().map(|m| DsnRecipient { notify: read(m.notify), orcpt: read(m.orcpt) });
    let wishes = wishes.collect();
    Ok(Record::Received {
        received: Received {
            id: QueueId::from_number(meta.id),
            received_at: meta.at,
            account: AccountId::new(&meta.account),
            application: meta.application.as_deref().map(ApplicationId::new),
            envelope: envelope.map_err(|_| Damage::Corrupt)?.with_dsn(request, wishes),
            size: meta.size,
            message_id: meta.message_id,
            notification: meta.notification,
        },
        content: if meta.file { ContentPlace::File { crc: meta.crc } } else { ContentPlace::Record },
    })
}

fn read<T: std::str::FromStr>(text: Option<String>) -> Option<T> {
    text?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        history::What,
        mail::{EnhancedCode, Reply},
        meter::Reason,
        queue::status::{Recipient, RecipientStatus, Said},
    };
    use std::sync::Arc;

    fn sample() -> Received {
        Received {
            id: QueueId::new(1_763_900_000_000, 3),
            received_at: 1_763_900_000_000,
            account: AccountId::new("support"),
            application: Some(ApplicationId::new("ticketing")),
            envelope: Envelope::new(
                ReversePath::parse("a@example.com").unwrap(),
                vec![ForwardPath::Postmaster, ForwardPath::parse("\"b c\"@example.org").unwrap()],
                BodyType::EightBitMime,
                false,
            )
            .unwrap(),
            size: 9,
            message_id: Some("<\"odd\"@example.com>".into()),
            notification: true,
        }
    }

    /// A record whose content is in it.
    fn encode_received(received: &Received, content: &'static [u8]) -> Vec<u8> {
        let octets = super::encode_received(received, &Bytes::from_static(content));
        assert!(octets.content.is_empty(), "small contents stay with their record");
        octets.head
    }

    #[test]
    fn a_large_content_comes_behind_the_rest_of_its_record() {
        let content = Bytes::from(b"0123456789abcdef0123456789abcde\r\n".repeat(LARGE / 32));
        let octets = super::encode_received(&sample(), &content);
        assert_eq!(octets.content.as_ptr(), content.as_ptr(), "it is not copied");
        let (record, found, length) = decode_owned(&[&octets.head[..], &octets.content].concat());
        assert!(matches!(record, Record::Received { received, .. } if received.id == sample().id));
        assert_eq!((found, length), (content.to_vec(), octets.len()));
    }

    fn decode_owned(octets: &[u8]) -> (Record, Vec<u8>, usize) {
        let (record, content, length) = decode(octets).unwrap();
        (record, content.to_vec(), length)
    }

    #[test]
    fn records_survive_the_round_trip() {
        let octets = encode_received(&sample(), b"a\r\n\0\xff\r\n\r\n");
        let (record, content, length) = decode(&octets).unwrap();
        assert_eq!((content, length), (&b"a\r\n\0\xff\r\n\r\n"[..], octets.len()));
        let Record::Received { received, content } = record else { panic!("{record:?}") };
        assert_eq!(content, ContentPlace::Record);
        assert_eq!(received.envelope, sample().envelope);
        assert_eq!((received.account, received.application), (sample().account, sample().application));
        assert_eq!(received.message_id, sample().message_id);

        let mut status = Status::fresh(3, 5);
        let said = |text: &str| {
            let reply = Some(Reply::received(550, text));
            let (explanation, remedy) = ("no such mailbox".into(), "check the address".into());
            Arc::new(Said {
                at: 9,
                relay: "mx.example:587".into(),
                status: EnhancedCode(5, 1, 1),
                reply,
                explanation,
                remedy,
                reason: (text == "busy").then_some(Reason::Rate),
            })
        };
        let shared = said("5.1.1 \"no\"\nsecond line");
        for (index, told) in [(0, true), (1, false)] {
            status.recipients[index] =
                Recipient { status: RecipientStatus::Failed, said: Some(shared.clone()), told };
        }
        status.recipients[2] =
            Recipient { status: RecipientStatus::Expired, said: Some(said("busy")), told: false };
        status.account = Some(AccountId::new("other"));
        status.warned = true;
        status.last_reply = "550 5.1.1 \"no\"".into();
        let told = [Event { reply: "250 ok".into(), ..Event::new(7, sample().id, What::Delivered) }];
        let octets = encode_status(sample().id, &status, &told);
        let Record::Status { id, status: read, events } = decode(&octets).unwrap().0 else { panic!() };
        assert_eq!((id, read, &*events), (sample().id, status, &told[..]));

        let octets = encode_done(sample().id, &told);
        let Record::Done { id, events } = decode(&octets).unwrap().0 else { panic!() };
        assert_eq!((id, &*events), (sample().id, &told[..]));
    }

    #[test]
    fn wishes_about_notifications_are_kept_and_old_records_have_none() {
        let old = encode_received(&sample(), b"");
        let text = String::from_utf8_lossy(&old).into_owned();
        assert!(!["ret", "envid", "dsn"].iter().any(|key| text.contains(key)), "{text}");
        let request = DsnRequest { ret: "FULL".parse().ok(), envid: "a+20b".parse().ok() };
        let wish = DsnRecipient { notify: "NEVER".parse().ok(), orcpt: "rfc822;x+2By@z".parse().ok() };
        let mut received = sample();
        received.envelope = received.envelope.with_dsn(request, vec![DsnRecipient::default(), wish]);
        let octets = encode_received(&received, b"");
        let Record::Received { received: read, .. } = decode(&octets).unwrap().0 else { panic!() };
        assert_eq!(read.envelope, received.envelope);
        assert!(read.envelope.dsn_recipient(1).notify.is_some());
    }

    #[test]
    fn a_wish_that_cannot_be_read_costs_the_wish_alone() {
        let meta = serde_json::json!({"id": 1, "at": 2, "account": "x", "from": "", "to": ["a@b", "c@d"], "size": 0,
            "ret": "SOME", "envid": "=", "dsn": [{"notify": "ALWAYS", "orcpt": "rfc822;a@b", "more": 1}]});
        let Record::Received { received, .. } = decode(&frame(1, &meta, b"")).unwrap().0 else { panic!() };
        assert_eq!(*received.envelope.dsn(), DsnRequest::default());
        let first = received.envelope.dsn_recipient(0);
        assert_eq!((first.notify, first.orcpt.is_some()), (None, true));
    }

    #[test]
    fn records_from_before_the_history_say_nothing_for_it() {
        let meta = serde_json::json!({"id": sample().id.number()});
        let Record::Done { id, events } = decode(&frame(3, &meta, b"")).unwrap().0 else { panic!() };
        assert_eq!((id, events), (sample().id, vec![]));
        let meta = serde_json::json!({"id": 1, "recipients": "p", "attempts": 0, "next": 5});
        let Record::Status { events, .. } = decode(&frame(2, &meta, b"")).unwrap().0 else { panic!() };
        assert_eq!(events, []);
    }

    #[test]
    fn one_flipped_bit_anywhere_is_noticed() {
        let octets = encode_received(&sample(), b"content\r\n");
        for bit in 0..octets.len() * 8 {
            let mut damaged = octets.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let damage = decode(&damaged).unwrap_err();
            assert!(matches!(damage, Damage::Short | Damage::Corrupt), "bit {bit} is {damage:?}");
        }
    }

    #[test]
    fn every_cut_is_short() {
        let octets = encode_done(sample().id, &[]);
        for end in 0..octets.len() {
            assert_eq!(decode(&octets[..end]).unwrap_err(), Damage::Short, "{end}");
        }
    }
}
