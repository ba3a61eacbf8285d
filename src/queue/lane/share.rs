//! What this node may use of an account's limits, where several nodes keep them together. Pure: instants are arguments.
//!
//! A share is good until its end and no longer, whether the others can be asked again or not.

use crate::account::Pacing;
use std::time::{Duration, Instant};

/// A batch of a rate is used up within this part of its window, and at most in the time below: until then it counts
/// although nothing was sent for it.
const RATE_BATCH: u32 = 20;
const LONGEST_BATCH: Duration = Duration::from_secs(5);
/// A batch of the day's recipients is used up within this time.
const DAY_BATCH: Duration = Duration::from_secs(20);
/// A node takes no more than this part of a limit at once.
const PART: u32 = 8;
/// It is not worth asking for fewer recipients than this.
const FEW_RECIPIENTS: u32 = 100;
const DAY: Duration = Duration::from_secs(86_400);

/// Which bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queue) enum Kind {
    /// Messages of `rate_limit`.
    Messages,
    /// Recipients of `daily_recipients`.
    Recipients,
}

/// What a node would take out of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queue) struct Draw {
    pub(in crate::queue) kind: Kind,
    /// So many.
    pub(in crate::queue) want: u32,
    /// The limit.
    pub(in crate::queue) most: u32,
    /// The limit's time.
    pub(in crate::queue) window: Duration,
    /// How long what is taken may be used.
    pub(in crate::queue) usable: Duration,
}

/// Something out of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queue) struct Batch {
    pub(in crate::queue) kind: Kind,
    pub(in crate::queue) count: u32,
    /// What it is given back with.
    pub(in crate::queue) key: i64,
    pub(in crate::queue) ends: Instant,
}

/// What a node may use.
#[derive(Debug, Default)]
pub(in crate::queue) struct Share {
    connections: usize,
    ends: Option<Instant>,
    messages: Option<Batch>,
    recipients: Option<Batch>,
    /// What has run out before it was used.
    unused: Vec<Batch>,
    /// Something was not begun for lack of a share.
    lacks: bool,
    /// Clients that wait for a share, with messages that are not in the lane.
    expected: usize,
    /// Connections that would be of use soon, asked for once.
    soon: usize,
}

impl Share {
    /// Lets go of what has ended.
    pub(in crate::queue) fn expire(&mut self, now: Instant) {
        if self.ends.is_some_and(|ends| ends <= now) {
            self.connections = 0;
            self.ends = None;
        }
        for batch in [&mut self.messages, &mut self.recipients] {
            if let Some(ended) = batch.take_if(|batch| batch.ends <= now)
                && ended.count > 0
            {
                self.unused.push(ended);
            }
        }
    }

    /// Connections that may be in use at once.
    pub(super) fn connections(&self) -> usize {
        self.connections
    }

    /// Whether one more message may be begun; what is missing is asked for soon.
    pub(super) fn allows(&mut self, pacing: &Pacing) -> bool {
        let left = |batch: &Option<Batch>| batch.is_some_and(|batch| batch.count > 0);
        let allowed = (pacing.rate_limit.is_none() || left(&self.messages))
            && (pacing.daily_recipients.is_none() || left(&self.recipients));
        self.lacks |= !allowed;
        allowed
    }

    /// There would be more to do than there are connections for.
    pub(super) fn lacks_connections(&mut self) {
        self.lacks = true;
    }

    /// Whether something was missing since this was asked last.
    pub(in crate::queue) fn take_lack(&mut self) -> bool {
        std::mem::take(&mut self.lacks)
    }

    /// A client begins to wait for a share.
    pub(in crate::queue) fn expect(&mut self) {
        self.expected += 1;
    }

    /// A client waits no longer.
    pub(in crate::queue) fn expect_no_more(&mut self) {
        self.expected = self.expected.saturating_sub(1);
    }

    /// How many clients wait for a share.
    pub(super) fn expected(&self) -> usize {
        self.expected
    }

    /// So many connections more would be of use soon.
    pub(super) fn would_use(&mut self, connections: usize) {
        self.soon = connections;
        self.lacks = true;
    }

    /// What would be of use soon, until somebody asks for it again.
    pub(super) fn take_soon(&mut self) -> usize {
        std::mem::take(&mut self.soon)
    }

    /// One message has been begun.
    pub(super) fn start(&mut self) {
        if let Some(batch) = &mut self.messages {
            batch.count = batch.count.saturating_sub(1);
        }
    }

    /// Counts recipients that are about to be sent to: as many of `wanted` as the share has.
    pub(super) fn reserve(&mut self, pacing: &Pacing, wanted: usize) -> usize {
        if pacing.daily_recipients.is_none() {
            return wanted;
        }
        let Some(batch) = &mut self.recipients else { return 0 };
        let granted = wanted.min(batch.count as usize);
        batch.count -= granted as u32;
        granted
    }

