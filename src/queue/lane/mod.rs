//! An account's lane: which of its messages goes next, and whether one may. Pure.

mod brake;
mod share;
mod waiting;
mod wish;

pub(super) use brake::{Brake, Cause};
pub(super) use share::{Batch, Draw, Kind, Share};
pub(super) use waiting::{SenderClass, Wait, sender_class};

use super::{entry::Received, pace::Pace, schedule::Millis};
use crate::{
    account::{AccountId, Delivery, Pacing},
    mail::{ContentSource, Mailbox, QueueId},
};
use brake::Leave;
use std::sync::Arc;
use waiting::{Next, Waiting};

/// What a message in memory takes beside its content, about.
const OVERHEAD: u64 = 1024;

/// A message just committed, with its content still in memory.
#[derive(Debug)]
pub(super) struct Fresh {
    /// What was received.
    pub(super) received: Arc<Received>,
    /// Its content.
    pub(super) content: ContentSource,
}

impl Fresh {
    /// Octets that it keeps in memory.
    pub(super) fn in_memory(&self) -> u64 {
        OVERHEAD
            + match &self.content {
                ContentSource::Memory(content) => content.octets().len() as u64,
                ContentSource::File { .. } => 0,
            }
    }
}

/// The answer to a claim.
#[derive(Debug)]
pub(super) enum Claim {
    /// This message, handed over in memory.
    Fresh(Fresh),
    /// This message, to be read back.
    Stored(QueueId),
    /// Nothing before this time.
    Wait(Millis),
    /// Nothing until something changes.
    Nothing,
}

/// How many of a lane's messages are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Due, and not tried yet; held where the lane is.
    pub queued: usize,
    /// Tried, and to be tried again; held where the lane is.
    pub deferred: usize,
    /// A transaction is under way.
    pub active: usize,
    /// Held by an operator.
    pub held: usize,
    /// Failed, and kept.
    pub failed: usize,
}

impl Tally {
    /// All that is still to be delivered.
    pub fn outstanding(&self) -> usize {
        self.queued + self.deferred + self.active + self.held
    }
}

/// The messages of one account that wait, and what restrains them.
#[derive(Debug)]
pub(super) struct Lane {
    /// The account.
    pub(super) account: AccountId,
    /// `None` while no active account of this name is configured.
    pub(super) pacing: Option<Pacing>,
    /// When a client is told that its message is taken.
    pub(super) delivery: Delivery,
    /// The account's own address.
    pub(super) address: Option<Mailbox>,
    waiting: Waiting,
    /// Transactions under way.
    pub(super) active: usize,
    /// The circuit breaker.
    pub(super) brake: Brake,
    /// What the pacing has used up, and what the provider taught.
    pub(super) pace: Pace,
    /// What this node may use of the limits, where it keeps them together with others.
    pub(super) share: Option<Share>,
    /// The last trouble, for the operator, and its remedy.
    pub(super) trouble: Option<(String, String)>,
    /// When the last message was delivered.
    pub(super) last_success_at: Option<Millis>,
    /// Its messages by state.
    pub(super) tally: Tally,
}

impl Lane {
    pub(super) fn new(account: AccountId) -> Self {
        Self {
            account,
            pacing: None,
            delivery: Delivery::Queue,
            address: None,
            waiting: Waiting::default(),
            active: 0,
            brake: Brake::default(),
            pace: Pace::default(),
            share: None,
            trouble: None,
            last_success_at: None,
            tally: Tally::default(),
        }
    }

    /// Adds a message just committed, if none of its sender's that came before it is on disk.
    pub(super) fn push_fresh(&mut self, class: SenderClass, fresh: Fresh) -> Result<(), Fresh> {
        self.waiting.push_fresh(class, fresh)
    }

    /// Adds a message that is on disk.
    pub(super) fn push(&mut self, class: SenderClass, wait: Wait, id: QueueId) {
        self.waiting.push(class, wait, id);
    }

    /// Whether mail of these senders waits that has not been tried: what comes now goes after it.
    pub(super) fn has_new(&self, class: SenderClass) -> bool {
        self.waiting.has_new(class)
    }

    /// Takes a message out, wherever it waits. Returns the octets of memory freed.
    pub(super) fn remove(&mut self, class: SenderClass, wait: Wait, id: QueueId) -> u64 {
        self.waiting.remove(class, wait, id).map_or(0, |fresh| fresh.in_memory())
    }

    /// Lets go of all content in memory: the messages are read back when their time comes. Returns the octets freed.
    pub(super) fn shed(&mut self) -> u64 {
        self.waiting.shed()
    }

