//! `waxseal status` and `waxseal reload`.

use super::{
    account,
    client::ask_once,
    colour,
    output::{complain, people_size, say, say_json},
};
use crate::admin::protocol::{ListenerView, NodeView, Request, StatusView};
use std::{path::Path, process::ExitCode};

pub(super) fn status(config: Option<&Path>, json: bool) -> ExitCode {
    let value = match ask_once(config, &Request::Status) {
        Ok(value) => value,
        Err(code) => return code,
    };
    if json {
        return say_json(&value);
    }
    let Ok(status) = serde_json::from_value::<StatusView>(value) else {
        complain("the daemon's answer is of another version");
        return ExitCode::FAILURE;
    };
    say(&format!("waxseal {}, process {}, since {}", status.version, status.pid, status.started_at));
    let mut heading = "listeners";
    for listener in &status.listener_settings {
        let ListenerView { address, words, application, .. } = listener;
        let application = application.as_ref().map_or_else(String::new, |id| format!(", application {id}"));
        say(&format!("{heading:<10} {address}  {words}{application}"));
        heading = "";
    }
    if status.users > 0 {
        say(&format!("users      {}", status.users));
    }
    let counts: Vec<String> = status.queue.iter().map(|(state, count)| format!("{count} {state}")).collect();
    say(&format!("queue      {}; {} on disk", counts.join(", "), people_size(status.queue_bytes)));
    if let Some(store) = &status.store {
        say(&format!("store      PostgreSQL, as {}", store.node));
        let mut heading = "nodes";
        for node in &store.nodes {
            let NodeView { name, version, messages, silent_seconds, .. } = node;
            let there =
                if node.there { "there".to_owned() } else { format!("silent for {silent_seconds} s") };
            let mail = if *messages == 1 { "message" } else { "messages" };
            say(&format!("{heading:<10} {name}  waxseal {version}, {there}, {messages} {mail}"));
            heading = "";
        }
    }
    let hour = |what: &str| format!("{} {what}", status.rates.get(what).map_or(0, |rate| rate.hour));
    let hours = ["received", "delivered", "deferred", "failed", "rejected"].map(hour);
    say(&format!("last hour  {}", hours.join(", ")));
    say("");
    account::table(status.accounts);
    for warning in status.warnings {
        say(&format!("{} {warning}", colour::shown("warning:")));
    }
    ExitCode::SUCCESS
}

pub(super) fn reload(config: Option<&Path>) -> ExitCode {
    match ask_once(config, &Request::Reload) {
        Ok(value) => {
            say(value.as_str().unwrap_or("reloaded"));
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}
