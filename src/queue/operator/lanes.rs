//! How the accounts' lanes stand, for operators and alerts.

use crate::{
    account::AccountId,
    queue::{
        Queue,
        item::Phase,
        lane::{Cause, Lane, Tally},
        schedule::Millis,
    },
};
use std::collections::BTreeMap;

/// How an account's lane stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneView {
    /// The account.
    pub account: AccountId,
    /// Its messages by state.
    pub tally: Tally,
    /// What the provider taught beyond the configured pace, in words.
    pub learned: Option<String>,
    /// What stopped it, where something has.
    pub stopped: Option<&'static str>,
    /// The last trouble, while it lasts.
    pub trouble: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// When the last message was delivered, since the start.
    pub last_success_at: Option<Millis>,
}

/// What of an account's mail waits to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneBacklog {
    /// The account.
    pub account: AccountId,
    /// How many messages wait or are under way; at least 1.
    pub messages: usize,
    /// About when the oldest of them came.
    pub oldest: Millis,
    /// When one was delivered last, since the start.
    pub last_success_at: Option<Millis>,
    /// Whether the account's pacing allows nothing more for a minute or longer.
    pub paced: bool,
}

impl Queue {
    /// How many messages are in each state.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut sum = Tally::default();
        for lane in self.state().lanes() {
            let tally = shown(lane);
            sum.queued += tally.queued;
            sum.deferred += tally.deferred;
            sum.active += tally.active;
            sum.held += tally.held;
            sum.failed += tally.failed;
        }
        BTreeMap::from([
            ("active", sum.active),
            ("deferred", sum.deferred),
            ("failed", sum.failed),
            ("held", sum.held),
            ("queued", sum.queued),
        ])
    }

    /// Octets that the queue takes on disk.
    pub fn octets(&self) -> u64 {
        self.state().octets()
    }

    /// How the lanes stand, in the order of their accounts.
    pub fn lanes(&self) -> Vec<LaneView> {
        let state = self.state();
        let mut views: Vec<LaneView> = state
            .lanes()
            .iter()
            .map(|lane| LaneView {
                account: lane.account.clone(),
                tally: shown(lane),
                learned: lane.pacing.and_then(|pacing| lane.pace.learned(&pacing)),
                stopped: match lane.brake.cause() {
                    None => None,
                    Some(Cause::Pause) => Some("held"),
                    Some(Cause::BackOff) => Some("backing off"),
                    Some(Cause::Hold) => Some("quota"),
                },
                trouble: lane.trouble.as_ref().map(|(trouble, _)| trouble.clone()),
                remedy: lane.trouble.as_ref().map(|(_, remedy)| remedy.clone()).filter(|r| !r.is_empty()),
                last_success_at: lane.last_success_at,
            })
            .collect();
        views.sort_by(|a, b| a.account.cmp(&b.account));
        views
    }

    /// What waits, by account; mail that failed, or that an operator holds, is not counted.
    pub fn backlogs(&self) -> Vec<LaneBacklog> {
        let now = self.now();
        let mut state = self.state();
        let waits = |lane: &Lane| lane.tally.queued + lane.tally.deferred + lane.tally.active;
        let lanes = state.lanes().iter().filter(|lane| waits(lane) > 0).count();
        let mut oldest = BTreeMap::new();
        for item in state.items().filter(|item| matches!(item.phase, Phase::Waiting | Phase::Active)) {
            let account = &state.lane_at(item.lane).account;
            if !oldest.contains_key(account) {
                oldest.insert(account.clone(), item.id.unix_millis());
                // As a rule the first few messages are enough.
                if oldest.len() >= lanes {
                    break;
                }
            }
        }
        let backlog = |lane: &mut Lane| {
            let until = lane.pacing.and_then(|pacing| lane.pace.ask(&pacing, now).err());
            Some(LaneBacklog {
                account: lane.account.clone(),
                messages: waits(lane),
                oldest: *oldest.get(&lane.account)?,
                last_success_at: lane.last_success_at,
                paced: until.is_some_and(|until| until >= now + 60_000),
            })
        };
        state.lanes_mut().iter_mut().filter_map(backlog).collect()
    }

    /// Octets that are free on the queue's disk; `u64::MAX` where the system does not say.
    pub fn free_octets(&self) -> u64 {
        self.shared.space.free()
    }
}

/// The tally of a lane as an operator sees it: what waits in a held lane is held.
fn shown(lane: &Lane) -> Tally {
    let mut tally = lane.tally;
    if lane.is_held() {
        tally.held += tally.queued + tally.deferred;
        (tally.queued, tally.deferred) = (0, 0);
    }
    tally
}
