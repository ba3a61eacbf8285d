//! What the histories of several nodes have of the same messages. Pure.

use super::{Found, Traced};
use crate::mail::QueueId;
use std::{cmp::Reverse, collections::BTreeMap};

impl Found {
    /// What all of these have, of the `limit` messages that something happened to last. A receipt that two nodes tell of is
    /// one.
    pub fn join(parts: Vec<Self>, limit: usize) -> Self {
        let mut all = Self::default();
        let mut by_id: BTreeMap<QueueId, Traced> = BTreeMap::new();
        for part in parts {
            all.more |= part.more;
            all.octets += part.octets;
            all.since = [all.since.take(), part.since].into_iter().flatten().min();
            for traced in part.messages {
                let joined = by_id.entry(traced.id).or_insert_with(|| Traced {
                    id: traced.id,
                    events: Vec::new(),
                    left_out: 0,
                });
                joined.left_out += traced.left_out;
                for event in traced.events {
                    if !joined.events.contains(&event) {
                        joined.events.push(event);
                    }
                }
                joined.events.sort_by_key(|event| event.at);
            }
        }
        all.messages = by_id.into_values().collect();
        all.messages.sort_by_key(|traced| Reverse(traced.events.last().map(|event| event.at)));
        all.more |= all.messages.len() > limit;
        all.messages.truncate(limit);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Event, What};

    fn found(since: &str, told: &[(u64, u64, What)]) -> Found {
        let mut by_id: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
        for (id, at, what) in told {
            let event = Event::new(*at, QueueId::new(*id, 0), what.clone());
            by_id.entry(*id).or_default().push(event);
        }
        let traced = |(id, events)| Traced { id: QueueId::new(id, 0), events, left_out: 0 };
        Found {
            messages: by_id.into_iter().map(traced).collect(),
            since: Some(since.to_owned()),
            ..Found::default()
        }
    }

    #[test]
    fn a_message_that_two_nodes_had_has_one_life() {
        let one = found(
            "2026-11-20",
            &[
                (1, 10, What::Received),
                (1, 11, What::Deferred),
                (1, 40, What::Removed),
                (2, 20, What::Received),
            ],
        );
        let two = found(
            "2026-11-10",
            &[(1, 10, What::Received), (1, 30, What::Delivered), (3, 50, What::Received)],
        );
        let all = Found::join(vec![one, two], 2);
        assert_eq!((all.since.as_deref(), all.more), (Some("2026-11-10"), true));
        let ids: Vec<_> = all.messages.iter().map(|traced| traced.id).collect();
        assert_eq!(ids, [QueueId::new(3, 0), QueueId::new(1, 0)]);
        let events: Vec<_> =
            all.messages[1].events.iter().map(|event| (event.at, event.event.as_str())).collect();
        assert_eq!(events, [(10, "received"), (11, "deferred"), (30, "delivered"), (40, "removed")]);
    }
}
