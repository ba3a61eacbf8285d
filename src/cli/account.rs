//! `waxseal account`.

use super::{
    arguments::AccountCommand,
    client::{ask, ask_once},
    colour, doctor, moving,
    output::{complain, say, say_json, say_table},
};
use crate::{
    admin::protocol::{AccountView, Consent, Request},
    mail::Day,
    oauth::Callback,
};
use std::{
    io::{self, BufRead as _, IsTerminal as _},
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::SystemTime,
};

pub(super) fn account(config: Option<&Path>, command: AccountCommand) -> ExitCode {
    match command {
        AccountCommand::Add(arguments) => super::account_add::add(config, *arguments),
        AccountCommand::List { json } => match ask_once(config, &Request::AccountList) {
            Ok(value) if json => say_json(&value),
            Ok(value) => match serde_json::from_value(value) {
                Ok(accounts) => {
                    table(accounts);
                    ExitCode::SUCCESS
                }
                Err(_) => another_version(),
            },
            Err(code) => code,
        },
        AccountCommand::Show { id, json } => shown(ask_once(config, &Request::AccountShow { id }), json),
        AccountCommand::Refresh { id } => shown(ask_once(config, &Request::AccountRefresh { id }), false),
        AccountCommand::Forget { id } => shown(ask_once(config, &Request::AccountForget { id }), false),
        AccountCommand::Test { id, to } => doctor::test(config, id, to),
        AccountCommand::Export { ids, to, passphrase_file } => {
            moving::export(config, ids, &to, passphrase_file)
        }
        AccountCommand::Import { file, passphrase_file, replace } => {
            moving::import(config, &file, passphrase_file, replace)
        }
        AccountCommand::Authorize { id, link: true, .. } => link(config, id),
        AccountCommand::Authorize { id, paste, device, no_browser, .. } => {
            authorize(config, id, device, paste, no_browser)
        }
    }
}

fn another_version() -> ExitCode {
    complain("the daemon's answer is of another version");
    ExitCode::FAILURE
}

/// Generate Tokens. The daemon waits for the callback on one connection; a pasted URL goes to it on another.
fn authorize(config: Option<&Path>, id: String, device: bool, paste: bool, no_browser: bool) -> ExitCode {
    let owned = config.map(Path::to_owned);
    let mut begun = |value: serde_json::Value| {
        let Ok(consent) = serde_json::from_value::<Consent>(value) else { return };
        if let Some(code) = &consent.user_code {
            say(&format!(
                "On any device, within {} minutes, open\n\n  {}\n\nand enter the code\n\n  {code}\n\nwaiting for you to agree there …",
                consent.lasts / 60,
                consent.url
            ));
            return;
        }
        say(&format!("Sign in here within {} minutes and agree:\n\n  {}\n", consent.lasts / 60, consent.url));
        if paste {
            say(&format!(
                "The browser ends at an address that begins with {}; it does not matter that the page is not found.\n\
                 Paste that whole address here:",
                consent.redirect_uri
            ));
            let (config, page) = (owned.clone(), consent.url.clone());
            std::thread::spawn(move || {
                let mut url = String::new();
                let read = io::stdin().lock().read_line(&mut url);
                if read.is_ok_and(|octets| octets > 0) {
                    let is_own = Callback::parse(&url).is_ok_and(|pasted| page.contains(&pasted.state));
                    // Its outcome comes back on the connection that waits, unless the state in it is not of this
                    // sign-in: then only this answer says so.
                    match ask_once(config.as_deref(), &Request::AuthorizePaste { url }) {
                        Err(_) => end(),
                        Ok(value) if !is_own => {
                            shown(Ok(value), false);
                            std::process::exit(0);
                        }
                        Ok(_) => {}
                    }
                } else {
                    complain("nothing was pasted");
                    end();
                }
            });
        } else {
            say(&format!("waiting for the browser to come back to {} …", consent.redirect_uri));
            if !no_browser && io::stdout().is_terminal() {
                open_browser(&consent.url);
            }
        }
    };
    let request = Request::Authorize { id, device, link: false };
    shown(ask(config, &request, &mut begun), false)
}

