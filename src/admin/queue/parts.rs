//! What the nodes say of their parts of the queue, and what that comes to. Pure.

use crate::{
    admin::protocol::{MessageView, Request},
    history::Found,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one node says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    /// Messages that it has.
    Messages(Vec<MessageView>),
    /// What it has done to messages.
    Changed(Changed),
    /// What its history has.
    Traces(Traces),
    /// Why it says nothing.
    Failed(String),
}

/// What came of a change.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Changed {
    /// Messages that it was done to.
    pub(super) count: usize,
    /// Ids that are not in the queue.
    pub(super) unknown: Vec<String>,
    /// Why it was not done to others.
    pub(super) problems: Vec<String>,
}

/// What a history has, with what the queue has of the same messages now.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Traces {
    pub(super) found: Found,
    pub(super) queued: Vec<MessageView>,
}

/// What is left to be asked of the other nodes, once this one has said `here`; `None` where that is everything.
pub(super) fn rest(request: &Request, here: &Part) -> Option<Request> {
    match (request, here) {
        (Request::QueueShow { .. }, Part::Messages(messages)) if !messages.is_empty() => None,
        (Request::QueueChange { change, account, all, .. }, Part::Changed(changed)) => {
            let (change, account, all) = (*change, account.clone(), *all);
            let is_more = all || account.is_some() || !changed.unknown.is_empty();
            is_more.then(|| Request::QueueChange { change, ids: changed.unknown.clone(), account, all })
        }
        _ => Some(request.clone()),
    }
}

/// The parts of all nodes, this one's first.
pub(super) struct Parts {
    parts: Vec<Part>,
    left_out: Vec<String>,
}

impl Parts {
    /// `here` is this node's; `node` is its name, where there are others.
    pub(super) fn of(node: Option<&str>, here: Part) -> Self {
        let here = node.into_iter().fold(here, name);
        Self { parts: vec![here], left_out: Vec::new() }
    }

    /// What another node said; `None` where it said nothing.
    pub(super) fn add(&mut self, node: &str, part: Option<Part>) {
        match part {
            Some(Part::Failed(why)) => {
                self.leave_out(format!("what the node {node} has is left out: {why}"));
            }
            Some(part) => self.parts.push(name(part, node)),
            None => self.leave_out(format!("what the node {node} has is left out: it does not answer")),
        }
    }

    /// Something is left out, and this sentence says so.
    pub(super) fn leave_out(&mut self, sentence: String) {
        self.left_out.push(sentence);
    }

    /// What is left out, in sentences.
    pub(super) fn left_out(&self) -> Vec<String> {
        self.left_out.clone()
    }

    /// The oldest `most` messages. One that is on its way from one node to another is one.
    pub(super) fn messages(self, most: usize) -> Vec<MessageView> {
        let messages = self.parts.into_iter().filter_map(|part| match part {
            Part::Messages(messages) => Some(messages),
            _ => None,
        });
        each_once(messages.flatten()).into_iter().take(most).collect()
    }

    /// What was done in all. An id is unknown where no node knows it.
    pub(super) fn changed(self) -> Changed {
        let mut parts = self.parts.into_iter().filter_map(|part| match part {
            Part::Changed(changed) => Some(changed),
            _ => None,
        });
        let mut all = parts.next().unwrap_or_default();
        for changed in parts {
            all.count += changed.count;
            all.problems.extend(changed.problems);
            all.unknown.retain(|id| changed.unknown.contains(id));
        }
        all
    }

    /// What all histories have, of the `limit` messages that something happened to last.
    pub(super) fn traces(self, limit: usize) -> Traces {
        let (mut found, mut queued) = (Vec::new(), Vec::new());
        for part in self.parts {
            if let Part::Traces(traces) = part {
                found.push(traces.found);
                queued.extend(traces.queued);
            }
        }
        Traces { found: Found::join(found, limit), queued: each_once(queued.into_iter()) }
    }
}

