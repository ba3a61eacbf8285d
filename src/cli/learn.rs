//! `waxseal learn`.

use super::{
    arguments::Learn,
    output::{complain_of_config, say, say_json},
    runtime::block_on,
    serve::raise_descriptors,
};
use crate::{
    app::{Learning, Lesson},
    config::{
        Config, DEFAULT_PATH, ListenAddress, NewFile, load_from_process_env, load_with, process_env,
        show_duration,
    },
    learn::{Habits, Tally, report},
};
use serde_json::{Value, json};
use std::{
    io::Write as _,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc::unbounded_channel,
    time::sleep,
};

pub(super) fn learn(path: Option<&Path>, arguments: &Learn) -> ExitCode {
    let loaded = match path {
        // Who has no configuration yet is the one who needs this most.
        None if !Path::new(DEFAULT_PATH).exists() => {
            let empty = NewFile { path: DEFAULT_PATH.into(), text: "" };
            load_with(None, &[empty], process_env()).map(|loaded| loaded.config)
        }
        path => load_from_process_env(path),
    };
    let config = match loaded {
        Ok(config) => config,
        Err(errors) => return complain_of_config(&errors),
    };
    raise_descriptors();
    let begun = Instant::now();
    match block_on(listen(config, arguments)) {
        Ok(lesson) => tell(&lesson, begun.elapsed(), arguments.json),
        Err(code) => code,
    }
}

/// Listens for as long as it is asked to, and says what is new as it comes, on standard error: standard output is for
/// the configuration alone.
async fn listen(config: Config, arguments: &Learn) -> anyhow::Result<Lesson> {
    // Taken before anything starts, so that no signal finds its default action.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (news, mut heard) = unbounded_channel();
    let learning = Learning::start(config, &arguments.listen, news).await?;
    for place in &learning.places {
        note(&format!("listening at {}; no message is accepted", place.address));
    }
    let time = async {
        match arguments.time {
            Some(time) => sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(time);
    loop {
        tokio::select! {
            Some(line) = heard.recv() => note(&line),
            () = &mut time => break,
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
    }
    let lesson = learning.stop().await;
    while let Ok(line) = heard.try_recv() {
        note(&line);
    }
    Ok(lesson)
}

/// A line for whoever looks on.
fn note(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

fn tell(lesson: &Lesson, lasted: Duration, json: bool) -> ExitCode {
    let lasted = Duration::from_secs(lasted.as_secs().max(1));
    if json {
        return say_json(&as_json(lesson, lasted));
    }
    say(&format!(
        "# What came within {}. No message was accepted: each is still with its application.",
        show_duration(lasted)
    ));
    say(
        "# The listeners below go in place of those in waxseal.toml; who did not come in this time is not among their",
    );
    say(
        "# clients. Accounts go there too, or each into a file of conf.d. `waxseal check` says what it all means.",
    );
    say("#");
    say(report(&lesson.learned, &lesson.places).trim_end());
    say("");
    say(lesson.configuration.trim_end());
    ExitCode::SUCCESS
}

fn as_json(lesson: &Lesson, lasted: Duration) -> Value {
    let clients = lesson.learned.clients().map(|(index, who, habits)| {
        let listener = lesson.places.get(index).map(|place| place.address.as_str());
        client(&who.to_string(), listener, habits)
    });
    json!({
        "seconds": lasted.as_secs(),
        "listeners": lesson.places.iter().map(|place| place.address.as_str()).collect::<Vec<_>>(),
        "clients": clients.collect::<Vec<_>>(),
        "passed_over": lesson.learned.passed_over(),
        "configuration": lesson.configuration,
    })
}

fn client(who: &str, listener: Option<&str>, habits: &Habits) -> Value {
    let logins =
        habits.logins.iter().map(|((mechanism, user), _)| json!({ "mechanism": mechanism, "user": user }));
    let wrong = habits.refusals.iter().map(|(reply, times)| json!({ "reply": reply, "times": times }));
    json!({
        "client": who,
        "listener": listener,
        "connections": habits.connections,
        "greetings": things(&habits.greetings, String::clone),
        "starttls": habits.starttls,
        "under_tls": habits.secured,
        "in_the_clear": habits.in_the_clear,
        "undue_tls": habits.undue_tls,
        "no_tls": things(&habits.no_tls, String::clone),
        "logins": logins.collect::<Vec<_>>(),
        "other_mechanisms": things(&habits.other_mechanisms, |name| (*name).to_owned()),
        "senders": things(&habits.senders, |sender| sender.address.clone()),
        "domains": things(&habits.domains, String::clone),
        "mails": habits.mails,
        "messages": habits.messages,
        "recipients": habits.recipients,
        "most_recipients": habits.most_recipients,
        "largest": habits.largest,
        "bare_lf": habits.bare_lf,
        "refused": wrong.collect::<Vec<_>>(),
    })
}

fn things<K: Ord>(tally: &Tally<K>, show: impl Fn(&K) -> String) -> Vec<String> {
    tally.iter().map(|(thing, _)| show(thing)).collect()
}

/// Where to listen, as the configuration writes it.
pub(super) fn address(text: &str) -> Result<ListenAddress, String> {
    if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
        let path = std::path::absolute(path).map_err(|error| error.to_string())?;
        return Ok(ListenAddress::Unix(path));
    }
    let help = "an IP address and a port: 127.0.0.1:25, 0.0.0.0:25, [::]:25; or unix:PATH";
    text.parse().map(ListenAddress::Tcp).map_err(|_| help.to_owned())
}
