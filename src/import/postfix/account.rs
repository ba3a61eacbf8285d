//! One account of Postfix: a destination and what logs in there.

use super::{
    main_cf::MainCf,
    relay::Destination,
    table::{Entry, Table},
    token::Tokens,
};
use crate::{
    account::AccountType,
    draft::{Draft, id_of},
    import::{
        Files, Found, ImportError, Place, names,
        provider::{NOT_CLEAR, Provider, Security, never_clear, set_server},
    },
};
use std::path::{Path, PathBuf};

/// What is the same for all accounts of a main.cf.
pub(super) struct House<'a> {
    pub(super) cf: &'a MainCf,
    pub(super) files: &'a dyn Files,
    pub(super) passwords: Table,
    pub(super) by_sender: bool,
    pub(super) security: Security,
    pub(super) mechanism: Option<&'static str>,
    pub(super) tokens: bool,
    pub(super) plugin: &'a Path,
    pub(super) root: PathBuf,
}

impl House<'_> {
    /// The login for a destination, or for a sender where logins go by sender.
    pub(super) fn credentials(&self, sender: Option<&str>, destination: &Destination) -> Option<&Entry> {
        let mut keys = match sender.filter(|_| self.by_sender) {
            Some(sender) => sender_keys(sender),
            None => Vec::new(),
        };
        keys.push(destination.text.clone());
        keys.push(destination.host.clone());
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.passwords.find(&keys).filter(|entry| !entry.value.is_empty())
    }

    /// The account for a destination with a login, named for its sender, else for the host.
    pub(super) fn account(
        &self,
        destination: &Destination,
        credentials: Option<&Entry>,
        place: Place,
        sender: Option<&str>,
    ) -> Result<Found, ImportError> {
        let login = credentials.map(|entry| entry.value.split_once(':').unwrap_or((&entry.value, "")));
        let tokens = login
            .filter(|(_, password)| self.tokens && password.starts_with('/'))
            .map(|(_, path)| Tokens::read(Path::new(path), &self.root, self.plugin, self.files));
        let basic = Provider::plain(AccountType::Basic);
        let provider = tokens.as_ref().map_or(basic, |tokens| tokens.provider(&destination.host));
        let id = id_of(sender.unwrap_or(&destination.host), "account");
        let mut found = Found::new(Draft::new(id, provider.kind), place);
        let mut security = self.security;
        let may_log_in = login.is_some() || self.passwords.has_unread;
        if may_log_in && destination.port != 465 && never_clear(&mut security, &destination.host) {
            let name = "smtp_tls_security_level";
            found.leave(self.cf.place(name), name, NOT_CLEAR);
        }
        if destination.port == 465 {
            security = Security::Tls;
        }
        set_server(&mut found.draft, &provider.preset(), &destination.host, destination.port, security);
        if destination.by_mx {
            let why = "without [brackets] Postfix asks for MX records of this name; waxseal connects to the host \
                       itself";
            found.leave(found.place.clone(), destination.text.as_str(), why);
        }
        match (login, tokens) {
            (Some((user, _)), Some(tokens)) => {
                found.draft.set("username", user);
                tokens.fill_in(&mut found, &provider);
            }
            (Some((user, password)), None) => {
                found.draft.set("username", user);
                if password.is_empty() {
                    found.draft.lacks("password", "the password of this login");
                } else {
                    found.draft.set("password", names::given(password));
                }
                found.draft.set_some("mechanism", self.mechanism);
            }
            // Perhaps it is in the table that could not be read.
            (None, _) if self.passwords.has_unread => {
                found.draft.lacks("username", "who logs in, or `use_authentication = false`");
                found.draft.lacks("password", "the password of this login");
            }
            (None, _) => {
                let name = "smtp_sasl_password_maps";
                if !self.passwords.entries.is_empty() {
                    let why =
                        "it has no login for this server as it is written: Postfix does not log in there";
                    found.leave(self.cf.place(name), name, why);
                }
                found.draft.set("use_authentication", false);
            }
        }
        let authorities = self.cf.value("smtp_tls_CAfile")?;
        if let Err(why) = names::trust(&mut found.draft, &authorities, self.files) {
            found.leave(self.cf.place("smtp_tls_CAfile"), "smtp_tls_CAfile", why);
        }
        Ok(found)
    }
}

/// A sender as Postfix looks it up: the address, then its domain.
pub(super) fn sender_keys(sender: &str) -> Vec<String> {
    let domain = sender.rsplit_once('@').map(|(_, domain)| format!("@{domain}"));
    std::iter::once(sender.to_owned()).chain(domain).collect()
}
