//! What is answered to each command (steps 3 to 5 of the path).

use super::{Gate, Peer};
use crate::{
    account::{AccountId, ApplicationId},
    mail::{Envelope, Reply},
    smtp::{Command, MailTransaction, command::Mail, limits, replies},
};
use std::sync::Arc;
use tracing::info;

/// What routing made of a sender.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) account: AccountId,
    pub(super) application: Option<ApplicationId>,
}

/// What happens after a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The next command.
    Command,
    /// Content, up to the end of data.
    Data,
    /// Nothing: the connection is closed.
    Close,
    /// The same, at once: what still comes is not SMTP.
    Abandon,
}

/// A session's state between commands.
pub(super) struct Conversation<G> {
    gate: Arc<G>,
    peer: Peer,
    client_name: String,
    esmtp: bool,
    transaction: MailTransaction<Route>,
    /// The last MAIL was refused: a pipelining client cannot know yet, and its RCPT and DATA are no errors.
    sender_refused: bool,
    errors: u32,
}

impl<G: Gate> Conversation<G> {
    pub(super) fn new(gate: Arc<G>, peer: Peer) -> Self {
        Self {
            gate,
            peer,
            client_name: String::new(),
            esmtp: false,
            transaction: MailTransaction::Idle,
            sender_refused: false,
            errors: 0,
        }
    }

    /// Answers a line. `extensions` are what EHLO offers.
    pub(super) fn answer(
        &mut self,
        heard: Result<Command, Reply>,
        extensions: impl FnOnce(u64) -> String,
    ) -> (Reply, Next) {
        let command = match heard {
            Ok(command) => command,
            Err(complaint) => return self.count(complaint),
        };
        let reply = match command {
            Command::Ehlo(name) => {
                self.greeted(name, true);
                let (hostname, size) = (self.gate.hostname(), self.gate.limits().message_size);
                Reply::bare(250, format!("{hostname}\n{}", extensions(size)))
            }
            Command::Helo(name) => {
                self.greeted(name, false);
                Reply::bare(250, &*self.gate.hostname())
            }
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(rcpt) => {
                let limit = self.gate.limits().recipients;
                self.step(|t| t.rcpt(rcpt, limit))
            }
            Command::Data => self.step(MailTransaction::data),
            Command::Rset => {
                self.transaction = MailTransaction::Idle;
                self.sender_refused = false;
                replies::ok()
            }
            Command::Noop => replies::ok(),
            Command::Vrfy => replies::cannot_verify(),
            Command::Help => replies::help(),
            Command::Quit => return (replies::bye(), Next::Close),
            Command::Http => {
                self.note_rejection("http", &replies::not_http());
                return (replies::not_http(), Next::Abandon);
            }
        };
        if reply.code() == 354 {
            return (reply, Next::Data);
        }
        if self.sender_refused && reply.code() == 503 {
            return (reply, Next::Command);
        }
        self.count(reply)
    }

    /// The content comes now: what was agreed on, and the state is idle again behind it.
    pub(super) fn finish(&mut self) -> Option<(Envelope, Route)> {
        std::mem::take(&mut self.transaction).finish()
    }

    /// A message was taken: earlier mistakes are forgiven.
    pub(super) fn forgive(&mut self) {
        self.errors = 0;
    }

    /// What the client called itself, and whether with EHLO.
    pub(super) fn client_name(&self) -> (&str, bool) {
        (&self.client_name, self.esmtp)
    }

    /// Says in the log that something was refused, and why.
    pub(super) fn note_rejection(&self, reason: &'static str, reply: &Reply) {
        let Peer { client, listener_name, .. } = &self.peer;
        info!(target: "waxseal::inbound", listener = %listener_name, %client, reason, %reply, "rejected");
    }

    fn greeted(&mut self, name: String, esmtp: bool) {
        (self.client_name, self.esmtp) = (name, esmtp);
        self.transaction = MailTransaction::Idle;
        self.sender_refused = false;
    }

    fn mail(&mut self, mail: Mail) -> Reply {
        let (gate, peer) = (Arc::clone(&self.gate), self.peer.clone());
        let mut reason = "sequence";
        let reply = self.step(|transaction| {
            transaction.mail(mail, |mail| {
                if mail.size.is_some_and(|size| size > gate.limits().message_size) {
                    reason = "size";
                    return Err(replies::too_big());
                }
                let application = gate.application(peer.listener, peer.client);
                reason = "sender";
                let account = gate.route(application.as_ref(), &mail.reverse_path)?;
                reason = "storage";
                if !gate.has_room(mail.size) {
                    return Err(replies::no_room());
                }
                Ok(Route { account, application })
            })
        });
        self.sender_refused = matches!(self.transaction, MailTransaction::Idle);
        if reply.code() >= 400 {
            self.note_rejection(reason, &reply);
        }
        reply
    }

    fn step(
        &mut self,
        step: impl FnOnce(MailTransaction<Route>) -> (MailTransaction<Route>, Reply),
    ) -> Reply {
        let (transaction, reply) = step(std::mem::take(&mut self.transaction));
        self.transaction = transaction;
        reply
    }

    /// Lets a reply out, unless it is one complaint too many.
    fn count(&mut self, reply: Reply) -> (Reply, Next) {
        if !replies::is_protocol_error(&reply) {
            return (reply, Next::Command);
        }
        self.errors += 1;
        if self.errors < limits::ERRORS {
            return (reply, Next::Command);
        }
        self.note_rejection("errors", &replies::too_many_errors());
        (replies::too_many_errors(), Next::Close)
    }
}
