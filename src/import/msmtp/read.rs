//! The grammar of msmtprc: one command a line, in groups that inherit from each other.

use crate::import::{ImportError, LeftOut, Place};
use std::{collections::BTreeMap, path::Path};
use zeroize::Zeroizing;

/// A command with its argument. No `Debug`: it may be a password.
#[derive(Clone)]
pub(super) struct Command {
    /// The argument, without quotes.
    pub(super) argument: Zeroizing<String>,
    /// Where it stands.
    pub(super) place: Place,
}

/// The commands of an account, those inherited included; a later one replaces an earlier one. No `Debug`.
#[derive(Clone, Default)]
pub(super) struct Commands(BTreeMap<String, Command>);

impl Commands {
    /// A command by its name.
    pub(super) fn get(&self, name: &str) -> Option<&Command> {
        self.0.get(name)
    }

    /// A command's argument, where it is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).map(|command| command.argument.as_str()).filter(|text| !text.is_empty())
    }

    /// A switch: an empty argument means on.
    pub(super) fn is_on(&self, name: &str, default: bool) -> bool {
        match self.get(name).map(|command| command.argument.as_str()) {
            None => default,
            Some("") => true,
            Some(word) => !word.eq_ignore_ascii_case("off"),
        }
    }
}

/// An account as the file defines it. No `Debug`.
pub(super) struct Account {
    /// Its name.
    pub(super) name: String,
    /// Where it begins.
    pub(super) place: Place,
    /// What it inherits and has.
    pub(super) commands: Commands,
    /// The accounts that it inherits from.
    pub(super) parents: Vec<String>,
    /// Whether it has a command of its own.
    pub(super) is_own: bool,
    /// Its own commands that nothing corresponds to.
    pub(super) left_out: Vec<LeftOut>,
}

