//! Finding messages in the files: the latest first, in bounded memory, on a live history or a stopped one.
//!
//! The files are read backwards. A first pass collects ids, and ends as soon as there are enough; a second one
//! collects what happened to these, from the day of the oldest on. Neither reads a line that does not look like it.

use super::{
    backwards,
    days::{self, Day},
    event::{self, Event, What},
    ledger::DAY,
    query::{Query, Text},
};
use crate::mail::QueueId;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io,
    ops::ControlFlow,
    path::Path,
};

/// A message has at most so many events in an answer: the latest ones, and its receipt.
const EVENTS: usize = 1000;
/// All messages of an answer have about so many together.
const EVENTS_IN_ALL: usize = 20_000;

/// What a search came to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Found {
    /// Messages, the latest first.
    pub messages: Vec<Traced>,
    /// There are more than were asked for.
    pub more: bool,
    /// The first day (UTC, `2026-11-24`) that there is a history of.
    pub since: Option<String>,
    /// Octets of the files that were looked at.
    pub octets: u64,
}

/// What became of one message.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traced {
    /// Its id.
    #[serde(with = "event::written_id")]
    pub id: QueueId,
    /// What happened, in order of time. Nothing is in it twice.
    pub events: Vec<Event>,
    /// Events that are not in it, there being too many.
    pub left_out: usize,
}

/// Looks for messages: those that something happened to last, `limit` of them at most. Blocks on the disk; ends early
/// where `stop` says so.
///
/// # Errors
/// Where the directory or a file in it cannot be read.
pub fn search(directory: &Path, query: &Query, limit: usize, stop: &dyn Fn() -> bool) -> io::Result<Found> {
    let days = days::list(directory)?;
    let since = days.first().map(ToString::to_string);
    let mut search = Search { directory, days, stop, octets: 0 };
    let (ids, more) = match query {
        Query::Id(id) => (vec![*id], false),
        Query::Text(text) => search.ids(text, limit)?,
    };
    let messages = search.messages(&ids)?;
    Ok(Found { messages, more, since, octets: search.octets })
}

struct Search<'a> {
    directory: &'a Path,
    /// The oldest first.
    days: Vec<Day>,
    stop: &'a dyn Fn() -> bool,
    octets: u64,
}

impl Search<'_> {
    /// The messages that lines like this are about, the latest first, and whether there are more.
    fn ids(&mut self, text: &Text, limit: usize) -> io::Result<(Vec<QueueId>, bool)> {
        let mut ids = Vec::new();
        let mut known = HashSet::new();
        let mut more = false;
        self.read(0..self.days.len(), |line| {
            if !text.may_match(line) || event::id_in(line).is_some_and(|id| known.contains(id)) {
                return ControlFlow::Continue(());
            }
            let Some(event) = Event::read(line).filter(|event| text.matches(event)) else {
                return ControlFlow::Continue(());
            };
            if known.insert(event.id.to_string().into_bytes()) {
                more = ids.len() == limit;
                if more {
                    return ControlFlow::Break(());
                }
                ids.push(event.id);
            }
            ControlFlow::Continue(())
        })?;
        Ok((ids, more))
    }

    /// What became of these messages.
    fn messages(&mut self, ids: &[QueueId]) -> io::Result<Vec<Traced>> {
        let Some(oldest) = ids.iter().min() else { return Ok(Vec::new()) };
        let mut events = Collected::new(ids);
        // An id is never older than the message's receipt but for a clock that was set back in between: what has no
        // receipt on the days since is looked for further back, up to where it is found.
        let first = Day::of(oldest.unix_millis() / DAY * DAY);
        let start = self.days.partition_point(|day| *day < first);
        self.read(start..self.days.len(), |line| events.take(line))?;
        for earlier in (0..start).rev() {
            if events.all_received() {
                break;
            }
            self.read(earlier..earlier + 1, |line| events.take(line))?;
        }
        Ok(events.finish())
    }

    /// Gives lines of these days to `each`, the last one first.
    fn read(
        &mut self,
        days: std::ops::Range<usize>,
        mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        for day in self.days[days].iter().rev() {
            let file = match File::open(day.path(self.directory)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // Outlived meanwhile.
                file => file?,
            };
            let mut lines = 0u32;
            let end = backwards::lines(&file, |line| {
                self.octets += line.len() as u64 + 1;
                lines += 1;
                if lines.is_multiple_of(4096) && (self.stop)() {
                    return ControlFlow::Break(());
                }
                each(line)
            })?;
            if end.is_break() || (self.stop)() {
                break;
            }
        }
        Ok(())
    }
}

