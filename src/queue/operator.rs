//! What an operator sees of the queue and does to it.

use super::{
    Queue,
    brake::Cause,
    entry::{RecipientStatus, Status},
    journal::Durability,
    lane::Lane,
    read_back::{ReadBack, blocking},
    record,
    schedule::Millis,
    state::{Item, Phase},
};
use crate::{account::AccountId, mail::QueueId};
use std::collections::BTreeMap;

/// One message in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: QueueId,
    /// `queued`, `active`, `deferred`, `held` or `failed`.
    pub state: &'static str,
    /// Its account.
    pub account: AccountId,
    /// Its reverse-path, empty for the null one.
    pub from: String,
    /// The recipients that are outstanding, or failed where it has failed.
    pub to: Vec<String>,
    /// Octets of content.
    pub size: u64,
    /// When it came.
    pub received_at: Millis,
    /// When it is due; `None` where it is not.
    pub next_attempt_at: Option<Millis>,
    /// Transactions tried.
    pub attempts: u32,
    /// What was said last.
    pub last_reply: String,
}

/// How an account's lane stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneView {
    /// The account.
    pub account: AccountId,
    /// Messages in the queue, failed ones not counted.
    pub messages: usize,
    /// What stopped it, where something has.
    pub stopped: Option<&'static str>,
    /// The last trouble, while it lasts.
    pub trouble: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// When the last message was delivered, since the start.
    pub last_success_at: Option<Millis>,
}

/// Why an operator's wish was not done.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No such message.
    #[error("no message {0} in the queue")]
    Unknown(QueueId),
    /// A transaction is under way.
    #[error("message {0} is being sent just now; try again in a moment")]
    Active(QueueId),
    /// The disk refuses.
    #[error("the queue cannot be read or written: {0}")]
    Io(#[from] std::io::Error),
}

/// The state of a message as operators name it; `paused` is whether its lane is held.
fn state_of(item: &Item, paused: bool) -> &'static str {
    match item.phase {
        Phase::Active => "active",
        Phase::Failed => "failed",
        Phase::Held => "held",
        Phase::Waiting if paused => "held",
        Phase::Waiting if item.attempts > 0 => "deferred",
        Phase::Waiting => "queued",
    }
}

impl Queue {
    /// The messages from the oldest on, of one account where `account` is given, at most `most`. Blocks on the disk.
    pub fn list(&self, account: Option<&AccountId>, most: usize) -> Vec<Listed> {
        self.ids(account).into_iter().take(most).filter_map(|id| self.show(id).ok()).collect()
    }

    /// The ids of the messages, the oldest first, of one account where `account` is given.
    pub fn ids(&self, account: Option<&AccountId>) -> Vec<QueueId> {
        let state = self.state();
        let wanted = state.items.iter().filter(|(_, item)| account.is_none_or(|a| *a == item.account));
        let mut ids: Vec<QueueId> = wanted.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    /// The account that carries a message.
    pub fn account_of(&self, id: QueueId) -> Option<AccountId> {
        self.state().items.get(&id).map(|item| item.account.clone())
    }

    /// How many messages are in each state.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts =
            BTreeMap::from([("active", 0), ("deferred", 0), ("failed", 0), ("held", 0), ("queued", 0)]);
        let state = self.state();
        for item in state.items.values() {
            let paused = state.lanes.get(&item.account).is_none_or(Lane::is_held);
            *counts.entry(state_of(item, paused)).or_insert(0) += 1;
        }
        counts
    }

    /// Octets that the queue takes on disk.
    pub fn octets(&self) -> u64 {
        self.state().octets()
    }