    /// Gives back what was reserved and not used. What its batch has outlived counts for the day.
    pub(super) fn refund(&mut self, recipients: usize) {
        if let Some(batch) = &mut self.recipients {
            batch.count += recipients as u32;
        }
    }

    /// What to ask the buckets for, where `waiting` messages could go now.
    pub(super) fn draws(&self, pacing: &Pacing, waiting: usize) -> Vec<Draw> {
        let mut draws = Vec::new();
        let empty = |batch: &Option<Batch>| batch.is_none_or(|batch| batch.count == 0);
        if waiting == 0 {
            return draws;
        }
        if let Some(rate) = pacing.rate_limit.filter(|_| empty(&self.messages)) {
            let most = rate.count.max(1);
            let want = (most / PART).max(1).min(u32::try_from(waiting).unwrap_or(u32::MAX));
            let usable = (rate.per / RATE_BATCH).min(LONGEST_BATCH);
            draws.push(Draw { kind: Kind::Messages, want, most, window: rate.per, usable });
        }
        if let Some(most) = pacing.daily_recipients.filter(|_| empty(&self.recipients)) {
            let want = (most / PART).max(FEW_RECIPIENTS).min(most);
            draws.push(Draw { kind: Kind::Recipients, want, most, window: DAY, usable: DAY_BATCH });
        }
        draws
    }

    /// Takes up what was granted.
    pub(in crate::queue) fn take_up(&mut self, connections: usize, ends: Instant, batches: Vec<Batch>) {
        self.connections = connections;
        self.ends = Some(ends);
        for batch in batches {
            let slot = match batch.kind {
                Kind::Messages => &mut self.messages,
                Kind::Recipients => &mut self.recipients,
            };
            self.unused.extend(slot.replace(batch).filter(|before| before.count > 0));
        }
    }

    /// What is to be given back.
    pub(in crate::queue) fn take_unused(&mut self) -> Vec<Batch> {
        std::mem::take(&mut self.unused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Rate;

    fn pacing() -> Pacing {
        Pacing {
            max_connections: 4,
            rate_limit: Some(Rate { count: 80, per: Duration::from_secs(60) }),
            daily_recipients: Some(1000),
            max_recipients_per_message: None,
        }
    }

    fn batch(kind: Kind, count: u32, ends: Instant) -> Batch {
        Batch { kind, count, key: 7, ends }
    }

    #[test]
    fn what_was_granted_is_good_until_its_end_and_the_rest_goes_back() {
        let now = Instant::now();
        let (soon, later) = (now + Duration::from_secs(3), now + Duration::from_secs(20));
        let mut share = Share::default();
        assert!(!share.allows(&pacing()) && share.take_lack() && !share.take_lack());
        let batches = vec![batch(Kind::Messages, 2, soon), batch(Kind::Recipients, 5, later)];
        share.take_up(3, later, batches);
        assert!(share.allows(&pacing()));
        share.start();
        assert_eq!((share.reserve(&pacing(), 4), share.reserve(&pacing(), 4)), (4, 1));
        assert!(!share.allows(&pacing()), "no recipients are left");
        share.refund(2);
        assert!(share.allows(&pacing()));
        share.expire(soon);
        assert!(!share.allows(&pacing()), "the messages have run out");
        assert_eq!(share.take_unused(), [batch(Kind::Messages, 1, soon)]);
        assert_eq!(share.connections(), 3);
        share.expire(later);
        assert_eq!(share.connections(), 0);
        assert_eq!(share.take_unused(), [batch(Kind::Recipients, 2, later)]);
        assert!(share.take_unused().is_empty());
    }

    #[test]
    fn what_is_asked_for_is_a_part_and_only_where_mail_waits() {
        let mut share = Share::default();
        assert!(share.draws(&pacing(), 0).is_empty());
        let draws = share.draws(&pacing(), 1000);
        assert_eq!(draws.iter().map(|draw| draw.want).collect::<Vec<_>>(), [10, 125]);
        assert_eq!(draws[0].usable, Duration::from_secs(3));
        assert_eq!(share.draws(&pacing(), 2)[0].want, 2);
        let later = Instant::now() + Duration::from_secs(9);
        share.take_up(1, later, vec![batch(Kind::Messages, 1, later), batch(Kind::Recipients, 1, later)]);
        assert!(share.draws(&pacing(), 5).is_empty(), "there is something left");
        share.start();
        assert_eq!(share.draws(&pacing(), 5).len(), 1);
        let few = Pacing { rate_limit: Some(Rate { count: 1, per: Duration::from_secs(1) }), ..pacing() };
        let mut share = Share::default();
        assert_eq!(share.draws(&few, 5)[0].want, 1);
        let free = Pacing { rate_limit: None, daily_recipients: None, ..pacing() };
        assert!(share.draws(&free, 5).is_empty() && share.allows(&free));
        assert_eq!(share.reserve(&free, 9), 9);
    }
}
