//! The configuration that takes what was seen.

use super::{
    Learned, Place, Who,
    accounts::{self, Domain},
    listener::{Client, listener, users},
    text::{comment, shown, some},
};
use crate::draft::{Shown, id_of, quoted, tell_apart, write};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// What there is besides what was seen.
pub struct Around<'a> {
    /// The listeners, in the order of their indexes.
    pub places: &'a [Place],
    /// The account that is there for this sender, maybe with a word about it.
    pub account_of: &'a dyn Fn(&str) -> Option<String>,
    /// Ids of accounts that there are.
    pub accounts: BTreeSet<String>,
    /// Ids of applications that there are.
    pub applications: BTreeSet<String>,
    /// `[limits] message_size` as it is.
    pub message_size: u64,
}

/// Listeners, what is suggested for users and applications, and drafts of accounts. It is TOML that loads as it is,
/// alone or, with its listeners in place of others, beside what there is.
pub fn configuration(learned: &Learned, around: &Around<'_>) -> String {
    let mut out = String::new();
    let at =
        |index: usize| learned.clients().filter(move |(at, ..)| *at == index).map(|(_, who, h)| (who, h));
    for (index, place) in around.places.iter().enumerate() {
        let clients: Vec<Client<'_>> = at(index).collect();
        listener(&mut out, place, &clients);
    }
    users(&mut out, learned.clients().map(|(_, who, habits)| (who, habits)));
    limits(&mut out, learned, around.message_size);
    applications(&mut out, learned, around.applications.clone());
    all_accounts(&mut out, learned, around);
    out
}

/// A larger message than the limit lets in.
fn limits(out: &mut String, learned: &Learned, now: u64) {
    let largest = learned.clients().map(|(_, _, habits)| habits.largest).max().unwrap_or_default();
    if largest > now {
        let enough = largest.div_ceil(1 << 20).next_power_of_two();
        comment(out, 0, "A message was larger than the limit that holds now.");
        let _ = writeln!(out, "[limits]\nmessage_size = \"{enough}MiB\"\n");
    }
}

/// Where clients send from different domains, an application for each would keep them apart. Whether they are different
/// applications only their owner knows.
fn applications(out: &mut String, learned: &Learned, mut taken: BTreeSet<String>) {
    let mut all: BTreeMap<Who, (BTreeSet<&str>, Option<&str>)> = BTreeMap::new();
    for (_, who, habits) in learned.clients().filter(|(_, _, habits)| habits.sends()) {
        let (domains, name) = all.entry(who).or_default();
        domains.extend(
            habits.domains.iter().map(|(domain, _)| domain.as_str()).filter(|domain| !domain.is_empty()),
        );
        *name = name.or(habits.greetings.iter().next().map(|(greeting, _)| greeting.as_str()));
    }
    all.retain(|who, (domains, _)| matches!(who, Who::Network(_)) && !domains.is_empty());
    let different: BTreeSet<&BTreeSet<&str>> = all.values().map(|(domains, _)| domains).collect();
    if different.len() < 2 {
        return;
    }
    comment(
        out,
        0,
        "These clients send from different domains. Where they are different applications, this keeps each of them to \
         its own senders; an account with `application` is its alone.",
    );
    for (who, (domains, greeting)) in &all {
        let Who::Network(address) = who else { continue };
        let name = greeting.and_then(name_in).or(domains.first().copied()).unwrap_or_default();
        let id = tell_apart(id_of(name, "application"), &mut taken);
        let patterns: Vec<String> = domains
            .iter()
            .filter(|domain| !domain.starts_with('['))
            .map(|domain| quoted(&format!("*@{domain}")).to_string())
            .collect();
        let _ = writeln!(out, "# [application.{id}]\n# clients = [\"{address}\"]");
        if !patterns.is_empty() {
            let _ = writeln!(out, "# allowed_senders = [{}]", patterns.join(", "));
        }
    }
    out.push('\n');
}

/// The first label of what a client calls itself, where that tells it from others.
fn name_in(greeting: &str) -> Option<&str> {
    let name = greeting.split_once(' ')?.1;
    let label = name.split('.').next()?;
    let tells =
        label.bytes().any(|b| b.is_ascii_alphabetic()) && !name.starts_with('[') && label != "localhost";
    tells.then_some(label)
}

fn all_accounts(out: &mut String, learned: &Learned, around: &Around<'_>) {
    let mut taken = around.accounts.clone();
    let mut after = Vec::new();
    for (name, domain) in accounts::domains(learned) {
        let (served, open): (Vec<_>, Vec<_>) = domain
            .addresses
            .into_iter()
            .map(|address| ((around.account_of)(&address), address))
            .partition(|(a, _)| a.is_some());
        let by: BTreeSet<String> = served.into_iter().filter_map(|(account, _)| account).collect();
        if !by.is_empty() {
            let what = if name.is_empty() { "The null reverse-path <>" } else { name.as_str() };
            after.push(format!("{what} has an account already: {}.", some(by, 5, 0)));
        }
        let addresses: BTreeSet<String> = open.into_iter().map(|(_, address)| address).collect();
        let domain = Domain { addresses, clients: domain.clients };
        if domain.addresses.is_empty() {
            continue;
        }
        let clients = some(domain.clients.iter().cloned(), 5, 0);
        if name.is_empty() {
            after.push(format!(
                "{clients} sends from the null reverse-path <>, which only an account with `default = true` takes."
            ));
        } else if !accounts::is_public(&name) {
            let addresses = some(domain.addresses.iter().map(|address| shown(address)), 5, 0);
            after.push(format!(
                "{clients} sends as {addresses}, which no provider has. Better give the application another sender; \
                 an account with `sender = \"rewrite\"` and `default = true` takes it, too."
            ));
        } else {
            let (draft, origin) = accounts::draft(&name, &domain, &mut taken);
            out.push_str(&write(&draft, &origin, Shown::Hidden));
            out.push('\n');
        }
    }
    for line in after {
        comment(out, 0, &line);
    }
}
