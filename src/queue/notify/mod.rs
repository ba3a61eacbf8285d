//! Notifications: failed recipients whose senders have not been told, told once.
//!
//! A failure is written with its status record as untold; so a crash at any moment leaves it to be told after the next
//! start. The notification is committed first and the mark after it: a crash between the two tells twice, never not.

mod budget;
mod digests;
mod letter;
mod policy;

use super::{
    Queue, Receipt,
    entry::Received,
    journal::Durability,
    read_back::{ReadBack, blocking},
    record,
    schedule::Millis,
    status::Status,
    told,
};
use crate::{
    account::AccountId,
    history::{Event, What},
    mail::{
        Envelope, ForwardPath, Mailbox, QueueId, ReversePath,
        notification::{Digest, Kind, Letterhead, Notification, Original, is_notifiable},
    },
};
use budget::Budget;
use digests::{Digests, Together};
use letter::time;
use policy::Notice;
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

/// How often untold failures are looked for.
const LOOK: Duration = Duration::from_millis(500);
/// Messages that one look takes up.
const AT_ONCE: usize = 100;
/// After a notification that could not be queued nothing is tried for so long,
const PAUSE: Millis = 30_000;
/// and its message not for so long: one that cannot be read must not keep the others from being told of.
const LATER: Millis = 600_000;

/// The account that serves a sender, where one does.
pub type RouteOf = Arc<dyn Fn(&ReversePath) -> Option<AccountId> + Send + Sync>;

/// What notifications need to know of the configuration.
#[derive(Clone)]
pub struct Desk {
    /// This host.
    pub hostname: Arc<str>,
    /// The account that serves a sender.
    pub route: RouteOf,
}

/// The notifier's memory.
#[derive(Default)]
struct Notifier {
    budget: Budget,
    digests: Digests,
    pause_until: Millis,
    later: BTreeMap<QueueId, Millis>,
}

impl Queue {
    /// Sets who notifications come from and through which accounts they may go.
    pub fn set_desk(&self, desk: Desk) {
        *self.shared.desk.write().unwrap_or_else(PoisonError::into_inner) = Some(desk);
    }

    fn desk(&self) -> Option<Desk> {
        self.shared.desk.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many failed messages wait to be told of in a digest.
    pub fn kept_back(&self) -> usize {
        self.shared.kept_back.load(Ordering::Relaxed)
    }

    /// Nobody is to be told of failures that nobody wants to hear of.
    pub(super) fn settle_notices(&self, received: &Received, status: &mut Status) {
        if status.is_untold() && self.notices(received, status).is_empty() {
            status.mark_told();
        }
    }

    fn notices(&self, received: &Received, status: &Status) -> Vec<Notice> {
        let settings = self.shared.settings.read().unwrap_or_else(PoisonError::into_inner);
        policy::failures(received, status, &settings.0)
    }

    /// Tells of failures as they come, until the shutdown.
    pub(super) async fn notify(self) {
        let stop = self.shared.lanes.stopping();
        let mut notifier = Notifier::default();
        while !stop.is_cancelled() {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {
                    if let Some(desk) = self.desk() {
                        self.look(&desk, &mut notifier).await;
                        self.shared.kept_back.store(notifier.digests.messages(), Ordering::Relaxed);
                    }
                }
                () = stop.cancelled() => {}
            }
        }
    }

    async fn look(&self, desk: &Desk, notifier: &mut Notifier) {
        let now = self.now();
        // A clock that was set back must not keep anybody from being told until it has caught up.
        if now < notifier.pause_until && notifier.pause_until - now <= PAUSE {
            return;
        }
        notifier.later.retain(|_, until| now < *until && *until - now <= LATER);
        let due: Vec<QueueId> = {
            let state = self.state();
            let due = state.untold.iter().copied();
            due.filter(|id| !notifier.digests.has(*id) && !notifier.later.contains_key(id))
                .take(AT_ONCE)
                .collect()
        };
        for id in due {
            if let Err(error) = self.tell_of(desk, notifier, id).await {
                tracing::warn!(target: "waxseal::queue", queue_id = %id, %error, "notification not queued yet");
                notifier.later.insert(id, now + LATER);
                notifier.pause_until = now + PAUSE;
                return;
            }
        }
        while let Some(together) = notifier.digests.take_due(now) {
            if let Err(error) = self.send_digest(desk, &mut notifier.budget, together).await {
                // Its messages are untold still and are taken up again.
                tracing::warn!(target: "waxseal::queue", %error, "digest of failures not queued yet");
                notifier.pause_until = now + PAUSE;
                return;
            }
        }
    }

