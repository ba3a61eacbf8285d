//! Keeping the journal small: records that are still needed move to its head, and segments go.

use super::{
    Queue,
    journal::{Durability, Place, SegmentNumber},
    schedule::Millis,
    state::{Item, Phase},
};
use crate::mail::QueueId;
use std::time::Duration;

/// So much may be dead before anything is moved.
const SLACK: u64 = 64 << 20;

impl Queue {
    /// Removes failed messages older than `keep_failed`, and moves records out of mostly dead segments. Call it every
    /// minute or so.
    pub async fn keep_house(&self) {
        for id in self.outlived(self.now()) {
            self.clone().depart(id).await;
        }
        self.compact(SLACK).await;
    }

    fn outlived(&self, now: Millis) -> Vec<QueueId> {
        let settings = self.shared.settings.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let keep: Duration = settings.0.keep_failed;
        drop(settings);
        let limit = now.saturating_sub(keep.as_millis() as u64);
        let state = self.state();
        let failed =
            state.items.iter().filter(|(_, item)| item.phase == Phase::Failed && item.failed_at < limit);
        failed.map(|(id, _)| *id).collect()
    }

    pub(super) async fn compact(&self, slack: u64) {
        // Bound to what is there now: what comes meanwhile is for the next time.
        let mut last = None;
        loop {
            let sparse = self.state().sparse_segment(slack);
            let Some(segment) = sparse else { return };
            if last == Some(segment) {
                return; // Active messages live in it still.
            }
            last = Some(segment);
            for id in self.movable(segment) {
                if !self.move_records(id).await {
                    return;
                }
            }
            self.remove_dead_segments();
        }
    }

    fn movable(&self, segment: SegmentNumber) -> Vec<QueueId> {
        let within = |item: &Item| {
            item.received.segment == segment || item.status.is_some_and(|s| s.segment == segment)
        };
        let state = self.state();
        state
            .items
            .iter()
            .filter(|(_, item)| within(item) && item.phase != Phase::Active)
            .map(|(id, _)| *id)
            .collect()
    }

    /// Copies a message's records to the head. The message is active meanwhile, so that nobody sends or removes it: a
    /// copied receipt must never follow the record of its departure.
    async fn move_records(&self, id: QueueId) -> bool {
        let (item, before) = {
            let mut state = self.state();
            let Some(item) = state.items.get_mut(&id) else { return true };
            if item.phase == Phase::Active {
                return true;
            }
            let before = std::mem::replace(&mut item.phase, Phase::Active);
            let item = item.clone();
            if before == Phase::Waiting {
                let freed = state.lane(&item.account).remove(item.next_attempt_at, id);
                self.shared.memory.fetch_sub(freed, std::sync::atomic::Ordering::Relaxed);
            }
            (item, before)
        };
        let received = self.copy(item.received).await;
        let status = match item.status {
            Some(place) => self.copy(place).await.map(Some),
            None => Ok(None),
        };
        let mut state = self.state();
        let moved = match (received, status) {
            (Ok(received), Ok(status)) => {
                for place in [Some(received), status].into_iter().flatten() {
                    state.appended(place);
                    state.occupy(place);
                }
                for place in [Some(item.received), item.status].into_iter().flatten() {
                    state.vacate(place);
                }
                if let Some(item) = state.items.get_mut(&id) {
                    item.received = received;
                    item.status = status;
                }
                true
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(target: "waxseal::queue", queue_id = %id, %error, "journal records not moved");
                false
            }
        };
        if let Some(current) = state.items.get_mut(&id) {
            current.phase = before;
        }
        if before == Phase::Waiting {
            state.lane(&item.account).push_due(item.next_attempt_at, id);
        }
        drop(state);
        self.shared.lanes.wake(&item.account);
        moved
    }

    async fn copy(&self, place: Place) -> std::io::Result<Place> {
        let queue = self.clone();
        let octets = tokio::task::spawn_blocking(move || queue.journal().read_raw(place)).await;
        self.journal()
            .append(octets.unwrap_or_else(|e| Err(std::io::Error::other(e)))?, Durability::Synced)
            .await
    }
}
