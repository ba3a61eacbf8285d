//! Notifications: failed recipients whose senders have not been told, told once.
//!
//! A failure is written with its status record as untold; so a crash at any moment leaves it to be told after the next
//! start. The notification is committed first and the mark after it: a crash between the two tells twice, never not.

mod budget;
mod policy;

use super::{
    Queue, Receipt,
    entry::Received,
    journal::Durability,
    read_back::{ReadBack, blocking},
    record,
    schedule::Millis,
    status::{RecipientStatus, Status},
    told,
};
use crate::{
    account::AccountId,
    history::{Event, What},
    mail::{
        ContentSource, Envelope, ForwardPath, Mailbox, QueueId, ReversePath,
        notification::{
            Action, Digest, DigestEntry, Kind, Letterhead, Notification, Original, Report, ReportedRecipient,
            is_notifiable,
        },
    },
};
use budget::Budget;
use policy::Notice;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read as _},
    sync::{Arc, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How often untold failures are looked for.
const LOOK: Duration = Duration::from_millis(500);
/// Messages that one look takes up.
const AT_ONCE: usize = 100;
/// Failures that a digest lists.
const LISTED: usize = 100;

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

/// Failures to be told of together.
struct Together {
    to: Mailbox,
    account: AccountId,
    since: Millis,
    due: Millis,
    entries: Vec<DigestEntry>,
    messages: BTreeSet<QueueId>,
}

/// The notifier's memory.
#[derive(Default)]
struct Notifier {
    budget: Budget,
    digests: BTreeMap<String, Together>,
}

impl Queue {
    /// Sets who notifications come from and through which accounts they may go.
    pub fn set_desk(&self, desk: Desk) {
        *self.shared.desk.write().unwrap_or_else(PoisonError::into_inner) = Some(desk);
    }

    fn desk(&self) -> Option<Desk> {
        self.shared.desk.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nobody is to be told of failures that nobody wants to hear of.
    pub(super) fn settle_notices(&self, received: &Received, status: &mut Status) {
        if status.is_untold() && (received.notification || self.notices(received, status).is_empty()) {
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
                    }
                }
                () = stop.cancelled() => {}
            }
        }
    }

    async fn look(&self, desk: &Desk, notifier: &mut Notifier) {
        let kept: BTreeSet<QueueId> =
            notifier.digests.values().flat_map(|together| together.messages.iter().copied()).collect();
        let due: Vec<QueueId> = {
            let state = self.state();
            state.untold.iter().copied().filter(|id| !kept.contains(id)).take(AT_ONCE).collect()
        };
        for id in due {
            if let Err(error) = self.tell_of(desk, notifier, id).await {
                tracing::warn!(target: "waxseal::queue", queue_id = %id, %error, "notification not queued yet");
            }
        }
        let now = self.now();
        let ready: Vec<String> = notifier
            .digests
            .iter()
            .filter(|(_, together)| together.due <= now)
            .map(|(address, _)| address.clone())
            .collect();
        for address in ready {
            if let Some(together) = notifier.digests.remove(&address)
                && let Err(error) = self.send_digest(desk, &mut notifier.budget, together).await
            {
                // Its messages are untold still and are taken up again.
                tracing::warn!(target: "waxseal::queue", %error, "digest of failures not queued yet");
            }
        }
    }

    /// Tells of one message, or keeps it for a digest.
    async fn tell_of(&self, desk: &Desk, notifier: &mut Notifier, id: QueueId) -> io::Result<()> {
        // A message under way is looked at again when it has come back.
        let Ok(item) = self.take(id) else { return Ok(()) };
        let told = self.tell_of_taken(desk, notifier, id).await;
        match told {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.put(id, item.phase);
                Ok(())
            }
            Err(error) => {
                self.put(id, item.phase);
                Err(error)
            }
        }
    }

    /// Whether the message was given back with its failures marked as told.
    async fn tell_of_taken(&self, desk: &Desk, notifier: &mut Notifier, id: QueueId) -> io::Result<bool> {
        let Some(item) = self.state().item(id).copied() else { return Ok(true) };
        let queue = self.clone();
        let (read, source) = blocking(move || {
            let mut read = queue.read_back(&item)?;
            let source = queue.content_of(id, &mut read)?;
            Ok((read, source))
        })
        .await?;
        let ReadBack { received, mut status, .. } = read;
        let notices = self.notices(&received, &status);
        let ret = received.envelope.dsn().ret;
        let wanted = Original::octets_wanted(Kind::Failed, ret, received.size);
        let octets = blocking(move || beginning(&source, wanted)).await?;
        let account = status.account.clone().unwrap_or_else(|| received.account.clone());
        let (mut kept, mut events) = (false, Vec::new());
        if is_notifiable(received.envelope.reverse_path(), &octets) {
            for notice in notices {
                let now = self.now();
                let address = notice.to.to_string();
                if let Err(due) = notifier.budget.take(&address, now) {
                    keep(notifier, notice, &account, &received, &status, now, due);
                    kept = true;
                    continue;
                }
                let report = |letterhead| {
                    let original = Original {
                        octets: &octets,
                        size: received.size,
                        smtputf8: received.envelope.smtputf8(),
                    };
                    report(letterhead, &received, &status, &notice.recipients, original).compose()
                };
                let sent = self.send(desk, &account, &notice.to, report).await?;
                let explanation = sent.map(|sent| format!("as {sent}")).unwrap_or_default();
                let event = told::done_to(id, &account, What::Notified, &explanation, now);
                events.push(Event { to: vec![address], ..event });
            }
        }
        if kept {
            return Ok(false);
        }
        status.mark_told();
        let telling = self.history().prepare(&events);
        let octets = record::encode_status(id, &status, &events);
        let place = self.journal().append(octets, Durability::Synced).await?;
        telling.tell();
        self.stand(id, &received, &status, place);
        Ok(true)
    }

    async fn send_digest(&self, desk: &Desk, budget: &mut Budget, together: Together) -> io::Result<()> {
        let now = self.now();
        let Together { to, account, since, mut entries, messages, .. } = together;
        let _ = budget.take(&to.to_string(), now);
        let more = entries.len().saturating_sub(LISTED);
        entries.truncate(LISTED);
        let digest = |letterhead| {
            Digest { letterhead, since: time(since), until: time(now), entries: entries.clone(), more }
                .compose()
        };
        self.send(desk, &account, &to, digest).await?;
        for id in messages {
            if self.take(id).is_ok() {
                self.mark_told(id, &to).await?;
            }
        }
        Ok(())
    }

    async fn mark_told(&self, id: QueueId, to: &Mailbox) -> io::Result<()> {
        let Some(item) = self.state().item(id).copied() else { return Ok(()) };
        let marked = async {
            let queue = self.clone();
            let ReadBack { received, mut status, .. } = blocking(move || queue.read_back(&item)).await?;
            status.mark_told();
            let account = status.account.as_ref().unwrap_or(&received.account);
            let event = told::done_to(id, account, What::Notified, "in a digest", self.now());
            let events = [Event { to: vec![to.to_string()], ..event }];
            let telling = self.history().prepare(&events);
            let octets = record::encode_status(id, &status, &events);
            let place = self.journal().append(octets, Durability::Synced).await?;
            telling.tell();
            self.stand(id, &received, &status, place);
            Ok(())
        };
        let marked: io::Result<()> = marked.await;
        if marked.is_err() {
            self.put(id, super::state::Phase::Failed);
        }
        marked
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

fn time(at: Millis) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(at)
}

