//! A draft of an account for each sender domain. What is not certain is left to whoever completes it.

use super::{
    Learned, Sender,
    text::{shown, some},
};
use crate::{
    account::AccountType,
    draft::{Draft, id_of, tell_apart},
    mail::Mailbox,
};
use std::collections::{BTreeMap, BTreeSet};

/// Addresses of a domain that are named.
const NAMED: usize = 5;

/// A sender domain.
#[derive(Debug, Default)]
pub(super) struct Domain {
    /// Its addresses that were seen.
    pub(super) addresses: BTreeSet<String>,
    /// The clients that send from it.
    pub(super) clients: BTreeSet<String>,
}

/// All sender domains; an empty one for the null reverse-path.
pub(super) fn domains(learned: &Learned) -> BTreeMap<String, Domain> {
    let mut domains: BTreeMap<String, Domain> = BTreeMap::new();
    for (_, who, habits) in learned.clients() {
        for (name, _) in habits.domains.iter() {
            domains.entry(name.clone()).or_default().clients.insert(who.to_string());
        }
        for (Sender { domain, address }, _) in habits.senders.iter() {
            domains.entry(domain.clone()).or_default().addresses.insert(address.clone());
        }
    }
    domains
}

/// Whether mail of a domain can be sent through a provider at all: it is a name, with a dot.
pub(super) fn is_public(domain: &str) -> bool {
    domain.contains('.')
        && !domain.starts_with('[')
        && !domain.ends_with(".localdomain")
        && !domain.ends_with(".local")
}

/// The account of a domain, and its first line.
pub(super) fn draft(name: &str, domain: &Domain, taken: &mut BTreeSet<String>) -> (Draft, String) {
    let id = tell_apart(id_of(name, "account"), taken);
    let kind = of_everybody(name);
    let mut draft = Draft::new(id, kind.unwrap_or(AccountType::Basic));
    draft.set("domains", vec![name.to_owned()]);
    match kind {
        Some(_) => sign_in(&mut draft, domain),
        None => unknown(&mut draft),
    }
    (draft, origin(domain))
}

fn origin(domain: &Domain) -> String {
    let addresses = some(domain.addresses.iter().map(|address| shown(address)), NAMED, 0);
    let clients = some(domain.clients.iter().cloned(), NAMED, 0);
    if addresses.is_empty() {
        format!("Seen from {clients}")
    } else {
        format!("Seen: {addresses}, from {clients}")
    }
}

/// The type of an account at a domain of which everybody's mail is with one provider. A firm's domain says nothing of
/// where its mail is.
fn of_everybody(domain: &str) -> Option<AccountType> {
    match domain {
        "gmail.com" | "googlemail.com" => Some(AccountType::Google),
        "outlook.com" | "hotmail.com" | "live.com" | "msn.com" => Some(AccountType::Microsoft),
        _ => None,
    }
}

fn sign_in(draft: &mut Draft, domain: &Domain) {
    // The only mailbox that was seen is the one that logs in: this provider lets nobody send as another.
    let only = domain.addresses.first().filter(|_| domain.addresses.len() == 1);
    match only.filter(|address| Mailbox::parse(address).is_ok()) {
        Some(address) => draft.set("username", address.clone()),
        None => draft.lacks("username", "the mailbox that logs in"),
    }
    let console = match draft.kind {
        AccountType::Google => "the Google Cloud console",
        _ => "the Entra admin center",
    };
    draft.lacks("client_id", format!("the id of the application registered in {console}"));
    draft.lacks("client_secret", "its secret, or better { file = PATH }");
}

fn unknown(draft: &mut Draft) {
    draft.lacks(
        "type",
        "\"microsoft\" (365), \"google\" (Workspace), \"oauth2\", or \"basic\", as it stands here, for a password; \
         `waxseal account add` asks for what each needs",
    );
    draft.lacks("address", "the provider's SMTP server; microsoft and google know theirs: take the line out");
    draft.lacks("username", "who logs in, often the mailbox");
    draft.lacks(
        "password",
        "the password, or better { file = PATH }; the other types have none: take the line out",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_is_told_where_it_is_certain_and_nowhere_else() {
        for (name, kind, gaps) in [
            ("gmail.com", AccountType::Google, &["client_id", "client_secret"][..]),
            ("outlook.com", AccountType::Microsoft, &["client_id", "client_secret"]),
            ("example.com", AccountType::Basic, &["type", "address", "username", "password"]),
            ("mail.gmail.com", AccountType::Basic, &["type", "address", "username", "password"]),
        ] {
            let domain =
                Domain { addresses: [format!("me@{name}")].into(), clients: ["192.0.2.7".into()].into() };
            let (draft, origin) = draft(name, &domain, &mut BTreeSet::new());
            assert_eq!((draft.kind, draft.texts("domains")), (kind, &[name.to_owned()][..]));
            assert_eq!(draft.gaps.iter().map(|gap| gap.key).collect::<Vec<_>>(), gaps, "{name}");
            assert_eq!(origin, format!("Seen: me@{name}, from 192.0.2.7"));
            let username =
                if kind == AccountType::Basic { "FILL-IN".to_owned() } else { format!("me@{name}") };
            assert_eq!(draft.text("username"), Some(username.as_str()));
        }
    }

    #[test]
    fn of_two_mailboxes_nobody_knows_which_logs_in() {
        let addresses = ["a@gmail.com".to_owned(), "b@gmail.com".to_owned()].into();
        let (draft, _) = draft("gmail.com", &Domain { addresses, ..Domain::default() }, &mut BTreeSet::new());
        assert_eq!(draft.gaps[0].key, "username");
    }

    #[test]
    fn domains_that_no_provider_has() {
        for (name, wanted) in [
            ("example.com", true),
            ("localhost", false),
            ("[192.0.2.1]", false),
            ("web.localdomain", false),
            ("", false),
        ] {
            assert_eq!(is_public(name), wanted, "{name}");
        }
    }
}
