//! What an operator sees of the queue and does to it.

use super::{
    Queue,
    entry::Received,
    item::{Item, Phase},
    journal::{Durability, Place},
    lane::{Cause, Lane, Tally},
    read_back::{ReadBack, blocking},
    record,
    schedule::Millis,
    state::State,
    status::{RecipientStatus, Status},
    told,
};
use crate::{account::AccountId, history::What, mail::QueueId};
use std::{collections::BTreeMap, sync::atomic::Ordering};

/// Who did it, in the history.
const BY_OPERATOR: &str = "by an operator";

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
    /// Its messages by state.
    pub tally: Tally,
    /// What the provider taught beyond the configured pace, in words.
    pub learned: Option<String>,
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
        Phase::Waiting if item.tried => "deferred",
        Phase::Waiting => "queued",
    }
}

impl Queue {
    /// The messages from the oldest on, of one account where `account` is given, at most `most`. Costs what they cost,
    /// however many others there are. Blocks on the disk.
    pub fn list(&self, account: Option<&AccountId>, most: usize) -> Vec<Listed> {
        let ids: Vec<QueueId> = of_account(&self.state(), account).take(most).collect();
        ids.into_iter().filter_map(|id| self.show(id).ok()).collect()
    }

    /// The ids of the messages, the oldest first, of one account where `account` is given.
    pub fn ids(&self, account: Option<&AccountId>) -> Vec<QueueId> {
        of_account(&self.state(), account).collect()
    }

    /// The account that carries a message.
    pub fn account_of(&self, id: QueueId) -> Option<AccountId> {
        let state = self.state();
        state.item(id).map(|item| state.lane_at(item.lane).account.clone())
    }

