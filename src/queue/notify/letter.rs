//! What a notification says of a message: the queue's values in the terms of `mail::notification`. Pure, but for
//! reading the beginning of the content.

use super::policy::Notice;
use crate::{
    mail::{
        ContentSource, EnhancedCode,
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

/// The report of a notice, `octets` being the beginning of the content.
pub(super) fn report<'a>(
    letterhead: Letterhead,
    received: &Received,
    status: &Status,
    notice: &Notice,
    octets: &'a [u8],
) -> Report<'a> {
    let (size, smtputf8) = (received.size, received.envelope.smtputf8());
    Report {
        letterhead,
        queue_id: received.id,
        arrival: time(received.received_at),
        dsn: received.envelope.dsn().clone(),
        original: Original { octets, size, smtputf8 },
        recipients: notice
            .recipients
            .iter()
            .filter_map(|index| recipient_of_report(received, status, *index))
            .collect(),
    }
}

fn recipient_of_report(received: &Received, status: &Status, index: usize) -> Option<ReportedRecipient> {
    let recipient = status.recipients.get(index)?;
    let said = recipient.said.as_deref();
    let host = |relay: &str| relay.rsplit_once(':').map_or(relay, |(host, _)| host).to_owned();
    Some(ReportedRecipient {
        final_recipient: received.envelope.forward_paths().get(index)?.clone(),
        orcpt: received.envelope.dsn_recipient(index).orcpt.clone(),
        action: if recipient.status == RecipientStatus::Expired { Action::Expired } else { Action::Failed },
        status: said.map_or(EnhancedCode(5, 0, 0), |said| said.status),
        remote_mta: said.map(|said| host(&said.relay)).filter(|host| !host.is_empty()),
        diagnostic: said.and_then(|said| said.reply.clone()),
        explanation: said.map_or_else(|| "it could not be delivered".into(), |said| said.explanation.clone()),
        remedy: said.map(|said| said.remedy.clone()).unwrap_or_default(),
        last_attempt: said.map(|said| time(said.at)),
    })
}

/// A line of a digest for each recipient of a notice.
pub(super) fn digest_entries(
    received: &Received,
    status: &Status,
    notice: &Notice,
    now: Millis,
) -> Vec<DigestEntry> {
    let entry = |index: &usize| {
        let said = status.recipients.get(*index)?.said.as_deref();
        Some(DigestEntry {
            queue_id: received.id,
            from: received.envelope.reverse_path().clone(),
            recipient: received.envelope.forward_paths().get(*index)?.clone(),
            when: time(said.map_or(now, |said| said.at)),
            explanation: said.map(|said| said.explanation.clone()).unwrap_or_default(),
            diagnostic: said.and_then(|said| said.reply.clone()),
        })
    };
    notice.recipients.iter().filter_map(entry).collect()
}
