//! Trace fields (RFC 5321 §4.4) and what a relay adds to a header section that lacks it (RFC 6409 §8).

mod date;
mod header;
mod heading;
mod local;
mod protocol;

pub use date::Rfc5322Date;
pub use header::HeaderScan;
pub use heading::{Headed, Heading};
pub use local::LocalTrace;
pub use protocol::Protocol;

use super::QueueId;
use std::{fmt::Write, time::SystemTime};

/// Everything that goes into the `Received` field.
#[derive(Debug)]
pub struct Trace<'a> {
    /// What the client called itself; whatever it was.
    pub client_name: &'a str,
    /// Who the client is: its address literal, `[192.0.2.1]`, `[IPv6:2001:db8::1]`, or a comment, `local uid 1000`.
    pub client: &'a str,
    /// This host.
    pub hostname: &'a str,
    /// How it came.
    pub protocol: Protocol,
    /// TLS version and cipher, `TLSv1.3 with cipher TLS_AES_256_GCM_SHA384`; `None` where it came in the clear.
    pub cipher: Option<&'a str>,
    /// The message.
    pub id: QueueId,
    /// When the message came.
    pub at: SystemTime,
}

impl Trace<'_> {
    /// The `Received` field, which goes before the first octet of the message.
    pub fn received(&self) -> String {
        let date = Rfc5322Date(self.at);
        let protocol = self.protocol.keyword();
        let secured = self.cipher.map_or_else(String::new, |cipher| format!("\r\n\t(using {cipher})"));
        format!(
            "Received: from {} ({}){secured}\r\n\tby {} (waxseal) with {protocol} id {};\r\n\t{date}\r\n",
            word(self.client_name),
            self.client,
            word(self.hostname),
            self.id,
        )
    }

    /// What goes behind the header section that `scan` has seen: `Date` and `Message-ID` where missing, then an empty
    /// line where there is no header section at all. Behind it and not before it, so that what has come of a header
    /// section need not be kept until its end.
    pub fn missing(&self, scan: &HeaderScan) -> String {
        lacking(scan, Rfc5322Date(self.at), self.id, &word(self.hostname))
    }
}

/// What a header section lacks.
fn lacking(scan: &HeaderScan, date: Rfc5322Date, id: QueueId, hostname: &str) -> String {
    let mut out = String::new();
    if !scan.has_date() {
        let _ = write!(out, "Date: {date}\r\n");
    }
    if !scan.has_message_id() {
        let _ = write!(out, "Message-ID: <{id}@{hostname}>\r\n");
    }
    if scan.needs_empty_line() {
        out.push_str("\r\n");
    }
    out
}

/// A client's own words, made fit for a header field: what is no part of a host name or address literal is `?`.
fn word(text: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() || ".-_:[]".contains(c) { c } else { '?' };
    let word: String = text.chars().take(255).map(clean).collect();
    if word.is_empty() { "unknown".to_owned() } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn trace(client_name: &str) -> Trace<'_> {
        Trace {
            client_name,
            client: "[127.0.0.1]",
            hostname: "relay.example.com",
            protocol: Protocol { esmtp: true, ..Protocol::default() },
            cipher: None,
            id: QueueId::from_number(7),
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_940_188),
        }
    }

    const DATE: &str = "Date: Sun, 23 Nov 2025 23:23:08 +0000\r\n";
    const MESSAGE_ID: &str = "Message-ID: <0000000000007@relay.example.com>\r\n";

    #[test]
    fn the_trace_field() {
        let wanted = "Received: from app ([127.0.0.1])\r\n\tby relay.example.com (waxseal) with ESMTP id \
            0000000000007;\r\n\tSun, 23 Nov 2025 23:23:08 +0000\r\n";
        assert_eq!(trace("app").received(), wanted);
    }

    #[test]
    fn only_what_is_missing_is_added() {
        let cases: &[(&str, &[&str])] = &[
            ("Date: x\r\nMessage-ID: y\r\n\r\n", &[]),
            ("date : x\r\nSubject: s\r\n\r\n", &[MESSAGE_ID]),
            ("MESSAGE-ID: y\r\n\r\nDate: in the body\r\n", &[DATE]),
            ("Subject: s\r\n Date: folded\r\n\r\n", &[DATE, MESSAGE_ID]),
            ("\r\nbody only\r\n", &[DATE, MESSAGE_ID]),
            ("no header at all\r\n", &[DATE, MESSAGE_ID, "\r\n"]),
            ("", &[DATE, MESSAGE_ID, "\r\n"]),
        ];
        for (content, wanted) in cases {
            let mut scan = HeaderScan::default();
            scan.advance(content.as_bytes());
            assert_eq!(trace("app").missing(&scan), wanted.concat(), "{content:?}");
        }
    }

    #[test]
    fn a_local_client_and_one_under_tls_are_told_of() {
        let trace = Trace {
            client_name: "app",
            client: "local uid 1000",
            hostname: "relay.example.com",
            protocol: Protocol { esmtp: true, secure: true, ..Protocol::default() },
            cipher: Some("TLSv1.3 with cipher TLS_AES_256_GCM_SHA384"),
            id: QueueId::from_number(7),
            at: SystemTime::UNIX_EPOCH,
        };
        let text = trace.received();
        let wanted = "Received: from app (local uid 1000)\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)\r\n\t\
                      by relay.example.com (waxseal) with ESMTPS id 0000000000007;\r\n";
        assert!(text.starts_with(wanted), "{text}");
    }

    #[test]
    fn the_clients_name_cannot_write_header_fields() {
        let text = trace("a\r\nBcc: x) (\u{fc}\0").received();
        assert!(text.starts_with("Received: from a??Bcc:?x????? ([127.0.0.1])\r\n"), "{text}");
        assert_eq!(text.lines().count(), 3);
        assert!(trace("").received().starts_with("Received: from unknown ([127.0.0.1])\r\n"));
        assert!(trace(&"x".repeat(5000)).received().lines().all(|line| line.len() < 998));
    }
}