/// A link for an administrator on another machine.
fn link(config: Option<&Path>, id: String) -> ExitCode {
    let show = format!("waxseal account show {id}");
    let value = match ask_once(config, &Request::Authorize { id, device: false, link: true }) {
        Ok(value) => value,
        Err(code) => return code,
    };
    let Ok(consent) = serde_json::from_value::<Consent>(value) else { return another_version() };
    say(&format!(
        "Good once, for {} hours, in any browser that reaches {}:\n\n  {}\n\n`{show}` tells when it has been used.",
        consent.lasts / 3600,
        consent.redirect_uri,
        consent.url
    ));
    ExitCode::SUCCESS
}

/// Fails from the thread that reads the pasted URL; the other one waits for the daemon.
fn end() -> ! {
    std::process::exit(1)
}

/// A browser that does not open is no failure: the address is on the screen.
fn open_browser(url: &str) {
    let nothing = Stdio::null;
    let _ = Command::new("xdg-open").arg(url).stdin(nothing()).stdout(nothing()).stderr(nothing()).spawn();
}

fn shown(answer: Result<serde_json::Value, ExitCode>, json: bool) -> ExitCode {
    let value = match answer {
        Ok(value) if json => return say_json(&value),
        Ok(value) => value,
        Err(code) => return code,
    };
    let Ok(account) = serde_json::from_value::<AccountView>(value) else { return another_version() };
    let none = || "-".to_owned();
    let ends = match (account.grant_ends_at, account.grant_ends_because) {
        (Some(at), Some(cause)) => format!("{at} ({cause})"),
        (at, _) => at.unwrap_or_else(none),
    };
    let lines = [
        ("id", account.id),
        ("name", account.name),
        ("description", account.description),
        ("type", account.r#type),
        ("state", colour::shown(&account.state)),
        ("domains", account.domains.join(", ")),
        ("application", account.application.unwrap_or_else(none)),
        ("server", account.server),
        ("username", account.username.unwrap_or_else(none)),
        ("authorized", account.authorized_at.map_or_else(none, with_age)),
        ("last rotation", account.rotated_at.map_or_else(none, with_age)),
        ("last refresh", account.refreshed_at.unwrap_or_else(none)),
        ("grant ends", ends),
        ("token expires", account.token_expires_at.unwrap_or_else(none)),
        ("last success", account.last_success_at.unwrap_or_else(none)),
        ("last error", account.last_error.unwrap_or_else(none)),
        ("remedy", account.remedy.unwrap_or_else(none)),
        ("queued", account.queued.to_string()),
    ];
    for (name, value) in lines {
        say(format!("{name:14} {value}").trim_end());
    }
    if let Some(remark) = account.remark {
        complain(&format!("note: {remark}"));
    }
    ExitCode::SUCCESS
}

/// A time with the days that have gone since.
fn with_age(at: String) -> String {
    let day = at.get(..10).and_then(Day::parse);
    let days = day.and_then(|day| SystemTime::now().duration_since(day.start()).ok());
    match days.map(|since| since.as_secs() / 86_400) {
        Some(0) => format!("{at} (today)"),
        Some(1) => format!("{at} (yesterday)"),
        Some(days) => format!("{at} ({days} days ago)"),
        None => at,
    }
}

/// Prints accounts as a table.
pub(super) fn table(accounts: Vec<AccountView>) {
    let row = |a: AccountView| {
        let none = || "-".to_owned();
        let error = match (a.last_error, a.remedy) {
            (Some(error), Some(remedy)) => format!("{error}; {remedy}"),
            (Some(error), None) => error,
            _ => none(),
        };
        vec![
            a.id,
            a.r#type,
            a.domains.join(","),
            a.application.unwrap_or_else(none),
            a.state,
            a.token_expires_at.unwrap_or_else(none),
            a.last_success_at.unwrap_or_else(none),
            error,
        ]
    };
    let rows: Vec<_> = accounts.into_iter().map(row).collect();
    let head =
        ["id", "type", "domains", "application", "state", "token expires", "last success", "last error"];
    say_table(&head, &rows);
}
