//! `waxseal check`: reads the configuration and says what it means.

use super::output::complain_of_config;
use crate::{
    account::{
        Account, Delivery, Grant, Login, PasswordMechanism, SecurityMode, SignIn, SignInWay, TokenMechanism,
    },
    config::{
        AlertSettings, Bounce, ListenAddress, ListenerSettings, Loaded, QueueSettings, load_explained,
        process_env, show_duration, show_size,
    },
};
use ipnet::IpNet;
use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};

/// Runs `waxseal check`: the report on standard output and 0, or what is wrong on standard error and 78.
pub fn check(path: Option<&Path>, json: bool) -> ExitCode {
    match load_explained(path, process_env()) {
        Ok(loaded) => {
            let text = if json { report_json(&loaded) } else { report(&loaded) };
            // A closed pipe (`waxseal check | head`) says nothing about the configuration.
            let _ = io::stdout().lock().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(errors) => complain_of_config(&errors),
    }
}

/// The whole report. Never a secret.
pub fn report(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let mut out = String::new();
    let _ = writeln!(out, "files      {}", loaded.files.join(", "));
    let _ = writeln!(out, "hostname   {}", config.hostname);
    let _ = writeln!(out, "state_dir  {}", config.state_dir.display());
    out.push_str("\nlisteners\n");
    for listener in &config.listeners {
        let _ = write!(out, "  {}  {}, clients {}", listener.address, listener.in_words(), clients(listener));
        if let Some(tls) = listener.tls.server() {
            let _ = write!(out, ", certificate {}", tls.certificate().display());
        }
        let _ = match &listener.application {
            Some(id) => writeln!(out, ", application {id}"),
            None => writeln!(out),
        };
    }
    if !config.applications.is_empty() {
        out.push_str("\napplications\n");
        for application in &config.applications {
            let clients = if application.clients.is_empty() {
                "by listener or user".to_owned()
            } else {
                format!("clients {}", list(&application.clients))
            };
            let senders = application.allowed_senders.as_ref();
            let senders = senders.map_or_else(String::new, |allowed| format!(", senders {}", list(allowed)));
            let _ = writeln!(out, "  {}  {clients}{senders}", application.id);
        }
    }
    if !config.users.all().is_empty() {
        out.push_str("\nusers\n");
        for user in config.users.all() {
            let name =
                if user.username == *user.id { String::new() } else { format!(" ({})", user.username) };
            let origin = loaded.password_origins.get(&*user.id).map_or("", String::as_str);
            let application =
                user.application.as_ref().map_or_else(String::new, |id| format!(", application {id}"));
            let _ = writeln!(out, "  {}{name}  password: {origin}{application}", user.id);
        }
    }
    out.push_str("\naccounts\n");
    if config.accounts.is_empty() {
        out.push_str("  none\n");
    }
    for account in &config.accounts {
        account_block(&mut out, account, loaded, config.queue.through_timeout);
    }
    out.push_str("\nroutes\n");
    out.push_str(&routes(&config.accounts));
    let queue = &config.queue;
    let waits: Vec<_> = queue.retry.iter().copied().map(show_duration).collect();
    let _ = writeln!(
        out,
        "\nqueue      retry {} (the last repeats), expire {}, keep_failed {}, max_size {}, min_free {}",
        waits.join(" "),
        show_duration(queue.expire),
        show_duration(queue.keep_failed),
        show_size(queue.max_size),
        show_size(queue.min_free)
    );
    let _ = writeln!(out, "spool      {}", config.spool.display());
    let _ = writeln!(out, "bounces    {}", bounces(queue));
    if let Some(store) = &config.store {
        let _ = writeln!(out, "store      PostgreSQL, as node {}", store.node);
    }
    let _ = writeln!(out, "history    keep {}", show_duration(config.history.keep));
    let _ = writeln!(out, "alerts     {}", alerts(&config.alert));
    let _ = match &config.admin {
        Some(admin) => writeln!(out, "admin      {}, redirect URI {}", admin.address, redirect_uri(admin)),
        None => writeln!(out, "admin      off"),
    };
    if !config.warnings.is_empty() {
        out.push_str("\nwarnings\n");
        for warning in &config.warnings {
            let _ = writeln!(out, "  {}", warning.trim_end().replace('\n', "\n    "));
        }
    }
    out.push_str("\nThe configuration is valid.\n");
    out
}

/// Who may submit, in words.
fn clients(listener: &ListenerSettings) -> String {
    match &listener.address {
        ListenAddress::Unix(_) => "users of this host".into(),
        _ => list(networks(listener)),
    }
}

fn networks(listener: &ListenerSettings) -> &[IpNet] {
    match &listener.address {
        ListenAddress::Unix(_) => &[],
        _ => listener.clients(),
    }
}

fn bounces(queue: &QueueSettings) -> String {
    let postmaster = queue.postmaster.as_ref().map_or_else(String::new, ToString::to_string);
    match queue.bounce {
        Bounce::Sender => "to the sender".into(),
        Bounce::Postmaster => format!("to {postmaster}"),
        Bounce::Both => format!("to the sender and {postmaster}"),
        Bounce::None => "none".into(),
    }
}

/// The program alone: its arguments may be nobody's business.
fn alerts(alert: &AlertSettings) -> String {
    let command = alert.command.first().map(|program| format!("command {program}"));
    let mail = alert.mail_to.as_ref().map(|mailbox| format!("mail to {mailbox}"));
    let ways: Vec<_> = command.into_iter().chain(mail).collect();
    if ways.is_empty() { "in the log alone".into() } else { ways.join(", ") }
}

fn redirect_uri(admin: &crate::config::AdminSettings) -> String {
    format!("{}/oauth/callback", admin.public_url.as_str().trim_end_matches('/'))
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn account_block(out: &mut String, account: &Account, loaded: &Loaded, through_timeout: Duration) {
    let name =
        if account.name == account.id.as_str() { String::new() } else { format!(" ({})", account.name) };
    let application =
        account.application.as_ref().map_or_else(String::new, |id| format!(", application {id}"));
    let inactive = if account.active { "" } else { ", inactive" };
    let _ = writeln!(out, "  {}{name}: {}{application}{inactive}", account.id, account.kind.as_str());
    let mut line = |name: &str, text: &str| {
        let _ = writeln!(out, "    {name:<8} {text}");
    };
    line("server", &server(account));
    line("login", &login(account));
    for ((id, key), origin) in &loaded.secret_origins {
        if id == account.id.as_str() {
            let end =
                account.oauth().filter(|_| *key == "client_secret").and_then(|o| o.client_secret_expires());
            let end = end.map_or_else(String::new, |day| format!(", expires {day}"));
            line("secret", &format!("{key}: {origin}{end}"));
        }
    }
    let mut serves: Vec<_> = account.senders.iter().map(ToString::to_string).collect();
    serves.extend(account.domains.iter().map(ToString::to_string));
    if account.default {
        serves.push("everything else (default)".into());
    }
    line("serves", &serves.join(", "));
    let pacing = &account.pacing;
    let rate = pacing.rate_limit.map_or_else(
        || "no rate limit".into(),
        |rate| format!("{} messages in {}", rate.count, show_duration(rate.per)),
    );
    let recipients = pacing
        .max_recipients_per_message
        .map_or_else(String::new, |most| format!(", {most} recipients a message"));
    let daily = pacing.daily_recipients.map_or_else(String::new, |most| format!(", {most} recipients a day"));
    line("pacing", &format!("{} connections, {rate}{daily}{recipients}", pacing.max_connections));
    if account.delivery == Delivery::Through {
        let most = show_duration(through_timeout);
        line("delivery", &format!("through: clients wait up to {most} for the provider's verdict"));
    }
}

/// Where an account's mail goes, in words.
pub(super) fn server(account: &Account) -> String {
    let server = &account.server;
    let security = match server.security {
        SecurityMode::None => "plain text",
        SecurityMode::StartTls => "STARTTLS demanded",
        SecurityMode::Tls => "TLS",
    };
    let validation = if server.certificate_validation { "" } else { ", certificate NOT validated" };
    let roots =
        server.ca_file.as_ref().map_or_else(String::new, |path| format!(", trust {}", path.display()));
    format!("{}:{}, {security}{validation}{roots}", server.host, server.port)
}

/// Who logs in, in words.
pub(super) fn login(account: &Account) -> String {
    match &account.login {
        Login::None => "none".into(),
        Login::Password { username, mechanism, .. } => {
            let mechanism = match mechanism {
                PasswordMechanism::Auto => "",
                PasswordMechanism::Plain => " (PLAIN)",
                PasswordMechanism::Login => " (LOGIN)",
                PasswordMechanism::CramMd5 => " (CRAM-MD5)",
            };
            format!("{username} with a password{mechanism}")
        }
        Login::OAuth(oauth) => {
            let mechanism = match oauth.mechanism {
                TokenMechanism::Auto => "",
                TokenMechanism::XOAuth2 => " (XOAUTH2)",
                TokenMechanism::OAuthBearer => " (OAUTHBEARER)",
            };
            let grant = match &oauth.grant {
                Grant::SignIn(_, SignIn { way: SignInWay::Browser { .. }, .. }) => "",
                Grant::SignIn(..) => ", signed in by device",
                Grant::ClientCredentials(_) => ", the client in its own name",
                Grant::ServiceAccount(_) => ", as a service account",
            };
            format!("{} with OAuth 2.0{grant}, scope {}{mechanism}", oauth.username, oauth.scope)
        }
    }
}

/// One line a route, applications first.
fn routes(accounts: &[Account]) -> String {
    let mut lines = Vec::new();
    for account in accounts.iter().filter(|account| account.active) {
        let level = account.application.as_ref().map_or("organization", |id| id.as_str());
        let mut line = |rank: usize, what: String| {
            lines.push((account.application.is_none(), level.to_owned(), rank, what, account.id.to_string()));
        };
        account.senders.iter().for_each(|sender| line(0, sender.to_string()));
        for pattern in &account.domains {
            let text = pattern.to_string();
            line(if text.starts_with('*') { 2 } else { 1 }, text);
        }
        if account.default {
            line(3, "everything else".into());
        }
    }
    lines.sort();
    if lines.is_empty() {
        return "  none: all mail is refused\n".into();
    }
    lines.into_iter().fold(String::new(), |mut out, (_, level, _, what, account)| {
        let _ = writeln!(out, "  {level}: {what} -> {account}");
        out
    })
}

/// The report as one JSON object.
pub fn report_json(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let strings = |items: Vec<String>| serde_json::Value::from(items);
    let accounts: Vec<_> = config
        .accounts
        .iter()
        .map(|account| {
            let secrets: serde_json::Map<_, _> = loaded
                .secret_origins
                .iter()
                .filter(|((id, _), _)| id == account.id.as_str())
                .map(|((_, key), origin)| ((*key).to_owned(), origin.as_str().into()))
                .collect();
            serde_json::json!({
                "id": account.id.as_str(),
                "name": account.name,
                "type": account.kind.as_str(),
                "active": account.active,
                "application": account.application.as_ref().map(|id| id.as_str()),
                "domains": strings(account.domains.iter().map(ToString::to_string).collect()),
                "senders": strings(account.senders.iter().map(ToString::to_string).collect()),
                "default": account.default,
                "server": format!("{}:{}", account.server.host, account.server.port),
                "username": account.username(),
                "delivery": match account.delivery {
                    Delivery::Queue => "queue",
                    Delivery::Through => "through",
                },
                "secrets": secrets,
            })
        })
        .collect();
    let listeners: Vec<_> = config
        .listeners
        .iter()
        .map(|listener| {
            serde_json::json!({
                "address": listener.address.to_string(),
                "clients": strings(networks(listener).iter().map(ToString::to_string).collect()),
                "application": listener.application.as_ref().map(|id| id.as_str()),
                "tls": listener.tls.word(),
                "certificate": listener.tls.server().map(|tls| tls.certificate()),
                "authentication": listener.authentication.word(),
            })
        })
        .collect();
    let applications: Vec<_> = config
        .applications
        .iter()
        .map(|application| {
            let senders = application.allowed_senders.as_ref();
            serde_json::json!({
                "id": application.id.as_str(),
                "clients": strings(application.clients.iter().map(ToString::to_string).collect()),
                "allowed_senders": senders.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>()),
            })
        })
        .collect();
    let users: Vec<_> = config
        .users
        .all()
        .iter()
        .map(|user| {
            serde_json::json!({
                "id": &*user.id,
                "username": user.username,
                "password": loaded.password_origins.get(&*user.id),
                "application": user.application.as_ref().map(|id| id.as_str()),
            })
        })
        .collect();
    let report = serde_json::json!({
        "hostname": config.hostname,
        "state_dir": config.state_dir,
        "spool": config.spool,
        "files": loaded.files,
        "listeners": listeners,
        "applications": applications,
        "users": users,
        "accounts": accounts,
        "warnings": config.warnings,
    });
    format!("{report:#}\n")
}
