//! Notifications: senders are told of failures, and of delays, once; and of what was handed on, where they asked.
//!
//! A failure is written with its status record as untold; so a crash at any moment leaves it to be told after the next
//! start. The notification is committed first and the mark after it: a crash between the two tells twice, never not.

mod budget;
mod delays;
mod digests;
mod failures;
mod letter;
mod policy;
mod post;
mod relayed;

use super::{Queue, item::Phase, read_back::blocking, schedule::Millis};
use crate::{
    account::AccountId,
    mail::{
        QueueId, ReversePath,
        notification::{Digest, DigestEntry, Kind},
    },
};
use budget::Budget;
use digests::{Digests, Together};
use letter::time;
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

/// How often it is looked for something to tell of.
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
    /// When late messages are looked for next.
    next_sweep: Millis,
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

    /// Tells of failures and delays as they come, until the shutdown.
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
        let late = self.late(notifier, now);
        for (id, kind) in due.into_iter().map(|id| (id, Kind::Failed)).chain(late) {
            let told = match kind {
                Kind::Failed | Kind::Relayed => self.tell_of(desk, notifier, id).await,
                Kind::Delayed => self.warn_of(desk, notifier, id).await,
            };
            if let Err(error) = told {
                tracing::warn!(target: "waxseal::queue", queue_id = %id, %error, "notification not queued yet");
                notifier.later.insert(id, now + LATER);
                notifier.pause_until = now + PAUSE;
                return;
            }
        }
        while let Some(together) = notifier.digests.take_due(now) {
            if let Err(error) = self.send_digest(desk, &mut notifier.budget, together).await {
                // Failures are untold still and are taken up again.
                tracing::warn!(target: "waxseal::queue", %error, "digest not queued yet");
                notifier.pause_until = now + PAUSE;
                return;
            }
        }
    }

    async fn send_digest(&self, desk: &Desk, budget: &mut Budget, together: Together) -> io::Result<()> {
        let now = self.now();
        let Together { to, kind, account, since, mut entries, more, messages, .. } = together;
        if kind == Kind::Delayed {
            entries.retain(|entry| self.is_late_still(entry));
        }
        // Told of or not, the digest goes: it is what was kept back.
        let _ = budget.take(&to.to_string(), now);
        let digest = |letterhead| {
            Digest { letterhead, kind, since: time(since), until: time(now), entries, more }.compose()
        };
        let sent = self.send(desk, &account, &to, digest).await?;
        for (id, recipients) in messages {
            let Ok(item) = self.take(id) else { continue };
            let queue = self.clone();
            let marked = match blocking(move || queue.read_back(&item)).await {
                Ok(read) => self.mark_told(read, &recipients, &to, sent).await,
                Err(error) => Err(error),
            };
            if let Err(error) = marked {
                self.put(id, item.phase);
                return Err(error);
            }
        }
        Ok(())
    }

    /// What a digest of delays was to list may have been delivered, or have failed and be told of as such.
    fn is_late_still(&self, entry: &DigestEntry) -> bool {
        self.state().item(entry.queue_id).is_some_and(|item| item.phase != Phase::Failed)
    }
}
