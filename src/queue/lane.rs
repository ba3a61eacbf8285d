//! An account's lane: which of its messages goes next, and whether one may. Pure.

use super::{
    brake::{Brake, Cause, Leave},
    entry::Received,
    rate::RateWindow,
    schedule::Millis,
};
use crate::{
    account::Pacing,
    mail::{ContentSource, QueueId},
};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

/// One in so many claims takes an old message although fresh ones wait, so that neither starves the other.
const OLD_SHARE: u32 = 4;

/// A message just committed, with its content still in memory.
#[derive(Debug)]
pub struct Fresh {
    /// What was received.
    pub received: Arc<Received>,
    /// Its content.
    pub content: ContentSource,
}

impl Fresh {
    /// Octets of content that it keeps in memory.
    pub fn in_memory(&self) -> u64 {
        match &self.content {
            ContentSource::Memory(content) => content.octets().len() as u64,
            ContentSource::File { .. } => 0,
        }
    }
}

/// The answer to a claim.
#[derive(Debug)]
pub enum Claim {
    /// This message, handed over in memory.
    Fresh(Fresh),
    /// This message, to be read back.
    Stored(QueueId),
    /// Nothing before this time.
    Wait(Millis),
    /// Nothing until something changes.
    Nothing,
}

/// The messages of one account that wait, and what restrains them.
#[derive(Debug, Default)]
pub struct Lane {
    /// `None` while no active account of this name is configured.
    pub pacing: Option<Pacing>,
    /// Just committed, in order.
    fresh: VecDeque<Fresh>,
    /// Waiting on disk, by the time they are due.
    due: BTreeSet<(Millis, QueueId)>,
    /// Transactions under way.
    pub active: usize,
    /// The circuit breaker.
    pub brake: Brake,
    rate: RateWindow,
    turn: u32,
    /// The last trouble, for the operator.
    pub trouble: Option<(String, String)>,
    /// When the last message was delivered.
    pub last_success_at: Option<Millis>,
}

impl Lane {
    /// Adds a message just committed.
    pub fn push_fresh(&mut self, fresh: Fresh) {
        self.fresh.push_back(fresh);
    }

    /// Adds a message that is on disk.
    pub fn push_due(&mut self, at: Millis, id: QueueId) {
        self.due.insert((at, id));
    }

    /// Takes a message out, wherever it waits. Returns the octets of memory freed.
    pub fn remove(&mut self, at: Millis, id: QueueId) -> u64 {
        if self.due.remove(&(at, id)) {
            return 0;
        }
        let found = self.fresh.iter().position(|fresh| fresh.received.id == id);
        found.and_then(|index| self.fresh.remove(index)).map_or(0, |fresh| fresh.in_memory())
    }

    /// Lets go of all content in memory: the messages are read back when their time comes. Returns the octets freed.
    pub fn shed(&mut self) -> u64 {
        let mut freed = 0;
        for fresh in self.fresh.drain(..) {
            freed += fresh.in_memory();
            self.due.insert((fresh.received.received_at, fresh.received.id));
        }
        freed
    }

    /// Whether fresh mail goes out soon, so that keeping it in memory is worth it.
    pub fn flows(&self) -> bool {
        self.pacing.is_some() && self.brake.cause().is_none()
    }

    /// Whether its mail is held: no such account, or login or token trouble.
    pub fn is_held(&self) -> bool {
        self.pacing.is_none() || self.brake.cause() == Some(Cause::Pause)
    }

    /// Grants the next message, counting it as active, or says what to wait for.
    pub fn claim(&mut self, now: Millis) -> Claim {
        let Some(pacing) = self.pacing else { return Claim::Nothing };
        if self.active >= pacing.max_connections.max(1) {
            return Claim::Nothing;
        }
        let due = self.due.first().copied();
        let old = due.filter(|(at, _)| *at <= now).map(|(_, id)| id);
        if old.is_none() && self.fresh.is_empty() {
            return due.map_or(Claim::Nothing, |(at, _)| Claim::Wait(at));
        }
        if let Err(until) = self.rate.ask(pacing.rate_limit, now) {
            return Claim::Wait(until);
        }
        match self.brake.ask(now) {
            Leave::Go | Leave::Probe => {}
            Leave::Wait(until) => return Claim::Wait(until),
            Leave::Probing => return Claim::Nothing,
        }
        self.rate.start(pacing.rate_limit, now);
        self.active += 1;
        self.turn = self.turn.wrapping_add(1);
        match old {
            Some(id) if self.fresh.is_empty() || self.turn.is_multiple_of(OLD_SHARE) => {
                self.due.pop_first();
                Claim::Stored(id)
            }
            _ => match self.fresh.pop_front() {
                Some(fresh) => Claim::Fresh(fresh),
                None => Claim::Nothing,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::LaneEffect;

    fn lane(max_connections: usize) -> Lane {
        let pacing = Pacing {
            max_connections,
            rate_limit: None,
            daily_recipients: None,
            max_recipients_per_message: None,
        };
        Lane { pacing: Some(pacing), brake: Brake::Open, ..Lane::default() }
    }

    fn id(n: u64) -> QueueId {
        QueueId::from_number(n)
    }

    #[test]
    fn never_more_at_once_than_connections() {
        let mut lane = lane(2);
        for n in 0..3 {
            lane.push_due(0, id(n));
        }
        assert!(matches!(lane.claim(1), Claim::Stored(n) if n == id(0)));
        assert!(matches!(lane.claim(1), Claim::Stored(n) if n == id(1)));
        assert!(matches!(lane.claim(1), Claim::Nothing));
        lane.active -= 1;
        assert!(matches!(lane.claim(1), Claim::Stored(n) if n == id(2)));
    }

    #[test]
    fn a_closed_brake_lets_one_probe_through() {
        let mut lane = lane(5);
        lane.push_due(0, id(1));
        lane.push_due(0, id(2));
        lane.brake.after(&LaneEffect::Pause, 0, 0.5);
        assert!(matches!(lane.claim(10), Claim::Wait(30_000)));
        assert!(matches!(lane.claim(30_000), Claim::Stored(_)));
        assert!(matches!(lane.claim(30_000), Claim::Nothing));
    }

    #[test]
    fn without_an_account_nothing_moves_and_nothing_is_lost() {
        let mut lane = Lane::default();
        lane.push_due(0, id(1));
        assert!(matches!(lane.claim(1), Claim::Nothing));
        lane.pacing = Some(Pacing {
            max_connections: 1,
            rate_limit: None,
            daily_recipients: None,
            max_recipients_per_message: None,
        });
        assert!(matches!(lane.claim(1), Claim::Stored(_)));
    }

    #[test]
    fn mail_that_is_not_due_waits() {
        let mut lane = lane(1);
        lane.push_due(500, id(1));
        assert!(matches!(lane.claim(499), Claim::Wait(500)));
        assert!(matches!(lane.claim(500), Claim::Stored(_)));
    }
}
