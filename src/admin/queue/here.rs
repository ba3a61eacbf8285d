//! This node's part of the queue.

use super::parts::{Changed, Part};
use crate::{
    account::AccountId,
    admin::{
        protocol::{QueueChange, Request},
        service::Service,
        views::message,
    },
    config::Snapshot,
    mail::QueueId,
    queue::{OperatorError, Queue, entry::Received},
};
use std::{collections::BTreeSet, sync::Arc};
use tokio::task::JoinSet;

/// Messages that a command changes at once.
const CHANGES_AT_ONCE: usize = 256;

impl Service {
    /// Does what is asked of the queue to what is in this node's, and says what came of it.
    pub(super) async fn part_of_queue(&self, request: &Request) -> Part {
        match request {
            Request::QueueList { account, most } => {
                let (queue, most) = (self.queue.clone(), *most);
                let account = account.as_deref().map(AccountId::new);
                blocking(move || {
                    Part::Messages(queue.list(account.as_ref(), most).iter().map(message).collect())
                })
                .await
            }
            Request::QueueShow { id } => match id.parse::<QueueId>() {
                Err(error) => Part::Failed(format!("{id}: {error}")),
                Ok(id) => {
                    let queue = self.queue.clone();
                    blocking(move || Part::Messages(queue.show(id).iter().map(message).collect())).await
                }
            },
            Request::QueueChange { change, ids, account, all } => {
                let account = account.as_deref().map(AccountId::new);
                match self.change(*change, ids, account.as_ref(), *all).await {
                    Ok(changed) => Part::Changed(changed),
                    Err(why) => Part::Failed(why),
                }
            }
            Request::Trace { query, limit } => self.traces(query, *limit).await,
            _ => Part::Failed("that is not asked of the queue".to_owned()),
        }
    }

    async fn change(
        &self,
        change: QueueChange,
        ids: &[String],
        account: Option<&AccountId>,
        all: bool,
    ) -> Result<Changed, String> {
        let mut wanted = Vec::new();
        for id in ids {
            wanted.push(id.parse::<QueueId>().map_err(|error| format!("{id}: {error}"))?);
        }
        let of_many = all || account.is_some();
        if of_many {
            wanted.extend(self.queue.ids(account));
        }
        if matches!(change, QueueChange::Retry | QueueChange::Release) {
            let accounts: BTreeSet<AccountId> =
                wanted.iter().filter_map(|id| self.queue.account_of(*id)).collect();
            for account in accounts {
                self.tokens.ask_again(&account);
                self.queue.resume(&account);
            }
        }
        let mut changed = Changed::default();
        // Many at once share the disk's syncs.
        for some in wanted.chunks(CHANGES_AT_ONCE) {
            let mut changes = JoinSet::new();
            for id in some {
                changes.spawn(change_one(self.queue.clone(), self.live.get(), change, *id));
            }
            for result in changes.join_all().await {
                match result {
                    Ok(()) => changed.count += 1,
                    // Under way or gone by now: what was wished is happening.
                    Err(OperatorError::Active(_) | OperatorError::Unknown(_)) if of_many => {}
                    Err(OperatorError::Unknown(id)) => changed.unknown.push(id.to_string()),
                    Err(error) => changed.problems.push(error.to_string()),
                }
            }
        }
        Ok(changed)
    }
}

async fn change_one(
    queue: Queue,
    snapshot: Arc<Snapshot>,
    change: QueueChange,
    id: QueueId,
) -> Result<(), OperatorError> {
    match change {
        QueueChange::Retry => queue.retry(id).await,
        QueueChange::Hold => queue.hold(id).await,
        QueueChange::Remove => queue.remove(id).await,
        QueueChange::Release => {
            let route = |received: &Received| {
                // A notification goes through the account of the message that it tells of.
                if received.notification {
                    return None;
                }
                snapshot.route(received.application.as_ref(), received.envelope.reverse_path()).ok()
            };
            queue.release(id, route).await
        }
    }
}

/// Reads the disk beside the runtime.
pub(super) async fn blocking(work: impl FnOnce() -> Part + Send + 'static) -> Part {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Part::Failed(error.to_string()))
}
