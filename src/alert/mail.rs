//! `[alert] mail_to`: the alert as a message, carried by an account that works.

use super::notice::Notice;
use crate::{
    account::{Account, AccountId},
    config::Snapshot,
    mail::{
        BodyType, Domain, Envelope, ForwardPath, Mailbox, QueueId, ReversePath, Timestamp, trace::Rfc5322Date,
    },
    meter::OWN,
    queue::{CommitError, Queue, Receipt},
};
use std::{fmt::Write as _, time::SystemTime};

/// The account that carries an alert: of those that `works` says work, the one that serves the domain of `mail_to`,
/// else a default account, else any; the organization's before an application's. Never the one that it is `about`.
pub(super) fn carrier<'a>(
    accounts: &'a [Account],
    works: impl Fn(&AccountId) -> bool,
    about: Option<&AccountId>,
    mail_to: &Mailbox,
) -> Option<&'a Account> {
    let fit = |account: &&Account| account.active && Some(&account.id) != about && works(&account.id);
    let rank = |account: &&Account| {
        (!serves(account, mail_to), !account.default, account.application.is_some(), account.id.clone())
    };
    accounts.iter().filter(fit).min_by_key(rank)
}

fn serves(account: &Account, mailbox: &Mailbox) -> bool {
    account.senders.iter().any(|sender| sender.matches(mailbox))
        || account.domains.iter().any(|pattern| pattern.covers(mailbox.domain()))
}

/// The host name as it is fit for header fields.
fn host(hostname: &str) -> String {
    Domain::parse(hostname).map_or_else(|_| "localhost".to_owned(), |host| host.ascii().to_owned())
}

/// Who an alert comes from: the account's own address, which its server surely accepts, else the postmaster here.
fn from(account: &Account, hostname: &str) -> Option<Mailbox> {
    let own = account.username().and_then(|name| Mailbox::parse(name).ok());
    let own = own.filter(|own| !own.needs_smtputf8());
    own.or_else(|| Mailbox::parse(&format!("postmaster@{}", host(hostname))).ok())
}

/// Hands the alert to the queue, by way of `account`. When it returns `Ok`, the message is on stable storage.
///
/// # Errors
/// Where the queue has no room or cannot write.
pub(super) async fn send(
    notice: &Notice,
    mail_to: &Mailbox,
    account: &Account,
    snapshot: &Snapshot,
    queue: &Queue,
) -> Result<QueueId, CommitError> {
    let unfit = |what: &str| CommitError::Io(format!("an alert cannot be written: {what}"));
    let from = from(account, &snapshot.hostname).ok_or_else(|| unfit("no sender"))?;
    let mut intake = queue.begin();
    let message = compose(notice, &from, mail_to, &snapshot.hostname, intake.id(), SystemTime::now());
    let envelope = Envelope::new(
        ReversePath::Mailbox(from),
        vec![ForwardPath::Mailbox(mail_to.clone())],
        BodyType::SevenBit,
        mail_to.needs_smtputf8(),
    )
    .map_err(|error| unfit(&error.to_string()))?;
    intake.write(message.as_bytes()).await?;
    let receipt = Receipt { envelope, account: account.id.clone(), application: None };
    let committed = intake.commit_to_queue(receipt).await?;
    queue.meter().received(OWN, account.id.as_str(), committed.unix_millis());
    Ok(committed)
}

/// The message (RFC 5322), marked as no person's (RFC 3834). Canonical, and ASCII but for a recipient that is not.
fn compose(
    notice: &Notice,
    from: &Mailbox,
    to: &Mailbox,
    hostname: &str,
    id: QueueId,
    at: SystemTime,
) -> String {
    let address = |mailbox: &Mailbox| format!("{}@{}", mailbox.local_part(), mailbox.domain().ascii());
    let host = host(hostname);
    let mut text = format!("{}\n", notice.explanation);
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = write!(text, "\n{name:<12}{value}");
        }
    };
    line("What to do:", &notice.remedy);
    line("Since:", &Timestamp::from_millis(notice.since).to_string());
    line("Found:", &Timestamp::from_millis(notice.at).to_string());
    line("Host:", &host);
    line("Account:", notice.key.account.as_ref().map_or("", AccountId::as_str));
    line("Event:", &format!("{}, {}", notice.key.event.as_str(), notice.phase.as_str()));
    text.push_str("\n\nwaxseal writes this because `mail_to` in its [alert] section names you.\n");
    format!(
        "Date: {}\r\nMessage-ID: <{id}@{host}>\r\nFrom: waxseal <{}>\r\nTo: <{}>\r\nSubject: [waxseal {host}] {}\r\n\
         Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\n{}",
        Rfc5322Date(at),
        address(from),
        address(to),
        notice.headline(),
        quoted_printable(&text)
    )
}

/// Text as quoted-printable (RFC 2045 §6.7), with CRLF at the end of each line.
fn quoted_printable(text: &str) -> String {
    const LONGEST: usize = 76;
    let mut out = String::new();
    for line in text.lines() {
        let mut column = 0;
        let octets = line.trim_end().as_bytes();
        for (at, octet) in octets.iter().enumerate() {
            let plain = matches!(octet, b' '..=b'~') && *octet != b'=';
            let width = if plain { 1 } else { 3 };
            // A soft break takes a column; the last octet of a line needs none.
            if column + width + usize::from(at + 1 < octets.len()) > LONGEST {
                out.push_str("=\r\n");
                column = 0;
            }
            if plain {
                out.push(char::from(*octet));
            } else {
                let _ = write!(out, "={octet:02X}");
            }
            column += width;
        }
        out.push_str("\r\n");
    }
    out
}

#[cfg(test)]
#[path = "mail_tests.rs"]
mod tests;
