//! Which account a sender maps to, and why. Pure; the maps are built once and looked into at every MAIL.

use super::{Account, AccountId, ApplicationId, DomainPattern};
use crate::mail::{Domain, Mailbox, ReversePath};
use std::{collections::HashMap, fmt};

/// What made an account the one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matched {
    /// The sender is among its `senders`.
    Sender,
    /// Its domain is the sender's.
    Domain(DomainPattern),
    /// Its wildcard is the longest that covers the sender's domain.
    Wildcard(DomainPattern),
    /// Nothing more specific matched at its level and it is the default there.
    Default,
}

/// Why a sender maps to an account; `Display` is a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// What matched.
    pub matched: Matched,
    /// The level at which it did; `None` is the organization.
    pub application: Option<ApplicationId>,
    /// The sender; `None` is the null reverse-path.
    pub sender: Option<Mailbox>,
}

/// The account that takes a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The account.
    pub account: AccountId,
    /// What made it the one.
    pub why: Why,
}

/// No account takes mail from this sender. `Display` is fit for the text of `550 5.7.1`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// The sender's domain belongs to no active account, and there is no default.
    #[error("no account sends for the domain {0}")]
    Domain(String),
    /// The null reverse-path goes to a default account, and there is none.
    #[error("no default account takes mail from the null reverse-path")]
    Null,
}

/// One step of a search, for `waxseal route`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What was looked for, and where.
    pub looked_for: String,
    /// The account that takes the message, if this step found it.
    pub account: Option<AccountId>,
    /// Accounts that would match here but are inactive.
    pub inactive: Vec<AccountId>,
}

/// The accounts of one level, ready to be looked up.
#[derive(Debug, Default)]
struct Level {
    /// By lower-case sender, its domain in A-labels.
    senders: HashMap<String, AccountId>,
    /// By domain in lower-case A-labels.
    domains: HashMap<String, (AccountId, DomainPattern)>,
    /// By the domain below which the wildcard matches.
    below: HashMap<String, (AccountId, DomainPattern)>,
    default: Option<AccountId>,
}

/// All routes.
#[derive(Debug, Default)]
pub struct Routes {
    organization: Level,
    applications: HashMap<ApplicationId, Level>,
    /// Inactive accounts, for explanations alone.
    inactive: Vec<Account>,
}

impl Routes {
    /// Builds the maps. Of two accounts that claim the same, the first one wins; `config::load` refuses them.
    pub fn new(accounts: &[Account]) -> Self {
        let mut routes = Self::default();
        for account in accounts {
            if !account.active {
                routes.inactive.push(account.clone());
                continue;
            }
            let level = match &account.application {
                Some(application) => routes.applications.entry(application.clone()).or_default(),
                None => &mut routes.organization,
            };
            level.add(account);
        }
        routes
    }

    /// The account for `sender`, on a connection that belongs to `application`.
    ///
    /// # Errors
    /// [`NoRoute`] where no active account matches: MAIL gets `550 5.7.1`.
    pub fn route(&self, application: Option<&ApplicationId>, sender: &ReversePath) -> Result<Route, NoRoute> {
        let first = application.and_then(|id| Some((Some(id), self.applications.get(id)?)));
        for (id, level) in first.into_iter().chain([(None, &self.organization)]) {
            if let Some((account, matched)) = level.find(sender.mailbox()) {
                let why = Why { matched, application: id.cloned(), sender: sender.mailbox().cloned() };
                return Ok(Route { account: account.clone(), why });
            }
        }
        Err(match sender {
            ReversePath::Null => NoRoute::Null,
            ReversePath::Mailbox(mailbox) => NoRoute::Domain(mailbox.domain().to_string()),
        })
    }

