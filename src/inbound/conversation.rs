//! What is answered to each command (steps 3 to 5 of the path).

use super::{Gate, Peer};
use crate::{
    account::{AccountId, ApplicationId},
    mail::{Envelope, Reply, trace::Protocol},
    smtp::{Command, MailTransaction, Standing, command::Mail, limits, replies},
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
    /// A TLS handshake, and a new session under it.
    StartTls,
    /// Nothing: the connection is closed.
    Close,
    /// The same, at once: what still comes is not SMTP.
    Abandon,
}

/// A session's state between commands.
pub(super) struct Conversation<G> {
    gate: Arc<G>,
    peer: Peer,
    /// TLS version and cipher, where the connection is under TLS.
    cipher: Option<Arc<str>>,
    client_name: String,
    esmtp: bool,
    transaction: MailTransaction<Route>,
    /// The last MAIL was refused: a pipelining client cannot know yet, and its RCPT and DATA are no errors.
    sender_refused: bool,
    errors: u32,
}

impl<G: Gate> Conversation<G> {
    pub(super) fn new(gate: Arc<G>, peer: Peer, cipher: Option<Arc<str>>) -> Self {
        Self {
            gate,
            peer,
            cipher,
            client_name: String::new(),
            esmtp: false,
            transaction: MailTransaction::Idle,
            sender_refused: false,
            errors: 0,
        }
    }

    /// Answers a line.
    pub(super) fn answer(&mut self, heard: Result<Command, Reply>) -> (Reply, Next) {
        let standing = self.standing();
        let command = match heard.and_then(|command| standing.admit(&command).map(|()| command)) {
            Ok(command) => command,
            Err(complaint) => return self.count(complaint),
        };
        let reply = match command {
            Command::Ehlo(name) => {
                self.greeted(name, true);
                let (hostname, size) = (self.gate.hostname(), self.gate.limits().message_size);
                Reply::bare(250, format!("{hostname}\n{}", standing.offer(size).join("\n")))
            }
            Command::Helo(name) => {
                self.greeted(name, false);
                Reply::bare(250, &*self.gate.hostname())
            }
            Command::Mail(_) if self.has_been_shut_out() => {
                self.note_rejection("client", &replies::client_refused());
                return (replies::client_refused(), Next::Close);
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
            Command::StartTls => return (replies::ready_for_tls(), Next::StartTls),
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

    /// The end of data: what was agreed on, and the state is idle again.
    pub(super) fn finish(&mut self) -> Option<(Envelope, Route)> {
        std::mem::take(&mut self.transaction).finish()
    }

    /// A message was taken: earlier mistakes are forgiven.
    pub(super) fn forgive(&mut self) {
        self.errors = 0;
    }

    /// What the client called itself.
    pub(super) fn client_name(&self) -> &str {
        &self.client_name
    }

    /// How messages come now.
    pub(super) fn protocol(&self) -> Protocol {
        Protocol { esmtp: self.esmtp, secure: self.cipher.is_some(), ..Protocol::default() }
    }

    /// TLS version and cipher, where the connection is under TLS.
    pub(super) fn cipher(&self) -> Option<Arc<str>> {
        self.cipher.clone()
    }

    fn standing(&self) -> Standing {
        Standing { encryption: self.peer.settings.tls.encryption(), secure: self.cipher.is_some() }
    }

    /// Says in the log that something was refused, and why.
    pub(super) fn note_rejection(&self, reason: &'static str, reply: &Reply) {
        let Peer { client, listener_name, .. } = &self.peer;
        info!(target: "waxseal::inbound", listener = %listener_name, %client, reason, %reply, "rejected");
    }

    /// Whether a reload has taken the client out of those that may submit.
    fn has_been_shut_out(&self) -> bool {
        let settings = self.gate.listener(self.peer.listener);
        settings.is_some_and(|settings| !self.peer.client.may_submit(&settings))
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
