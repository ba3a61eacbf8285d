//! Who is told that a message failed, or is late. Pure.

use crate::{
    config::{Bounce, QueueSettings},
    mail::{
        Mailbox,
        notification::{Kind, is_wanted},
    },
    queue::{
        entry::Received,
        status::{Recipient, RecipientStatus, Status},
    },
};

/// One notification that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) to: Mailbox,
    /// The recipients to tell of, by their index in the envelope.
    pub(super) recipients: Vec<usize>,
}

/// The notifications of failures that nobody has been told of. None is about a message with a null reverse-path, which
/// is a notification itself or wants none (RFC 5321 §4.5.5).
pub(super) fn failures(received: &Received, status: &Status, settings: &QueueSettings) -> Vec<Notice> {
    notices(Kind::Failed, received, status, settings, false, Recipient::is_untold)
}

/// The warnings that a message is late for those who have not got it; `automatic` is
/// [`is_automatic`](crate::mail::notification::is_automatic) of its content.
pub(super) fn delays(
    received: &Received,
    status: &Status,
    settings: &QueueSettings,
    automatic: bool,
) -> Vec<Notice> {
    let pending = |recipient: &Recipient| recipient.status == RecipientStatus::Pending;
    notices(Kind::Delayed, received, status, settings, automatic, pending)
}

/// What `bounce` says, of the recipients that it is `about`: the sender is told where it wants to be, the postmaster
/// of all.
fn notices(
    kind: Kind,
    received: &Received,
    status: &Status,
    settings: &QueueSettings,
    automatic: bool,
    about: impl Fn(&Recipient) -> bool,
) -> Vec<Notice> {
    let envelope = &received.envelope;
    let Some(sender) = envelope.reverse_path().mailbox() else { return Vec::new() };
    let about = status.recipients.iter().enumerate().filter(|(_, recipient)| about(recipient));
    let about: Vec<usize> = about.map(|(index, _)| index).collect();
    let wanted = |index: &usize| is_wanted(kind, envelope.dsn_recipient(*index).notify, automatic);
    let mut notices = Vec::new();
    if matches!(settings.bounce, Bounce::Sender | Bounce::Both) {
        let recipients: Vec<usize> = about.iter().copied().filter(wanted).collect();
        notices.push(Notice { to: sender.clone(), recipients });
    }
    if let (Bounce::Postmaster | Bounce::Both, Some(postmaster)) = (settings.bounce, &settings.postmaster)
        && (settings.bounce == Bounce::Postmaster || postmaster != sender)
    {
        notices.push(Notice { to: postmaster.clone(), recipients: about });
    }
    notices.retain(|notice| !notice.recipients.is_empty());
    notices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        account::AccountId,
        mail::{BodyType, DsnRecipient, DsnRequest, Envelope, ForwardPath, QueueId, ReversePath},
    };

    fn settings(bounce: Bounce, postmaster: Option<&str>) -> QueueSettings {
        {
            let postmaster = postmaster.map(|postmaster| Mailbox::parse(postmaster).unwrap());
            QueueSettings { bounce, postmaster, ..QueueSettings::default() }
        }
    }

    /// To two recipients, of whom the second wants no notification.
    fn received(from: &str) -> Received {
        let to = ["b@example.org", "c@example.org"].map(|to| ForwardPath::parse(to).unwrap()).to_vec();
        let from = if from.is_empty() { ReversePath::Null } else { ReversePath::parse(from).unwrap() };
        let never = DsnRecipient { notify: "NEVER".parse().ok(), orcpt: None };
        let envelope = Envelope::new(from, to, BodyType::SevenBit, false).unwrap();
        Received {
            id: QueueId::from_number(1),
            received_at: 0,
            account: AccountId::new("x"),
            application: None,
            envelope: envelope.with_dsn(DsnRequest::default(), vec![DsnRecipient::default(), never]),
            size: 0,
            message_id: None,
            notification: false,
        }
    }

    #[test]
    fn settings_and_wishes_decide_who_is_told_of_whom() {
        let mut status = Status::fresh(2, 0);
        for recipient in &mut status.recipients {
            recipient.status = RecipientStatus::Failed;
        }
        let told = |from: &str, bounce, postmaster, status: &Status| -> Vec<(String, Vec<usize>)> {
            failures(&received(from), status, &settings(bounce, postmaster))
                .into_iter()
                .map(|notice| (notice.to.to_string(), notice.recipients))
                .collect()
        };
        let (a, ops) = ("a@example.com", "ops@example.com");
        let sender = (a.to_owned(), vec![0]);
        let postmaster = (ops.to_owned(), vec![0, 1]);
        assert_eq!(told(a, Bounce::Sender, None, &status), std::slice::from_ref(&sender));
        assert_eq!(told(a, Bounce::Both, Some(ops), &status), [sender.clone(), postmaster.clone()]);
        assert_eq!(told(a, Bounce::Postmaster, Some(ops), &status), [postmaster]);
        assert_eq!(told(a, Bounce::Both, Some(a), &status), [sender]);
        assert_eq!(told(a, Bounce::None, None, &status), []);
        assert_eq!(told("", Bounce::Both, Some(ops), &status), [], "never about a notification");
        status.recipients[0].told = true;
        assert_eq!(told(a, Bounce::Sender, None, &status), [], "once, and not of who wants none");
    }
    #[test]
    fn a_delay_is_of_those_who_wait_and_automatic_mail_has_nobody_who_waits() {
        let status = Status::fresh(2, 0);
        let told = |bounce, automatic| -> Vec<(String, Vec<usize>)> {
            delays(&received("a@example.com"), &status, &settings(bounce, Some("ops@example.com")), automatic)
                .into_iter()
                .map(|notice| (notice.to.to_string(), notice.recipients))
                .collect()
        };
        let (sender, postmaster) =
            (("a@example.com".into(), vec![0]), ("ops@example.com".into(), vec![0, 1]));
        assert_eq!(told(Bounce::Both, false), [sender, postmaster.clone()]);
        assert_eq!(told(Bounce::Both, true), [postmaster]);
        assert_eq!(told(Bounce::Sender, true), []);
        let mut over = Status::fresh(2, 0);
        over.recipients[0].status = RecipientStatus::Delivered;
        over.recipients[1].status = RecipientStatus::Failed;
        let settings = settings(Bounce::Sender, None);
        assert_eq!(delays(&received("a@example.com"), &over, &settings, false), []);
        assert_eq!(delays(&received(""), &status, &settings, false), []);
    }
}
