//! sSMTP: `ssmtp.conf`, and `revaliases` beside it.

use super::{
    Files, Found, ImportError, Imported, LeftOut, Place, names,
    provider::{NOT_CLEAR, Security, never_clear, set_server},
    text,
};
use crate::{
    account::{
        AccountType,
        presets::{Cloud, Preset},
    },
    draft::{Draft, id_of},
};
use secrecy::SecretString;
use std::path::{Path, PathBuf};

/// What `ssmtp.conf` says of the server and the login.
struct Settings {
    host: Option<(String, usize)>,
    port: u16,
    tls: bool,
    starttls: bool,
    user: Option<String>,
    password: Option<SecretString>,
    mechanism: Option<&'static str>,
    ca_file: Option<(String, usize)>,
    domain: Option<String>,
    left_out: Vec<LeftOut>,
}

/// Reads `ssmtp.conf`; a second path, or the file beside it, is `revaliases`.
///
/// # Errors
/// A file that was named and cannot be read, or has no `mailhub`.
pub fn import(paths: &[PathBuf], files: &dyn Files) -> Result<Imported, ImportError> {
    let mut imported = Imported::default();
    let is_aliases = |path: &&PathBuf| path.file_name().is_some_and(|name| name == "revaliases");
    let named: Vec<_> = paths.iter().filter(is_aliases).collect();
    for path in paths.iter().filter(|path| !is_aliases(path)) {
        let path = if files.is_directory(path) { path.join("ssmtp.conf") } else { path.clone() };
        let mut settings = read(&path, &text(&path, files)?);
        let Some((host, line)) = settings.host.clone() else {
            return Err(ImportError::new(
                Place::new(&path, 0),
                "there is no `mailhub` in it: nothing to relay to",
            ));
        };
        let mut accounts = vec![account(&settings, &host, settings.port, Place::new(&path, line), files)];
        let beside = path.with_file_name("revaliases");
        let aliases = match named.first() {
            Some(aliases) => Some(((*aliases).clone(), text(aliases, files)?)),
            None => files.read(&beside).ok().map(|text| (beside, text)),
        };
        if let Some((aliases, text)) = aliases {
            let more = revaliases(&aliases, &text, &settings, &host, files, &mut imported.left_out);
            accounts.extend(more);
        }
        if let Some(first) = accounts.first_mut() {
            first.draft.set("default", true);
            first.left_out.append(&mut settings.left_out);
            if let Some(domain) = settings.domain.take() {
                names::serve(&mut first.draft, names::Serves::Domain(domain));
            }
        }
        imported.accounts.append(&mut accounts);
    }
    Ok(imported)
}

/// One setting a line, `#` starts a comment anywhere, as sSMTP itself reads it.
fn read(path: &Path, text: &str) -> Settings {
    let mut settings = Settings {
        host: None,
        port: 25,
        tls: false,
        starttls: false,
        user: None,
        password: None,
        mechanism: None,
        ca_file: None,
        domain: None,
        left_out: Vec::new(),
    };
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let Some((name, value)) = line.split_once('=') else { continue };
        let (name, value) = (name.trim(), value.trim());
        if !name.is_empty() && !value.is_empty() {
            setting(&mut settings, name, value, Place::new(path, index + 1));
        }
    }
    settings
}

fn setting(settings: &mut Settings, name: &str, value: &str, place: Place) {
    let yes = names::yes(value).unwrap_or(false);
    let why = match name.to_ascii_lowercase().as_str() {
        "mailhub" => {
            let (host, port) = server(value);
            settings.host = Some((host.to_owned(), place.line));
            match port.map(names::port) {
                Some(Some(port)) => settings.port = port,
                Some(None) => {
                    return settings.left_out.push(LeftOut::new(
                        place,
                        name,
                        "its port is no port; 25 is used",
                    ));
                }
                None => {}
            }
            return;
        }
        "remoteport" => match names::port(value) {
            Some(port) => {
                settings.port = port;
                return;
            }
            None => "it is no port; 25 is used",
        },
        "usetls" => {
            settings.tls = yes;
            settings.starttls &= yes;
            return;
        }
        "usestarttls" => {
            settings.starttls = yes;
            settings.tls |= yes;
            return;
        }
        "authuser" => {
            settings.user = Some(value.to_owned());
            return;
        }
        "authpass" => {
            settings.password = Some(value.into());
            return;
        }
        "authmethod" if value.eq_ignore_ascii_case("cram-md5") => {
            settings.mechanism = Some("cram-md5");
            return;
        }
        "authmethod" if value.eq_ignore_ascii_case("login") => {
            settings.mechanism = Some("login");
            return;
        }
        "authmethod" => "waxseal has PLAIN, LOGIN and CRAM-MD5, and takes the first that is offered",
        "tls_ca_file" => {
            settings.ca_file = Some((value.to_owned(), place.line));
            return;
        }
        "rewritedomain" => match names::domain(value.rsplit('@').next().unwrap_or(value)) {
            Some(domain) => {
                settings.domain = Some(domain);
                "the account serves this domain, but senders are not rewritten to it; for mail by sendmail(8) put it \
                 into /etc/mailname"
            }
            None => "it is no domain that senders could have",
        },
        "fromlineoverride" if yes => return,
        "fromlineoverride" => {
            "waxseal leaves From as the program wrote it; `sender = \"rewrite\"` puts the username there"
        }
        "root" => "write `root: ADDRESS` into /etc/aliases, which `waxseal sendmail` reads",
        "hostname" => "set `hostname` in waxseal.toml where it is not the system's",
        "tls_ca_dir" => "the authorities of this host are trusted; for others set `ca_file`",
        "usetlscert" | "tlscert" | "tlskey" => "waxseal shows servers no certificate of its own",
        "useoldauth" => "waxseal speaks AUTH as of RFC 4954 alone",
        "debug" => "set `[log] level = \"debug\"` in waxseal.toml",
        _ => "unknown to the importer",
    };
    settings.left_out.push(LeftOut::new(place, name, why));
}

