//! Many failures in one letter, for an address that would get too many letters.

use super::{
    Letterhead, MARK, Notification, compose,
    lines::{capitalized, clean, field, host, stopped, wrap},
    returned::Encoding,
    status,
};
use crate::mail::{BodyType, ForwardPath, QueueId, Reply, ReversePath, trace::Rfc5322Date};
use std::time::SystemTime;

/// Failures between two instants.
#[derive(Debug, Clone)]
pub struct Digest {
    /// From whom to whom.
    pub letterhead: Letterhead,
    /// When the first of them failed, or the last digest was written.
    pub since: SystemTime,
    /// Up to when.
    pub until: SystemTime,
    /// Those that are listed.
    pub entries: Vec<DigestEntry>,
    /// How many more there were.
    pub more: usize,
}

/// A failure in a list.
#[derive(Debug, Clone)]
pub struct DigestEntry {
    /// The message.
    pub queue_id: QueueId,
    /// Who sent it.
    pub from: ReversePath,
    /// Who did not get it.
    pub recipient: ForwardPath,
    /// When it failed.
    pub when: SystemTime,
    /// A clause that says why, without capital and full stop.
    pub explanation: String,
    /// What the provider said.
    pub diagnostic: Option<Reply>,
}

impl Digest {
    /// Writes the letter; `None` where there is nothing to tell.
    pub fn compose(&self) -> Option<Notification> {
        let count = self.entries.len() + self.more;
        let subject = match count {
            0 => return None,
            1 => "A mail could not be delivered".to_owned(),
            _ => format!("{count} mails could not be delivered"),
        };
        let mut head = String::with_capacity(512);
        compose::letterhead(&mut head, &self.letterhead, &subject);
        field(&mut head, "Auto-Submitted", "auto-generated");
        field(&mut head, MARK, "digest");
        field(&mut head, "MIME-Version", "1.0");
        let part = compose::text_part(&self.text(&subject));
        field(&mut head, "Content-Type", part.content_type);
        if part.encoding != Encoding::SevenBit {
            field(&mut head, "Content-Transfer-Encoding", part.encoding.name());
        }
        let smtputf8 = !head.is_ascii();
        head.push_str("\r\n");
        let body = if smtputf8 { BodyType::EightBitMime } else { BodyType::SevenBit };
        Some(Notification { octets: [head.into_bytes(), part.octets].concat(), body, smtputf8 })
    }

    fn text(&self, subject: &str) -> String {
        let mut out = String::with_capacity(256 + 256 * self.entries.len());
        let (since, until) = (Rfc5322Date(self.since), Rfc5322Date(self.until));
        let opening = format!(
            "{subject} between {since} and {until}. They are listed in this one letter, so that not each of them comes \
             with a letter of its own."
        );
        wrap(&mut out, 0, &opening);
        for entry in &self.entries {
            out.push('\n');
            entry.write(&mut out);
        }
        if self.more > 0 {
            out.push('\n');
            wrap(&mut out, 0, &format!("{} more are not listed.", self.more));
        }
        out.push('\n');
        let hostname = host(&self.letterhead.hostname);
        let who = format!(
            "This was written by waxseal, the mail relay on {hostname}, which knows more of each queue id."
        );
        wrap(&mut out, 0, &who);
        out
    }
}

impl DigestEntry {
    fn write(&self, out: &mut String) {
        wrap(out, 0, &clean(&status::path(&self.recipient), 400));
        let from = match self.from.mailbox() {
            Some(mailbox) => format!(", from {}", clean(&mailbox.to_string(), 400)),
            None => String::new(),
        };
        wrap(out, 2, &format!("{}{from}, queue id {}", Rfc5322Date(self.when), self.queue_id));
        let why = capitalized(&stopped(&self.explanation));
        if !why.is_empty() {
            wrap(out, 2, &why);
        }
        if let Some(reply) = &self.diagnostic {
            wrap(out, 2, &clean(&reply.to_string(), 300));
        }
    }
}
