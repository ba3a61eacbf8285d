//! Keeping the journal small: records that are still needed move to its head, and segments go.

use super::{
    Queue,
    departure::Departed,
    item::Phase,
    journal::{Durability, Place, SegmentNumber},
    read_back::blocking,
    schedule::Millis,
    told,
};
use crate::{history::What, mail::QueueId};
use std::{sync::atomic::Ordering, time::Duration};

impl Queue {
    /// Removes failed messages older than `keep_failed`, and moves records out of mostly dead segments. Call it every
    /// minute or so.
    pub async fn keep_house(&self) {
        let now = self.now();
        for id in self.outlived(now) {
            let Some(account) = self.account_of(id) else { continue };
            let event = told::done_to(id, &account, What::Removed, "failed, and kept for keep_failed", now);
            self.see_off(&[Departed { id, events: vec![event] }]).await;
        }
        // As much as a segment holds may be dead before anything is moved.
        self.compact(u64::from(self.shared.segment_size)).await;
    }

    fn outlived(&self, now: Millis) -> Vec<QueueId> {
        let settings = self.shared.settings.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let keep: Duration = settings.0.keep_failed;
        drop(settings);
        let limit = now.saturating_sub(keep.as_millis() as u64);
        self.state().failed_before(limit)
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
        let state = self.state();
        let within = state.items().filter(|item| item.is_in(segment) && item.phase != Phase::Active);
        within.map(|item| item.id).collect()
    }

    /// Copies a message's records to the head. The message is active meanwhile, so that nobody sends or removes it: a
    /// copied receipt must never follow the record of its departure.
    async fn move_records(&self, id: QueueId) -> bool {
        let Some((item, freed)) = self.state().withdraw(id) else { return true };
        self.shared.memory.fetch_sub(freed, Ordering::Relaxed);
        let received = self.copy(item.received).await;
        let status = match item.status {
            Place::NONE => Ok(Place::NONE),
            place => self.copy(place).await,
        };
        let mut state = self.state();
        let moved = match (received, status) {
            (Ok(received), Ok(status)) => {
                state.appended(received);
                state.appended(status);
                state.relocate(id, received, status);
                true
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(target: "waxseal::queue", queue_id = %id, %error, "journal records not moved");
                false
            }
        };
        if item.phase == Phase::Waiting {
            state.enqueue(id);
        } else {
            state.change(id, |current| current.phase = item.phase);
        }
        let account = state.lane_at(item.lane).account.clone();
        drop(state);
        self.shared.lanes.wake(&account);
        moved
    }

    async fn copy(&self, place: Place) -> std::io::Result<Place> {
        let queue = self.clone();
        let octets = blocking(move || queue.journal().read_raw(place)).await?;
        self.journal().append(octets, Durability::Synced).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        account::AccountId,
        config::QueueSettings,
        history::History,
        mail::{BodyType, Envelope, ForwardPath, ReversePath},
        queue::Receipt,
    };
    use std::path::Path;

    fn open(directory: &Path) -> Queue {
        let settings = QueueSettings { min_free: 0, ..QueueSettings::default() };
        let history = History::open(&directory.join("history"), Duration::from_secs(86_400)).unwrap();
        Queue::open(directory, settings, history).unwrap().0
    }

    async fn submit(queue: &Queue, content: &[u8]) -> QueueId {
        let mut intake = queue.begin();
        intake.write(content).await.unwrap();
        let from = ReversePath::parse("a@example.com").unwrap();
        let to = vec![ForwardPath::parse("b@example.org").unwrap()];
        let envelope = Envelope::new(from, to, BodyType::SevenBit, false).unwrap();
        let id = intake.id();
        intake.commit(Receipt { envelope, account: AccountId::new("x"), application: None }).await.unwrap();
        id
    }

    fn content(queue: &Queue, id: QueueId) -> Vec<u8> {
        let place = queue.state().item(id).unwrap().received;
        queue.journal().read(place).unwrap().1
    }

    fn segments(directory: &Path) -> Vec<String> {
        let names = std::fs::read_dir(directory.join("journal")).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What lives in a mostly dead segment moves, the segment goes, and nothing that left comes back.
    #[tokio::test]
    async fn moved_messages_survive_and_departed_ones_stay_away() {
        let directory = tempfile::tempdir().unwrap();
        let (kept, held, departed);
        {
            let queue = open(directory.path());
            kept = submit(&queue, b"kept\r\n").await;
            held = submit(&queue, b"held\r\n").await;
            queue.hold(held).await.unwrap();
            departed = submit(&queue, &b"gone with the wind\r\n".repeat(1000)).await;
        }
        {
            // A new start writes to a new segment: the departure lies in another one than the receipt.
            let queue = open(directory.path());
            queue.remove(departed).await.unwrap();
            let before = segments(directory.path());
            queue.compact(0).await;
            queue.history().sync().await;
            queue.journal().sync().await.unwrap();
            assert!(!segments(directory.path()).contains(&before[0]), "{before:?}");
            assert_eq!(
                (content(&queue, kept), content(&queue, held)),
                (b"kept\r\n".into(), b"held\r\n".into())
            );
        }
        let queue = open(directory.path());
        assert_eq!(queue.ids(None), [kept, held]);
        assert_eq!((content(&queue, kept), content(&queue, held)), (b"kept\r\n".into(), b"held\r\n".into()));
        assert_eq!(queue.show(held).unwrap().state, "held");
        assert_eq!(queue.state().item(held).unwrap().phase, Phase::Held);
        assert_eq!(queue.state().item(kept).unwrap().phase, Phase::Waiting);
    }

    #[tokio::test]
    async fn a_journal_that_is_mostly_alive_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        drop({
            let queue = open(directory.path());
            submit(&queue, b"x\r\n").await;
            queue
        });
        let queue = open(directory.path());
        let before = segments(directory.path());
        queue.compact(0).await;
        assert_eq!(segments(directory.path()), before);
    }
}
