//! The trace field of a message that came over no connection.

use super::{HeaderScan, Rfc5322Date, lacking, word};
use crate::mail::QueueId;
use std::time::SystemTime;

/// Everything that goes into the `Received` field of a message that a user of this host left in the spool.
#[derive(Debug)]
pub struct LocalTrace<'a> {
    /// The user's number, as the system knows it.
    pub uid: u32,
    /// This host.
    pub hostname: &'a str,
    /// The message.
    pub id: QueueId,
    /// When the message was taken from the spool.
    pub at: SystemTime,
}

impl LocalTrace<'_> {
    /// The `Received` field, which goes before the first octet of the message.
    pub fn received(&self) -> String {
        let (hostname, date) = (word(self.hostname), Rfc5322Date(self.at));
        format!(
            "Received: by {hostname} (waxseal, spooled by local uid {})\r\n\tid {};\r\n\t{date}\r\n",
            self.uid, self.id
        )
    }

    /// As [`Trace::missing`](super::Trace::missing).
    pub fn missing(&self, scan: &HeaderScan) -> String {
        lacking(scan, Rfc5322Date(self.at), self.id, &word(self.hostname))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_user_stands_in_it() {
        let mut scan = HeaderScan::default();
        scan.advance(b"Date: x\r\n\r\n");
        let trace = LocalTrace {
            uid: 1000,
            hostname: "relay.example.com",
            id: QueueId::from_number(7),
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_940_188),
        };
        let wanted = "Received: by relay.example.com (waxseal, spooled by local uid 1000)\r\n\tid 0000000000007;\r\n\t\
            Sun, 23 Nov 2025 23:23:08 +0000\r\n";
        assert_eq!(trace.received(), wanted);
        assert_eq!(trace.missing(&scan), "Message-ID: <0000000000007@relay.example.com>\r\n");
    }
}