/// The accounts of a file in their order, and what in `defaults` nothing corresponds to.
pub(super) fn read(path: &Path, text: &str) -> Result<(Vec<Account>, Vec<LeftOut>), ImportError> {
    let mut defaults = Commands::default();
    let mut accounts: Vec<Account> = Vec::new();
    let mut left_out = Vec::new();
    // Nothing yet, then `defaults`, then the latest account.
    let mut within: Option<bool> = None;
    for (index, line) in text.lines().enumerate() {
        let place = Place::new(path, index + 1);
        let line = line.trim_matches([' ', '\t', '\r']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let argument = unquoted(rest.trim());
        match name {
            "defaults" => within = Some(false),
            "account" => {
                accounts.push(begin(argument, place, &defaults, &accounts)?);
                within = Some(true);
            }
            _ if within.is_none() => {
                return Err(ImportError::new(
                    place,
                    "the first command of an msmtprc is `account` or `defaults`",
                ));
            }
            _ => {
                let own = accounts.last_mut().filter(|_| within == Some(true));
                let (commands, notes) = match own {
                    Some(account) => {
                        account.is_own = true;
                        (&mut account.commands, &mut account.left_out)
                    }
                    None => (&mut defaults, &mut left_out),
                };
                command(name, argument, place, commands, notes);
            }
        }
    }
    Ok((accounts, left_out))
}

/// `NAME`, or `NAME : PARENT, …`.
fn begin(
    argument: &str,
    place: Place,
    defaults: &Commands,
    accounts: &[Account],
) -> Result<Account, ImportError> {
    let (name, parents) = argument.split_once(':').unwrap_or((argument, ""));
    let name = name.trim();
    if name.is_empty() {
        return Err(ImportError::new(place, "`account` has no name"));
    }
    if accounts.iter().any(|account| account.name == name) {
        return Err(ImportError::new(place, format!("the account `{name}` is defined twice")));
    }
    let mut commands = defaults.clone();
    let parents: Vec<String> = parents
        .split(',')
        .map(|parent| parent.trim().to_owned())
        .filter(|parent| !parent.is_empty())
        .collect();
    for parent in &parents {
        let Some(parent) = accounts.iter().find(|account| account.name == *parent) else {
            let problem = format!("`{name}` inherits from `{parent}`, which is not defined before it");
            return Err(ImportError::new(place, problem));
        };
        commands.0.extend(parent.commands.0.clone());
    }
    Ok(Account { name: name.to_owned(), place, commands, parents, is_own: false, left_out: Vec::new() })
}

/// An argument may stand in double quotes.
fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

fn command(name: &str, argument: &str, place: Place, commands: &mut Commands, left_out: &mut Vec<LeftOut>) {
    let (name, argument) = match name {
        "tls_nostarttls" => ("tls_starttls", "off"),
        "tls_nocertcheck" => ("tls_certcheck", "off"),
        _ => (name, argument),
    };
    match why_not(name) {
        Some(why) => left_out.push(LeftOut::new(place, name, why)),
        None => {
            let argument = Zeroizing::new(argument.to_owned());
            commands.0.insert(name.to_owned(), Command { argument, place });
        }
    }
}

/// Why a command does not come along, whatever its argument.
fn why_not(name: &str) -> Option<&'static str> {
    Some(match name {
        "host" | "port" | "protocol" | "tls" | "tls_starttls" | "tls_trust_file" | "tls_certcheck"
        | "auth" | "user" | "password" | "passwordeval" | "from" | "auto_from" | "maildomain"
        | "set_from_header" => return None,
        "eval" => "the importer runs no commands: write what it prints into the account",
        "domain" => "set `hostname` in waxseal.toml: it is what waxseal says in EHLO",
        "aliases" => "`waxseal sendmail` reads /etc/aliases, or the file of its option -oA",
        "logfile" | "logfile_time_format" | "syslog" => {
            "waxseal logs to the journal, and `waxseal trace` knows what became of each message"
        }
        "timeout" | "connect_timeout" => {
            "waxseal has its own timeouts, and tries again as `[queue] retry` says"
        }
        "proxy_host" | "proxy_port" => {
            "waxseal reaches mail servers directly; HTTPS_PROXY is for token requests"
        }
        "source_ip" | "socket" => "waxseal connects from whichever address the system chooses",
        "tls_fingerprint" => "waxseal trusts no fingerprint: put the server's certificate into `ca_file`",
        "tls_crl_file" => "waxseal reads no revocation lists",
        "tls_key_file" | "tls_cert_file" => "waxseal shows servers no certificate of its own",
        "tls_priorities" | "tls_min_dh_prime_bits" | "tls_force_sslv3" | "tls_host_override" => {
            "waxseal speaks TLS 1.2 and 1.3 with sound ciphers, to the name in `address`"
        }
        "dsn_notify" | "dsn_return" => "the program that sends asks for notifications: `sendmail -N`, `-R`",
        "allow_from_override" => "senders are checked by `allowed_senders` of an `[application]`",
        "ntlmdomain" => "waxseal has no NTLM",
        "keepbcc"
        | "remove_bcc_headers"
        | "undisclosed_recipients"
        | "set_date_header"
        | "set_msgid_header"
        | "add_missing_from_header"
        | "add_missing_date_header" => {
            "headers stay as they come, with Date and Message-ID where they are missing; `sendmail -t` takes Bcc out"
        }
        _ => "unknown to the importer",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(text: &str) -> Vec<Account> {
        read(Path::new("rc"), text).map(|(accounts, _)| accounts).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn groups_inherit_and_quotes_go() {
        let found = accounts(
            "# c\ndefaults\n\tport 587\ntls\naccount a\nhost h\npassword \" x # y \"\naccount b : a\nfrom j@e.example\n\
             account default : b\n",
        );
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].commands.text("password"), Some(" x # y "));
        let b = &found[1].commands;
        assert_eq!((b.text("port"), b.text("host"), b.is_on("tls", false)), (Some("587"), Some("h"), true));
        assert!(!found[2].is_own && found[2].parents == ["b"]);
    }

    #[test]
    fn what_is_no_msmtprc_is_refused_by_line() {
        for (text, line) in [
            ("host x\n", 1),
            ("account\n", 1),
            ("account a\naccount a\n", 2),
            ("account a : a\n", 1),
            ("\n\naccount a : b\naccount b : a", 3),
        ] {
            let error = read(Path::new("rc"), text).err().map(|error| error.place.line);
            assert_eq!(error, Some(line), "{text}");
        }
    }
}
