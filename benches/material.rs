//! Messages that benches work on.

use bytes::Bytes;
use waxseal::{
    account::AccountId,
    mail::{BodyType, Envelope, ForwardPath, QueueId, ReversePath},
    queue::entry::Received,
};

/// A content of about so many octets: a header section and lines of text, one in ten with a dot at its start.
pub fn content(octets: usize) -> Vec<u8> {
    let mut content = b"From: app@example.com\r\nTo: customer@example.org\r\nSubject: order 4711\r\n\
        Date: Tue, 24 Nov 2026 10:20:00 +0000\r\nMessage-ID: <4711@app.example.com>\r\n\r\n"
        .to_vec();
    let mut line = 0;
    while content.len() < octets {
        if line % 10 == 0 {
            content.push(b'.');
        }
        content
            .extend_from_slice(b"the quick brown fox jumps over the lazy dog, and then it does so again\r\n");
        line += 1;
    }
    content
}

/// A message with this content, for one recipient.
pub fn received(number: u64, content: &Bytes) -> Received {
    Received {
        id: QueueId::from_number(number),
        received_at: 1_763_900_000_000,
        account: AccountId::new("support"),
        application: None,
        envelope: envelope(),
        size: content.len() as u64,
        message_id: Some("<4711@app.example.com>".into()),
        notification: false,
    }
}

/// Its envelope.
pub fn envelope() -> Envelope {
    let from = ReversePath::parse("app@example.com").unwrap();
    let to = vec![ForwardPath::parse("customer@example.org").unwrap()];
    Envelope::new(from, to, BodyType::EightBitMime, false).unwrap()
}