    /// Whether fresh mail goes out soon, so that keeping it in memory is worth it.
    pub(super) fn flows(&self) -> bool {
        self.pacing.is_some() && self.brake.cause().is_none()
    }

    /// Whether a transaction that may take its time would leave another connection for the rest of the mail. A lane that
    /// has to be proved first has none to spare.
    pub(super) fn has_connections_to_spare(&self, pacing: &Pacing) -> bool {
        self.brake == Brake::Open && self.active + 1 < self.connections(pacing)
    }

    /// Whether its mail is held: no such account, or login or token trouble.
    pub(super) fn is_held(&self) -> bool {
        self.pacing.is_none() || self.brake.cause() == Some(Cause::Pause)
    }

    /// Grants the next message, counting it as active, or says what to wait for.
    pub(super) fn claim(&mut self, now: Millis) -> Claim {
        match self.waiting.due() {
            Some(at) if at <= now => {}
            Some(at) => return Claim::Wait(at),
            None => return Claim::Nothing,
        }
        if let Err(refusal) = self.start(now) {
            return refusal;
        }
        let claim = self.take(now);
        if matches!(claim, Claim::Nothing) {
            self.end();
        }
        claim
    }

    /// Grants the next message where all connections are busy and nothing else restrains the lane. It does not count as
    /// active: it goes out on the connection of one that does, behind it, and then takes its place. A rate is kept by
    /// the clock, which cannot be told when the other one is over.
    pub(super) fn claim_behind(&mut self, now: Millis) -> Claim {
        let Some(pacing) = self.pacing else { return Claim::Nothing };
        // Where it has more than its share now, connections have to come to an end, and not to go on in a row.
        let is_full = self.active == self.connections(&pacing);
        let is_due = self.waiting.due().is_some_and(|at| at <= now);
        if !is_full || !is_due || pacing.rate_limit.is_some() || self.brake != Brake::Open {
            return Claim::Nothing;
        }
        if self.pace.ask(&pacing, now).is_err() || !self.is_shared_out(&pacing) {
            return Claim::Nothing;
        }
        self.begin(&pacing, now);
        self.take(now)
    }

    fn take(&mut self, now: Millis) -> Claim {
        match self.waiting.take(now) {
            Some(Next::Fresh(fresh)) => Claim::Fresh(fresh),
            Some(Next::Stored(id)) => Claim::Stored(id),
            None => Claim::Nothing,
        }
    }

    /// Counts a transaction as started, or says what to wait for.
    pub(super) fn start(&mut self, now: Millis) -> Result<(), Claim> {
        let Some(pacing) = self.pacing else { return Err(Claim::Nothing) };
        if self.active >= self.pace.connections(&pacing) {
            return Err(Claim::Nothing);
        }
        self.pace.ask(&pacing, now).map_err(Claim::Wait)?;
        if self.active >= self.connections(&pacing) {
            self.share.iter_mut().for_each(Share::lacks_connections);
            return Err(Claim::Nothing);
        }
        if !self.is_shared_out(&pacing) {
            return Err(Claim::Nothing);
        }
        match self.brake.ask(now) {
            Leave::Go | Leave::Probe => {}
            Leave::Wait(until) => return Err(Claim::Wait(until)),
            Leave::Probing => return Err(Claim::Nothing),
        }
        self.begin(&pacing, now);
        self.active += 1;
        Ok(())
    }

    fn begin(&mut self, pacing: &Pacing, now: Millis) {
        self.pace.start(pacing, now);
        self.share.iter_mut().for_each(Share::start);
    }

    /// Transactions that may be under way at once.
    fn connections(&self, pacing: &Pacing) -> usize {
        self.pace.connections(pacing).min(self.shared_connections())
    }

    /// Connections that this node may have.
    pub(super) fn shared_connections(&self) -> usize {
        self.share.as_ref().map_or(usize::MAX, Share::connections)
    }

    /// Whether this node's share of rate and day has room for one more message.
    fn is_shared_out(&mut self, pacing: &Pacing) -> bool {
        self.share.as_mut().is_none_or(|share| share.allows(pacing))
    }

    /// Counts recipients that are about to be sent to: as many of `wanted` as the day still has room for.
    pub(super) fn reserve(&mut self, pacing: &Pacing, wanted: usize, now: Millis) -> usize {
        let room = self.pace.reserve(pacing, wanted, now);
        let granted = self.share.as_mut().map_or(room, |share| share.reserve(pacing, room));
        self.pace.refund(room - granted, now);
        granted
    }