    /// The steps that [`Self::route`] takes, up to the one that finds the account.
    pub fn explain(&self, application: Option<&ApplicationId>, sender: &ReversePath) -> Vec<Step> {
        let mut steps = Vec::new();
        for id in application.map(Some).into_iter().chain([None]) {
            let empty = Level::default();
            let level = match id {
                Some(id) => self.applications.get(id).unwrap_or(&empty),
                None => &self.organization,
            };
            let place = place(id);
            let inactive = |matches: &dyn Fn(&Account) -> bool| -> Vec<AccountId> {
                self.inactive
                    .iter()
                    .filter(|account| account.application.as_ref() == id && matches(account))
                    .map(|account| account.id.clone())
                    .collect()
            };
            if let Some(mailbox) = sender.mailbox() {
                let domain = mailbox.domain();
                steps.push(Step {
                    looked_for: format!("an account {place} with the sender {mailbox}"),
                    account: level.sender(mailbox).cloned(),
                    inactive: inactive(&|a| a.senders.iter().any(|s| s.matches(mailbox))),
                });
                steps.push(Step {
                    looked_for: format!("an account {place} with the domain {domain}"),
                    account: level.domain(domain).map(|(account, _)| account.clone()),
                    inactive: inactive(&|a| a.domains.contains(&DomainPattern::Exact(domain.clone()))),
                });
                steps.push(Step {
                    looked_for: format!("an account {place} with a wildcard over {domain}"),
                    account: level.wildcard(domain).map(|(account, _)| account.clone()),
                    inactive: inactive(&|a| {
                        let wildcard = |pattern: &&DomainPattern| matches!(pattern, DomainPattern::Below(_));
                        a.domains.iter().filter(wildcard).any(|pattern| pattern.covers(domain))
                    }),
                });
            }
            steps.push(Step {
                looked_for: format!("a default account {place}"),
                account: level.default.clone(),
                inactive: inactive(&|a| a.default),
            });
        }
        if let Some(found) = steps.iter().position(|step| step.account.is_some()) {
            steps.truncate(found + 1);
        }
        steps
    }
}

impl Level {
    fn add(&mut self, account: &Account) {
        for sender in &account.senders {
            self.senders.entry(sender_key(sender)).or_insert_with(|| account.id.clone());
        }
        for pattern in &account.domains {
            let (map, domain) = match pattern {
                DomainPattern::Exact(domain) => (&mut self.domains, domain),
                DomainPattern::Below(domain) => (&mut self.below, domain),
            };
            map.entry(domain.ascii().to_owned()).or_insert_with(|| (account.id.clone(), pattern.clone()));
        }
        if account.default && self.default.is_none() {
            self.default = Some(account.id.clone());
        }
    }

    fn find(&self, sender: Option<&Mailbox>) -> Option<(&AccountId, Matched)> {
        let specific = sender.and_then(|mailbox| {
            if let Some(account) = self.sender(mailbox) {
                return Some((account, Matched::Sender));
            }
            if let Some((account, pattern)) = self.domain(mailbox.domain()) {
                return Some((account, Matched::Domain(pattern.clone())));
            }
            let (account, pattern) = self.wildcard(mailbox.domain())?;
            Some((account, Matched::Wildcard(pattern.clone())))
        });
        specific.or_else(|| self.default.as_ref().map(|account| (account, Matched::Default)))
    }

    fn sender(&self, mailbox: &Mailbox) -> Option<&AccountId> {
        // Most installations name no senders: spare them the key.
        if self.senders.is_empty() { None } else { self.senders.get(&sender_key(mailbox)) }
    }

    fn domain(&self, domain: &Domain) -> Option<&(AccountId, DomainPattern)> {
        self.domains.get(domain.ascii())
    }

    fn wildcard(&self, domain: &Domain) -> Option<&(AccountId, DomainPattern)> {
        if self.below.is_empty() {
            return None;
        }
        // Label by label from the left: what is found first is the longest.
        let mut rest = domain.ascii();
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(found) = self.below.get(parent) {
                return Some(found);
            }
            rest = parent;
        }
        None
    }
}

fn sender_key(mailbox: &Mailbox) -> String {
    format!("{}@{}", mailbox.local_part().to_lowercase(), mailbox.domain().ascii())
}

fn place(application: Option<&ApplicationId>) -> String {
    match application {
        Some(id) => format!("of the application {id}"),
        None => "of the organization".into(),
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = place(self.application.as_ref());
        match (&self.matched, &self.sender) {
            (Matched::Sender, Some(sender)) => {
                write!(f, "it is the account {place} with the sender {sender}")
            }
            (Matched::Sender, None) => write!(f, "it is the account {place} with this sender"),
            (Matched::Domain(pattern), _) => write!(f, "it is the account {place} with the domain {pattern}"),
            (Matched::Wildcard(pattern), _) => {
                write!(f, "it is the account {place} with the longest matching wildcard, {pattern}")
            }
            (Matched::Default, Some(sender)) => {
                write!(
                    f,
                    "no account {place} has the domain {}, and it is the default there",
                    sender.domain()
                )
            }
            (Matched::Default, None) => {
                write!(f, "the reverse-path is null, and it is the default account {place}")
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.account {
            Some(account) => write!(f, "{}: {account}", self.looked_for)?,
            None => write!(f, "{}: none", self.looked_for)?,
        }
        for account in &self.inactive {
            write!(f, " (account {account} would match but is inactive)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "routing_tests.rs"]
mod tests;