/// Says whose the messages are.
fn name(mut part: Part, node: &str) -> Part {
    match &mut part {
        Part::Messages(messages) | Part::Traces(Traces { queued: messages, .. }) => {
            messages.iter_mut().for_each(|message| message.node = Some(node.to_owned()));
        }
        Part::Changed(_) | Part::Failed(_) => {}
    }
    part
}

/// In the order of their receipt. Of one that two nodes have, what the one that sends it says.
fn each_once(messages: impl Iterator<Item = MessageView>) -> Vec<MessageView> {
    let mut by_id: BTreeMap<String, MessageView> = BTreeMap::new();
    for message in messages {
        let is_news = |known: &MessageView| known.state != "active" && message.state == "active";
        if by_id.get(&message.id).is_none_or(is_news) {
            by_id.insert(message.id.clone(), message);
        }
    }
    by_id.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::protocol::QueueChange;

    fn message(id: &str, state: &str) -> MessageView {
        MessageView {
            id: id.to_owned(),
            node: None,
            state: state.to_owned(),
            account: "support".to_owned(),
            from: "app@example.com".to_owned(),
            to: Vec::new(),
            size: 1,
            received_at: String::new(),
            next_attempt_at: None,
            attempts: 0,
            last_reply: String::new(),
        }
    }

    fn change(ids: &[&str], all: bool) -> Request {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        Request::QueueChange { change: QueueChange::Hold, ids, account: None, all }
    }

    fn changed(count: usize, unknown: &[&str]) -> Part {
        let unknown = unknown.iter().map(|id| (*id).to_owned()).collect();
        Part::Changed(Changed { count, unknown, problems: Vec::new() })
    }

    #[test]
    fn the_oldest_messages_of_all_nodes_are_listed_each_once() {
        let mut parts = Parts::of(
            Some("relay-0"),
            Part::Messages(vec![message("2", "deferred"), message("4", "deferred")]),
        );
        parts.add("relay-1", Some(Part::Messages(vec![message("1", "held"), message("2", "active")])));
        parts.add("relay-2", None);
        parts.add("relay-3", Some(Part::Failed("it is joining".into())));
        assert_eq!(
            parts.left_out(),
            [
                "what the node relay-2 has is left out: it does not answer",
                "what the node relay-3 has is left out: it is joining",
            ]
        );
        let listed = parts.messages(2);
        let words = |m: &MessageView| format!("{} {} {}", m.id, m.state, m.node.as_deref().unwrap_or("-"));
        assert_eq!(listed.iter().map(words).collect::<Vec<_>>(), ["1 held relay-1", "2 active relay-1"]);
    }

    #[test]
    fn others_are_asked_for_what_is_not_here() {
        let show = Request::QueueShow { id: "1".into() };
        assert_eq!(rest(&show, &Part::Messages(vec![message("1", "held")])), None);
        assert_eq!(rest(&show, &Part::Messages(Vec::new())), Some(show));
        assert_eq!(rest(&change(&["1", "2"], false), &changed(2, &[])), None);
        assert_eq!(rest(&change(&["1", "2"], false), &changed(1, &["2"])), Some(change(&["2"], false)));
        assert_eq!(rest(&change(&[], true), &changed(7, &[])), Some(change(&[], true)));
    }

    #[test]
    fn an_id_is_unknown_where_no_node_knows_it() {
        let mut parts = Parts::of(Some("relay-0"), changed(1, &["2", "3", "4"]));
        parts.add("relay-1", Some(changed(1, &["3", "4"])));
        parts.add("relay-2", Some(changed(1, &["2", "4"])));
        let all = parts.changed();
        assert_eq!((all.count, all.unknown), (3, vec!["4".to_owned()]));
        let mut parts = Parts::of(Some("relay-0"), changed(0, &["2"]));
        parts.add("relay-1", Some(changed(1, &[])));
        parts.add("relay-2", Some(changed(0, &["2"])));
        assert_eq!(parts.changed(), Changed { count: 1, ..Changed::default() });
    }
}
