//! `waxseal route`: which account a sender maps to, and why.

use super::output::complain_of_config;
use crate::{
    account::{
        User,
        routing::{NoRoute, Route, Routes, Step},
    },
    config::{Config, ListenAddress, ListenerSettings, application_of, load_from_process_env},
    mail::ReversePath,
};
use std::{
    fmt::Write as _,
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::ExitCode,
};

/// The question: a sender, on a connection.
#[derive(Debug, Clone, Copy)]
pub struct RouteQuery<'a> {
    /// The reverse-path without its brackets; empty, or `<>`, is the null one.
    pub sender: &'a str,
    /// The client's address; 127.0.0.1 where absent. A client at a Unix socket has none.
    pub client: Option<IpAddr>,
    /// The listener's address as configured; the first listener where absent.
    pub listener: Option<&'a str>,
    /// The id of the local user who has logged in.
    pub user: Option<&'a str>,
}

/// The answer, with the way to it.
#[derive(Debug, Clone)]
pub struct RouteAnswer {
    /// The application that the connection belongs to, if any.
    pub application: Option<String>,
    /// The listener asked about.
    pub listener: String,
    /// Whether the listener lets the client submit at all.
    pub admitted: bool,
    /// Whom the application may not send as, where the sender is one of those: the text of the refusal.
    pub refusal: Option<String>,
    /// The user asked about.
    pub user: Option<String>,
    /// The steps of the search.
    pub steps: Vec<Step>,
    /// The account, or why there is none.
    pub outcome: Result<Route, NoRoute>,
}

/// Runs `waxseal route`: 0 with the account, 1 where there is none, 2 for a question that makes no sense, 78 for a
/// wrong configuration.
pub fn route(path: Option<&Path>, query: RouteQuery<'_>, json: bool) -> ExitCode {
    let config = match load_from_process_env(path) {
        Ok(config) => config,
        Err(errors) => return complain_of_config(&errors),
    };
    match answer(&config, query) {
        Ok(answer) => {
            let text = if json { render_json(&answer) } else { render(query.sender, &answer) };
            let _ = io::stdout().lock().write_all(text.as_bytes());
            let taken = answer.outcome.is_ok() && answer.refusal.is_none();
            if taken { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(problem) => {
            let _ = writeln!(io::stderr().lock(), "{problem}");
            ExitCode::from(2)
        }
    }
}

/// Answers a question.
///
/// # Errors
/// A sentence, where the sender is no address or there is no such listener.
pub fn answer(config: &Config, query: RouteQuery<'_>) -> Result<RouteAnswer, String> {
    let text = query.sender.strip_prefix('<').and_then(|s| s.strip_suffix('>')).unwrap_or(query.sender);
    let sender = ReversePath::parse(text).map_err(|error| format!("`{text}` is no sender: {error}"))?;
    let listener = listener(config, query.listener)?;
    let client = match (&listener.address, query.client) {
        (ListenAddress::Unix(_), Some(_)) => {
            return Err(format!("a client at {} has no address: leave --client out", listener.address));
        }
        (ListenAddress::Unix(_), None) => None,
        (_, client) => Some(client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))),
    };
    let user = query.user.map(|name| user(config, name)).transpose()?;
    let application = application_of(listener, &config.applications, client, user);
    let routes = Routes::new(&config.accounts);
    let found = application.and_then(|id| config.applications.iter().find(|app| app.id == *id));
    Ok(RouteAnswer {
        refusal: found.and_then(|application| application.refusal(&sender)),
        user: user.map(|user| user.id.to_string()),
        application: application.map(ToString::to_string),
        listener: listener.address.to_string(),
        admitted: query.client.is_none_or(|address| listener.admits(address)),
        steps: routes.explain(application, &sender),
        outcome: routes.route(application, &sender),
    })
}

fn user<'a>(config: &'a Config, wanted: &str) -> Result<&'a User, String> {
    config.users.get(wanted).or_else(|| config.users.named(wanted)).ok_or_else(|| {
        let known: Vec<&str> = config.users.all().iter().map(|user| &*user.id).collect();
        format!("there is no user {wanted}; there is {}", known.join(", "))
    })
}

fn listener<'a>(config: &'a Config, wanted: Option<&str>) -> Result<&'a ListenerSettings, String> {
    let Some(wanted) = wanted else {
        return config.listeners.first().map(AsRef::as_ref).ok_or_else(|| "there is no listener".into());
    };
    let same = |address: &ListenAddress| {
        address.to_string() == wanted
            || matches!(address, ListenAddress::Tcp(tcp) if wanted.parse() == Ok(*tcp))
    };
    config.listeners.iter().map(AsRef::as_ref).find(|listener| same(&listener.address)).ok_or_else(|| {
        let known: Vec<_> = config.listeners.iter().map(|listener| listener.address.to_string()).collect();
        format!("there is no listener at {wanted}; there is {}", known.join(", "))
    })
}

/// The answer as text.
pub fn render(sender: &str, answer: &RouteAnswer) -> String {
    let mut out = String::new();
    let sender = if sender.is_empty() { "<>" } else { sender };
    let _ = match &answer.outcome {
        _ if answer.refusal.is_some() => {
            writeln!(
                out,
                "{sender} -> nothing: MAIL gets 550 5.7.1, {}",
                answer.refusal.as_deref().unwrap_or_default()
            )
        }
        Ok(route) => writeln!(out, "{sender} -> {}: {}", route.account, route.why),
        Err(none) => writeln!(out, "{sender} -> nothing: MAIL gets 550 5.7.1, {none}"),
    };
    let level = match &answer.application {
        Some(id) => format!("belongs to the application {id}"),
        None => "belongs to no application".into(),
    };
    let user = answer.user.as_ref().map_or_else(String::new, |user| format!(" with the login of {user}"));
    let _ = writeln!(out, "  the connection to {}{user} {level}", answer.listener);
    if !answer.admitted {
        let _ = writeln!(out, "  but this client is not among the listener's `clients`: it gets 554 5.7.1");
    }
    for (i, step) in answer.steps.iter().enumerate() {
        let _ = writeln!(out, "  {}. {step}", i + 1);
    }
    out
}

/// The answer as one JSON object.
pub fn render_json(answer: &RouteAnswer) -> String {
    let steps: Vec<_> = answer.steps.iter().map(ToString::to_string).collect();
    let (account, why) = match &answer.outcome {
        _ if answer.refusal.is_some() => (None, answer.refusal.clone().unwrap_or_default()),
        Ok(route) => (Some(route.account.as_str()), route.why.to_string()),
        Err(none) => (None, none.to_string()),
    };
    let object = serde_json::json!({
        "account": account,
        "why": why,
        "application": answer.application,
        "listener": answer.listener,
        "user": answer.user,
        "admitted": answer.admitted,
        "refusal": answer.refusal,
        "steps": steps,
    });
    format!("{object:#}\n")
}