/// Events of some messages, gathered from the last to the first.
struct Collected {
    messages: BTreeMap<Vec<u8>, Traced>,
    /// Events a message.
    most: usize,
}

impl Collected {
    fn new(ids: &[QueueId]) -> Self {
        let empty = |id: &QueueId| Traced { id: *id, events: Vec::new(), left_out: 0 };
        let most = (EVENTS_IN_ALL / ids.len().max(1)).clamp(1, EVENTS);
        Self { messages: ids.iter().map(|id| (id.to_string().into_bytes(), empty(id))).collect(), most }
    }

    fn take(&mut self, line: &[u8]) -> ControlFlow<()> {
        let known = |id: &[u8]| self.messages.contains_key(id);
        if event::id_in(line).is_none_or(known)
            && let Some(event) = Event::read(line)
            && let Some(message) = self.messages.get_mut(event.id.to_string().as_bytes())
        {
            if message.events.len() < self.most || event.event == What::Received {
                message.events.push(event);
            } else {
                message.left_out += 1;
            }
        }
        ControlFlow::Continue(())
    }

    fn all_received(&self) -> bool {
        let received = |message: &Traced| message.events.iter().any(|event| event.event == What::Received);
        self.messages.values().all(received)
    }

    /// The messages that anything is known of, the latest first.
    fn finish(self) -> Vec<Traced> {
        let known = self.messages.into_values().rev().filter(|message| !message.events.is_empty());
        known.map(in_order).collect()
    }
}

