//! `waxseal trace`: what became of messages, asked of the daemon, or read from its files where it is stopped.

use super::{
    client::{EX_UNAVAILABLE, ask_or, tell_left_out},
    output::{complain, people_size, say, say_json},
};
use crate::{
    admin::{
        protocol::{EventView, MessageView, Request, TraceView, TracedView},
        trace::trace_view,
    },
    history::{self, Query},
};
use std::{fmt::Write as _, path::Path, process::ExitCode};

/// `EX_USAGE` of clap: nothing to look for.
const USAGE: u8 = 2;

pub(super) fn trace(config: Option<&Path>, query: &str, limit: usize, json: bool) -> ExitCode {
    if Query::parse(query).is_empty() {
        complain("name a queue id, a Message-ID or an address");
        return ExitCode::from(USAGE);
    }
    let request = Request::Trace { query: query.to_owned(), limit };
    let answer =
        ask_or(config, &request, &mut tell_left_out, |state_dir, _| from_files(state_dir, query, limit));
    let value = match answer {
        Ok(value) => value,
        Err(code) => return code,
    };
    let Ok(view) = serde_json::from_value::<TraceView>(value) else {
        complain("the daemon's answer is of another version");
        return ExitCode::FAILURE;
    };
    if json {
        let messages = serde_json::to_value(&view.messages).unwrap_or_default();
        say_json(&messages);
    } else if !view.messages.is_empty() {
        say(view.messages.iter().map(timeline).collect::<Vec<_>>().join("\n").trim_end());
    }
    if view.messages.is_empty() {
        complain(&nothing(query, view.since.as_deref()));
        return ExitCode::FAILURE;
    }
    if view.more {
        complain(&format!("there are more than these {}; --limit shows them", view.messages.len()));
    }
    ExitCode::SUCCESS
}

/// The history of a daemon that is stopped: it is only files.
fn from_files(state_dir: &Path, query: &str, limit: usize) -> Result<serde_json::Value, ExitCode> {
    let directory = state_dir.join("history");
    let unavailable = |problem: String| {
        complain(&format!("the daemon is not running, and its history cannot be read: {problem}"));
        ExitCode::from(EX_UNAVAILABLE)
    };
    let found = history::search(&directory, &Query::parse(query), limit, &|| false)
        .map_err(|error| unavailable(format!("{}: {error}", directory.display())))?;
    complain("the daemon is not running: this is from its files, without what its queue holds");
    serde_json::to_value(trace_view(found, |_| None)).map_err(|error| unavailable(error.to_string()))
}

/// What was looked for, and where.
fn nothing(query: &str, since: Option<&str>) -> String {
    let kind = match Query::parse(query) {
        Query::Id(_) => "a queue id",
        Query::Text(_) if query.contains('*') => "the addresses of a domain",
        Query::Text(_) if query.contains('@') => "an address and as a Message-ID",
        Query::Text(_) => "a Message-ID",
    };
    let kept = match since {
        Some(day) => format!("the history, which goes back to {day}"),
        None => "the history, which is empty".to_owned(),
    };
    format!("{query} was looked for as {kind}, and is not in {kept}")
}

/// A message for people: what it is, then a line or more an event.
fn timeline(message: &TracedView) -> String {
    let mut out = String::new();
    let state = message.state.as_deref().unwrap_or("not delivered as far as is known");
    let name = message.message_id.as_deref().unwrap_or_default();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}  {state}  {name}", message.id);
    if let Some(from) = &message.from {
        let _ = writeln!(out, "  from <{from}> to {}", people(&message.to));
    }
    let mut about = vec![format!("account {}", message.account)];
    about.extend(message.application.as_ref().map(|application| format!("application {application}")));
    about.extend(message.size.map(people_size));
    let _ = writeln!(out, "  {}", about.join(", "));
    if message.left_out > 0 {
        let _ = writeln!(out, "  ({} earlier events are not shown)", message.left_out);
    }
    let mut rest = message.events.as_slice();
    while let Some((event, behind)) = rest.split_first() {
        let same = behind.iter().take_while(|later| is_same(event, later)).count();
        event_lines(&mut out, event);
        if let Some(last) = same.checked_sub(1).and_then(|last| behind.get(last)) {
            line(&mut out, "", "", &format!("and the same {same} more times until {}", clock(&last.at)));
        }
        rest = &behind[same..];
    }
    if let Some(queue) = &message.queue {
        line(&mut out, "now", &queue.state, &standing(queue));
    }
    out
}

fn event_lines(out: &mut String, event: &EventView) {
    let mut facts = Vec::new();
    if event.event != "received" && !event.to.is_empty() {
        facts.push(people(&event.to));
    }
    if !event.relay.is_empty() {
        facts.push(format!("by {}", event.relay));
    }
    facts.extend(event.delay_ms.map(|delay| format!("after {}", people_time(delay))));
    facts.extend(event.attempt.map(|attempt| format!("attempt {attempt}")));
    let mut texts = [facts.join(", "), event.explanation.clone(), event.reply.clone()];
    let mut texts = texts.iter_mut().map(std::mem::take).filter(|text| !text.is_empty());
    line(out, &clock(&event.at), &event.event, &texts.next().unwrap_or_default());
    texts.for_each(|text| line(out, "", "", &text));
}

fn line(out: &mut String, at: &str, event: &str, text: &str) {
    let text = format!("  {at:23}  {event:9}  {text}");
    out.push_str(text.trim_end());
    out.push('\n');
}

/// Whether nothing new happened: the account was in trouble, and is still.
fn is_same(event: &EventView, later: &EventView) -> bool {
    let facts = |event: &EventView| {
        (event.event.clone(), event.to.clone(), event.reply.clone(), event.explanation.clone())
    };
    event.event == "deferred"
        && event.attempt.is_none()
        && later.attempt.is_none()
        && facts(event) == facts(later)
}

