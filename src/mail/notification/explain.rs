//! The text for people: what failed for whom, what the mail server said, what it means and what to do.

use super::{
    Action, Kind, Report, ReportedRecipient, header,
    lines::{capitalized, clean, host, stopped, wrap},
    status,
};
use crate::mail::{Reply, trace::Rfc5322Date};
use std::{collections::HashMap, time::SystemTime};

/// Lines and characters of a reply that are quoted.
const QUOTED: (usize, usize) = (12, 400);

/// Writes the text; lines end with `\n`. `whole` is whether the message goes back with its body, `None` where nothing
/// of it does.
pub(super) fn text(report: &Report<'_>, kind: Kind, whole: Option<bool>) -> String {
    let mut out = String::with_capacity(1024);
    wrap(&mut out, 0, &opening(report, kind));
    out.push('\n');
    about(&mut out, report);
    let sections = [
        (Kind::Failed, "Not delivered:"),
        (Kind::Delayed, "Not delivered yet, and still being tried:"),
        (Kind::Relayed, "Handed on:"),
    ];
    let mixed = report.recipients.iter().any(|recipient| recipient.action.kind() != kind);
    for (section, title) in sections {
        let mut recipients = report.recipients.iter().filter(|r| r.action.kind() == section).peekable();
        if mixed && recipients.peek().is_some() {
            wrap(&mut out, 0, title);
            out.push('\n');
        }
        for (fate, addresses) in alike(recipients) {
            for address in addresses {
                wrap(&mut out, 0, &clean(&address, 400));
            }
            out.push('\n');
            out.push_str(&fate);
            out.push('\n');
        }
    }
    let returned = match whole {
        Some(true) => "The mail itself is attached.",
        Some(false) => "The header of the mail is attached, without its text.",
        None => "",
    };
    if !returned.is_empty() {
        wrap(&mut out, 0, returned);
        out.push('\n');
    }
    let host = host(&report.letterhead.hostname);
    let who = format!(
        "This was written by waxseal, the mail relay on {host}. Whoever looks after it finds the mail under the queue \
         id {}.",
        report.queue_id
    );
    wrap(&mut out, 0, &who);
    out
}

fn opening(report: &Report<'_>, kind: Kind) -> String {
    let count = report.recipients.iter().filter(|r| r.action.kind() == kind).count();
    let whom = if count == 1 { "the recipient".to_owned() } else { format!("{count} recipients") };
    match kind {
        Kind::Failed => {
            format!("Your mail could not be delivered to {whom} named below. It will not be tried again.")
        }
        Kind::Delayed => format!(
            "Your mail has not been delivered to {whom} named below so far. It is still being tried: this is a warning \
             only, and there is no need to send the mail again."
        ),
        Kind::Relayed => format!(
            "Your mail to {whom} named below was handed on to a mail server that does not confirm deliveries. This is \
             the only confirmation that there will be."
        ),
    }
}

/// Which mail this is about.
fn about(out: &mut String, report: &Report<'_>) {
    let section = report.original.header();
    if let Some(subject) = header::text(section, "Subject", 200) {
        wrap(out, 2, &format!("Subject: {subject}"));
    }
    let sent = header::text(section, "Date", 60).unwrap_or_else(|| Rfc5322Date(report.arrival).to_string());
    wrap(out, 2, &format!("Sent: {sent}"));
    out.push('\n');
}

/// Recipients that the same is to be said of, together, in the order of their first.
fn alike<'a>(recipients: impl Iterator<Item = &'a ReportedRecipient>) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for recipient in recipients {
        let fate = fate(recipient);
        let at = *known.entry(fate.clone()).or_insert(groups.len());
        if at == groups.len() {
            groups.push((fate, Vec::new()));
        }
        groups[at].1.push(status::path(&recipient.final_recipient));
    }
    groups
}

/// What is to be said of a recipient.
fn fate(recipient: &ReportedRecipient) -> String {
    let mut out = String::new();
    let mut say = |text: &str| wrap(&mut out, 2, text);
    let (why, remedy) = (stopped(&recipient.explanation), stopped(&recipient.remedy));
    match recipient.action {
        Action::Failed => {
            say(&if why.is_empty() { "It was refused.".to_owned() } else { capitalized(&why) });
            if !remedy.is_empty() {
                say(&format!("What to do: {remedy}"));
            }
        }
        Action::Expired => {
            say("It was tried until the mail was too old.");
            if !why.is_empty() {
                say(&format!("What stood in the way: {why}"));
            }
            say("What to do: send the mail again later, or reach the recipient in another way.");
        }
        Action::Delayed { will_retry_until } => {
            if !why.is_empty() {
                say(&format!("What stands in the way: {why}"));
            }
            if let Some(until) = will_retry_until {
                say(&format!("It is tried until {}.", date(until)));
            }
        }
        Action::Relayed => match &recipient.remote_mta {
            Some(remote) => say(&format!("Handed on to {}.", host(remote))),
            None => say("Handed on."),
        },
    }
    // What hinders all mail of an account is for its administrator to cure, not for the sender.
    if !remedy.is_empty() && matches!(recipient.action, Action::Expired | Action::Delayed { .. }) {
        say(&format!("For the administrator: {remedy}"));
    }
    if let Some(reply) = &recipient.diagnostic {
        quote(&mut out, recipient.remote_mta.as_deref(), reply);
    }
    out
}

/// The reply in the server's own words, line by line.
fn quote(out: &mut String, remote: Option<&str>, reply: &Reply) {
    let who = remote.map_or_else(String::new, |remote| format!(" {}", host(remote)));
    wrap(out, 2, &format!("The mail server{who} said:"));
    let code = match reply.enhanced() {
        Some(enhanced) => format!("{} {enhanced}", reply.code()),
        None => reply.code().to_string(),
    };
    let mut lines =
        reply.text().split('\n').map(|line| clean(line, QUOTED.1)).filter(|line| !line.is_empty());
    wrap(out, 4, format!("{code} {}", lines.next().unwrap_or_default()).trim_end());
    for line in lines.by_ref().take(QUOTED.0 - 1) {
        wrap(out, 4, &line);
    }
    if lines.next().is_some() {
        wrap(out, 4, "...");
    }
}

fn date(at: SystemTime) -> String {
    Rfc5322Date(at).to_string()
}
