//! `waxseal doctor` and `waxseal account test`: an account's way upstream, step by step.

use super::{
    client::{SOCKET, ask, converse, down},
    output::{complain, complain_of_config, say, say_json, say_table},
};
use crate::{
    account::{
        Account, AccountId,
        token::{AccessToken, NoToken},
    },
    admin::{
        examination::view,
        protocol::{ExaminationView, Request},
    },
    config::{Config, Snapshot, load_from_process_env},
    oauth::{AccessTokenFuture, TokenSource},
    outbound::Upstream,
};
use std::{
    io::{ErrorKind, IsTerminal as _},
    os::unix::net::UnixStream,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

const WELL: u8 = 0;
const FAILED: u8 = 1;

pub(super) fn test(config: Option<&Path>, id: String, to: Option<String>) -> ExitCode {
    let mut show = |value: serde_json::Value| {
        if let Ok(examined) = serde_json::from_value::<ExaminationView>(value) {
            steps(&examined);
        }
    };
    match ask(config, &Request::AccountTest { id, to }, &mut show) {
        Ok(value) => {
            say(value.as_str().unwrap_or_default());
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

pub(super) fn doctor(config: Option<&Path>, ids: Vec<String>, json: bool) -> ExitCode {
    let loaded = match load_from_process_env(config) {
        Ok(loaded) => loaded,
        Err(errors) => return complain_of_config(&errors),
    };
    let path = loaded.state_dir.join(SOCKET);
    let mut seen = Vec::new();
    let mut show = |value: serde_json::Value| {
        if let Ok(examined) = serde_json::from_value::<ExaminationView>(value) {
            if !json {
                whole(&examined);
            }
            seen.push(examined);
        }
    };
    match UnixStream::connect(&path) {
        Ok(stream) => {
            if let Err(code) = converse(stream, &path, &Request::Doctor { ids }, &mut show) {
                return code;
            }
        }
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return down(&path, &error);
        }
        Err(_) => {
            complain("the daemon is not running: what it alone knows, the tokens, is left out");
            if let Err(code) = alone(loaded, &ids, &mut show) {
                return code;
            }
        }
    }
    if json {
        match serde_json::to_value(&seen) {
            Ok(value) => drop(say_json(&value)),
            Err(error) => complain(&error.to_string()),
        }
    }
    // Where somebody has to act, that counts for more than a server that is away.
    let codes: Vec<u8> =
        seen.iter().map(|examined| examined.exit_code).filter(|code| *code != WELL).collect();
    let code = if codes.contains(&FAILED) { FAILED } else { codes.first().copied().unwrap_or(WELL) };
    ExitCode::from(code)
}

fn whole(examined: &ExaminationView) {
    say(&format!("{} at {}", examined.account, examined.server));
    steps(examined);
    say(format!("  {} {}", examined.verdict, examined.cure).trim_end());
    say("");
}

fn steps(examined: &ExaminationView) {
    let (good, bad) = if std::io::stdout().is_terminal() { ("✓", "✗") } else { ("ok", "FAILED") };
    let row = |step: &crate::admin::protocol::StepView| {
        let mark = if step.ok { good } else { bad };
        vec![format!("  {}", step.step), mark.to_owned(), format!("{} ms", step.ms), step.detail.clone()]
    };
    let rows: Vec<_> = examined.steps.iter().map(row).collect();
    if !rows.is_empty() {
        say_table(&["  step", "", "took", "what was seen"], &rows);
    }
}

/// Examines without the daemon.
fn alone(config: Config, ids: &[String], show: &mut dyn FnMut(serde_json::Value)) -> Result<(), ExitCode> {
    let unknown =
        ids.iter().find(|id| !config.accounts.iter().any(|account| account.id.as_str() == id.as_str()));
    if let Some(id) = unknown {
        let known: Vec<&str> = config.accounts.iter().map(|account| account.id.as_str()).collect();
        complain(&format!("there is no account {id}; there are: {}", known.join(", ")));
        return Err(ExitCode::FAILURE);
    }
    let snapshot = Snapshot::new(config);
    let wanted = |account: &&Account| {
        if ids.is_empty() { account.active } else { ids.iter().any(|id| id == account.id.as_str()) }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        complain(&error.to_string());
        ExitCode::FAILURE
    })?;
    for account in snapshot.config.accounts.iter().filter(wanted) {
        let tokens = Arc::new(NotOurs);
        let upstream = Upstream::new(Arc::new(account.clone()), snapshot.hostname.clone(), tokens);
        let examined = match upstream {
            Ok(upstream) => view(account, Ok(&runtime.block_on(upstream.examine()))),
            Err(error) => view(account, Err(error.to_string())),
        };
        if let Ok(value) = serde_json::to_value(examined) {
            show(value);
        }
    }
    Ok(())
}

/// The daemon alone has tokens, under its lock.
struct NotOurs;

impl TokenSource for NotOurs {
    fn access_token<'a>(&'a self, _: &'a AccountId) -> AccessTokenFuture<'a> {
        Box::pin(std::future::ready(Err(NoToken::Unavailable {
            reason: "the daemon has the tokens, and is not running: start it, then ask again".to_owned(),
            retry_after: Duration::ZERO,
        })))
    }

    fn refused(&self, _: &AccountId, _: &AccessToken) {}
}
