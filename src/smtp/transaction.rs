//! The mail transaction (RFC 5321 §3.3, §4.1.4), stepped by value.

use super::{
    command::{Mail, Rcpt},
    replies,
};
use crate::mail::{BodyType, DsnRequest, Envelope, Reply, ReversePath};

/// What MAIL settled. `R` is what routing made of the sender.
#[derive(Debug, PartialEq, Eq)]
pub struct Sender<R> {
    /// Who sends.
    pub reverse_path: ReversePath,
    /// What the content is said to be.
    pub body: BodyType,
    /// What MAIL asked for about notifications.
    pub dsn: DsnRequest,
    /// Where it will go.
    pub route: R,
}

/// How far a client has come with a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum MailTransaction<R> {
    /// No transaction.
    #[default]
    Idle,
    /// MAIL was taken.
    Open(Sender<R>),
    /// At least one RCPT was taken.
    Addressed(Sender<R>, Vec<Rcpt>),
    /// DATA was taken: octets are content until the end of data.
    Receiving(Envelope, R),
}

impl<R> MailTransaction<R> {
    /// MAIL: opens a transaction if `admit` lets the sender in.
    pub fn mail(self, mail: Mail, admit: impl FnOnce(&Mail) -> Result<R, Reply>) -> (Self, Reply) {
        match self {
            Self::Idle => match admit(&mail) {
                Ok(route) => {
                    let Mail { reverse_path, body, dsn, .. } = mail;
                    (Self::Open(Sender { reverse_path, body, dsn, route }), replies::sender_ok())
                }
                Err(refusal) => (Self::Idle, refusal),
            },
            other => (other, replies::nested_mail()),
        }
    }

    /// RCPT: adds a recipient, `limit` at most.
    pub fn rcpt(self, rcpt: Rcpt, limit: usize) -> (Self, Reply) {
        match self {
            Self::Open(sender) => (Self::Addressed(sender, vec![rcpt]), replies::recipient_ok()),
            Self::Addressed(sender, rcpts) if rcpts.len() >= limit => {
                (Self::Addressed(sender, rcpts), replies::too_many_recipients())
            }
            Self::Addressed(sender, mut rcpts) => {
                rcpts.push(rcpt);
                (Self::Addressed(sender, rcpts), replies::recipient_ok())
            }
            other => (other, replies::mail_first()),
        }
    }

    /// DATA: completes the envelope.
    pub fn data(self) -> (Self, Reply) {
        match self {
            Self::Addressed(Sender { reverse_path, body, dsn, route }, rcpts) => {
                let (paths, wishes) = rcpts.into_iter().map(|rcpt| (rcpt.forward_path, rcpt.dsn)).unzip();
                match Envelope::new(reverse_path, paths, body, false) {
                    Ok(envelope) => {
                        (Self::Receiving(envelope.with_dsn(dsn, wishes), route), replies::start_input())
                    }
                    Err(_) => (Self::Idle, replies::rcpt_first()),
                }
            }
            Self::Open(sender) => (Self::Open(sender), replies::rcpt_first()),
            other => (other, replies::mail_first()),
        }
    }

    /// The end of data: the envelope and its route, where a message was being received.
    pub fn finish(self) -> Option<(Envelope, R)> {
        match self {
            Self::Receiving(envelope, route) => Some((envelope, route)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::mail::{DsnRecipient, ForwardPath, Notify, Ret};

    type Transaction = MailTransaction<&'static str>;

    fn mail() -> Mail {
        let dsn = DsnRequest { ret: Some(Ret::Headers), envid: None };
        Mail { reverse_path: ReversePath::Null, size: None, body: BodyType::SevenBit, dsn }
    }

    fn rcpt(notify: Option<Notify>) -> Rcpt {
        Rcpt { forward_path: ForwardPath::Postmaster, dsn: DsnRecipient { notify, orcpt: None } }
    }

    fn open(from: Transaction) -> (Transaction, Reply) {
        from.mail(mail(), |_| Ok("route"))
    }

    #[test]
    fn a_transaction_goes_from_mail_over_rcpt_to_data() {
        let (t, reply) = open(Transaction::Idle);
        assert_eq!(reply.code(), 250);
        let (t, reply) = t.rcpt(rcpt(None), 2);
        assert_eq!(reply.code(), 250);
        let (t, reply) = t.data();
        assert_eq!(reply.code(), 354);
        let (envelope, route) = t.finish().expect("a message");
        assert_eq!((envelope.forward_paths().len(), route), (1, "route"));
    }

    #[test]
    fn wishes_about_notifications_stay_with_their_recipient() {
        let (t, _) = open(Transaction::Idle);
        let (t, _) = t.rcpt(rcpt(None), 2);
        let (t, _) = t.rcpt(rcpt(Some(Notify::NEVER)), 2);
        let (envelope, _) = t.data().0.finish().expect("a message");
        assert_eq!(envelope.dsn().ret, Some(Ret::Headers));
        assert_eq!(envelope.dsn_recipient(0).notify, None);
        assert_eq!(envelope.dsn_recipient(1).notify, Some(Notify::NEVER));
    }

    #[test]
    fn commands_out_of_sequence_change_nothing() {
        assert_eq!(Transaction::Idle.rcpt(rcpt(None), 1).1.code(), 503);
        assert_eq!(Transaction::Idle.data().1.code(), 503);
        let (t, _) = open(Transaction::Idle);
        let (t, reply) = open(t);
        assert_eq!(reply.code(), 503);
        let (t, reply) = t.data();
        assert_eq!(reply.code(), 503);
        assert!(matches!(t, Transaction::Open(_)));
    }

    #[test]
    fn recipients_over_the_limit_are_put_off_and_the_others_kept() {
        let (t, _) = open(Transaction::Idle);
        let (t, _) = t.rcpt(rcpt(None), 1);
        let (t, reply) = t.rcpt(rcpt(None), 1);
        assert_eq!(reply.to_string(), "452 4.5.3 Too many recipients");
        assert_eq!(t.data().1.code(), 354);
    }

    #[test]
    fn a_refused_sender_opens_nothing() {
        let (t, reply) = Transaction::Idle.mail(mail(), |_| Err(replies::no_room()));
        assert_eq!((t, reply.code()), (Transaction::Idle, 452));
    }
}
