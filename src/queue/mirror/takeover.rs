//! Whose a message is: what this node finds out when it joins the others, and what it takes over from those that are gone.

use super::{
    Mirror,
    copies::{self, Original, Whose, fetch, fetch_chunk},
};
use crate::{
    database::{DatabaseError, Membership},
    history::What,
    mail::QueueId,
    queue::{
        OperatorError, Queue,
        departure::Departed,
        item::Item,
        journal::{Durability, Place},
        read_back::blocking,
        record::{self, ContentPlace, Record},
        told,
    },
};
use std::{io, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// Between two looks at what others have left.
const LOOK: Duration = Duration::from_secs(3);
/// Messages taken over at once.
const MOST: i32 = 50;
/// Messages asked about at once.
const AT_ONCE: usize = 1000;
/// Between two looks at the days' partitions.
const DAYS: Duration = Duration::from_secs(3600);

/// What a node finds out when it joins.
struct Found {
    /// It has them, and they are another's.
    lost: Vec<QueueId>,
    /// They are its own, and it does not have them.
    missing: Vec<QueueId>,
}

/// Why a message is not taken in.
enum Untaken {
    Database,
    Io(io::Error),
}

impl From<DatabaseError> for Untaken {
    fn from(_: DatabaseError) -> Self {
        Self::Database
    }
}

impl From<io::Error> for Untaken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Queue {
    /// Joins the other nodes whenever this one is new to them, and takes over what is left by those that are gone.
    pub(super) async fn stay_a_member(self, mirror: Arc<Mirror>) {
        let stop = self.shared.lanes.stopping();
        let mut membership = mirror.database.membership();
        let mut days = None::<Instant>;
        // What belongs to this node and could not be taken in: a full disk, mostly.
        let mut missing = Vec::new();
        // What is another's by now and is being sent here.
        let mut lost = Vec::new();
        loop {
            let stands = *membership.borrow_and_update();
            match stands {
                Membership::Out => {}
                Membership::Joining => {
                    if let Ok(found) = self.find_out_what_is_ours(&mirror).await {
                        lost = self.let_others_have(&mirror, found.lost).await;
                        missing = self.bring_in(&mirror, found.missing).await;
                        // Where it fails, the next sign of life says so.
                        let _ = mirror.database.joined().await;
                        mirror.wake.notify_one();
                    }
                }
                Membership::Ready => {
                    let again = std::mem::take(&mut lost);
                    lost = self.let_others_have(&mirror, again).await;
                    let again = std::mem::take(&mut missing);
                    missing = self.bring_in(&mirror, again).await;
                    if missing.is_empty() {
                        missing = self.take_over(&mirror).await;
                    }
                    if days.is_none_or(|looked| looked.elapsed() > DAYS) {
                        days = copies::keep_days(&mirror.database).await.is_ok().then(Instant::now);
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = membership.changed() => if changed.is_err() { return },
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Finds out which messages are another's, and which are this node's and not here; has those copied that have no copy.
    async fn find_out_what_is_ours(&self, mirror: &Mirror) -> Result<Found, DatabaseError> {
        let ids: Vec<(QueueId, bool)> =
            self.state().items().map(|item| (item.id, item.status != Place::NONE)).collect();
        let (mut lost, mut others) = (Vec::new(), Vec::new());
        for part in ids.chunks(AT_ONCE) {
            let asked: Vec<QueueId> = part.iter().map(|(id, _)| *id).collect();
            for (id, whose) in copies::whose(&mirror.database, &asked).await? {
                match whose {
                    Whose::Ours => {}
                    Whose::Nobodys => mirror.pending().kept(id),
                    Whose::Anothers(mark) => others.push((id, mark)),
                }
            }
            let mut pending = mirror.pending();
            part.iter().filter(|(_, has_status)| *has_status).for_each(|(id, _)| pending.status(*id));
        }
        for (id, mark) in others {
            // One that only has the id in common is not this one, which is here and nowhere else.
            let is_the_same = |original: Original| copies::mark(&original.receipt) == mark;
            if self.original(id).await.is_none_or(is_the_same) {
                lost.push(id);
            }
        }
        if !lost.is_empty() {
            tracing::warn!(
                target: "waxseal::queue", messages = lost.len(),
                "others have taken over messages of this node, which lets go of them"
            );
        }
        let owned = copies::owned(&mirror.database, mirror.begun).await?;
        let departed = mirror.departed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let departed = departed.unwrap_or_default();
        let (state, mut pending) = (self.state(), mirror.pending());
        let mut missing = Vec::new();
        for id in owned.into_iter().filter(|id| state.item(*id).is_none()) {
            if departed.contains(&id) {
                // It had left; only the copy was not told any more.
                pending.gone(id);
            } else if !pending.is_gone(id) {
                missing.push(id);
            }
        }
        Ok(Found { lost, missing })
    }

    /// Lets go of messages that are another node's; gives back those that are being sent just now, which nobody can call
    /// back.
    async fn let_others_have(&self, mirror: &Mirror, ids: Vec<QueueId>) -> Vec<QueueId> {
        let mut active = Vec::new();
        for id in &ids {
            let item = match self.take(*id) {
                Ok(item) => item,
                Err(OperatorError::Active(_)) => {
                    active.push(*id);
                    continue;
                }
                Err(_) => continue,
            };
            let account = self.state().lane_at(item.lane).account.clone();
            let event = told::done_to(*id, &account, What::Removed, told::ANOTHERS, self.now());
            let departed = [Departed { id: *id, events: vec![event] }];
            match self.write_departure(&departed, Durability::Written).await {
                Ok(()) => {
                    self.discard([*id].into_iter());
                    mirror.pending().forget(*id);
                }
                Err(_) => self.put(*id, item.phase),
            }
        }
        active
    }

    /// Takes over messages of nodes that are gone, until there are none; gives back those that could not be taken in.
    async fn take_over(&self, mirror: &Mirror) -> Vec<QueueId> {
        let mut count = 0;
        let missing = loop {
            let Ok(taken) = copies::take_over(&mirror.database, MOST).await else { break Vec::new() };
            let (all, found) = (taken.len() < MOST.unsigned_abs() as usize, taken.len());
            let missing = self.bring_in(mirror, taken).await;
            count += found - missing.len();
            if all || !missing.is_empty() || self.shared.lanes.stopping().is_cancelled() {
                break missing;
            }
        };
        if count > 0 {
            tracing::warn!(target: "waxseal::queue", messages = count, "messages of a node that is gone are taken over");
        }
        missing
    }

    /// Takes this node's messages in from their copies; gives back those that could not be.
    async fn bring_in(&self, mirror: &Mirror, ids: Vec<QueueId>) -> Vec<QueueId> {
        let mut missing = Vec::new();
        for id in ids {
            if self.state().item(id).is_some() {
                continue;
            }
            match self.bring_in_one(mirror, id).await {
                Ok(()) => {}
                Err(Untaken::Database) => missing.push(id),
                Err(Untaken::Io(error)) => {
                    tracing::error!(target: "waxseal::queue", queue_id = %id, %error, "message not taken over yet");
                    missing.push(id);
                }
            }
        }
        missing
    }

    async fn bring_in_one(&self, mirror: &Mirror, id: QueueId) -> Result<(), Untaken> {
        let Some(fetched) = fetch(&mirror.database, id).await? else { return Ok(()) };
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "its copy is damaged");
        let decode = |octets: &[u8]| record::decode(octets).map(|(record, ..)| record).map_err(|_| damaged());
        let Record::Received { received, content } = decode(&fetched.receipt)? else {
            return Err(damaged().into());
        };
        let status = match &fetched.status {
            None => None,
            Some(octets) => match decode(octets)? {
                Record::Status { status, .. } => Some(status),
                _ => return Err(damaged().into()),
            },
        };
        let has_file = content != ContentPlace::Record;
        if has_file {
            self.fetch_file(mirror, id, fetched.chunks).await?;
        }
        let place = self.journal().append(fetched.receipt, Durability::Copied).await?;
        let telling = self.history().prepare(&[told::received(&received)]);
        {
            let mut state = self.state();
            let lane = state.lane_number(&received.account);
            state.appended(place);
            state.insert(Item::received(&received, has_file, place, lane));
        }
        telling.tell();
        match (status, fetched.status) {
            (Some(status), Some(octets)) => {
                let place = self.journal().append(octets, Durability::Written).await?;
                self.stand(id, &received, &status, place);
            }
            _ => self.put(id, crate::queue::item::Phase::Waiting),
        }
        Ok(())
    }

    /// Writes a message's content into its file, piece by piece.
    async fn fetch_file(&self, mirror: &Mirror, id: QueueId, chunks: i32) -> Result<(), Untaken> {
        let (disk, path) = (self.shared.disk.clone(), self.content_path(id));
        // What an attempt before this one has left.
        let _ = disk.remove(&path);
        let mut file = blocking(move || disk.create(&path)).await?;
        let mut at = 0;
        for number in 0..chunks {
            let Some(octets) = fetch_chunk(&mirror.database, id, number).await? else {
                return Err(
                    io::Error::new(io::ErrorKind::InvalidData, "a piece of its copy is missing").into()
                );
            };
            file = blocking(move || {
                file.write_at(at, &octets)?;
                at += octets.len() as u64;
                Ok((file, at))
            })
            .await
            .map(|(file, written)| {
                at = written;
                file
            })?;
        }
        let (disk, directory) = (self.shared.disk.clone(), self.content_directory());
        blocking(move || {
            file.sync()?;
            disk.sync_directory(&directory)
        })
        .await?;
        Ok(())
    }
}
