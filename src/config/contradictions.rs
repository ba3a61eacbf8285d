//! Accounts that claim the same mail.

use super::{
    accounts::Draft,
    reader::{Reader, texts},
    tree::Entry,
};
use crate::{
    account::{ApplicationId, DomainPattern},
    mail::Mailbox,
};
use std::collections::HashMap;

/// What only one active account of a level may claim.
#[derive(PartialEq, Eq, Hash)]
enum Claim {
    Domain(String),
    Below(String),
    Sender(String),
    Default,
}

impl Claim {
    fn sentence(&self, found: &str) -> String {
        match self {
            Self::Domain(_) | Self::Below(_) => format!("the domain {found} is served twice"),
            Self::Sender(_) => format!("the sender {found} is served twice"),
            Self::Default => "there are two default accounts".into(),
        }
    }
}

/// Reports every claim of two active accounts at one level, with both accounts and both places; warns where there
/// is no active account at all.
pub(super) fn check(drafts: &[Draft], reader: &mut Reader) {
    let mut claims: HashMap<(Option<&ApplicationId>, Claim), (&Draft, &Entry)> = HashMap::new();
    for draft in drafts.iter().filter(|draft| draft.account.active) {
        for (claim, entry, found) in claims_of(draft) {
            let problem = claim.sentence(&found);
            let key = (draft.account.application.as_ref(), claim);
            match claims.get(&key) {
                Some((other, place)) => {
                    let (first, second) = (&other.account.id, &draft.account.id);
                    let place = reader.locate(&place.place);
                    let problem = if first == second {
                        format!("{problem} by the account `{first}` (first at {place})")
                    } else if found.is_empty() {
                        format!("{problem}: `{first}` ({place}) and `{second}`")
                    } else {
                        format!("{problem}: by `{first}` ({place}) and by `{second}`")
                    };
                    let level = match &draft.account.application {
                        Some(id) => format!("the application `{id}`"),
                        None => "organization level".into(),
                    };
                    let help =
                        format!("at {level} only one active account may; `active = false` retires one");
                    reader.error(entry, problem, Some(help));
                }
                None => {
                    claims.insert(key, (draft, entry));
                }
            }
        }
    }
    if !drafts.iter().any(|draft| draft.account.active) && reader.is_content() {
        reader.warnings.push("no account is active, so that all mail is refused: add an [account.ID]".into());
    }
}

fn claims_of(draft: &Draft) -> Vec<(Claim, &Entry, String)> {
    let Some(table) = draft.entry.table() else { return Vec::new() };
    let mut claims = Vec::new();
    for (entry, text) in ["domain", "domains"].iter().flat_map(|key| texts(table.get(*key))) {
        match DomainPattern::parse(text) {
            Ok(DomainPattern::Exact(domain)) => {
                claims.push((Claim::Domain(domain.ascii().to_owned()), entry, text.to_owned()));
            }
            Ok(DomainPattern::Below(domain)) => {
                claims.push((Claim::Below(domain.ascii().to_owned()), entry, text.to_owned()));
            }
            Err(_) => {}
        }
    }
    for (entry, text) in texts(table.get("senders")) {
        if let Ok(mailbox) = Mailbox::parse(text) {
            let key = format!("{}@{}", mailbox.local_part().to_lowercase(), mailbox.domain().ascii());
            claims.push((Claim::Sender(key), entry, text.to_owned()));
        }
    }
    if let Some(entry) = table.get("default").filter(|_| draft.account.default) {
        claims.push((Claim::Default, entry, String::new()));
    }
    claims
}
