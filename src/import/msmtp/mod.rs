//! msmtp: `msmtprc`, of a user or of the system.

mod read;

use super::{
    Files, Found, ImportError, Imported, names,
    provider::{NOT_CLEAR, Provider, Security, never_clear, set_server},
    text,
};
use crate::{
    account::AccountType,
    draft::{Draft, Secret, id_of},
};
use read::{Account, Commands};
use std::{collections::BTreeSet, path::PathBuf};

/// Reads msmtp's configuration files.
///
/// # Errors
/// A file that cannot be read, or is no msmtprc.
pub fn import(paths: &[PathBuf], files: &dyn Files) -> Result<Imported, ImportError> {
    let mut imported = Imported::default();
    // The first account with an address gets its mail, and the first of a name, a user's before the system's.
    let (mut senders, mut known) = (BTreeSet::new(), BTreeSet::new());
    for path in paths {
        let path = if files.is_directory(path) { path.join("msmtprc") } else { path.clone() };
        let (accounts, left_out) = read::read(&path, &text(&path, files)?)?;
        imported.left_out.extend(left_out);
        let default = default(&accounts);
        for account in accounts {
            if account.name == "default" && default.as_deref() != Some("default") {
                continue;
            }
            if account.name != "default" && !known.insert(account.name.clone()) {
                let why = "an earlier file has an account of this name, and msmtp takes that";
                imported.left_out.push(super::LeftOut::new(account.place, account.name, why));
                continue;
            }
            if account.commands.text("host").is_none() {
                let why = "it has no `host`: what it sets came along with the accounts that inherit from it";
                imported.left_out.push(super::LeftOut::new(account.place, account.name, why));
                continue;
            }
            let is_default = default.as_deref() == Some(&account.name);
            imported.accounts.push(found(account, is_default, &mut senders, files));
        }
    }
    Ok(imported)
}

/// The account that mail goes through where nothing else is said: an alias of another one stands for that.
fn default(accounts: &[Account]) -> Option<String> {
    let account = accounts.iter().find(|account| account.name == "default")?;
    match account.parents.as_slice() {
        [parent] if !account.is_own => Some(parent.clone()),
        _ => Some("default".to_owned()),
    }
}

fn found(account: Account, is_default: bool, senders: &mut BTreeSet<String>, files: &dyn Files) -> Found {
    let commands = &account.commands;
    let host = commands.text("host").unwrap_or_default();
    let auth = commands.get("auth").map_or("off", |command| match command.argument.as_str() {
        "" => "on",
        word => word,
    });
    let auth = auth.to_ascii_lowercase();
    let token = ["xoauth2", "oauthbearer"].contains(&auth.as_str());
    let provider = if token { Provider::of_server(host) } else { Provider::plain(AccountType::Basic) };
    let id = if account.name == "default" { host } else { &account.name };
    let mut found = Found::new(Draft::new(id_of(id, "account"), provider.kind), account.place.clone());
    found.left_out = account.left_out;
    if is_default {
        found.draft.set("default", true);
    }
    serves(&mut found, commands, senders);
    let mut security = security(commands);
    match auth.as_str() {
        "off" => found.draft.set("use_authentication", false),
        _ => {
            if never_clear(&mut security, host)
                && let Some(command) = commands.get("auth")
            {
                found.leave(command.place.clone(), "tls", NOT_CLEAR);
            }
            user(&mut found, commands);
            if token {
                with_token(&mut found, commands, &provider, &auth)
            } else {
                password(&mut found, commands, &auth, files)
            }
        }
    }
    let preset = provider.preset();
    let presumed = if security == Security::Tls { 465 } else { 25 };
    let port = commands.text("port").and_then(names::port).unwrap_or(presumed);
    set_server(&mut found.draft, &preset, host, port, security);
    if let Some(command) = commands.get("tls_trust_file") {
        let file = names::expand_home(&command.argument, files).display().to_string();
        if let Err(why) = names::trust(&mut found.draft, &file, files) {
            found.leave(command.place.clone(), "tls_trust_file", why);
        }
    }
    if security != Security::Clear && !commands.is_on("tls_certcheck", true) {
        found.draft.set("certificate_validation", false);
    }
    if let Some(command) =
        commands.get("protocol").filter(|command| !command.argument.eq_ignore_ascii_case("smtp"))
    {
        found.leave(command.place.clone(), "protocol", "waxseal hands mail on by SMTP alone, not by LMTP");
        found.draft.lacks("address", "a server that speaks SMTP");
    }
    found
}

fn security(commands: &Commands) -> Security {
    match (commands.is_on("tls", false), commands.is_on("tls_starttls", true)) {
        (false, _) => Security::Clear,
        (true, true) => Security::StartTls,
        (true, false) => Security::Tls,
    }
}

