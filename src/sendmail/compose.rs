//! The header section that goes out: what the message lacks is added (RFC 6409 §8), `Bcc` is taken away, names of this
//! host are made addresses. Pure.

use super::header;
use crate::mail::header::has;
use crate::mail::{phrase, trace::Rfc5322Date};
use std::time::SystemTime;

/// Who writes, for a message without `From`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The address.
    pub address: String,
    /// The name; empty where none is known.
    pub name: String,
}

/// What a message gets where it has none.
#[derive(Debug)]
pub struct Defaults<'a> {
    /// For `From`.
    pub author: &'a Author,
    /// For names of this host, in any field.
    pub domain: &'a str,
    /// For `Date`: the instant of submission, which for a message that is spooled is not that of its delivery.
    pub date: SystemTime,
    /// For `Message-ID`, with its brackets. The same whichever way the message goes, so that who gets it twice can tell.
    pub message_id: &'a str,
}

/// The header section that goes out, with the empty line behind it. `section` is the one that came.
pub fn head(section: &[u8], defaults: &Defaults<'_>) -> Vec<u8> {
    let mut added = String::new();
    let mut add = |name: &str, value: String| {
        if !has(section, name) {
            added.push_str(&format!("{name}: {value}\r\n"));
        }
    };
    add("Date", Rfc5322Date(defaults.date).to_string());
    add("From", from(defaults.author));
    add("Message-ID", defaults.message_id.to_owned());
    let mut head = added.into_bytes();
    head.extend(header::for_others(section, defaults.domain));
    head.extend_from_slice(b"\r\n");
    head
}

fn from(author: &Author) -> String {
    let name = phrase(&author.name);
    if name.is_empty() { author.address.clone() } else { format!("{name} <{}>", author.address) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composed(section: &str, name: &str) -> String {
        let author = Author { address: "root@x.example".into(), name: name.into() };
        let date = SystemTime::UNIX_EPOCH;
        let defaults = Defaults { author: &author, domain: "x.example", date, message_id: "<1.2@x.example>" };
        String::from_utf8(head(section.as_bytes(), &defaults)).unwrap()
    }

    #[test]
    fn what_is_missing_is_added_and_what_is_there_stays() {
        let (date, id) = ("Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n", "Message-ID: <1.2@x.example>\r\n");
        let cases = [
            ("", "", format!("{date}From: root@x.example\r\n{id}\r\n")),
            (
                "Subject: s\r\n",
                "R. Oot",
                format!("{date}From: \"R. Oot\" <root@x.example>\r\n{id}Subject: s\r\n\r\n"),
            ),
            ("FROM: a@b\r\nmessage-id: x\r\n", "R", format!("{date}FROM: a@b\r\nmessage-id: x\r\n\r\n")),
            (
                "Date: x\r\nFrom: y\r\nMessage-ID: z\r\nBcc: b@c\r\n",
                "",
                "Date: x\r\nFrom: y@x.example\r\nMessage-ID: z\r\n\r\n".into(),
            ),
        ];
        for (section, name, wanted) in cases {
            assert_eq!(composed(section, name), wanted, "{section:?}");
        }
    }
}