    /// How many messages are in each state.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut sum = Tally::default();
        for lane in self.state().lanes() {
            let tally = shown(lane);
            sum.queued += tally.queued;
            sum.deferred += tally.deferred;
            sum.active += tally.active;
            sum.held += tally.held;
            sum.failed += tally.failed;
        }
        BTreeMap::from([
            ("active", sum.active),
            ("deferred", sum.deferred),
            ("failed", sum.failed),
            ("held", sum.held),
            ("queued", sum.queued),
        ])
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
            let state = self.state();
            let item = *state.item(id).ok_or(OperatorError::Unknown(id))?;
            let lane = state.lane_at(item.lane);
            (item, lane.is_held(), (lane.account.clone(), lane.trouble.clone()))
        };
        let (account, trouble) = trouble;
        let mut listed = Listed {
            id,
            state: state_of(&item, paused),
            account,
            from: String::new(),
            to: Vec::new(),
            size: item.size,
            received_at: id.unix_millis(),
            next_attempt_at: (item.phase == Phase::Waiting).then_some(item.at),
            attempts: 0,
            last_reply: String::new(),
        };
        match self.read_back(&item) {
            Ok(ReadBack { received, status, .. }) => {
                listed.from = received.envelope.reverse_path().to_string();
                let paths = received.envelope.forward_paths().iter().zip(&status.recipients);
                let wanted = paths.filter(|(_, r)| r.status != RecipientStatus::Delivered);
                listed.to = wanted.map(|(path, _)| path.to_string()).collect();
                listed.received_at = received.received_at;
                listed.attempts = status.attempts;
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
        let mut views: Vec<LaneView> = state
            .lanes()
            .iter()
            .map(|lane| LaneView {
                account: lane.account.clone(),
                tally: shown(lane),
                learned: lane.pacing.and_then(|pacing| lane.pace.learned(&pacing)),
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
        self.change(id, What::Retried, |_, status, now| {
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
        self.change(id, What::Held, |_, status, _| status.held = true).await
    }

    /// Lets a held message go, through the account that `route` gives for it now; where it gives none, through the one
    /// that it is with.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn release(
        &self,
        id: QueueId,
        route: impl FnOnce(&Received) -> Option<AccountId>,
    ) -> Result<(), OperatorError> {
        self.change(id, What::Released, |received, status, now| {
            status.held = false;
            status.next_attempt_at = now;
            if let Some(account) = route(received) {
                status.account = Some(account).filter(|account| *account != received.account);
            }
        })
        .await
    }

    /// Takes a message out of the queue for good.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn remove(&self, id: QueueId) -> Result<(), OperatorError> {
        let item = self.take(id)?;
        let account = self.state().lane_at(item.lane).account.clone();
        let event = told::done_to(id, &account, What::Removed, BY_OPERATOR, self.now());
        match self.write_departure(id, &[event], Durability::Synced).await {
            Ok(()) => {
                self.discard(id);
                tracing::info!(target: "waxseal::queue", queue_id = %id, "removed by an operator");
                Ok(())
            }
            Err(error) => {
                self.put(id, item.phase);
                Err(error.into())
            }
        }
    }

    /// Claims a message for an operator: nobody sends it meanwhile.
    pub(super) fn take(&self, id: QueueId) -> Result<Item, OperatorError> {
        let mut state = self.state();
        if state.item(id).is_none() {
            return Err(OperatorError::Unknown(id));
        }
        let (item, freed) = state.withdraw(id).ok_or(OperatorError::Active(id))?;
        self.shared.memory.fetch_sub(freed, Ordering::Relaxed);
        Ok(item)
    }

    /// Gives a message back in the phase it is in from now on.
    pub(super) fn put(&self, id: QueueId, phase: Phase) {
        let mut state = self.state();
        if phase == Phase::Waiting {
            state.enqueue(id);
        } else {
            state.change(id, |item| item.phase = phase);
        }
        let account = state.item(id).map(|item| state.lane_at(item.lane).account.clone());
        drop(state);
        if let Some(account) = account {
            self.shared.lanes.wake(&account);
        }
    }

    async fn change(
        &self,
        id: QueueId,
        what: What,
        change: impl FnOnce(&Received, &mut Status, Millis),
    ) -> Result<(), OperatorError> {
        let item = self.take(id)?;
        let written = async {
            let queue = self.clone();
            let ReadBack { received, mut status, .. } = blocking(move || queue.read_back(&item)).await?;
            let now = self.now();
            change(&received, &mut status, now);
            let account = status.account.as_ref().unwrap_or(&received.account);
            let events = [told::done_to(id, account, what, BY_OPERATOR, now)];
            let telling = self.history().prepare(&events);
            let octets = record::encode_status(id, &status, &events);
            let place = self.journal().append(octets, Durability::Synced).await?;
            telling.tell();
            Ok::<_, std::io::Error>((received, status, place))
        }
        .await;
        match written {
            Ok((received, status, place)) => {
                self.stand(id, &received, &status, place);
                Ok(())
            }
            Err(error) => {
                self.put(id, item.phase);
                Err(error.into())
            }
        }
    }

    /// Gives a claimed message back as its new status, written at `place`, says.
    pub(super) fn stand(&self, id: QueueId, received: &Received, status: &Status, place: Place) {
        let mut state = self.state();
        state.appended(place);
        state.restatus(id, place);
        let lane = state.lane_number(status.account.as_ref().unwrap_or(&received.account));
        state.change(id, |item| item.stand(status, Some(lane)));
        if status.is_untold() {
            state.untold.insert(id);
        } else {
            state.untold.remove(&id);
        }
        let phase = state.item(id).map(|item| item.phase);
        drop(state);
        match phase {
            // What is neither held nor failed goes back to its lane.
            Some(Phase::Active) => self.put(id, Phase::Waiting),
            Some(phase) => self.put(id, phase),
            None => {}
        }
    }
}

fn of_account<'a>(state: &'a State, account: Option<&'a AccountId>) -> impl Iterator<Item = QueueId> + 'a {
    let wanted = move |item: &&Item| account.is_none_or(|id| state.lane_at(item.lane).account == *id);
    state.items().filter(wanted).map(|item| item.id)
}

/// The tally of a lane as an operator sees it: what waits in a held lane is held.
fn shown(lane: &Lane) -> Tally {
    let mut tally = lane.tally;
    if lane.is_held() {
        tally.held += tally.queued + tally.deferred;
        (tally.queued, tally.deferred) = (0, 0);
    }
    tally
}

/// What of an account's mail waits to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneBacklog {
    /// The account.
    pub account: AccountId,
    /// How many messages wait or are under way; at least 1.
    pub messages: usize,
    /// About when the oldest of them came.
    pub oldest: Millis,
    /// When one was delivered last, since the start.
    pub last_success_at: Option<Millis>,
    /// Whether the account's pacing allows nothing more for a minute or longer.
    pub paced: bool,
}

impl Queue {
    /// What waits, by account; mail that failed, or that an operator holds, is not counted.
    pub fn backlogs(&self) -> Vec<LaneBacklog> {
        let now = self.now();
        let mut state = self.state();
        let waits = |lane: &Lane| lane.tally.queued + lane.tally.deferred + lane.tally.active;
        let lanes = state.lanes().iter().filter(|lane| waits(lane) > 0).count();
        let mut oldest = BTreeMap::new();
        for item in state.items().filter(|item| matches!(item.phase, Phase::Waiting | Phase::Active)) {
            let account = &state.lane_at(item.lane).account;
            if !oldest.contains_key(account) {
                oldest.insert(account.clone(), item.id.unix_millis());
                // As a rule the first few messages are enough.
                if oldest.len() >= lanes {
                    break;
                }
            }
        }
        let backlog = |lane: &mut Lane| {
            let until = lane.pacing.and_then(|pacing| lane.pace.ask(&pacing, now).err());
            Some(LaneBacklog {
                account: lane.account.clone(),
                messages: waits(lane),
                oldest: *oldest.get(&lane.account)?,
                last_success_at: lane.last_success_at,
                paced: until.is_some_and(|until| until >= now + 60_000),
            })
        };
        state.lanes_mut().iter_mut().filter_map(backlog).collect()
    }

    /// Octets that are free on the queue's disk; `u64::MAX` where the system does not say.
    pub fn free_octets(&self) -> u64 {
        self.shared.space.free()
    }
}