/// `from`, or with `auto_from` the `maildomain`; of several accounts with one address the first has it.
fn serves(found: &mut Found, commands: &Commands, senders: &mut BTreeSet<String>) {
    let automatic = commands.is_on("auto_from", false);
    let (name, pattern) = match (automatic, commands.text("maildomain"), commands.text("from")) {
        (true, Some(domain), _) => ("maildomain", Some(format!("@{domain}"))),
        // %U is whoever calls.
        (_, _, Some(from)) => (
            "from",
            Some(from.strip_prefix("%U").filter(|rest| rest.starts_with('@')).unwrap_or(from).to_owned()),
        ),
        _ => ("from", None),
    };
    if let (Some(pattern), Some(command)) = (pattern, commands.get(name)) {
        match names::serves(&pattern) {
            Some(_) if !senders.insert(pattern.to_ascii_lowercase()) => {
                let why = "an earlier account has this address, and msmtp takes the first";
                found.leave(command.place.clone(), name, why);
            }
            Some(serves) => names::serve(&mut found.draft, serves),
            None => {
                let why =
                    "it is neither an address nor *@DOMAIN: name the `domains` or `senders` of this account";
                found.leave(command.place.clone(), name, why);
            }
        }
    }
    if let Some(command) = commands.get("set_from_header").filter(|command| command.argument.as_str() == "on")
    {
        let why = "From stays as the program wrote it; `sender = \"rewrite\"` puts the username there";
        found.leave(command.place.clone(), "set_from_header", why);
    }
    names::must_serve(&mut found.draft);
}

fn user(found: &mut Found, commands: &Commands) {
    match commands.text("user") {
        Some(user) => found.draft.set("username", user),
        None => found.draft.lacks("username", "who logs in"),
    }
}

fn password(found: &mut Found, commands: &Commands, auth: &str, files: &dyn Files) {
    match auth {
        "on" => {}
        "plain" | "cram-md5" | "login" => found.draft.set("mechanism", auth),
        _ => {
            if let Some(command) = commands.get("auth") {
                let why = "waxseal has PLAIN, LOGIN and CRAM-MD5, and takes the first that is offered";
                found.leave(command.place.clone(), "auth", why);
            }
        }
    }
    if let Some(password) = commands.text("password") {
        found.draft.set("password", names::given(password));
    } else if let Some(command) = commands.get("passwordeval") {
        match cat(&command.argument, files) {
            Some(secret) => found.draft.set("password", secret),
            None => {
                let why = "the importer runs no commands: have it write into a file, and set `password = { file = … }`";
                found.leave(command.place.clone(), "passwordeval", why);
                found
                    .draft
                    .lacks("password", "what the command of passwordeval prints, or a file that has it");
            }
        }
    } else {
        found.draft.lacks("password", "the password; msmtp had it from a keyring, from .netrc or by asking");
    }
}

/// `cat FILE` of a file that can be read is a secret in a file.
fn cat(command: &str, files: &dyn Files) -> Option<Secret> {
    let file = command.trim().strip_prefix("cat ")?.trim();
    let file = file.strip_prefix('"').and_then(|file| file.strip_suffix('"')).unwrap_or(file);
    let simple = !file.contains(|c: char| c.is_whitespace() || "\"'$`|&;<>()*?[]{}\\".contains(c));
    let path = names::expand_home(file, files);
    let sound = simple && path.is_absolute() && files.read(&path).is_ok_and(|text| !text.trim().is_empty());
    sound.then(|| Secret::File(path.display().to_string()))
}

/// msmtp takes an access token from a command; waxseal gets its own.
fn with_token(found: &mut Found, commands: &Commands, provider: &Provider, auth: &str) {
    let name = if commands.get("passwordeval").is_some() { "passwordeval" } else { "password" };
    if let Some(command) = commands.get(name) {
        let why = "it yields access tokens; waxseal gets its own with a client id, once somebody has signed in: \
                   `waxseal account authorize ID`";
        found.leave(command.place.clone(), name, why);
    }
    let draft = &mut found.draft;
    draft.set("mechanism", auth);
    provider.describe(draft);
    draft.lacks("client_id", "the client (application) id that the tokens were made with");
    if provider.kind == AccountType::Google {
        draft.lacks("client_secret", "the client secret");
    }
    if provider.kind == AccountType::OAuth2 {
        draft.lacks("authorization_endpoint", "where a person signs in");
        draft.lacks("token_endpoint", "where tokens come from");
        draft.lacks("scope", "what access is asked for, in the provider's words");
    }
}

#[cfg(test)]
#[path = "msmtp_tests.rs"]
mod tests;
