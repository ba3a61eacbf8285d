//! Postfix as a client: relayhost and the maps by sender, passwords, and tokens where sasl-xoauth2 has them.

mod account;
mod main_cf;
mod relay;
mod settings;
mod table;
mod token;

use super::{
    Files, Found, ImportError, Imported, LeftOut, Place,
    names::{self, Serves},
    text,
};
use account::{House, sender_keys};
use main_cf::MainCf;
use relay::Destination;
use std::path::{Path, PathBuf};
use table::{Entry, Table};

/// Reads main.cf and what it names; a path to a `sasl-xoauth2.conf` stands for the one in /etc.
///
/// # Errors
/// A file that was named and cannot be read, or is no main.cf.
pub fn import(paths: &[PathBuf], files: &dyn Files) -> Result<Imported, ImportError> {
    let is_plugin = |path: &&PathBuf| path.file_name().is_some_and(|name| name == "sasl-xoauth2.conf");
    let plugin = paths.iter().find(is_plugin);
    if let Some(plugin) = plugin {
        text(plugin, files)?;
    }
    let mut imported = Imported::default();
    for path in paths.iter().filter(|path| !is_plugin(path)) {
        let path = if files.is_directory(path) { path.join("main.cf") } else { path.clone() };
        let cf = MainCf::parse(&path, &text(&path, files)?)?;
        let plugin = plugin.map_or(Path::new(token::CONFIGURATION), PathBuf::as_path);
        one(&cf, plugin, files, &mut imported)?;
    }
    Ok(imported)
}

/// An account that is made already: what it logs in to and with, to find it again.
type Made = ((String, u16, Option<Place>), usize);

fn one(cf: &MainCf, plugin: &Path, files: &dyn Files, imported: &mut Imported) -> Result<(), ImportError> {
    let mut left_out = Vec::new();
    let logs_in = cf.is_yes("smtp_sasl_auth_enable")?;
    let filter = cf.value("smtp_sasl_mechanism_filter")?.to_ascii_lowercase();
    let passwords = Table::load("smtp_sasl_password_maps", cf, files, &mut left_out)?;
    let house = House {
        cf,
        files,
        passwords: if logs_in { passwords } else { Table::default() },
        by_sender: cf.is_yes("smtp_sender_dependent_authentication")?,
        security: relay::security(cf, &mut left_out)?,
        mechanism: relay::mechanism(cf, &mut left_out)?,
        tokens: filter.contains("xoauth2") || filter.contains("oauthbearer"),
        plugin,
        root: PathBuf::from(cf.value("queue_directory")?.as_str()),
    };
    if !logs_in && cf.has("smtp_sasl_password_maps") {
        let name = "smtp_sasl_password_maps";
        left_out.push(LeftOut::new(
            cf.place(name),
            name,
            "smtp_sasl_auth_enable is not yes: Postfix does not log in",
        ));
    }
    let port = names::port(&cf.value("smtp_tcp_port")?).unwrap_or(25);
    let relays = Table::load("sender_dependent_relayhost_maps", cf, files, &mut left_out)?;
    let transports = Table::load("sender_dependent_default_transport_maps", cf, files, &mut left_out)?;
    let general = general(cf, port, &mut left_out)?;
    let mut found: Vec<Found> = Vec::new();
    let mut made: Vec<Made> = Vec::new();
    if let Some((destination, place)) = &general {
        let credentials = house.credentials(None, destination);
        let account = house.account(destination, credentials, place.clone(), None)?;
        made.push((key(destination, credentials), 0));
        found.push(account);
        found[0].draft.set("default", true);
    }
    for (sender, at) in senders(&house, &relays, &transports) {
        let Some(serves) = names::serves(sender) else {
            let why = "only whole addresses and @DOMAIN say whose mail it is";
            left_out.push(LeftOut::new(at.clone(), sender, why));
            continue;
        };
        let Some((destination, place)) =
            by_sender(sender, at, &relays, &transports, &general, port, &mut left_out)
        else {
            continue;
        };
        let credentials = house.credentials(Some(sender), &destination);
        let key = key(&destination, credentials);
        match made.iter().find(|(known, _)| *known == key) {
            // The default account takes it anyway.
            Some((_, index)) if found[*index].draft.flag("default") => {}
            Some((_, index)) => names::serve(&mut found[*index].draft, serves),
            None => {
                let mut account = house.account(&destination, credentials, place, Some(sender))?;
                names::serve(&mut account.draft, serves);
                made.push((key, found.len()));
                found.push(account);
            }
        }
    }
    origin(cf, files, &mut found)?;
    unused(&house.passwords, &mut left_out);
    for name in cf.names() {
        if let Some(why) = settings::why_not(name, &cf.value(name).unwrap_or_default()) {
            left_out.push(LeftOut::new(cf.place(name), name, why));
        }
    }
    imported.accounts.extend(found);
    imported.left_out.extend(left_out);
    Ok(())
}

fn key(destination: &Destination, credentials: Option<&Entry>) -> (String, u16, Option<Place>) {
    (destination.host.clone(), destination.port, credentials.map(|entry| entry.place.clone()))
}

