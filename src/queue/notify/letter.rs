//! What a notification says of a message: the queue's values in the terms of `mail::notification`. Pure, but for
//! reading the beginning of the content.

use super::policy::Notice;
use crate::{
    mail::{
        ContentSource, EnhancedCode, Reply,
        notification::{Action, DigestEntry, Letterhead, Original, Report, ReportedRecipient},
    },
    queue::{
        entry::Received,
        schedule::Millis,
        status::{RecipientStatus, Status},
    },
};
use std::{
    fs::File,
    io::{self, Read as _},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub(super) fn time(at: Millis) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(at)
}

/// The first `wanted` octets of a content. Blocks on the disk.
pub(super) fn beginning(source: &ContentSource, wanted: u64) -> io::Result<Vec<u8>> {
    match source {
        ContentSource::Memory(content) => {
            let octets = content.octets();
            Ok(octets[..octets.len().min(wanted as usize)].to_vec())
        }
        ContentSource::File { path, .. } => {
            let mut octets = Vec::new();
            File::open(path)?.take(wanted).read_to_end(&mut octets)?;
            Ok(octets)
        }
    }
}

/// What a late message waits for, where no reply says it.
pub(super) struct Hindrance {
    pub(super) explanation: String,
    pub(super) remedy: String,
    /// Until when it is tried.
    pub(super) until: Millis,
}

/// The report of a notice, `octets` being the beginning of the content. Pending recipients are late because of
/// `hindrance`.
pub(super) fn report<'a>(
    letterhead: Letterhead,
    received: &Received,
    status: &Status,
    notice: &Notice,
    octets: &'a [u8],
    hindrance: Option<&Hindrance>,
) -> Report<'a> {
    let of = |index: &usize| recipient_of_report(received, status, *index, hindrance);
    report_of(letterhead, received, octets, notice.recipients.iter().filter_map(of).collect())
}

/// The report that recipients have been handed on to `relay`, each with the reply that it got.
pub(super) fn relayed<'a>(
    letterhead: Letterhead,
    received: &Received,
    handed_on: &[(usize, Reply)],
    relay: &str,
    octets: &'a [u8],
) -> Report<'a> {
    let at = letterhead.date;
    let of = |(index, reply): &(usize, Reply)| {
        Some(ReportedRecipient {
            final_recipient: received.envelope.forward_paths().get(*index)?.clone(),
            orcpt: received.envelope.dsn_recipient(*index).orcpt.clone(),
            action: Action::Relayed,
            status: reply.enhanced().unwrap_or(EnhancedCode(2, 0, 0)),
            remote_mta: host(relay),
            diagnostic: Some(reply.clone()),
            explanation: String::new(),
            remedy: String::new(),
            last_attempt: Some(at),
        })
    };
    report_of(letterhead, received, octets, handed_on.iter().filter_map(of).collect())
}

fn report_of<'a>(
    letterhead: Letterhead,
    received: &Received,
    octets: &'a [u8],
    recipients: Vec<ReportedRecipient>,
) -> Report<'a> {
    let (size, smtputf8) = (received.size, received.envelope.smtputf8());
    Report {
        letterhead,
        queue_id: received.id,
        arrival: time(received.received_at),
        dsn: received.envelope.dsn().clone(),
        original: Original { octets, size, smtputf8 },
        recipients,
    }
}

/// The host of a `host:port`.
fn host(relay: &str) -> Option<String> {
    let host = relay.rsplit_once(':').map_or(relay, |(host, _)| host);
    (!host.is_empty()).then(|| host.to_owned())
}

fn recipient_of_report(
    received: &Received,
    status: &Status,
    index: usize,
    hindrance: Option<&Hindrance>,
) -> Option<ReportedRecipient> {
    let recipient = status.recipients.get(index)?;
    let said = recipient.said.as_deref();
    let (action, unsaid) = match recipient.status {
        RecipientStatus::Expired => (Action::Expired, "it could not be delivered"),
        RecipientStatus::Failed => (Action::Failed, "it could not be delivered"),
        RecipientStatus::Pending => {
            let will_retry_until = hindrance.map(|hindrance| time(hindrance.until));
            (Action::Delayed { will_retry_until }, "")
        }
        RecipientStatus::Delivered => return None,
    };
    let (mut explanation, mut remedy) = match said {
        Some(said) => (said.explanation.clone(), said.remedy.clone()),
        None => (unsaid.to_owned(), String::new()),
    };
    if let (None, Some(hindrance)) = (said, hindrance) {
        (explanation, remedy) = (hindrance.explanation.clone(), hindrance.remedy.clone());
    }
    Some(ReportedRecipient {
        final_recipient: received.envelope.forward_paths().get(index)?.clone(),
        orcpt: received.envelope.dsn_recipient(index).orcpt.clone(),
        action,
        status: said.map_or(EnhancedCode(5, 0, 0), |said| said.status),
        remote_mta: said.and_then(|said| host(&said.relay)),
        diagnostic: said.and_then(|said| said.reply.clone()),
        explanation,
        remedy,
        last_attempt: said.map(|said| time(said.at)),
    })
}

/// A line of a digest for each recipient of a notice. `otherwise` is when and why, where nothing was said of one.
pub(super) fn digest_entries(
    received: &Received,
    status: &Status,
    notice: &Notice,
    otherwise: (Millis, &str),
) -> Vec<DigestEntry> {
    let entry = |index: &usize| {
        let said = status.recipients.get(*index)?.said.as_deref();
        Some(DigestEntry {
            queue_id: received.id,
            from: received.envelope.reverse_path().clone(),
            recipient: received.envelope.forward_paths().get(*index)?.clone(),
            when: time(said.map_or(otherwise.0, |said| said.at)),
            explanation: said.map_or_else(|| otherwise.1.to_owned(), |said| said.explanation.clone()),
            diagnostic: said.and_then(|said| said.reply.clone()),
        })
    };
    notice.recipients.iter().filter_map(entry).collect()
}
