//! The meta part of a status record.

use super::{Damage, is_false};
use crate::{
    account::AccountId,
    history::Event,
    mail::{EnhancedCode, QueueId, Reply},
    meter::Reason,
    queue::{
        schedule::Millis,
        status::{Recipient, RecipientStatus, Said, Status},
    },
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, sync::Arc};

#[derive(Serialize, Deserialize)]
pub(super) struct StatusMeta<'a> {
    id: u64,
    /// One letter a recipient: p, d, f, x; a capital where its failure has been told.
    recipients: String,
    attempts: u32,
    next: Millis,
    #[serde(default, skip_serializing_if = "is_false")]
    held: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed_at: Option<Millis>,
    #[serde(default)]
    reply: String,
    #[serde(default, skip_serializing_if = "is_false")]
    warned: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    said: Vec<SaidMeta>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    events: Cow<'a, [Event]>,
}

#[derive(Serialize, Deserialize)]
struct SaidMeta {
    /// The recipients that it is about, by their place in the envelope.
    to: Vec<usize>,
    at: Millis,
    relay: String,
    status: (u8, u16, u16),
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reply: Option<ReplyMeta>,
    explanation: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    remedy: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'static, str>>,
}

#[derive(Serialize, Deserialize)]
struct ReplyMeta {
    code: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enhanced: Option<(u8, u16, u16)>,
    text: String,
}

fn letter(recipient: &Recipient) -> char {
    match (recipient.status, recipient.told) {
        (RecipientStatus::Pending, _) => 'p',
        (RecipientStatus::Delivered, _) => 'd',
        (RecipientStatus::Failed, false) => 'f',
        (RecipientStatus::Failed, true) => 'F',
        (RecipientStatus::Expired, false) => 'x',
        (RecipientStatus::Expired, true) => 'X',
    }
}

fn recipient(letter: char) -> Result<Recipient, Damage> {
    let (status, told) = match letter {
        'p' => (RecipientStatus::Pending, false),
        'd' => (RecipientStatus::Delivered, false),
        'f' => (RecipientStatus::Failed, false),
        'F' => (RecipientStatus::Failed, true),
        'x' => (RecipientStatus::Expired, false),
        'X' => (RecipientStatus::Expired, true),
        _ => return Err(Damage::Corrupt),
    };
    Ok(Recipient { status, said: None, told })
}

pub(super) fn meta<'a>(id: QueueId, status: &Status, events: &'a [Event]) -> StatusMeta<'a> {
    StatusMeta {
        id: id.number(),
        recipients: status.recipients.iter().map(letter).collect(),
        attempts: status.attempts,
        next: status.next_attempt_at,
        held: status.held,
        failed_at: status.failed_at,
        reply: status.last_reply.clone(),
        warned: status.warned,
        account: status.account.as_ref().map(|account| account.as_str().to_owned()),
        said: said(&status.recipients),
        events: events.into(),
    }
}

/// What was said, once for all recipients that share it.
fn said(recipients: &[Recipient]) -> Vec<SaidMeta> {
    let mut metas: Vec<SaidMeta> = Vec::new();
    let mut last: Option<&Arc<Said>> = None;
    for (index, recipient) in recipients.iter().enumerate() {
        let Some(said) = &recipient.said else { continue };
        match metas.last_mut() {
            Some(meta) if last.is_some_and(|last| Arc::ptr_eq(last, said)) => meta.to.push(index),
            _ => metas.push(SaidMeta {
                to: vec![index],
                at: said.at,
                relay: said.relay.clone(),
                status: (said.status.0, said.status.1, said.status.2),
                reply: said.reply.as_ref().map(|reply| ReplyMeta {
                    code: reply.code(),
                    enhanced: reply.enhanced().map(|code| (code.0, code.1, code.2)),
                    text: reply.text().to_owned(),
                }),
                explanation: said.explanation.clone(),
                remedy: said.remedy.clone(),
                reason: said.reason.map(|reason| reason.as_str().into()),
            }),
        }
        last = Some(said);
    }
    metas
}

pub(super) fn read(meta: StatusMeta<'_>) -> Result<(QueueId, Status, Vec<Event>), Damage> {
    let mut recipients: Vec<_> = meta.recipients.chars().map(recipient).collect::<Result<_, _>>()?;
    for said in meta.said {
        let reply = said.reply.map(|reply| match reply.enhanced {
            Some((class, subject, detail)) => {
                Reply::new(reply.code, EnhancedCode(class, subject, detail), reply.text)
            }
            None => Reply::bare(reply.code, reply.text),
        });
        let shared = Arc::new(Said {
            at: said.at,
            relay: said.relay,
            status: EnhancedCode(said.status.0, said.status.1, said.status.2),
            reply,
            explanation: said.explanation,
            remedy: said.remedy,
            reason: said.reason.as_deref().and_then(Reason::parse),
        });
        for index in said.to {
            if let Some(recipient) = recipients.get_mut(index) {
                recipient.said = Some(shared.clone());
            }
        }
    }
    let status = Status {
        recipients,
        attempts: meta.attempts,
        next_attempt_at: meta.next,
        held: meta.held,
        failed_at: meta.failed_at,
        last_reply: meta.reply,
        warned: meta.warned,
        account: meta.account.as_deref().map(AccountId::new),
    };
    Ok((QueueId::from_number(meta.id), status, meta.events.into_owned()))
}
