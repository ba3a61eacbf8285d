//! Step 14 of the path: what an attempt came to is written, told, and taken into the lane.

use super::{
    Queue,
    count::count,
    departure::Departed,
    entry::Received,
    journal::{Durability, Place},
    lane::{Brake, Cause, Lane},
    record,
    schedule::Millis,
    status::{Next, Status},
    told::Tried,
    worker::{Claimed, put_back},
};
use crate::{
    account::{AccountId, Pacing},
    history::Event,
    mail::{QueueId, Reply},
    outbound::{Disposition, LaneEffect, Outcome},
    telemetry::{self, AttemptEvent, MailEvent},
};
use std::{io, sync::atomic::Ordering};

impl Queue {
    pub(super) async fn settle(
        &self,
        mut claimed: Box<Claimed>,
        received: &Received,
        mut status: Status,
        tried: &[usize],
        outcome: &Outcome,
    ) {
        let now = self.now();
        let pending = status.outstanding(None);
        let next =
            status.settle(tried, outcome, received.received_at, now, &self.schedule(), fastrand::f64());
        self.settle_notices(received, &mut status);
        report(received, tried.len(), &status, outcome, next, now);
        let account = &claimed.account;
        count(self.meter(), account, &status, outcome, next, received.received_at, now);
        let tried_now =
            Tried { received, account, pending: &pending, tried, outcome, status: &status, next, now };
        let events = tried_now.events();
        let place = match next {
            // Written behind the worker's back: its connection has better things to do.
            Next::Done => {
                self.depart(Departed { id: claimed.id, events });
                None
            }
            Next::Untried => {
                self.history().prepare(&events).tell();
                None
            }
            Next::Deferred | Next::Failed | Next::Expired => {
                self.write_status(claimed.id, &status, &events).await
            }
        };
        claimed.settled = true;
        let mut state = self.state();
        if let Some(place) = place {
            state.appended(place);
            state.restatus(claimed.id, place);
            self.mirror().iter().for_each(|mirror| mirror.status(claimed.id));
        }
        state.change(claimed.id, |item| item.stand(&status, None));
        if status.is_untold() {
            state.untold.insert(claimed.id);
        }
        if matches!(next, Next::Deferred | Next::Untried) {
            put_back(&mut state, claimed.id);
        }
        drop(state);
        self.take_in(&claimed.account, &claimed.pacing, tried.len(), outcome, claimed.counts);
    }

    /// Takes into the lane what an attempt at so many recipients said about it, and whether a transaction of it `ends`
    /// with that: another one may have taken its place.
    pub(super) fn take_in(
        &self,
        account: &AccountId,
        pacing: &Pacing,
        tried: usize,
        outcome: &Outcome,
        ends: bool,
    ) {
        let news = {
            let mut state = self.state();
            let lane = state.lane(account);
            lane.active = lane.active.saturating_sub(usize::from(ends));
            let news = take_in(lane, pacing, tried, outcome, self.now());
            if lane.brake.cause().is_some() {
                self.shared.memory.fetch_sub(lane.shed(), Ordering::Relaxed);
            }
            news
        };
        if news.faster {
            self.shared.lanes.wake(account);
        }
        news.tell(account);
    }

    async fn write_status(&self, id: QueueId, status: &Status, events: &[Event]) -> Option<Place> {
        let telling = self.history().prepare(events);
        let octets = record::encode_status(id, status, events);
        let written = self.journal().append(octets, Durability::Written).await;
        // What the provider said was said, written or not.
        telling.tell();
        let unwritten = |error: &io::Error| {
            tracing::error!(target: "waxseal::queue", queue_id = %id, %error, "status not written");
        };
        written.inspect_err(unwritten).ok()
    }
}

/// What an attempt changed about its lane.
struct News {
    /// More may go at once from now on.
    faster: bool,
    /// The brake closed or opened.
    changed: bool,
    cause: Option<Cause>,
    trouble: (String, String),
}

impl News {
    fn tell(&self, account: &AccountId) {
        match self.cause {
            None if self.changed => telemetry::account_recovered(account),
            Some(cause) if self.changed => {
                let state = if cause == Cause::Pause { "held" } else { "failing" };
                telemetry::account_trouble(account, state, &self.trouble.0, &self.trouble.1);
            }
            _ => {}
        }
    }
}

fn take_in(lane: &mut Lane, pacing: &Pacing, tried: usize, outcome: &Outcome, now: Millis) -> News {
    let alone = lane.brake != Brake::Open;
    let changed = lane.brake.after(&outcome.lane, now, fastrand::f64());
    let cause = lane.brake.cause();
    let delivered = outcome.dispositions.iter().filter(|d| matches!(d, Disposition::Delivered(_))).count();
    lane.refund(tried - delivered.min(tried), now);
    let mut faster = alone && cause.is_none();
    if delivered > 0 {
        lane.last_success_at = Some(now);
        faster |= lane.pace.went_well(pacing);
    }
    let code = outcome.trouble.as_ref().and_then(|trouble| trouble.reply.as_ref()).map(Reply::code);
    if let (LaneEffect::BackOff, Some(code @ (421 | 432 | 450))) = (&outcome.lane, code) {
        lane.pace.slow_down(pacing, code != 450, now);
    }
    match (&outcome.trouble, cause) {
        (_, None) => lane.trouble = None,
        (Some(trouble), Some(_)) => lane.trouble = Some((trouble.to_string(), trouble.remedy.clone())),
        (None, Some(_)) => {}
    }
    News { faster, changed, cause, trouble: lane.trouble.clone().unwrap_or_default() }
}

/// Writes the events of an attempt: one a kind of outcome.
pub(super) fn report(
    received: &Received,
    tried: usize,
    status: &Status,
    outcome: &Outcome,
    next: Next,
    now: Millis,
) {
    let delay_ms = now.saturating_sub(received.received_at);
    let event = |to, reply: &str, write: fn(&MailEvent<'_>, &AttemptEvent<'_>)| {
        let mail = MailEvent {
            queue_id: received.id,
            account: &received.account,
            from: received.envelope.reverse_path(),
            to,
            size: received.size,
        };
        write(&mail, &AttemptEvent { relay: &outcome.relay, tls: &outcome.tls, reply, delay_ms });
    };
    let mut delivered = (0, String::new());
    let mut deferred = (0, String::new());
    let mut failed = (0, String::new());
    for disposition in &outcome.dispositions {
        let (count, text) = match disposition {
            Disposition::Delivered(reply) => (&mut delivered, reply.to_string()),
            Disposition::Deferred(trouble) if trouble.in_doubt => {
                (&mut deferred, format!("{trouble}; the provider may have it: a retry may duplicate it"))
            }
            Disposition::Deferred(trouble) => (&mut deferred, trouble.to_string()),
            Disposition::Failed(trouble) => (&mut failed, trouble.to_string()),
        };
        count.0 += 1;
        count.1 = text;
    }
    if delivered.0 > 0 {
        event(delivered.0, &delivered.1, telemetry::delivered);
    }
    if failed.0 > 0 {
        event(failed.0, &failed.1, telemetry::failed);
    }
    if next == Next::Expired {
        event(tried - delivered.0 - failed.0, &status.last_reply, telemetry::expired);
    } else if deferred.0 > 0 {
        event(deferred.0, &deferred.1, telemetry::deferred);
    } else if next == Next::Untried && outcome.lane != LaneEffect::None {
        let reply = outcome.trouble.as_ref().map(ToString::to_string).unwrap_or_default();
        event(tried, &reply, telemetry::deferred);
    }
}