    /// One message. Blocks on the disk.
    ///
    /// # Errors
    /// Where there is no such message. One that cannot be read is shown with what is known.
    pub fn show(&self, id: QueueId) -> Result<Listed, OperatorError> {
        let (item, paused, trouble) = {
            let mut state = self.state();
            let item = state.items.get(&id).cloned().ok_or(OperatorError::Unknown(id))?;
            let lane = state.lane(&item.account);
            (item, lane.is_held(), lane.trouble.clone())
        };
        let state = state_of(&item, paused);
        let mut listed = Listed {
            id,
            state,
            account: item.account.clone(),
            from: String::new(),
            to: Vec::new(),
            size: item.size,
            received_at: item.received_at,
            next_attempt_at: (item.phase == Phase::Waiting).then_some(item.next_attempt_at),
            attempts: item.attempts,
            last_reply: String::new(),
        };
        match self.read_back(&item) {
            Ok(ReadBack { received, status, .. }) => {
                listed.from = received.envelope.reverse_path().to_string();
                let paths = received.envelope.forward_paths().iter().zip(&status.recipients);
                let wanted = paths.filter(|(_, status)| **status != RecipientStatus::Delivered);
                listed.to = wanted.map(|(path, _)| path.to_string()).collect();
                listed.last_reply = status.last_reply;
            }
            Err(error) => listed.last_reply = format!("cannot be read: {error}"),
        }
        // Nothing has been said about the message itself: what stops its account is the news.
        if listed.last_reply.is_empty() && item.phase == Phase::Waiting {
            listed.last_reply = trouble.map(|(trouble, _)| trouble).unwrap_or_default();
        }
        Ok(listed)
    }

    /// How the lanes stand, in the order of their accounts.
    pub fn lanes(&self) -> Vec<LaneView> {
        let state = self.state();
        let mut counts = std::collections::HashMap::new();
        for item in state.items.values().filter(|item| item.phase != Phase::Failed) {
            *counts.entry(item.account.clone()).or_insert(0) += 1;
        }
        let mut views: Vec<LaneView> = state
            .lanes
            .iter()
            .map(|(account, lane)| LaneView {
                account: account.clone(),
                messages: counts.get(account).copied().unwrap_or(0),
                stopped: match lane.brake.cause() {
                    None => None,
                    Some(Cause::Pause) => Some("held"),
                    Some(Cause::BackOff) => Some("backing off"),
                    Some(Cause::Hold) => Some("quota"),
                },
                trouble: lane.trouble.as_ref().map(|(trouble, _)| trouble.clone()),
                remedy: lane.trouble.as_ref().map(|(_, remedy)| remedy.clone()).filter(|r| !r.is_empty()),
                last_success_at: lane.last_success_at,
            })
            .collect();
        views.sort_by(|a, b| a.account.cmp(&b.account));
        views
    }

