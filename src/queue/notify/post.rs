//! A notification is a message of ours: composed, committed, given to an account that can carry it.

use super::{Desk, letter};
use crate::{
    account::AccountId,
    history::Event,
    mail::{
        Envelope, ForwardPath, Mailbox, QueueId, ReversePath,
        notification::{Kind, Letterhead, Notification, Original},
    },
    meter::OWN,
    queue::{
        Queue, Receipt,
        entry::Received,
        item::Item,
        journal::Durability,
        notify::letter::time,
        read_back::{ReadBack, blocking},
        record,
        status::Status,
    },
};
use std::io;

impl Queue {
    /// A message that was taken, and as much of the beginning of its content as a notification of this kind can use.
    pub(super) async fn read_for(&self, kind: Kind, item: Item) -> io::Result<(ReadBack, Vec<u8>)> {
        let queue = self.clone();
        blocking(move || {
            let mut read = queue.read_back(&item)?;
            let source = queue.content_of(item.id, &mut read)?;
            let received = &read.received;
            let wanted = Original::octets_wanted(kind, received.envelope.dsn().ret, received.size);
            let octets = letter::beginning(&source, wanted)?;
            Ok((read, octets))
        })
        .await
    }

    /// Writes the status of a message that was taken, and gives the message back.
    pub(super) async fn give_back(
        &self,
        received: &Received,
        status: &Status,
        events: &[Event],
        durability: Durability,
    ) -> io::Result<()> {
        let telling = self.history().prepare(events);
        let octets = record::encode_status(received.id, status, events);
        let place = self.journal().append(octets, durability).await?;
        telling.tell();
        self.stand(received.id, received, status, place);
        Ok(())
    }

    /// Commits a notification; `None` where there was nothing to say.
    pub(super) async fn send(
        &self,
        desk: &Desk,
        own: &AccountId,
        to: &Mailbox,
        compose: impl FnOnce(Letterhead) -> Option<Notification>,
    ) -> io::Result<Option<QueueId>> {
        let account = self.carrier_of_notice(desk, own, to).unwrap_or_else(|| own.clone());
        let postmaster = || Mailbox::parse(&format!("MAILER-DAEMON@{}", desk.hostname)).ok();
        let from = self.state().lane(&account).address.clone().or_else(postmaster);
        let mut intake = self.begin();
        let letterhead = Letterhead {
            hostname: desk.hostname.to_string(),
            from: from.unwrap_or_else(|| to.clone()),
            to: to.clone(),
            id: intake.id(),
            date: time(self.now()),
        };
        let Some(Notification { octets, body, smtputf8 }) = compose(letterhead) else { return Ok(None) };
        let to = vec![ForwardPath::Mailbox(to.clone())];
        let envelope = Envelope::new(ReversePath::Null, to, body, smtputf8).map_err(io::Error::other)?;
        intake.write(&octets).await.map_err(io::Error::other)?;
        let carrier = account.clone();
        let receipt = Receipt { envelope, account, application: None };
        let id = intake.commit_notification(receipt).await.map_err(io::Error::other)?;
        self.meter().received(OWN, carrier.as_str(), self.now());
        Ok(Some(id))
    }

    /// The message's own account, or where its lane is held another one that serves the notified address; `None` where
    /// there is neither.
    pub(super) fn carrier_of_notice(&self, desk: &Desk, own: &AccountId, to: &Mailbox) -> Option<AccountId> {
        let works = |account: &AccountId| !self.state().lane(account).is_held();
        if works(own) {
            return Some(own.clone());
        }
        (desk.route)(&ReversePath::Mailbox(to.clone())).filter(works)
    }
}
