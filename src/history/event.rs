//! One event in a message's life, as a line of JSON. Pure.
//!
//! Keys are only ever added, and so are kinds of events: a reader passes over what it does not know. There is no
//! subject and no body in it.

use crate::mail::QueueId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum What {
    /// The message is on stable storage.
    Received,
    /// The provider took it for these recipients.
    Delivered,
    /// These recipients are tried again.
    Deferred,
    /// The provider refused these recipients for good.
    Failed,
    /// These recipients were tried until `expire`.
    Expired,
    /// An operator keeps it from being sent.
    Held,
    /// An operator let it go again.
    Released,
    /// An operator made it due.
    Retried,
    /// It left the queue without having been delivered to everybody.
    Removed,
    /// Somebody was sent a notification about it.
    Notified,
    /// What a later version writes.
    Other(String),
}

impl What {
    const NAMED: [(&str, Self); 10] = [
        ("received", Self::Received),
        ("delivered", Self::Delivered),
        ("deferred", Self::Deferred),
        ("failed", Self::Failed),
        ("expired", Self::Expired),
        ("held", Self::Held),
        ("released", Self::Released),
        ("retried", Self::Retried),
        ("removed", Self::Removed),
        ("notified", Self::Notified),
    ];

    /// The word for it in the history and on the screen.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(word) => word,
            named => Self::NAMED.iter().find(|(_, what)| what == named).map_or("", |(word, _)| word),
        }
    }
}

impl Serialize for What {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for What {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let named = Self::NAMED.iter().find(|(name, _)| *name == word);
        Ok(named.map_or(Self::Other(word), |(_, what)| what.clone()))
    }
}

/// One event. What an event has nothing to say about is empty or `None`, and not written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// The message.
    #[serde(with = "written_id")]
    pub id: QueueId,
    /// What happened.
    pub event: What,
    /// The account that carries the message.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub account: String,
    /// The reverse-path, empty for the null one: of a message that was received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The forward-paths that the event is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// Octets of content: of a message that was received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The name that the message has in its header section: of a message that was received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The application that the message came from, where it came from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// `host:port` of the server: of an attempt.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub relay: String,
    /// TLS version and suite, or `none`: of an attempt.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tls: String,
    /// The provider's own reply, on one line; empty where it gave none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reply: String,
    /// Our sentence about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub explanation: String,
    /// Milliseconds since receipt: of an attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Which transaction it was, counted from 1; `None` where none took place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
}

impl Event {
    /// An event that says no more than this.
    pub fn new(at: u64, id: QueueId, event: What) -> Self {
        Self {
            at,
            id,
            event,
            account: String::new(),
            from: None,
            to: Vec::new(),
            size: None,
            message_id: None,
            application: None,
            relay: String::new(),
            tls: String::new(),
            reply: String::new(),
            explanation: String::new(),
            delay_ms: None,
            attempt: None,
        }
    }

    /// Appends the event as a line.
    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        // Strings, numbers and lists always serialize, and a Vec takes every write.
        let _ = serde_json::to_writer(&mut *out, self);
        out.push(b'\n');
    }

    /// Reads a line; `None` where it is none of ours, or torn.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

/// The id of the message that a line of ours is about, as written, without reading the line.
pub(super) fn id_in(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"{\"at\":")?;
    let digits = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
    let rest = rest[digits..].strip_prefix(b",\"id\":\"")?;
    memchr::memchr(b'"', rest).map(|end| &rest[..end])
}

pub(super) mod written_id {
    use crate::mail::QueueId;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(id: &QueueId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<QueueId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event: &Event) -> String {
        let mut out = Vec::new();
        event.write_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_says_what_there_is_to_say() {
        let id = QueueId::new(1_763_900_000_000, 3);
        let mut event = Event::new(1_763_900_000_000, id, What::Received);
        assert_eq!(
            line(&event),
            format!("{{\"at\":1763900000000,\"id\":\"{id}\",\"event\":\"received\"}}\n")
        );
        event.from = Some(String::new());
        event.to = vec!["\"a b\"@example.org".into(), "b@bücher.example".into()];
        event.reply = "250 2.0.0 \"ok\"\\".into();
        let written = line(&event);
        assert_eq!(written.lines().count(), 1);
        assert_eq!(Event::read(written.as_bytes()), Some(event.clone()));
        assert_eq!(id_in(written.as_bytes()), Some(id.to_string().as_bytes()));
    }

    #[test]
    fn keys_and_kinds_of_later_versions_are_passed_over() {
        let id = QueueId::new(9, 9);
        let text = format!(r#"{{"mood":[1],"event":"sealed","id":"{id}","at":9,"to":["a@b"]}}"#);
        let event = Event::read(text.as_bytes()).unwrap();
        assert_eq!((event.event.as_str(), event.to), ("sealed", vec!["a@b".to_owned()]));
        assert_eq!(id_in(text.as_bytes()), None, "not in our order: it has to be read");
    }

    #[test]
    fn torn_lines_are_no_events() {
        let mut event = Event::new(1_763_900_000_000, QueueId::new(1, 1), What::Delivered);
        event.to = vec!["a@example.org".into()];
        let whole = line(&event);
        for end in 0..whole.len() - 1 {
            assert_eq!(Event::read(&whole.as_bytes()[..end]), None, "{end}");
        }
        assert_eq!(Event::read(&[0; 512]), None);
    }

    #[test]
    fn every_kind_has_a_word_of_its_own() {
        for (word, what) in What::NAMED {
            assert_eq!(what.as_str(), word);
            assert_eq!(serde_json::from_str::<What>(&format!("\"{word}\"")).unwrap(), what);
        }
    }
}
