//! Delays: who waits for a message that is late is warned once (RFC 5321 §4.5.4.1).

use super::{AT_ONCE, Desk, LATER, Notifier, letter, letter::Hindrance, policy};
use crate::{
    account::AccountId,
    history::{Event, What},
    mail::{
        QueueId,
        notification::{Kind, is_automatic, is_notifiable},
    },
    queue::{
        Queue,
        item::{Item, Phase},
        journal::Durability,
        read_back::ReadBack,
        schedule::Millis,
        told,
    },
};
use std::{io, sync::PoisonError};

/// A message is late when it has been here for so long.
const LATE: Millis = 4 * 3_600_000;
/// How often late messages are looked for: it takes a look at every message that is older.
const SWEEP: Millis = 60_000;

impl Queue {
    /// Late messages that have not been warned of, the oldest first; those under way are found by a later sweep.
    pub(super) fn late(&self, notifier: &mut Notifier, now: Millis) -> Vec<(QueueId, Kind)> {
        if now < notifier.next_sweep && notifier.next_sweep - now <= SWEEP {
            return Vec::new();
        }
        let due = |item: &&Item| {
            !item.is_warned() && item.phase == Phase::Waiting && !notifier.later.contains_key(&item.id)
        };
        let found: Vec<(QueueId, Kind)> = {
            let state = self.state();
            // Ids rise with time.
            let old = state.items().take_while(|item| item.id.unix_millis().saturating_add(LATE) <= now);
            old.filter(due).take(AT_ONCE).map(|item| (item.id, Kind::Delayed)).collect()
        };
        notifier.next_sweep = if found.len() == AT_ONCE { now } else { now + SWEEP };
        found
    }

    /// Warns of one message, or keeps it for a digest.
    pub(super) async fn warn_of(&self, desk: &Desk, notifier: &mut Notifier, id: QueueId) -> io::Result<()> {
        let Ok(item) = self.take(id) else { return Ok(()) };
        let warned = self.warn_of_taken(desk, notifier, item).await;
        if !matches!(warned, Ok(true)) {
            self.put(id, item.phase);
        }
        warned.map(|_| ())
    }

    /// Whether the message was given back, marked.
    async fn warn_of_taken(&self, desk: &Desk, notifier: &mut Notifier, item: Item) -> io::Result<bool> {
        let (id, now) = (item.id, self.now());
        let (ReadBack { received, mut status, .. }, octets) = self.read_for(Kind::Delayed, item).await?;
        let notices = {
            let settings = self.shared.settings.read().unwrap_or_else(PoisonError::into_inner);
            policy::delays(&received, &status, &settings.0, is_automatic(&octets))
        };
        if notices.is_empty() || !is_notifiable(received.envelope.reverse_path(), &octets) {
            // Nothing is written of it: the next start finds out again.
            self.state().change(id, Item::mark_warned);
            return Ok(false);
        }
        let account = status.account.clone().unwrap_or_else(|| received.account.clone());
        if notices.iter().any(|notice| self.carrier_of_notice(desk, &account, &notice.to).is_none()) {
            // The warning would wait as the message does.
            notifier.later.insert(id, now + LATER);
            return Ok(false);
        }
        let hindrance = self.hindrance(&account, received.received_at);
        let mut events = Vec::new();
        for notice in notices {
            let address = notice.to.to_string();
            if let Err(due) = notifier.budget.take(&address, now) {
                let otherwise = (received.received_at, hindrance.explanation.as_str());
                let entries = letter::digest_entries(&received, &status, &notice, otherwise);
                notifier.digests.keep(Kind::Delayed, notice.to, &account, entries, now, due);
                continue;
            }
            let report = |letterhead| {
                letter::report(letterhead, &received, &status, &notice, &octets, Some(&hindrance)).compose()
            };
            let sent = self.send(desk, &account, &notice.to, report).await?;
            let explanation = sent.map(|sent| format!("of the delay, as {sent}")).unwrap_or_default();
            let event = told::done_to(id, &account, What::Notified, &explanation, now);
            events.push(Event { to: vec![address], ..event });
        }
        status.warned = true;
        self.give_back(&received, &status, &events, Durability::Written).await?;
        Ok(true)
    }

    /// What keeps a message that no reply was given for, and how long it is tried.
    fn hindrance(&self, account: &AccountId, received_at: Millis) -> Hindrance {
        let trouble = self.state().lane(account).trouble.clone();
        let (explanation, remedy) =
            trouble.unwrap_or_else(|| ("it is still waiting for its turn".into(), String::new()));
        Hindrance { explanation, remedy, until: received_at.saturating_add(self.schedule().expire_millis()) }
    }
}