    /// Makes a message due now; one that failed gets another chance at the recipients that failed.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn retry(&self, id: QueueId) -> Result<(), OperatorError> {
        self.change(id, |status, now| {
            if status.failed_at.is_some() {
                status.revive(now);
            }
            status.next_attempt_at = now;
        })
        .await
    }

    /// Keeps a message from being sent until it is released.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn hold(&self, id: QueueId) -> Result<(), OperatorError> {
        self.change(id, |status, _| status.held = true).await
    }

    /// Lets a held message go.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn release(&self, id: QueueId) -> Result<(), OperatorError> {
        self.change(id, |status, now| {
            status.held = false;
            status.next_attempt_at = now;
        })
        .await
    }

    /// Takes a message out of the queue for good.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn remove(&self, id: QueueId) -> Result<(), OperatorError> {
        let item = self.take(id)?;
        match self.journal().append(record::encode_done(id), Durability::Synced).await {
            Ok(place) => {
                self.state().appended(place);
                self.discard(id);
                tracing::info!(target: "waxseal::queue", queue_id = %id, account = %item.account, "removed by an operator");
                Ok(())
            }
            Err(error) => {
                self.put(id, item.phase);
                Err(error.into())
            }
        }
    }

    /// Claims a message for an operator: nobody sends it meanwhile.
    fn take(&self, id: QueueId) -> Result<Item, OperatorError> {
        let mut state = self.state();
        let item = state.items.get_mut(&id).ok_or(OperatorError::Unknown(id))?;
        if item.phase == Phase::Active {
            return Err(OperatorError::Active(id));
        }
        let taken = item.clone();
        item.phase = Phase::Active;
        if taken.phase == Phase::Waiting {
            let freed = state.lane(&taken.account).remove(taken.next_attempt_at, id);
            self.shared.memory.fetch_sub(freed, std::sync::atomic::Ordering::Relaxed);
        }
        Ok(taken)
    }

    /// Gives a message back in the phase it is in from now on.
    fn put(&self, id: QueueId, phase: Phase) {
        let mut state = self.state();
        let Some(item) = state.items.get_mut(&id) else { return };
        item.phase = phase;
        let (account, at) = (item.account.clone(), item.next_attempt_at);
        if phase == Phase::Waiting {
            state.lane(&account).push_due(at, id);
        }
        drop(state);
        self.shared.lanes.wake(&account);
    }

    async fn change(
        &self,
        id: QueueId,
        change: impl FnOnce(&mut Status, Millis),
    ) -> Result<(), OperatorError> {
        let item = self.take(id)?;
        let written = async {
            let (queue, read) = (self.clone(), item.clone());
            let mut status = blocking(move || queue.read_back(&read)).await?.status;
            change(&mut status, self.now());
            let octets = record::encode_status(id, &status);
            let place = self.journal().append(octets, Durability::Synced).await?;
            Ok::<_, std::io::Error>((status, place))
        }
        .await;
        match written {
            Ok((status, place)) => {
                let phase = match status.failed_at {
                    Some(_) => Phase::Failed,
                    None if status.held => Phase::Held,
                    None => Phase::Waiting,
                };
                {
                    let mut state = self.state();
                    state.restatus(id, place);
                    if let Some(item) = state.items.get_mut(&id) {
                        item.next_attempt_at = status.next_attempt_at;
                    }
                }
                self.put(id, phase);
                Ok(())
            }
            Err(error) => {
                self.put(id, item.phase);
                Err(error.into())
            }
        }
    }
}

/// What of an account's mail waits to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneBacklog {
    /// The account.
    pub account: AccountId,
    /// How many messages wait or are under way; at least 1.
    pub messages: usize,
    /// When the oldest of them came.
    pub oldest: Millis,
    /// When one was delivered last, since the start.
    pub last_success_at: Option<Millis>,
    /// Whether the account's pacing may be all that keeps its mail at present.
    pub paced: bool,
}

impl Queue {
    /// What waits, by account; mail that failed, or that an operator holds, is not counted.
    pub fn backlogs(&self) -> Vec<LaneBacklog> {
        let now = self.now();
        let state = self.state();
        let mut waiting: BTreeMap<&AccountId, (usize, Millis)> = BTreeMap::new();
        for item in state.items.values().filter(|item| matches!(item.phase, Phase::Waiting | Phase::Active)) {
            let (messages, oldest) = waiting.entry(&item.account).or_insert((0, item.received_at));
            *messages += 1;
            *oldest = item.received_at.min(*oldest);
        }
        let backlog = |(account, (messages, oldest)): (&AccountId, (usize, Millis))| {
            let lane = state.lanes.get(account);
            let last_success_at = lane.and_then(|lane| lane.last_success_at);
            // Within the rate's own time after a delivery nothing may be allowed to follow.
            let per =
                lane.and_then(|lane| lane.pacing?.rate_limit).map(|rate| rate.per.as_millis() as Millis);
            let paced = last_success_at.zip(per).is_some_and(|(at, per)| now < at.saturating_add(per));
            LaneBacklog { account: account.clone(), messages, oldest, last_success_at, paced }
        };
        waiting.into_iter().map(backlog).collect()
    }

    /// Octets that are free on the queue's disk; `u64::MAX` where the system does not say.
    pub fn free_octets(&self) -> u64 {
        self.shared.space.free()
    }
}