    /// Gives back what was reserved and not used.
    pub(super) fn refund(&mut self, recipients: usize, now: Millis) {
        self.pace.refund(recipients, now);
        self.share.iter_mut().for_each(|share| share.refund(recipients));
    }

    /// A transaction that was started has ended without saying anything about the lane.
    pub(super) fn end(&mut self) {
        self.active = self.active.saturating_sub(1);
        self.brake.forget_probe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{account::Rate, outbound::LaneEffect};
    use std::time::Duration;

    fn pacing(max_connections: usize) -> Pacing {
        Pacing { max_connections, rate_limit: None, daily_recipients: None, max_recipients_per_message: None }
    }

    fn lane(max_connections: usize) -> Lane {
        let mut lane = Lane::new(AccountId::new("x"));
        lane.pacing = Some(pacing(max_connections));
        lane.brake = Brake::Open;
        lane
    }

    fn id(n: u64) -> QueueId {
        QueueId::from_number(n)
    }

    const NOW: Wait = Wait::Untried { received_at: 0 };

    #[test]
    fn never_more_at_once_than_connections() {
        let mut lane = lane(2);
        for n in 0..3 {
            lane.push(0, NOW, id(n));
        }
        assert!(matches!(lane.claim(1), Claim::Stored(n) if n == id(0)));
        assert!(matches!(lane.claim(1), Claim::Stored(n) if n == id(1)));
        assert!(matches!(lane.claim(1), Claim::Nothing));
        lane.end();
        assert!(matches!(lane.claim(1), Claim::Stored(n) if n == id(2)));
    }

    #[test]
    fn behind_another_goes_only_what_has_no_connection_of_its_own() {
        let stored = |claim: Claim| match claim {
            Claim::Stored(id) => Some(id),
            _ => None,
        };
        let busy = || {
            let mut lane = lane(1);
            for n in 0..3 {
                lane.push(0, NOW, id(n));
            }
            assert_eq!(stored(lane.claim_behind(1)), None, "a connection is free");
            assert_eq!(stored(lane.claim(1)), Some(id(0)));
            lane
        };
        let mut open = busy();
        assert_eq!(stored(open.claim_behind(1)), Some(id(1)));
        assert_eq!(open.active, 1);
        assert_eq!(stored(open.claim(1)), None, "the connection is still taken");

        let mut closed = busy();
        closed.brake.after(&LaneEffect::BackOff, 0, 0.5);
        assert_eq!(stored(closed.claim_behind(10)), None, "the brake is closed");

        let mut limited = busy();
        let rate = Rate { count: 1000, per: Duration::from_secs(1) };
        limited.pacing = Some(Pacing { rate_limit: Some(rate), ..pacing(1) });
        assert_eq!(stored(limited.claim_behind(1)), None, "it has a rate to keep");
    }

    #[test]
    fn a_closed_brake_lets_one_probe_through() {
        let mut lane = lane(5);
        lane.push(0, NOW, id(1));
        lane.push(0, NOW, id(2));
        lane.brake.after(&LaneEffect::Pause, 0, 0.5);
        assert!(matches!(lane.claim(10), Claim::Wait(30_000)));
        assert!(matches!(lane.claim(30_000), Claim::Stored(_)));
        assert!(matches!(lane.claim(30_000), Claim::Nothing));
    }

    #[test]
    fn without_an_account_nothing_moves_and_nothing_is_lost() {
        let mut lane = Lane::new(AccountId::new("gone"));
        lane.push(0, NOW, id(1));
        assert!(matches!(lane.claim(1), Claim::Nothing));
        lane.pacing = Some(pacing(1));
        assert!(matches!(lane.claim(1), Claim::Stored(_)));
    }

    #[test]
    fn mail_that_is_not_due_waits() {
        let mut lane = lane(1);
        lane.push(0, Wait::Retry { at: 500 }, id(1));
        assert!(matches!(lane.claim(499), Claim::Wait(500)));
        assert!(matches!(lane.claim(500), Claim::Stored(_)));
    }

    #[test]
    fn the_day_being_full_holds_mail_over() {
        let mut lane = lane(1);
        let limited = Pacing { daily_recipients: Some(2), ..pacing(1) };
        lane.pacing = Some(limited);
        lane.push(0, NOW, id(1));
        assert_eq!(lane.reserve(&limited, 3, 0), 2);
        assert!(matches!(lane.claim(1), Claim::Wait(at) if at == 25 * 3_600_000));
    }
}
