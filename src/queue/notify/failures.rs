//! Failures: written as untold with their status record, told once, marked after it.

use super::{
    Notifier, letter,
    policy::{self, Notice},
};
use crate::{
    account::AccountId,
    history::{Event, What},
    mail::{
        Mailbox, QueueId,
        notification::{Kind, is_notifiable},
    },
    queue::{
        Queue, entry::Received, journal::Durability, notify::Desk, read_back::ReadBack, status::Status, told,
    },
    telemetry::{self, MailEvent},
};
use std::{io, sync::PoisonError};

/// Says so in the log.
fn bounced(received: &Received, account: &AccountId, to: usize, told: &str, notification: QueueId) {
    let (from, size) = (received.envelope.reverse_path(), received.size);
    let mail = MailEvent { queue_id: received.id, account, from, to, size };
    telemetry::bounced(&mail, told, notification);
}

impl Queue {
    /// Nobody is to be told of failures that nobody wants to hear of.
    pub(in crate::queue) fn settle_notices(&self, received: &Received, status: &mut Status) {
        if status.is_untold() && self.notices(received, status).is_empty() {
            status.mark_told();
        }
    }

    fn notices(&self, received: &Received, status: &Status) -> Vec<Notice> {
        let settings = self.shared.settings.read().unwrap_or_else(PoisonError::into_inner);
        policy::failures(received, status, &settings.0)
    }

    /// Tells of one message, or keeps it for a digest.
    pub(super) async fn tell_of(&self, desk: &Desk, notifier: &mut Notifier, id: QueueId) -> io::Result<()> {
        // A message under way is looked at again when it has come back.
        let Ok(item) = self.take(id) else { return Ok(()) };
        let told = self.tell_of_taken(desk, notifier, id).await;
        if !matches!(told, Ok(true)) {
            self.put(id, item.phase);
        }
        told.map(|_| ())
    }

    /// Whether the message was given back with its failures marked as told.
    async fn tell_of_taken(&self, desk: &Desk, notifier: &mut Notifier, id: QueueId) -> io::Result<bool> {
        let Some(item) = self.state().item(id).copied() else { return Ok(true) };
        let (read, octets) = self.read_for(Kind::Failed, item).await?;
        let ReadBack { received, mut status, .. } = read;
        let mut notices = self.notices(&received, &status);
        if !is_notifiable(received.envelope.reverse_path(), &octets) {
            notices.clear();
        }
        let account = status.account.clone().unwrap_or_else(|| received.account.clone());
        let (now, mut kept, mut events) = (self.now(), false, Vec::new());
        for notice in notices {
            let address = notice.to.to_string();
            if let Err(due) = notifier.budget.take(&address, now) {
                let entries = letter::digest_entries(&received, &status, &notice, (now, ""));
                let kept_of = notifier.digests.keep(Kind::Failed, notice.to, &account, entries, now, due);
                kept_of.insert(id, notice.recipients);
                kept = true;
                continue;
            }
            let report =
                |letterhead| letter::report(letterhead, &received, &status, &notice, &octets, None).compose();
            let sent = self.send(desk, &account, &notice.to, report).await?;
            if let Some(sent) = sent {
                bounced(&received, &account, notice.recipients.len(), &address, sent);
            }
            let explanation = sent.map(|sent| format!("as {sent}")).unwrap_or_default();
            let event = told::done_to(id, &account, What::Notified, &explanation, now);
            events.push(Event { to: vec![address], ..event });
        }
        if kept {
            // The digest marks it.
            self.history().prepare(&events).tell();
            return Ok(false);
        }
        status.mark_told();
        self.give_back(&received, &status, &events, Durability::Synced).await?;
        Ok(true)
    }

    /// Marks the recipients that a digest told of; others may have failed since.
    pub(super) async fn mark_told(
        &self,
        read: ReadBack,
        recipients: &[usize],
        to: &Mailbox,
        digest: Option<QueueId>,
    ) -> io::Result<()> {
        let ReadBack { received, mut status, .. } = read;
        for index in recipients {
            if let Some(recipient) = status.recipients.get_mut(*index) {
                recipient.told |= recipient.status.is_failed();
            }
        }
        let account = status.account.as_ref().unwrap_or(&received.account);
        if let Some(digest) = digest {
            bounced(&received, account, recipients.len(), &to.to_string(), digest);
        }
        let event = told::done_to(received.id, account, What::Notified, "in a digest", self.now());
        self.give_back(&received, &status, &[Event { to: vec![to.to_string()], ..event }], Durability::Synced)
            .await
    }
}
