//! What was seen, for people, in lines that are comments of the configuration below them.

use super::{
    Habits, Learned, Place, Tally, Who,
    habits::named,
    text::{comment, count, size, some},
};

/// Things of one kind that a report names.
const NAMED: usize = 10;
/// Columns that further lines of a fact stand in.
const INDENT: usize = 12;

/// The report. `places` are the listeners in the order of their indexes.
pub fn report(learned: &Learned, places: &[Place]) -> String {
    let mut out = String::new();
    let clients = learned.clients().count() as u64;
    if clients == 0 {
        comment(&mut out, 0, "Nobody came.");
    }
    for (index, who, habits) in learned.clients() {
        let address = places.get(index).map_or("", |place| place.address.as_str());
        client(&mut out, who, address, habits);
    }
    if learned.passed_over() > 0 {
        comment(&mut out, 0, "More clients came than are told here.");
    }
    out
}

fn client(out: &mut String, who: Who, address: &str, habits: &Habits) {
    comment(out, 2, &format!("{who}, at {address}: {}", count(habits.connections, "connection")));
    let mut line = |name: &str, text: String| {
        if !text.is_empty() {
            comment(out, INDENT, &format!("  {name:<9} {text}"));
        }
    };
    line("greeting", all(&habits.greetings, Clone::clone));
    line("TLS", tls(habits));
    let mut logins =
        all(&habits.logins, |(mechanism, username)| format!("{mechanism} as {}", named(username)));
    if !habits.other_mechanisms.is_empty() {
        let separator = if logins.is_empty() { "" } else { "; " };
        let others = all(&habits.other_mechanisms, |mechanism| (*mechanism).to_owned());
        logins.push_str(&format!("{separator}asked for {others}, which there is not"));
    }
    line("login", if logins.is_empty() && habits.sends() { "none".into() } else { logins });
    line("senders", all(&habits.senders, ToString::to_string));
    line("messages", messages(habits));
    line("wrong", wrong(habits));
    out.push_str("#\n");
}

fn all<K: Ord>(tally: &Tally<K>, show: impl Fn(&K) -> String) -> String {
    some(tally.iter().map(|(thing, _)| show(thing)), NAMED, tally.left_out())
}

fn tls(habits: &Habits) -> String {
    let mut said = Vec::new();
    if habits.starttls > 0 {
        said.push(format!("asked for STARTTLS {}", times(habits.starttls)));
    }
    if habits.secured > 0 {
        said.push(format!("{} under TLS", count(habits.secured, "connection")));
    }
    if habits.mails > 0 && habits.in_the_clear == habits.mails {
        said.push("sends in the clear".to_owned());
    } else if habits.in_the_clear > 0 {
        said.push("sends in the clear as well".to_owned());
    }
    if habits.undue_tls > 0 {
        said.push(format!("began with TLS {} where none was due", times(habits.undue_tls)));
    }
    said.extend(habits.no_tls.iter().map(|(why, number)| format!("no TLS {}: {why}", times(number))));
    said.join("; ")
}

fn messages(habits: &Habits) -> String {
    let mut said = Vec::new();
    if habits.messages > 0 {
        said.push(format!("{}, attempts included", habits.messages));
        said.push(format!(
            "{}, at most {} a message",
            count(habits.recipients, "recipient"),
            habits.most_recipients
        ));
    } else if habits.mails > 0 {
        said.push("none came to its end".to_owned());
    }
    if habits.largest > 0 {
        said.push(format!("the largest {}", size(habits.largest)));
    }
    said.join("; ")
}

fn wrong(habits: &Habits) -> String {
    let mut said: Vec<String> =
        habits.refusals.iter().map(|(reply, number)| format!("{reply} ({number})")).collect();
    if habits.bare_lf > 0 {
        said.push(format!("ends lines with bare LF ({}): one message a connection is taken", habits.bare_lf));
    }
    some(said, NAMED, habits.refusals.left_out())
}

fn times(number: u64) -> String {
    match number {
        1 => "once".to_owned(),
        _ => format!("{number} times"),
    }
}
