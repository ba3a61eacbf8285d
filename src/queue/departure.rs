//! The last step of the path: that messages have left is written, and what they took is let go of. Those that leave
//! while the last ones are written go together.

use super::{Queue, item::Item, journal::Durability, record};
use crate::{
    failpoint::{self, Point},
    history::Event,
    mail::QueueId,
};
use std::{
    io, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

/// So many are written at once.
const TOGETHER: usize = 64;

/// A message that has left, and what happened.
pub(super) struct Departed {
    pub(super) id: QueueId,
    pub(super) events: Vec<Event>,
}

/// Messages that have left and are not written yet.
#[derive(Default)]
pub(super) struct Departures {
    gathered: Mutex<Gathered>,
}

#[derive(Default)]
struct Gathered {
    messages: Vec<Departed>,
    /// A task is writing, and looks for more when it has done.
    writing: bool,
}

impl Departures {
    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody has to begin writing.
    fn add(&self, departed: Departed) -> bool {
        let mut gathered = self.lock();
        gathered.messages.push(departed);
        !mem::replace(&mut gathered.writing, true)
    }

    /// What is to be written next; with `None` nobody writes any more.
    fn next(&self) -> Option<Vec<Departed>> {
        let mut gathered = self.lock();
        let count = gathered.messages.len().min(TOGETHER);
        gathered.writing = count > 0;
        (count > 0).then(|| match count == gathered.messages.len() {
            true => mem::take(&mut gathered.messages),
            false => gathered.messages.drain(..count).collect(),
        })
    }
}

impl Queue {
    /// Has it written that a message has left, behind the caller's back: its connection has better things to do.
    pub(super) fn depart(&self, departed: Departed) {
        if self.shared.departures.add(departed) {
            self.shared.lanes.tasks.spawn(self.clone().write_departures());
        }
    }

    async fn write_departures(self) {
        while let Some(messages) = self.shared.departures.next() {
            self.see_off(&messages).await;
        }
    }

    /// Writes that messages have left, and lets go of what they took.
    pub(super) async fn see_off(&self, messages: &[Departed]) {
        match self.write_departure(messages, Durability::Written).await {
            Ok(()) => {
                failpoint::reach(Point::DepartureWritten);
                self.discard(messages.iter().map(|departed| departed.id));
            }
            // They were delivered all the same. The next start will deliver them again, whole, so their content stays.
            Err(error) => {
                for Departed { id, events } in messages {
                    tracing::error!(target: "waxseal::queue", queue_id = %id, %error, "departure not written");
                    self.history().prepare(events).tell();
                    self.let_go(*id);
                }
            }
        }
    }

    /// Writes that messages have left, with what happened.
    pub(super) async fn write_departure(
        &self,
        messages: &[Departed],
        durability: Durability,
    ) -> io::Result<()> {
        let telling = self.history().prepare(messages.iter().flat_map(|departed| &departed.events));
        let mut octets = Vec::new();
        for Departed { id, events } in messages {
            octets.append(&mut record::encode_done(*id, events));
        }
        // Several records in a row count as one: nobody ever reads them back by their place.
        let place = self.journal().append(octets, durability).await?;
        telling.tell();
        self.state().appended(place);
        Ok(())
    }

    /// Takes messages out of the index and off the disk, once their departure is written.
    pub(super) fn discard(&self, messages: impl Iterator<Item = QueueId>) {
        for id in messages {
            if let Some(mirror) = self.mirror() {
                mirror.gone([id].into_iter());
            }
            if self.let_go(id).is_some_and(|item| item.has_file()) {
                self.journal().remove_file(self.content_path(id));
            }
        }
        self.remove_dead_segments();
    }

    /// Takes a message out of the index.
    fn let_go(&self, id: QueueId) -> Option<Item> {
        let (item, freed) = self.state().forget(id)?;
        self.shared.memory.fetch_sub(freed, Ordering::Relaxed);
        Some(item)
    }

    /// Removes segments in which nothing lives, once the history has what their records say.
    pub(super) fn remove_dead_segments(&self) {
        if self.mirror().is_some_and(|mirror| mirror.is_behind()) {
            return;
        }
        let dead = self.state().dead_segments();
        if dead.is_empty() {
            return;
        }
        let shared = Arc::downgrade(&self.shared);
        self.history().then(move || {
            // Where the queue is closed by then, its next start does it.
            let Some(shared) = shared.upgrade() else { return };
            shared.journal.remove_segments(dead);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_writes_and_takes_what_has_gathered_meanwhile() {
        let departures = Departures::default();
        let leave =
            |number| departures.add(Departed { id: QueueId::from_number(number), events: Vec::new() });
        assert!(leave(0), "somebody has to write");
        assert_eq!(departures.next().unwrap().len(), 1);
        for number in 0..=TOGETHER as u64 {
            assert!(!leave(number), "somebody does");
        }
        let counts = [(); 2].map(|()| departures.next().unwrap().len());
        assert_eq!(counts, [TOGETHER, 1]);
        assert!(departures.next().is_none());
        assert!(leave(0));
    }
}