/// Where it stands in the queue.
fn standing(queue: &MessageView) -> String {
    let next = queue.next_attempt_at.as_ref().map(|at| format!("next attempt at {}", clock(at)));
    let facts: Vec<String> =
        next.into_iter().chain((!queue.last_reply.is_empty()).then(|| queue.last_reply.clone())).collect();
    facts.join("; ")
}

/// RFC 3339 as people read it, in UTC.
fn clock(at: &str) -> String {
    at.replace('T', " ").trim_end_matches('Z').to_owned()
}

fn people(to: &[String]) -> String {
    match to {
        [] => "nobody".to_owned(),
        [one] => format!("<{one}>"),
        [first, second] => format!("<{first}> and <{second}>"),
        [first, rest @ ..] => format!("<{first}> and {} more", rest.len()),
    }
}

/// Milliseconds for people: `42 ms`, `4.2 s`, `3m 5s`, `2d 4h`.
fn people_time(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{}.{} s", seconds, millis % 1000 / 100),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: &str, event: &str) -> EventView {
        EventView {
            at: format!("2026-11-24T{at}Z"),
            event: event.into(),
            account: "support".into(),
            to: vec!["a@example.org".into()],
            relay: String::new(),
            tls: String::new(),
            reply: String::new(),
            explanation: String::new(),
            delay_ms: None,
            attempt: None,
        }
    }

    fn attempt(at: &str, what: &str, explanation: &str, reply: &str, attempt: Option<u32>) -> EventView {
        EventView {
            relay: "smtp.example.com:587".into(),
            explanation: explanation.into(),
            reply: reply.into(),
            delay_ms: Some(61_500),
            attempt,
            ..event(at, what)
        }
    }

    #[test]
    fn a_timeline_reads_from_receipt_to_the_providers_reply() {
        let held = "nobody has authorized it";
        let message = TracedView {
            id: "1N85GP5PM0000".into(),
            state: Some("deferred".into()),
            account: "support".into(),
            application: Some("ticketing".into()),
            from: Some("app@example.com".into()),
            to: ["a@example.org", "b@example.org", "c@example.org"].map(str::to_owned).to_vec(),
            size: Some(1536),
            message_id: Some("<m1@app>".into()),
            received_at: Some("2026-11-24T10:00:00Z".into()),
            queue: Some(MessageView {
                node: None,
                id: "1N85GP5PM0000".into(),
                state: "deferred".into(),
                account: "support".into(),
                from: "app@example.com".into(),
                to: vec!["a@example.org".into()],
                size: 1536,
                received_at: "2026-11-24T10:00:00Z".into(),
                next_attempt_at: Some("2026-11-24T10:20:00Z".into()),
                attempts: 1,
                last_reply: "450 4.2.1 busy".into(),
            }),
            left_out: 0,
            events: vec![
                event("10:00:00.000", "received"),
                attempt("10:00:01.000", "deferred", held, "", None),
                attempt("10:01:01.000", "deferred", held, "", None),
                attempt("10:02:01.000", "deferred", held, "", None),
                attempt("10:03:01.000", "deferred", "it is busy", "450 4.2.1 busy", Some(1)),
                EventView {
                    to: vec![],
                    explanation: "by an operator".into(),
                    ..event("10:04:00.000", "retried")
                },
            ],
        };
        let want = "\
1N85GP5PM0000  deferred  <m1@app>
  from <app@example.com> to <a@example.org> and 2 more
  account support, application ticketing, 1.5 KiB
  2026-11-24 10:00:00.000  received
  2026-11-24 10:00:01.000  deferred   <a@example.org>, by smtp.example.com:587, after 1m 1s
                                      nobody has authorized it
                                      and the same 2 more times until 2026-11-24 10:02:01.000
  2026-11-24 10:03:01.000  deferred   <a@example.org>, by smtp.example.com:587, after 1m 1s, attempt 1
                                      it is busy
                                      450 4.2.1 busy
  2026-11-24 10:04:00.000  retried    by an operator
  now                      deferred   next attempt at 2026-11-24 10:20:00; 450 4.2.1 busy
";
        assert_eq!(timeline(&message), want);
    }

    #[test]
    fn a_message_whose_receipt_is_outlived_is_shown_as_far_as_it_is_known() {
        let message = TracedView {
            id: "1N85GP5PM0000".into(),
            state: None,
            account: "support".into(),
            application: None,
            from: None,
            to: vec![],
            size: None,
            message_id: None,
            received_at: None,
            queue: None,
            left_out: 7,
            events: vec![attempt("10:00:00.000", "delivered", "", "250 ok", Some(9))],
        };
        let text = timeline(&message);
        for part in ["not delivered as far as is known", "7 earlier events", "attempt 9\n", "250 ok"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn delays_for_people() {
        for (millis, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (4_250, "4.2 s"),
            (185_000, "3m 5s"),
            (7_260_000, "2h 1m"),
            (187_200_000, "2d 4h"),
        ] {
            assert_eq!(people_time(millis), text);
        }
    }

    #[test]
    fn nothing_says_what_was_looked_for() {
        let since = Some("2026-10-25");
        for (query, part) in [
            ("1N85GP5PM0000", "as a queue id"),
            ("a@b", "as an address and as a Message-ID"),
            ("*@b", "as the addresses of a domain"),
            ("odd", "as a Message-ID"),
        ] {
            let text = nothing(query, since);
            assert!(text.contains(part) && text.contains("2026-10-25"), "{text}");
        }
        assert!(nothing("x", None).contains("empty"));
    }
}
