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
    /// Whether addresses may be beyond ASCII.
    pub smtputf8: bool,
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
    /// BDAT was taken, and the envelope given away with it: further chunks may follow.
    Chunking,
}

impl<R> MailTransaction<R> {
    /// MAIL: opens a transaction if `admit` lets the sender in.
    pub fn mail(self, mail: Mail, admit: impl FnOnce(&Mail) -> Result<R, Reply>) -> (Self, Reply) {
        match self {
            Self::Idle => match admit(&mail) {
                Ok(route) => {
                    let Mail { reverse_path, body, smtputf8, dsn, .. } = mail;
                    (Self::Open(Sender { reverse_path, body, smtputf8, dsn, route }), replies::sender_ok())
                }
                Err(refusal) => (Self::Idle, refusal),
            },
            other => other.out_of_place(),
        }
    }

    /// RCPT: adds a recipient, `limit` at most.
    pub fn rcpt(self, rcpt: Rcpt, limit: usize) -> (Self, Reply) {
        let (sender, mut rcpts) = match self {
            Self::Open(sender) => (sender, Vec::new()),
            Self::Addressed(sender, rcpts) => (sender, rcpts),
            other => return other.out_of_place(),
        };
        let reply = if !sender.smtputf8 && rcpt.forward_path.needs_smtputf8() {
            replies::needs_smtputf8()
        } else if rcpts.len() >= limit {
            replies::too_many_recipients()
        } else {
            rcpts.push(rcpt);
            replies::recipient_ok()
        };
        let next = if rcpts.is_empty() { Self::Open(sender) } else { Self::Addressed(sender, rcpts) };
        (next, reply)
    }

    /// DATA: completes the envelope.
    pub fn data(self) -> (Self, Reply) {
        match self.complete() {
            (_, Ok((envelope, route))) => (Self::Receiving(envelope, route), replies::start_input()),
            (state, Err(refusal)) => (state, refusal),
        }
    }

    /// BDAT: the first chunk completes the envelope and gives it away with its route. `Err` is what to answer once the
    /// chunk's octets are over.
    pub fn bdat(self) -> (Self, Result<Option<(Envelope, R)>, Reply>) {
        if matches!(self, Self::Chunking) {
            return (self, Ok(None));
        }
        match self.complete() {
            (_, Ok(begun)) => (Self::Chunking, Ok(Some(begun))),
            (state, Err(refusal)) => (state, Err(refusal)),
        }
    }

    /// The envelope and its route, where there is a recipient; else a reply, and what stays.
    fn complete(self) -> (Self, Result<(Envelope, R), Reply>) {
        match self {
            Self::Addressed(Sender { reverse_path, body, smtputf8, dsn, route }, rcpts) => {
                let (paths, wishes) = rcpts.into_iter().map(|rcpt| (rcpt.forward_path, rcpt.dsn)).unzip();
                match Envelope::new(reverse_path, paths, body, smtputf8) {
                    Ok(envelope) => (Self::Idle, Ok((envelope.with_dsn(dsn, wishes), route))),
                    Err(_) => (Self::Idle, Err(replies::rcpt_first())),
                }
            }
            Self::Open(sender) => (Self::Open(sender), Err(replies::rcpt_first())),
            other => {
                let (state, reply) = other.out_of_place();
                (state, Err(reply))
            }
        }
    }

    /// A command that cannot follow what came before it changes nothing.
    fn out_of_place(self) -> (Self, Reply) {
        let reply = match self {
            Self::Idle | Self::Receiving(..) => replies::mail_first(),
            Self::Open(_) | Self::Addressed(..) => replies::nested_mail(),
            Self::Chunking => replies::amid_chunks(),
        };
        (self, reply)
    }

    /// DATA was taken: the envelope and its route.
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
        Mail { reverse_path: ReversePath::Null, size: None, body: BodyType::SevenBit, smtputf8: false, dsn }
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
    fn chunks_follow_each_other_and_nothing_else_comes_between() {
        let (t, _) = open(Transaction::Idle);
        let (t, refused) = t.bdat();
        assert_eq!(refused, Err(replies::rcpt_first()));
        let (t, _) = t.rcpt(rcpt(None), 2);
        let (t, first) = t.bdat();
        let (t, second) = t.bdat();
        assert!(matches!(first, Ok(Some((envelope, "route"))) if envelope.forward_paths().len() == 1));
        assert_eq!(second, Ok(None));
        let (t, reply) = open(t);
        assert_eq!(reply, replies::amid_chunks());
        let (t, reply) = t.rcpt(rcpt(None), 2);
        assert_eq!(reply, replies::amid_chunks());
        let (t, reply) = t.data();
        assert_eq!(reply, replies::amid_chunks());
        assert!(matches!(t, Transaction::Chunking));
        assert_eq!(Transaction::Idle.bdat(), (Transaction::Idle, Err(replies::mail_first())));
    }

    #[test]
    fn addresses_beyond_ascii_need_a_word_at_mail() {
        let foreign =
            || Rcpt { forward_path: ForwardPath::parse("jürgen@x").unwrap(), dsn: DsnRecipient::default() };
        let (t, reply) = open(Transaction::Idle).0.rcpt(foreign(), 1);
        assert_eq!((reply.code(), matches!(t, Transaction::Open(_))), (553, true));
        let (t, _) = Transaction::Idle.mail(Mail { smtputf8: true, ..mail() }, |_| Ok("route"));
        let (t, reply) = t.rcpt(foreign(), 1);
        assert_eq!(reply.code(), 250);
        assert!(t.finish().is_none());
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
