//! Failures, and delays, kept to be told of together, an address at a time. Pure.

use crate::{
    account::AccountId,
    mail::{
        Mailbox, QueueId,
        notification::{DigestEntry, Kind},
    },
    queue::schedule::Millis,
};
use std::collections::BTreeMap;

/// Recipients that a digest lists; of the others it says how many they are.
const LISTED: usize = 100;

/// What one digest will tell of.
#[derive(Debug)]
pub(super) struct Together {
    pub(super) to: Mailbox,
    pub(super) kind: Kind,
    /// The account of the first message.
    pub(super) account: AccountId,
    pub(super) since: Millis,
    due: Millis,
    pub(super) entries: Vec<DigestEntry>,
    pub(super) more: usize,
    /// The messages to mark when it has gone, with the recipients to tell of by their index in the envelope.
    pub(super) messages: BTreeMap<QueueId, Vec<usize>>,
}

/// All that is kept. It is in memory only: after a restart failures are untold as before, and taken up again; a warning
/// of a delay, which is up to us, is lost with it.
#[derive(Debug, Default)]
pub(super) struct Digests {
    by_address: BTreeMap<(String, Kind), Together>,
}

impl Digests {
    /// Keeps a notice about a message of this account until `due`, unless a digest to its address goes earlier.
    /// Returns what messages are to be marked when it has gone, for the caller to add to.
    pub(super) fn keep(
        &mut self,
        kind: Kind,
        to: Mailbox,
        account: &AccountId,
        entries: Vec<DigestEntry>,
        now: Millis,
        due: Millis,
    ) -> &mut BTreeMap<QueueId, Vec<usize>> {
        let address = to.to_string().to_ascii_lowercase();
        let together = self.by_address.entry((address, kind)).or_insert_with(|| Together {
            to,
            kind,
            account: account.clone(),
            since: now,
            due,
            entries: Vec::new(),
            more: 0,
            messages: BTreeMap::new(),
        });
        let room = LISTED.saturating_sub(together.entries.len());
        together.more += entries.len().saturating_sub(room);
        together.entries.extend(entries.into_iter().take(room));
        &mut together.messages
    }

    /// Whether a digest will tell that this message failed.
    pub(super) fn has(&self, id: QueueId) -> bool {
        self.by_address.values().any(|together| together.messages.contains_key(&id))
    }

    /// How many failed messages digests will tell of.
    pub(super) fn messages(&self) -> usize {
        self.by_address.values().map(|together| together.messages.len()).sum()
    }

    /// A digest whose time has come.
    pub(super) fn take_due(&mut self, now: Millis) -> Option<Together> {
        let due = self.by_address.iter().find(|(_, together)| together.due <= now);
        let key = due.map(|(key, _)| key.clone())?;
        self.by_address.remove(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{ForwardPath, ReversePath};
    use std::time::UNIX_EPOCH;

    #[test]
    fn what_is_kept_for_an_address_goes_together_and_a_flood_is_counted() {
        let mut digests = Digests::default();
        let account = AccountId::new("support");
        for n in 0..150 {
            let to = Mailbox::parse(if n % 3 == 0 { "A@x.example" } else { "a@x.example" }).unwrap();
            let entry = DigestEntry {
                queue_id: QueueId::from_number(n),
                from: ReversePath::Null,
                recipient: ForwardPath::Postmaster,
                when: UNIX_EPOCH,
                explanation: String::new(),
                diagnostic: None,
            };
            let kept = digests.keep(Kind::Failed, to.clone(), &account, vec![entry.clone()], n, 1_000 + n);
            kept.insert(QueueId::from_number(n), vec![0]);
            if n == 149 {
                digests.keep(Kind::Delayed, to, &account, vec![entry], n, 1_001);
            }
        }
        assert!(digests.has(QueueId::from_number(149)) && !digests.has(QueueId::from_number(150)));
        assert_eq!(digests.messages(), 150);
        assert!(digests.take_due(999).is_none());
        let together = digests.take_due(1_000).unwrap();
        assert_eq!((together.entries.len(), together.more, together.messages.len()), (100, 50, 150));
        assert_eq!(together.since, 0);
        let delays = digests.take_due(1_001).unwrap();
        assert_eq!((delays.kind, delays.entries.len(), delays.messages.len()), (Kind::Delayed, 1, 0));
        assert!(digests.take_due(9_999).is_none());
    }
}
