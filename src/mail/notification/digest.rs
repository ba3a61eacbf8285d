//! Many failures, or many delays, in one letter, for an address that would get too many letters.

use super::{
    Kind, Letterhead, MARK, Notification, compose,
    lines::{capitalized, clean, field, host, stopped, wrap},
    returned::Encoding,
    status,
};
use crate::mail::{BodyType, ForwardPath, QueueId, Reply, ReversePath, trace::Rfc5322Date};
use std::time::SystemTime;

/// What happened between two instants.
#[derive(Debug, Clone)]
pub struct Digest {
    /// From whom to whom.
    pub letterhead: Letterhead,
    /// What happened to all of them.
    pub kind: Kind,
    /// When the first of them was kept for this letter.
    pub since: SystemTime,
    /// Up to when.
    pub until: SystemTime,
    /// Those that are listed.
    pub entries: Vec<DigestEntry>,
    /// How many more there were.
    pub more: usize,
}

/// One recipient of one message in a list.
#[derive(Debug, Clone)]
pub struct DigestEntry {
    /// The message.
    pub queue_id: QueueId,
    /// Who sent it.
    pub from: ReversePath,
    /// Who did not get it, or has not so far.
    pub recipient: ForwardPath,
    /// When it was tried last.
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
        let (one, many) = match self.kind {
            Kind::Failed => ("A mail could not be delivered", "mails could not be delivered"),
            Kind::Delayed => ("A mail is late and still being tried", "mails are late and still being tried"),
            Kind::Relayed => ("A mail was handed on", "mails were handed on"),
        };
        let subject = match count {
            0 => return None,
            1 => one.to_owned(),
            _ => format!("{count} {many}"),
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
        let when = match self.kind {
            Kind::Failed | Kind::Relayed => format!("between {since} and {until}"),
            Kind::Delayed => format!("as was found between {since} and {until}"),
        };
        let opening = format!(
            "{subject} {when}. They are listed in this one letter, so that not each of them comes with a letter of \
             its own."
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
