//! Email OAuth 2.0 Proxy: `emailproxy.config`. Its servers are listeners, its accounts are chosen by who logs in.

mod account;
mod client;

use super::{
    Files, ImportError, Imported, LeftOut, Place,
    ini::{self, Section},
    names,
    provider::Security,
    text,
};
use account::Account;
use std::path::PathBuf;

/// An SMTP server of the configuration.
struct Server {
    host: String,
    port: u16,
    security: Security,
}

/// Reads the proxy's configuration.
///
/// # Errors
/// A file that cannot be read, or is no INI file.
pub fn import(paths: &[PathBuf], files: &dyn Files) -> Result<Imported, ImportError> {
    let mut imported = Imported::default();
    for path in paths {
        let path = if files.is_directory(path) { path.join("emailproxy.config") } else { path.clone() };
        let sections = ini::parse(&path, &text(&path, files)?)
            .map_err(|(line, why)| ImportError::new(Place::new(&path, line), why))?;
        let mut servers = Vec::new();
        for section in sections.iter().filter(|section| !section.name.contains('@')) {
            outside(section, &mut servers, &mut imported.left_out);
        }
        let catch_all: Vec<&Section> =
            sections.iter().filter(|section| section.name.starts_with('@')).collect();
        for section in sections.iter().filter(|section| section.name.contains('@')) {
            let domain = section.name.rsplit('@').next().unwrap_or_default();
            let fallback = |all: &&&Section| {
                all.name != section.name && (all.name == "@" || all.name[1..].eq_ignore_ascii_case(domain))
            };
            let mut fallbacks: Vec<&Section> = catch_all.iter().filter(fallback).copied().collect();
            fallbacks.sort_by_key(|section| std::cmp::Reverse(section.name.len()));
            if section.name == "@" {
                let why =
                    "its settings fill in those of the other accounts; by itself it names nobody who logs in";
                imported.left_out.push(LeftOut::new(section.place.clone(), "[@]", why));
                continue;
            }
            let sources = std::iter::once(section).chain(fallbacks).collect();
            imported.accounts.push(Account { section, sources }.found(&servers, files));
        }
    }
    Ok(imported)
}

/// Sections that are no accounts.
fn outside(section: &Section, servers: &mut Vec<Server>, left_out: &mut Vec<LeftOut>) {
    let name = format!("[{}]", section.name);
    let mut leave = |place: &Place, name: &str, why: &str| {
        left_out.push(LeftOut::new(place.clone(), name, why));
    };
    match section.name.split_once('-').map(|(kind, port)| (kind.to_ascii_uppercase(), port)) {
        Some((kind, _)) if kind == "IMAP" || kind == "POP" => {
            leave(&section.place, &name, "waxseal sends mail and fetches none: keep the proxy for that");
        }
        Some((kind, local)) if kind == "SMTP" => {
            let host = section.option("server_address");
            let port = section.option("server_port").and_then(|option| names::port(&option.value));
            let starttls = ["server_starttls", "starttls"]
                .iter()
                .find_map(|name| section.option(name))
                .and_then(|option| names::yes(&option.value))
                .unwrap_or(false);
            match (host, port) {
                (Some(host), Some(port)) => servers.push(Server {
                    host: host.value.to_string(),
                    port,
                    security: if starttls { Security::StartTls } else { Security::Tls },
                }),
                _ => leave(&section.place, &name, "it has no server_address, or no server_port"),
            }
            let why = format!(
                "a server of the proxy is a listener: programs that used port {local} go to waxseal's, 25 unless a \
                 `[[listener]]` says otherwise, and need no login"
            );
            leave(&section.place, &name, &why);
            for option in &section.options {
                let why = match option.name.as_str() {
                    "server_address" | "server_port" | "server_starttls" | "starttls" => continue,
                    "local_address" => "set `address` of a `[[listener]]`",
                    "local_certificate_path" => "set `certificate` and `tls` of a `[[listener]]`",
                    "local_key_path" => "set `private_key` of a `[[listener]]`",
                    "local_starttls" => "set `tls = \"starttls\"` of a `[[listener]]`",
                    "plugins" => "waxseal has no plugins",
                    _ => "unknown to the importer",
                };
                leave(&option.place, &option.name, why);
            }
        }
        _ => {
            for option in section.options.iter().filter(|option| option.name != "documentation") {
                let why = match option.name.as_str() {
                    "delete_account_token_on_password_error" | "encrypt_client_secret_on_first_use" => {
                        "waxseal seals its tokens with a key of its own, and no client's password opens them"
                    }
                    "use_login_password_as_client_credentials_secret" => {
                        "clients of waxseal need no password; set `client_secret` of the account"
                    }
                    "allow_catch_all_accounts" => {
                        "an account has one `username`; its `domains` say which senders it takes"
                    }
                    _ => "unknown to the importer",
                };
                leave(&option.place, &option.name, why);
            }
        }
    }
}

#[cfg(test)]
#[path = "emailproxy_tests.rs"]
mod tests;