/// Where mail goes that no sender map has: the nexthop of default_transport, else relayhost.
fn general(
    cf: &MainCf,
    port: u16,
    left_out: &mut Vec<LeftOut>,
) -> Result<Option<(Destination, Place)>, ImportError> {
    let transport = cf.value("default_transport")?;
    let (name, text) = match nexthop(&transport) {
        Ok(Some(nexthop)) => ("default_transport", nexthop.to_owned()),
        Ok(None) => ("relayhost", cf.value("relayhost")?.to_string()),
        Err(why) => {
            left_out.push(LeftOut::new(cf.place("default_transport"), "default_transport", why));
            ("relayhost", cf.value("relayhost")?.to_string())
        }
    };
    if text.is_empty() {
        let why =
            "there is none: Postfix looks up each recipient's MX, and waxseal hands all mail to a provider";
        left_out.push(LeftOut::new(cf.place(name), name, why));
        return Ok(None);
    }
    match Destination::parse(&text, port) {
        Some(destination) => {
            if text.contains(',') || text.trim().contains(char::is_whitespace) {
                let why = "an account has one server: the first one came along";
                left_out.push(LeftOut::new(cf.place(name), name, why));
            }
            Ok(Some((destination, cf.place(name))))
        }
        None => {
            left_out.push(LeftOut::new(cf.place(name), name, "it names no host and port over TCP"));
            Ok(None)
        }
    }
}

/// The nexthop of `transport:nexthop`, where the transport is SMTP as main.cf has it.
fn nexthop(transport: &str) -> Result<Option<&str>, &'static str> {
    let (name, nexthop) = transport.split_once(':').unwrap_or((transport, ""));
    match name {
        "" | "smtp" | "relay" => Ok(Some(nexthop).filter(|nexthop| !nexthop.is_empty())),
        _ => Err(
            "this transport is set up in master.cf, which is not read: add its account with `waxseal account add`",
        ),
    }
}

/// Every sender that a map has, once.
fn senders<'a>(house: &'a House<'_>, relays: &'a Table, transports: &'a Table) -> Vec<(&'a str, Place)> {
    let by_sender = house.passwords.entries.iter().filter(|entry| house.by_sender && entry.key.contains('@'));
    let all = transports.entries.iter().chain(&relays.entries).chain(by_sender);
    let mut senders: Vec<(&str, Place)> = Vec::new();
    for entry in all {
        if !senders.iter().any(|(known, _)| known.eq_ignore_ascii_case(&entry.key)) {
            senders.push((&entry.key, entry.place.clone()));
        }
    }
    senders
}

/// Where a sender's mail goes.
fn by_sender(
    sender: &str,
    at: Place,
    relays: &Table,
    transports: &Table,
    general: &Option<(Destination, Place)>,
    port: u16,
    left_out: &mut Vec<LeftOut>,
) -> Option<(Destination, Place)> {
    let keys = sender_keys(sender);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    if let Some(entry) = transports.find(&keys) {
        match nexthop(&entry.value) {
            Ok(Some(nexthop)) => return destination(sender, nexthop, entry, port, left_out),
            Ok(None) => {}
            Err(why) => {
                left_out.push(LeftOut::new(entry.place.clone(), sender, why));
                return None;
            }
        }
    }
    match relays.find(&keys) {
        Some(entry) if entry.value.is_empty() || entry.value.eq_ignore_ascii_case("DUNNO") => general.clone(),
        Some(entry) => destination(sender, &entry.value, entry, port, left_out),
        None if general.is_none() => {
            let why = "a login without a server: there is neither a relayhost nor one for this sender";
            left_out.push(LeftOut::new(at, sender, why));
            None
        }
        None => general.clone(),
    }
}

fn destination(
    sender: &str,
    text: &str,
    entry: &Entry,
    port: u16,
    left_out: &mut Vec<LeftOut>,
) -> Option<(Destination, Place)> {
    let found = Destination::parse(text, port).map(|destination| (destination, entry.place.clone()));
    if found.is_none() {
        let why = "what it maps to names no host and port over TCP";
        left_out.push(LeftOut::new(entry.place.clone(), sender, why));
    }
    found
}

/// The default account also serves the domain of mail without one, unless another account does.
fn origin(cf: &MainCf, files: &dyn Files, found: &mut [Found]) -> Result<(), ImportError> {
    let mut origin = cf.value("myorigin")?.to_string();
    if origin.starts_with('/') {
        let text = files.read(Path::new(&origin)).unwrap_or_default();
        origin = text.lines().next().unwrap_or_default().trim().to_owned();
    }
    let Some(domain) = names::domain(&origin) else { return Ok(()) };
    let taken = found.iter().any(|account| account.draft.texts("domains").contains(&domain));
    if let Some(account) = found.iter_mut().find(|account| account.draft.flag("default")).filter(|_| !taken) {
        names::serve(&mut account.draft, Serves::Domain(domain));
    }
    Ok(())
}

/// Logins that no mail leads to.
fn unused(passwords: &Table, left_out: &mut Vec<LeftOut>) {
    for entry in passwords.entries.iter().filter(|entry| !entry.used.get()) {
        let why = "neither relayhost nor a sender map leads to this login: add it with `waxseal account add`";
        // Whoever mixed the columns up has a login in the first.
        let sound = names::serves(&entry.key).is_some() || Destination::parse(&entry.key, 25).is_some();
        let name = if sound { entry.key.as_str() } else { "(no host and no sender)" };
        left_out.push(LeftOut::new(entry.place.clone(), name, why));
    }
}

#[cfg(test)]
#[path = "postfix_tests.rs"]
mod tests;
