//! Messages as operators see them: what the index knows, with what the disk has.

use super::OperatorError;
use crate::{
    account::AccountId,
    mail::QueueId,
    queue::{
        Queue,
        item::{Item, Phase},
        read_back::ReadBack,
        schedule::Millis,
        state::State,
        status::RecipientStatus,
    },
};
use std::io;

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

/// What the index knows of a message, taken out of it so that the disk is read without its lock.
pub(in crate::queue) struct Indexed {
    pub(in crate::queue) item: Item,
    account: AccountId,
    paused: bool,
    /// What stops its account.
    trouble: Option<String>,
}

impl Indexed {
    pub(in crate::queue) fn of(state: &State, id: QueueId) -> Result<Self, OperatorError> {
        let item = *state.item(id).ok_or(OperatorError::Unknown(id))?;
        let lane = state.lane_at(item.lane);
        let trouble = lane.trouble.as_ref().map(|(trouble, _)| trouble.clone());
        Ok(Self { item, account: lane.account.clone(), paused: lane.is_held(), trouble })
    }

    /// Without a daemon nobody knows how its account's lane stands.
    pub(in crate::queue) fn without_lane(self) -> Self {
        Self { paused: false, trouble: None, ..self }
    }

    /// The message with what the disk has of it; one that cannot be read is shown with what is known.
    pub(in crate::queue) fn with(self, read: io::Result<ReadBack>) -> Listed {
        let Self { item, account, paused, trouble } = self;
        let mut listed = Listed {
            id: item.id,
            state: state_of(&item, paused),
            account,
            from: String::new(),
            to: Vec::new(),
            size: item.size,
            received_at: item.id.unix_millis(),
            next_attempt_at: (item.phase == Phase::Waiting).then_some(item.at),
            attempts: 0,
            last_reply: String::new(),
        };
        match read {
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
            listed.last_reply = trouble.unwrap_or_default();
        }
        listed
    }
}

impl Queue {
    /// The messages from the oldest on, of one account where `account` is given, at most `most`. Costs what they cost,
    /// however many others there are. Blocks on the disk.
    pub fn list(&self, account: Option<&AccountId>, most: usize) -> Vec<Listed> {
        let ids: Vec<QueueId> = ids_of(&self.state(), account).take(most).collect();
        ids.into_iter().filter_map(|id| self.show(id).ok()).collect()
    }

    /// The ids of the messages, the oldest first, of one account where `account` is given.
    pub fn ids(&self, account: Option<&AccountId>) -> Vec<QueueId> {
        ids_of(&self.state(), account).collect()
    }

    /// The account that carries a message.
    pub fn account_of(&self, id: QueueId) -> Option<AccountId> {
        let state = self.state();
        state.item(id).map(|item| state.lane_at(item.lane).account.clone())
    }

    /// One message. Blocks on the disk.
    ///
    /// # Errors
    /// Where there is no such message. One that cannot be read is shown with what is known.
    pub fn show(&self, id: QueueId) -> Result<Listed, OperatorError> {
        let indexed = Indexed::of(&self.state(), id)?;
        let read = self.read_back(&indexed.item);
        Ok(indexed.with(read))
    }
}

/// The ids of the messages, the oldest first, of one account where `account` is given.
pub(in crate::queue) fn ids_of<'a>(
    state: &'a State,
    account: Option<&'a AccountId>,
) -> impl Iterator<Item = QueueId> + 'a {
    let wanted = move |item: &&Item| account.is_none_or(|id| state.lane_at(item.lane).account == *id);
    state.items().filter(wanted).map(|item| item.id)
}