/// In order of time, where two are of one time in the order of telling, and without what was told twice.
fn in_order(mut message: Traced) -> Traced {
    message.events.reverse();
    message.events.sort_by_key(|event| event.at);
    let mut seen = HashSet::new();
    message.events.retain(|event| seen.insert((event.at, event.event.clone(), event.to.clone())));
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn id(at: u64) -> QueueId {
        QueueId::new(at, 0)
    }

    fn received(at: u64, to: &str) -> Event {
        Event {
            from: Some("app@example.com".into()),
            to: vec![to.into()],
            message_id: Some(format!("<{at}@app>")),
            ..Event::new(at, id(at), What::Received)
        }
    }

    fn delivered(of: &Event, at: u64) -> Event {
        Event { to: of.to.clone(), ..Event::new(at, of.id, What::Delivered) }
    }

    /// A history with these events, each in the file of its day.
    fn history(events: &[Event]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let mut days = days::Days::new(directory.path().to_owned());
        for event in events {
            let mut line = Vec::new();
            event.write_to(&mut line);
            days.append(event.at / DAY, &line).unwrap();
        }
        directory
    }

    fn find(directory: &tempfile::TempDir, text: &str, limit: usize) -> Found {
        search(directory.path(), &Query::parse(text), limit, &|| false).unwrap()
    }

    fn ids(found: &Found) -> Vec<QueueId> {
        found.messages.iter().map(|message| message.id).collect()
    }

    #[test]
    fn a_message_is_followed_over_days() {
        let first = received(3 * DAY, "a@example.org");
        let late = delivered(&first, 5 * DAY + 7);
        let other = received(5 * DAY, "b@example.org");
        let directory = history(&[first.clone(), other, late.clone()]);
        for text in [&*first.id.to_string(), "<259200000@app>", "259200000@app", "a@EXAMPLE.org"] {
            let found = find(&directory, text, 20);
            assert_eq!(found.messages.len(), 1, "{text}");
            assert_eq!(found.messages[0].events, [first.clone(), late.clone()], "{text}");
        }
        assert_eq!(find(&directory, "*@example.org", 20).messages.len(), 2);
        let none = find(&directory, "c@example.org", 20);
        assert_eq!((none.messages.len(), none.since.as_deref()), (0, Some("1970-01-04")));
    }

    #[test]
    fn the_latest_come_first_and_no_more_than_asked_for() {
        let all: Vec<Event> = (1..=9).map(|n| received(n * DAY / 2, "a@example.org")).collect();
        let directory = history(&all);
        let found = find(&directory, "a@example.org", 3);
        assert_eq!(ids(&found), [id(9 * DAY / 2), id(4 * DAY), id(7 * DAY / 2)]);
        assert!(found.more);
        let found = find(&directory, "a@example.org", 9);
        assert_eq!((found.messages.len(), found.more), (9, false));
    }

    #[test]
    fn what_was_told_twice_is_shown_once_and_in_order() {
        let message = received(5, "a@example.org");
        let held = Event::new(6, message.id, What::Held);
        let directory = history(&[
            held.clone(),
            message.clone(),
            delivered(&message, 9),
            message.clone(),
            delivered(&message, 9),
            Event { to: vec!["b@example.org".into()], ..delivered(&message, 9) },
        ]);
        let found = find(&directory, &message.id.to_string(), 20);
        let told: Vec<_> = found.messages[0].events.iter().map(|event| (event.at, event.to.len())).collect();
        assert_eq!(told, [(5, 1), (6, 0), (9, 1), (9, 1)]);
    }

    #[test]
    fn torn_and_foreign_lines_cost_nothing() {
        let message = received(5, "a@example.org");
        let directory = history(std::slice::from_ref(&message));
        let path = Day::of(0).path(directory.path());
        let mut octets = fs::read(&path).unwrap();
        let whole = octets.clone();
        octets.splice(..0, b"\0\0\0\n{\"mood\":1}\nnot json a@example.org\n".iter().copied());
        octets.extend_from_slice(&whole[..whole.len() / 2]);
        fs::write(&path, octets).unwrap();
        fs::write(directory.path().join("readme"), "a@example.org").unwrap();
        assert_eq!(find(&directory, "a@example.org", 20).messages[0].events, [message]);
    }

    #[test]
    fn a_receipt_from_before_the_clock_was_set_back_is_found() {
        // The clock stood on day 9, where the id is from, and on day 2 at the commit.
        let message = Event { id: id(9 * DAY), ..received(2 * DAY, "a@example.org") };
        let directory = history(&[message.clone(), received(4 * DAY, "b@example.org")]);
        assert_eq!(find(&directory, &message.id.to_string(), 20).messages[0].events, [message]);
    }

    #[test]
    fn a_message_with_endless_events_has_an_answer_with_an_end() {
        let message = received(5, "a@example.org");
        let mut events = vec![message.clone()];
        events.extend((0..EVENTS as u64 + 10).map(|n| Event::new(10 + n, message.id, What::Held)));
        let found = find(&history(&events), &message.id.to_string(), 20);
        let traced = &found.messages[0];
        assert_eq!((traced.events.len(), traced.left_out), (EVENTS + 1, 10));
        assert_eq!(traced.events[0], message);
    }

    #[test]
    fn a_search_that_nobody_waits_for_ends() {
        let many: Vec<Event> = (0..10_000).map(|n| received(n, "a@example.org")).collect();
        let directory = history(&many);
        let found = search(directory.path(), &Query::parse("x@y"), 20, &|| true).unwrap();
        assert!(found.octets < 1 << 20, "{}", found.octets);
    }
}
