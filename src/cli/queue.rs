//! `waxseal queue`. Looking is asked of the daemon, or of its files where it is stopped; changing takes the daemon.

use super::{
    arguments::{QueueCommand, Which},
    client::{ask, ask_or, tell_left_out},
    colour,
    output::{complain, say, say_json, say_table},
    verify,
};
use crate::admin::{
    answer_stopped,
    protocol::{Answer, MessageView, QueueChange, Request},
};
use std::{path::Path, process::ExitCode};

pub(super) fn queue(config: Option<&Path>, command: QueueCommand) -> ExitCode {
    match command {
        QueueCommand::List { account, most, json } => {
            let answer = look(config, &Request::QueueList { account, most }, &mut tell_left_out);
            answer.map_or_else(|code| code, |value| if json { say_json(&value) } else { list(value) })
        }
        QueueCommand::Show { id, json } => {
            let answer = look(config, &Request::QueueShow { id }, &mut tell_left_out);
            answer.map_or_else(|code| code, |value| if json { say_json(&value) } else { show(value) })
        }
        QueueCommand::Verify { json } => verify::verify(config, json),
        QueueCommand::Retry(which) => change(config, QueueChange::Retry, "to be sent now", which),
        QueueCommand::Hold(which) => change(config, QueueChange::Hold, "held", which),
        QueueCommand::Release(which) => change(config, QueueChange::Release, "released", which),
        QueueCommand::Remove(which) => change(config, QueueChange::Remove, "removed", which),
    }
}

/// Asks for something that changes nothing; `progress` takes what comes before the last answer.
///
/// # Errors
/// The exit code, after the reason has been printed.
pub(super) fn look(
    config: Option<&Path>,
    request: &Request,
    progress: &mut dyn FnMut(serde_json::Value),
) -> Result<serde_json::Value, ExitCode> {
    ask_or(config, request, progress, |state_dir, progress| from_files(state_dir, request, progress))
}

fn from_files(
    state_dir: &Path,
    request: &Request,
    progress: &mut dyn FnMut(serde_json::Value),
) -> Result<serde_json::Value, ExitCode> {
    let mut before = |answer| {
        if let Answer::Progress(value) = answer {
            progress(value);
        }
    };
    match answer_stopped(state_dir, request, &mut before) {
        Answer::Done(value) | Answer::Progress(value) => {
            complain("the daemon is not running: this is from its files");
            Ok(value)
        }
        Answer::Failed { message, exit_code } => {
            complain(&format!("the daemon is not running; by its files: {message}"));
            Err(ExitCode::from(exit_code))
        }
    }
}

fn change(config: Option<&Path>, change: QueueChange, done: &str, which: Which) -> ExitCode {
    let request = Request::QueueChange { change, ids: which.ids, account: which.account, all: which.all };
    match ask(config, &request, &mut tell_left_out) {
        Ok(count) => {
            say(&format!("{count} {done}"));
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

fn list(value: serde_json::Value) -> ExitCode {
    let Ok(messages) = serde_json::from_value::<Vec<MessageView>>(value) else {
        complain("the daemon's answer is of another version");
        return ExitCode::FAILURE;
    };
    if messages.is_empty() {
        say("the queue is empty");
        return ExitCode::SUCCESS;
    }
    let is_of_nodes = messages.iter().any(|message| message.node.is_some());
    let row = |m: MessageView| {
        let to = match m.to.as_slice() {
            [] => String::new(),
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first} +{}", rest.len()),
        };
        let next = m.next_attempt_at.unwrap_or_else(|| "-".into());
        let node = is_of_nodes.then(|| m.node.unwrap_or_default());
        let rest = [m.state, m.account, m.from, to, m.size.to_string(), m.received_at, next, m.last_reply];
        [m.id].into_iter().chain(node).chain(rest).collect::<Vec<_>>()
    };
    let rows: Vec<_> = messages.into_iter().map(row).collect();
    let rest = ["state", "account", "from", "to", "size", "received", "next attempt", "last reply"];
    let titles: Vec<&str> = ["id"].into_iter().chain(is_of_nodes.then_some("node")).chain(rest).collect();
    say_table(&titles, &rows);
    ExitCode::SUCCESS
}

fn show(value: serde_json::Value) -> ExitCode {
    let Ok(message) = serde_json::from_value::<MessageView>(value) else {
        complain("the daemon's answer is of another version");
        return ExitCode::FAILURE;
    };
    let next = message.next_attempt_at.as_deref().unwrap_or("-");
    say(&format!(
        "id            {}\nstate         {}\naccount       {}\nfrom          <{}>\nsize          {}\nreceived      {}\n\
         next attempt  {next}\nattempts      {}\nlast reply    {}",
        message.id,
        colour::shown(&message.state),
        message.account,
        message.from,
        message.size,
        message.received_at,
        message.attempts,
        message.last_reply
    ));
    if let Some(node) = &message.node {
        say(&format!("node          {node}"));
    }
    for to in &message.to {
        say(&format!("to            <{to}>"));
    }
    ExitCode::SUCCESS
}
