//! `[account.ID]`: what every type has. The smarthost is in `server`, logging in is in `login`.

use super::{
    Application, listeners, login,
    reader::{Reader, count, flag, text, texts},
    secrets::Secrets,
    server,
    tree::Entry,
    units,
};
use crate::{
    account::{
        Account, AccountId, AccountType, Delivery, DomainPattern, Login, Pacing, SenderPolicy,
        presets::{Cloud, Preset},
    },
    mail::Mailbox,
};
use std::collections::BTreeMap;

type Tree = BTreeMap<String, Entry>;

/// An account and the table that it was read from.
pub(super) struct Draft {
    /// The account.
    pub(super) account: Account,
    /// Its table.
    pub(super) entry: Entry,
}

/// All accounts that could be read, in the order of their ids.
pub(super) fn accounts(
    root: &Tree,
    applications: &[Application],
    secrets: &mut Secrets<'_>,
    reader: &mut Reader,
) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for (id, entry) in root.get("account").and_then(Entry::table).into_iter().flatten() {
        if let Some(table) = entry.table()
            && let Some(account) = account(id, entry, table, applications, secrets, reader)
        {
            drafts.push(Draft { account, entry: entry.clone() });
        }
    }
    drafts
}

fn account(
    id: &str,
    entry: &Entry,
    table: &Tree,
    applications: &[Application],
    secrets: &mut Secrets<'_>,
    reader: &mut Reader,
) -> Option<Account> {
    let Some(type_entry) = table.get("type") else {
        let help = "one of \"basic\", \"oauth2\", \"google\", \"microsoft\"";
        reader.error(entry, format!("the account `{id}` has no `type`"), Some(help.into()));
        return None;
    };
    let kind = AccountType::ALL[reader.word(type_entry, &AccountType::ALL.map(AccountType::as_str))?];
    login::refuse_foreign_keys(kind, table, reader);

    let preset = Preset::of(kind, cloud(table, reader), login::tenant(table, reader));
    let domains = domains(table, reader);
    let senders = senders(table, reader);
    let application = listeners::application(table.get("application"), applications, reader);
    let active = flag(table, "active", true);
    let default = flag(table, "default", false);
    let names_nobody = !["domain", "domains", "senders"].iter().any(|key| !texts(table.get(*key)).is_empty());
    if active && !default && names_nobody {
        let help = "set `domain = \"example.com\"`, `senders`, or `default = true`";
        reader.error(
            entry,
            format!("the account `{id}` has no `domain` and serves no sender"),
            Some(help.into()),
        );
    }
    let login = login::login(id, kind, entry, table, &preset, secrets, reader);
    let server = server::server(id, kind, entry, table, &preset, reader);
    let sender = sender(table, reader);
    let pacing = pacing(table, &preset, reader);
    let (login, server) = (login?, server?);
    // Nobody's consent stands between the listener and the provider then.
    if let (Login::OAuth(oauth), Some(entry)) = (&login, table.get("default").filter(|_| default))
        && oauth.sign_in().is_none()
    {
        reader.warn(entry, "whoever reaches a listener may send as anybody through this client; name its `domains` or `senders`");
    }
    server::check_plaintext(id, entry, table, &login, &server, reader);
    Some(Account {
        id: AccountId::new(id),
        name: text(table, "name").unwrap_or(id).to_owned(),
        description: text(table, "description").unwrap_or_default().to_owned(),
        active,
        application,
        kind,
        domains,
        senders,
        default,
        server,
        login,
        sender,
        pacing,
        delivery: delivery(table, reader),
    })
}

/// `sender`; rewriting takes a `username` that is an address.
fn sender(table: &Tree, reader: &mut Reader) -> SenderPolicy {
    let Some(entry) = table.get("sender") else { return SenderPolicy::Keep };
    if reader.word(entry, &["keep", "rewrite"]) != Some(1) {
        return SenderPolicy::Keep;
    }
    match text(table, "username").and_then(|name| Mailbox::parse(name).ok()) {
        Some(mailbox) => SenderPolicy::Rewrite(mailbox),
        None => {
            let problem =
                "there is no `username` that is an address, to put in the sender's place".to_owned();
            reader.error(table.get("username").unwrap_or(entry), problem, None);
            SenderPolicy::Keep
        }
    }
}

fn delivery(table: &Tree, reader: &mut Reader) -> Delivery {
    match table.get("delivery").and_then(|entry| reader.word(entry, &["queue", "through"])) {
        Some(1) => Delivery::Through,
        _ => Delivery::Queue,
    }
}

fn cloud(table: &Tree, reader: &mut Reader) -> Cloud {
    let word =
        table.get("cloud").and_then(|entry| reader.word(entry, &["global", "us-gov", "us-gov-dod", "china"]));
    match word {
        Some(1) => Cloud::UsGov,
        Some(2) => Cloud::UsGovDod,
        Some(3) => Cloud::China,
        _ => Cloud::Global,
    }
}

fn domains(table: &Tree, reader: &mut Reader) -> Vec<DomainPattern> {
    if let (Some(_), Some(entry)) = (table.get("domain"), table.get("domains")) {
        reader.error_at_key(
            entry,
            "found both `domain` and `domains`".into(),
            Some("write them into one: `domains = [\"example.com\", \"*.example.org\"]`".into()),
        );
    }
    let mut patterns = Vec::new();
    for (entry, text) in texts(table.get("domain")).into_iter().chain(texts(table.get("domains"))) {
        // An address literal names a host, and no account sends for a host.
        match DomainPattern::parse(text).ok().filter(|_| !text.contains('[')) {
            Some(pattern) => patterns.push(pattern),
            None => {
                let help = if text == "*" {
                    "for senders that no other account serves, set `default = true`".to_owned()
                } else if let Some(domain) = text.strip_prefix('@') {
                    format!("without the @: \"{domain}\"")
                } else if text.contains('@') {
                    "that is an address: exact senders belong into `senders`".to_owned()
                } else {
                    "a domain, \"example.com\", or all below one, \"*.example.com\"".to_owned()
                };
                reader.error(entry, format!("found {}, which is no domain", entry.value.shown()), Some(help));
            }
        }
    }
    patterns
}

fn senders(table: &Tree, reader: &mut Reader) -> Vec<Mailbox> {
    let mut senders = Vec::new();
    for (entry, text) in texts(table.get("senders")) {
        match Mailbox::parse(text) {
            Ok(mailbox) if !text.contains('*') => senders.push(mailbox),
            _ => {
                let help = "exact addresses, \"ceo@example.com\"; whole domains belong into `domains`";
                let problem = format!("found {}, which is no address", entry.value.shown());
                reader.error(entry, problem, Some(help.into()));
            }
        }
    }
    senders
}

fn pacing(table: &Tree, preset: &Preset, reader: &mut Reader) -> Pacing {
    let mut rate_limit = preset.rate_limit;
    if let Some(entry) = table.get("rate_limit") {
        match text(table, "rate_limit").and_then(units::parse_rate) {
            Some(rate) => rate_limit = rate,
            None => {
                let help = "messages per time: \"30/min\", \"5/s\", \"100/h\", or \"none\"";
                reader.error(
                    entry,
                    format!("found {}, which is no rate", entry.value.shown()),
                    Some(help.into()),
                );
            }
        }
    }
    Pacing {
        max_connections: count(table, "max_connections").unwrap_or(preset.max_connections),
        rate_limit,
        daily_recipients: count(table, "daily_recipients").or(preset.daily_recipients),
        max_recipients_per_message: count(table, "max_recipients_per_message")
            .or(preset.max_recipients_per_message),
    }
}
