//! What a lane would have of limits that several nodes keep together. Pure.

use super::{Brake, Lane};
use crate::{
    account::Delivery,
    queue::{allot::Wish, schedule::Millis},
};
use std::time::Instant;

impl Lane {
    /// Whether a client's message could go at once but for lack of a share.
    pub(in crate::queue) fn is_short_of_share(&mut self) -> bool {
        let Some(pacing) = self.pacing.filter(|_| self.delivery == Delivery::Through && self.flows()) else {
            return false;
        };
        let busy = self.active >= self.pace.connections(&pacing);
        !busy && (self.active >= self.connections(&pacing) || !self.is_shared_out(&pacing))
    }

    /// Whether there would be a connection to spare but for the share; that much is asked for then.
    pub(in crate::queue) fn would_spare_one(&mut self) -> bool {
        let Some(pacing) = self.pacing.filter(|_| self.delivery == Delivery::Through) else { return false };
        let spare = self.active + 1;
        let wanted = self.brake == Brake::Open
            && spare < self.pace.connections(&pacing)
            && spare >= self.connections(&pacing);
        if wanted {
            self.share.iter_mut().for_each(|share| share.would_use(2));
        }
        wanted
    }

    /// What this node would have of the limits, `open` connections being open; `None` where it has nothing and wants
    /// nothing, or shares nothing.
    pub(in crate::queue) fn wish(&mut self, open: usize, now: Millis, instant: Instant) -> Option<Wish> {
        let share = self.share.as_mut()?;
        share.expire(instant);
        let pacing = self.pacing?;
        let due = self.waiting.due().is_some_and(|at| at <= now) && self.pace.ask(&pacing, now).is_ok();
        let waiting = share.expected() + share.take_soon() + if due { self.tally.queued.max(1) } else { 0 };
        // One probe is enough to see whether trouble is over.
        let waiting = if self.brake == Brake::Open { waiting } else { waiting.min(1) };
        let open = open.max(self.active);
        let want = (self.active + waiting).max(open).min(self.pace.connections(&pacing));
        let (draws, unused) = (share.draws(&pacing, waiting), share.take_unused());
        let has_nothing = share.connections() == 0 && unused.is_empty();
        if want == 0 && open == 0 && has_nothing {
            return None;
        }
        Some(Wish {
            account: self.account.clone(),
            most: pacing.max_connections.max(1),
            open,
            want,
            draws,
            unused,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        account::{AccountId, Pacing},
        mail::QueueId,
        queue::lane::{Claim, Share, Wait},
    };

    fn lane(max_connections: usize) -> Lane {
        let mut lane = Lane::new(AccountId::new("x"));
        lane.pacing = Some(Pacing {
            max_connections,
            rate_limit: None,
            daily_recipients: None,
            max_recipients_per_message: None,
        });
        lane.brake = Brake::Open;
        lane
    }

    #[test]
    fn a_lane_that_shares_keeps_within_its_share_and_says_what_it_lacks() {
        let now = Instant::now();
        let ends = now + std::time::Duration::from_secs(20);
        let mut lane = lane(4);
        lane.share = Some(Share::default());
        for n in 0..4 {
            lane.push(0, Wait::Untried { received_at: 0 }, QueueId::from_number(n));
            lane.tally.queued += 1;
        }
        assert!(matches!(lane.claim(1), Claim::Nothing), "nothing is granted yet");
        let share = |lane: &mut Lane| lane.share.as_mut().map(Share::take_lack);
        assert_eq!(share(&mut lane), Some(true));
        let wish = lane.wish(0, 1, now).unwrap();
        assert_eq!((wish.most, wish.open, wish.want), (4, 0, 4));
        lane.share.as_mut().unwrap().take_up(2, ends, Vec::new());
        assert!(matches!(lane.claim(1), Claim::Stored(_)) && matches!(lane.claim(1), Claim::Stored(_)));
        assert!(matches!(lane.claim(1), Claim::Nothing));
        assert_eq!(share(&mut lane), Some(true));
        assert!(matches!(lane.claim_behind(1), Claim::Stored(_)), "both connections are busy");
        // Others want some: what goes on in a row would never end.
        lane.share.as_mut().unwrap().take_up(1, ends, Vec::new());
        assert!(matches!(lane.claim_behind(1), Claim::Nothing));
        lane.end();
        lane.end();
        assert!(lane.wish(1, 1, ends).is_some());
        assert!(matches!(lane.claim(1), Claim::Nothing), "the share has ended");
    }

    #[test]
    fn a_client_that_waits_and_one_that_sends_much_want_a_share_of_an_idle_lane() {
        let now = Instant::now();
        let mut lane = lane(4);
        lane.delivery = Delivery::Through;
        assert!(!lane.is_short_of_share() && !lane.would_spare_one(), "nothing is shared");
        lane.share = Some(Share::default());
        assert!(lane.wish(0, 1, now).is_none(), "nobody waits");
        assert!(lane.is_short_of_share());
        lane.share.as_mut().unwrap().expect();
        assert_eq!(lane.wish(0, 1, now).unwrap().want, 1);
        lane.share.as_mut().unwrap().expect_no_more();
        assert!(lane.would_spare_one());
        assert_eq!(lane.wish(0, 1, now).unwrap().want, 2);
        assert!(lane.wish(0, 1, now).is_none(), "it is asked for once");
        lane.share.as_mut().unwrap().take_up(2, now + std::time::Duration::from_secs(9), Vec::new());
        assert!(!lane.is_short_of_share() && !lane.would_spare_one());
    }
}