/// The first `wanted` octets of a content.
fn beginning(source: &ContentSource, wanted: u64) -> io::Result<Vec<u8>> {
    match source {
        ContentSource::Memory(content) => {
            let octets = content.octets();
            Ok(octets[..octets.len().min(wanted as usize)].to_vec())
        }
        ContentSource::File { path, .. } => {
            let mut octets = Vec::new();
            std::fs::File::open(path)?.take(wanted).read_to_end(&mut octets)?;
            Ok(octets)
        }
    }
}

fn report<'a>(
    letterhead: Letterhead,
    received: &Received,
    status: &Status,
    recipients: &[usize],
    original: Original<'a>,
) -> Report<'a> {
    Report {
        letterhead,
        queue_id: received.id,
        arrival: time(received.received_at),
        dsn: received.envelope.dsn().clone(),
        original,
        recipients: recipients.iter().filter_map(|index| reported(received, status, *index)).collect(),
    }
}

fn reported(received: &Received, status: &Status, index: usize) -> Option<ReportedRecipient> {
    let recipient = status.recipients.get(index)?;
    let said = recipient.said.as_deref();
    let host = |relay: &str| relay.rsplit_once(':').map_or(relay, |(host, _)| host).to_owned();
    Some(ReportedRecipient {
        final_recipient: received.envelope.forward_paths().get(index)?.clone(),
        orcpt: received.envelope.dsn_recipient(index).orcpt.clone(),
        action: if recipient.status == RecipientStatus::Expired { Action::Expired } else { Action::Failed },
        status: said.map_or(crate::mail::EnhancedCode(5, 0, 0), |said| said.status),
        remote_mta: said.map(|said| host(&said.relay)).filter(|host| !host.is_empty()),
        diagnostic: said.and_then(|said| said.reply.clone()),
        explanation: said.map_or_else(|| "it could not be delivered".into(), |said| said.explanation.clone()),
        remedy: said.map(|said| said.remedy.clone()).unwrap_or_default(),
        last_attempt: said.map(|said| time(said.at)),
    })
}

/// Keeps a notice for the digest to its address.
fn keep(
    notifier: &mut Notifier,
    notice: Notice,
    account: &AccountId,
    received: &Received,
    status: &Status,
    now: Millis,
    due: Millis,
) {
    let together = notifier.digests.entry(notice.to.to_string().to_ascii_lowercase()).or_insert(Together {
        to: notice.to,
        account: account.clone(),
        since: now,
        due,
        entries: Vec::new(),
        messages: BTreeSet::new(),
    });
    together.messages.insert(received.id);
    together.entries.extend(notice.recipients.iter().filter_map(|index| {
        let said = status.recipients.get(*index)?.said.as_deref();
        Some(DigestEntry {
            queue_id: received.id,
            from: received.envelope.reverse_path().clone(),
            recipient: received.envelope.forward_paths().get(*index)?.clone(),
            when: time(said.map_or(now, |said| said.at)),
            explanation: said.map(|said| said.explanation.clone()).unwrap_or_default(),
            diagnostic: said.and_then(|said| said.reply.clone()),
        })
    }));
}