/// `host`, `host:port` or `host port`.
fn server(value: &str) -> (&str, Option<&str>) {
    let mut parts = value.splitn(2, [':', ' ', '\t']);
    let host = parts.next().unwrap_or_default();
    (host, parts.next().map(str::trim).filter(|port| !port.is_empty()))
}

fn account(settings: &Settings, host: &str, port: u16, place: Place, files: &dyn Files) -> Found {
    let draft = Draft::new(id_of(host, "account"), AccountType::Basic);
    let mut found = Found::new(draft, place.clone());
    let mut security = match (settings.tls, settings.starttls) {
        (true, false) => Security::Tls,
        (true, true) => Security::StartTls,
        (false, _) => Security::Clear,
    };
    match &settings.user {
        Some(user) => {
            found.draft.set("username", user.as_str());
            match &settings.password {
                Some(password) => {
                    found.draft.set("password", crate::draft::Secret::Given(password.clone()));
                }
                None => {
                    found.draft.lacks("password", "the password of this login; sSMTP had none (AuthPass)")
                }
            }
            found.draft.set_some("mechanism", settings.mechanism);
            if never_clear(&mut security, host) {
                found.leave(place, "UseTLS", NOT_CLEAR);
            }
        }
        None => found.draft.set("use_authentication", false),
    }
    let preset = Preset::of(AccountType::Basic, Cloud::Global, "common");
    set_server(&mut found.draft, &preset, host, port, security);
    if let Some((file, line)) = &settings.ca_file
        && let Err(why) = names::trust(&mut found.draft, file, files)
    {
        let place = Place::new(&found.place.file, *line);
        found.leave(place, "TLS_CA_File", why);
    }
    found
}

/// `local:outgoing[:mailhub[:port]]`: accounts for the mailhubs that are not that of `ssmtp.conf`.
fn revaliases(
    path: &Path,
    text: &str,
    settings: &Settings,
    mailhub: &str,
    files: &dyn Files,
    left_out: &mut Vec<LeftOut>,
) -> Vec<Found> {
    let mut accounts: Vec<(String, u16, Found)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let mut parts = line.split(':').map(str::trim);
        let (Some(local), Some(outgoing)) = (parts.next(), parts.next()) else { continue };
        let place = Place::new(path, index + 1);
        let why = format!(
            "mail of this user keeps its own sender: have its programs call `sendmail -f {outgoing}`, or put the \
             domain into /etc/mailname"
        );
        if local.is_empty() || outgoing.is_empty() {
            continue;
        }
        left_out.push(LeftOut::new(place.clone(), local, why));
        let Some(host) = parts.next().filter(|host| !host.is_empty()) else { continue };
        let port = parts.next().map_or(Some(settings.port), names::port).unwrap_or(settings.port);
        if (host, port) == (mailhub, settings.port) {
            continue;
        }
        let Some(serves) = names::serves(outgoing) else {
            left_out.push(LeftOut::new(
                place,
                local,
                "its outgoing address is none: no account is made of it",
            ));
            continue;
        };
        match accounts.iter_mut().find(|(known, at, _)| known == host && *at == port) {
            Some((_, _, found)) => names::serve(&mut found.draft, serves),
            None => {
                let mut found = account(settings, host, port, place, files);
                names::serve(&mut found.draft, serves);
                accounts.push((host.to_owned(), port, found));
            }
        }
    }
    accounts.into_iter().map(|(_, _, found)| found).collect()
}

#[cfg(test)]
#[path = "ssmtp_tests.rs"]
mod tests;
