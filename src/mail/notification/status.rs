//! The delivery status for programs (RFC 3464 §2, RFC 6533 §4).

use super::{
    Action, Report, ReportedRecipient,
    lines::{self, date_field, field, text_field},
    returned::{Encoding, Part},
};
use crate::mail::{EnhancedCode, ForwardPath, OriginalRecipient};

/// Characters of a reply that are kept.
const DIAGNOSTIC: usize = 2000;

/// The part with the fields of the message and of each recipient. It is `message/global-delivery-status`, in UTF-8,
/// where an address has a local part beyond ASCII.
pub(super) fn part(report: &Report<'_>) -> Part {
    let global = report.recipients.iter().any(needs_utf8);
    let mut out = String::with_capacity(256 + 320 * report.recipients.len());
    text_field(&mut out, "Reporting-MTA", &format!("dns; {}", lines::host(&report.letterhead.hostname)));
    if let Some(envid) = &report.dsn.envid {
        field(&mut out, "Original-Envelope-Id", envid.as_str());
    }
    field(&mut out, "X-Waxseal-Queue-ID", &report.queue_id.to_string());
    date_field(&mut out, "Arrival-Date", report.arrival);
    for recipient in &report.recipients {
        out.push_str("\r\n");
        write(&mut out, recipient, global);
    }
    Part {
        content_type: if global { "message/global-delivery-status" } else { "message/delivery-status" },
        description: "Delivery status",
        encoding: if out.is_ascii() { Encoding::SevenBit } else { Encoding::EightBit },
        octets: out.into_bytes(),
        whole: false,
    }
}

fn write(out: &mut String, recipient: &ReportedRecipient, global: bool) {
    if let Some(orcpt) = &recipient.orcpt {
        field(out, "Original-Recipient", &format!("{}; {}", orcpt.addr_type(), orcpt.address()));
    }
    let utf8 = match &recipient.final_recipient {
        ForwardPath::Mailbox(mailbox) => !mailbox.local_part().is_ascii(),
        ForwardPath::Postmaster => false,
    };
    let addr_type = if utf8 { "utf-8" } else { "rfc822" };
    field(out, "Final-Recipient", &format!("{addr_type}; {}", path(&recipient.final_recipient)));
    let action = match recipient.action {
        Action::Failed | Action::Expired => "failed",
        Action::Delayed { .. } => "delayed",
        Action::Relayed => "relayed",
    };
    field(out, "Action", action);
    field(out, "Status", &status(recipient).to_string());
    if let Some(remote) = &recipient.remote_mta {
        text_field(out, "Remote-MTA", &format!("dns; {}", lines::host(remote)));
    }
    if let Some(reply) = &recipient.diagnostic {
        let said = lines::clean(&reply.to_string(), DIAGNOSTIC);
        let said = if global { said } else { said.replace(|c: char| !c.is_ascii(), "?") };
        text_field(out, "Diagnostic-Code", &format!("smtp; {said}"));
    }
    if let Some(at) = recipient.last_attempt {
        date_field(out, "Last-Attempt-Date", at);
    }
    if let Action::Delayed { will_retry_until: Some(until) } = recipient.action {
        date_field(out, "Will-Retry-Until", until);
    }
}

fn needs_utf8(recipient: &ReportedRecipient) -> bool {
    let orcpt = recipient.orcpt.as_ref().map_or("", OriginalRecipient::address);
    !path(&recipient.final_recipient).is_ascii() || !orcpt.is_ascii()
}

/// The forward-path as an address of a header field.
pub(super) fn path(path: &ForwardPath) -> String {
    match path {
        ForwardPath::Postmaster => "postmaster".to_owned(),
        ForwardPath::Mailbox(mailbox) => lines::address(mailbox),
    }
}

/// The status with a class that its action allows (RFC 3464 §2.3.4). A failure of class 4 is one that lasted.
fn status(recipient: &ReportedRecipient) -> EnhancedCode {
    let EnhancedCode(class, subject, detail) = recipient.status;
    let class = match (recipient.action, class) {
        (Action::Failed | Action::Expired, 4 | 5) => class,
        (Action::Failed, _) => 5,
        (Action::Expired | Action::Delayed { .. }, _) => 4,
        (Action::Relayed, _) => 2,
    };
    EnhancedCode(class, subject, detail)
}
