//! What an operator does to messages, and sees of the queue: messages in `listing`, accounts in `lanes`.

mod lanes;
mod listing;

pub use lanes::{LaneBacklog, LaneView};
pub use listing::Listed;
pub(super) use listing::{Indexed, ids_of};

use super::{
    Queue,
    departure::Departed,
    entry::Received,
    item::{Item, Phase},
    journal::{Durability, Place},
    read_back::{ReadBack, blocking},
    record,
    schedule::Millis,
    status::Status,
    told,
};
use crate::{account::AccountId, history::What, mail::QueueId};
use std::sync::atomic::Ordering;

/// Who did it, in the history.
const BY_OPERATOR: &str = "by an operator";

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

impl Queue {
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
        match self.write_departure(&[Departed { id, events: vec![event] }], Durability::Synced).await {
            Ok(()) => {
                self.discard([id].into_iter());
                tracing::info!(target: "waxseal::queue", queue_id = %id, %account, "removed by an operator");
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
        self.mirror().iter().for_each(|mirror| mirror.status(id));
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