    /// Tells of one message, or keeps it for a digest.
    async fn tell_of(&self, desk: &Desk, notifier: &mut Notifier, id: QueueId) -> io::Result<()> {
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
        let queue = self.clone();
        let (read, octets) = blocking(move || {
            let mut read = queue.read_back(&item)?;
            let source = queue.content_of(id, &mut read)?;
            let received = &read.received;
            let ret = received.envelope.dsn().ret;
            let wanted = Original::octets_wanted(Kind::Failed, ret, received.size);
            let octets = letter::beginning(&source, wanted)?;
            Ok((read, octets))
        })
        .await?;
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
                let entries = letter::digest_entries(&received, &status, &notice, now);
                notifier.digests.keep(notice, id, &account, entries, now, due);
                kept = true;
                continue;
            }
            let report =
                |letterhead| letter::report(letterhead, &received, &status, &notice, &octets).compose();
            let sent = self.send(desk, &account, &notice.to, report).await?;
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
        self.write_told(&received, &status, &events).await?;
        Ok(true)
    }

    async fn send_digest(&self, desk: &Desk, budget: &mut Budget, together: Together) -> io::Result<()> {
        let now = self.now();
        let Together { to, account, since, entries, more, messages, .. } = together;
        // Told of or not, the digest goes: it is what was kept back.
        let _ = budget.take(&to.to_string(), now);
        let digest =
            |letterhead| Digest { letterhead, since: time(since), until: time(now), entries, more }.compose();
        self.send(desk, &account, &to, digest).await?;
        for (id, recipients) in messages {
            let Ok(item) = self.take(id) else { continue };
            let queue = self.clone();
            let marked = match blocking(move || queue.read_back(&item)).await {
                Ok(read) => self.mark_told(read, &recipients, &to).await,
                Err(error) => Err(error),
            };
            if let Err(error) = marked {
                self.put(id, item.phase);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Marks the recipients that a digest told of; others may have failed since.
    async fn mark_told(&self, read: ReadBack, recipients: &[usize], to: &Mailbox) -> io::Result<()> {
        let ReadBack { received, mut status, .. } = read;
        for index in recipients {
            if let Some(recipient) = status.recipients.get_mut(*index) {
                recipient.told |= recipient.status.is_failed();
            }
        }
        let account = status.account.as_ref().unwrap_or(&received.account);
        let event = told::done_to(received.id, account, What::Notified, "in a digest", self.now());
        self.write_told(&received, &status, &[Event { to: vec![to.to_string()], ..event }]).await
    }

    /// Makes the status of a message that was taken durable, and gives the message back.
    async fn write_told(&self, received: &Received, status: &Status, events: &[Event]) -> io::Result<()> {
        let telling = self.history().prepare(events);
        let octets = record::encode_status(received.id, status, events);
        let place = self.journal().append(octets, Durability::Synced).await?;
        telling.tell();
        self.stand(received.id, received, status, place);
        Ok(())
    }

    /// Commits a notification; `None` where there was nothing to say.
    async fn send(
        &self,
        desk: &Desk,
        own: &AccountId,
        to: &Mailbox,
        compose: impl FnOnce(Letterhead) -> Option<Notification>,
    ) -> io::Result<Option<QueueId>> {
        let account = self.carrier_of_notice(desk, own, to);
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
        let receipt = Receipt { envelope, account, application: None };
        intake.commit_notification(receipt).await.map(Some).map_err(io::Error::other)
    }

    /// The message's own account, or where its lane is held another one that serves the notified address.
    fn carrier_of_notice(&self, desk: &Desk, own: &AccountId, to: &Mailbox) -> AccountId {
        let works = |account: &AccountId| !self.state().lane(account).is_held();
        if works(own) {
            return own.clone();
        }
        let other = (desk.route)(&ReversePath::Mailbox(to.clone()));
        other.filter(works).unwrap_or_else(|| own.clone())
    }
}
