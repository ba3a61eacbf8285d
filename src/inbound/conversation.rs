//! What is answered to each command (steps 3 to 5 of the path).

use super::{
    Gate, Peer,
    budget::Share,
    patience::{Patience, Verdict},
};
use crate::{
    account::{AccountId, ApplicationId},
    config::Limits,
    mail::{Envelope, Reply, trace::Protocol},
    smtp::{
        Command, MailTransaction,
        command::{Chunk, Mail, Rcpt},
        replies,
    },
};
use std::{sync::Arc, time::Duration};
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
    /// So many octets, and only then a reply.
    Chunk(Chunk),
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
    share: Share,
    /// The transaction ended early, by a refused MAIL or chunk: a pipelining client cannot know yet, and what it sends
    /// for it is no error.
    cut_short: bool,
    patience: Patience,
    /// How long the last reply is to be kept back.
    delay: Option<Duration>,
}

impl<G: Gate> Conversation<G> {
    pub(super) fn new(gate: Arc<G>, peer: Peer) -> Self {
        Self {
            share: Share::new(gate.envelopes()),
            gate,
            peer,
            client_name: String::new(),
            esmtp: false,
            transaction: MailTransaction::Idle,
            cut_short: false,
            patience: Patience::default(),
            delay: None,
        }
    }

    /// Answers a line. `extensions` are what EHLO offers. Without a reply, octets come first.
    pub(super) fn answer(
        &mut self,
        heard: Result<Command, Reply>,
        extensions: impl FnOnce(&Limits) -> String,
    ) -> (Option<Reply>, Next) {
        let (reply, next) = match heard {
            Ok(command) => self.obey(command, extensions),
            Err(complaint) => {
                // As a rule a MAIL that makes no sense, with its RCPT and DATA behind it.
                self.cut_short |=
                    complaint.code() != 500 && matches!(self.transaction, MailTransaction::Idle);
                (self.count(complaint), Next::Command)
            }
        };
        reply.with(next)
    }

    fn obey(&mut self, command: Command, extensions: impl FnOnce(&Limits) -> String) -> (Answer, Next) {
        let reply = match command {
            Command::Ehlo(name) => {
                self.greeted(name, true);
                let (hostname, limits) = (self.gate.hostname(), self.gate.limits());
                return self.chatter(Reply::bare(250, format!("{hostname}\n{}", extensions(&limits))));
            }
            Command::Helo(name) => {
                self.greeted(name, false);
                let hostname = self.gate.hostname();
                return self.chatter(Reply::bare(250, &*hostname));
            }
            Command::Rset => {
                self.reset();
                return self.chatter(replies::ok());
            }
            Command::Noop => return self.chatter(replies::ok()),
            Command::Vrfy => return self.chatter(replies::cannot_verify()),
            Command::Help => return self.chatter(replies::help()),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(rcpt) => self.rcpt(rcpt),
            Command::Data => self.step(MailTransaction::data),
            Command::Quit => return (Answer::Go(replies::bye()), Next::Close),
            Command::Bdat(chunk) => return (Answer::Octets, Next::Chunk(chunk)),
            Command::BdatUnclear => {
                self.note_rejection("chunk", &replies::chunk_unclear());
                return (Answer::Go(replies::chunk_unclear()), Next::Close);
            }
            Command::Http => {
                self.note_rejection("http", &replies::not_http());
                return (Answer::Go(replies::not_http()), Next::Abandon);
            }
        };
        let next = if reply.code() == 354 { Next::Data } else { Next::Command };
        (self.count(reply), next)
    }

    /// A chunk was announced: whether its octets are to be kept. `Err` is for [`Conversation::refuse_chunk`], once
    /// they are over.
    pub(super) fn chunk(&mut self) -> Result<(), Reply> {
        let (transaction, taken) = std::mem::take(&mut self.transaction).bdat();
        self.transaction = transaction;
        taken
    }

    /// Whether chunks of a message have come, and not the last.
    pub(super) fn is_chunking(&self) -> bool {
        matches!(self.transaction, MailTransaction::Chunking(..))
    }

    /// The answer to a chunk out of place.
    pub(super) fn refuse_chunk(&mut self, reply: Reply) -> (Option<Reply>, Next) {
        self.count(reply).with(Next::Command)
    }

    /// A chunk will not be part of any message: the ones that the client has sent behind it neither.
    pub(super) fn cut_short(&mut self) {
        self.reset();
        self.cut_short = true;
    }

    /// The end of data: what was agreed on, and the state is idle again.
    pub(super) fn finish(&mut self) -> Option<(Envelope, Route)> {
        self.share.give_back();
        std::mem::take(&mut self.transaction).finish()
    }

    /// A message was taken: earlier mistakes are forgiven.
    pub(super) fn forgive(&mut self) {
        self.patience.forgive();
    }

    /// How long the last reply is to be kept back.
    pub(super) fn take_delay(&mut self) -> Option<Duration> {
        self.delay.take()
    }

    /// What the client called itself, and how it speaks.
    pub(super) fn client(&self) -> (&str, Protocol) {
        let utf8 = self.transaction.smtputf8();
        (&self.client_name, Protocol { esmtp: self.esmtp, utf8, ..Protocol::default() })
    }

    /// Says in the log that something was refused, and why.
    pub(super) fn note_rejection(&self, reason: &'static str, reply: &Reply) {
        let Peer { client, listener_name, .. } = &self.peer;
        info!(target: "waxseal::inbound", listener = %listener_name, %client, reason, %reply, "rejected");
    }

    fn greeted(&mut self, name: String, esmtp: bool) {
        (self.client_name, self.esmtp) = (name, esmtp);
        self.reset();
    }

    fn reset(&mut self) {
        self.transaction = MailTransaction::Idle;
        self.share.give_back();
        self.cut_short = false;
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
        self.cut_short = matches!(self.transaction, MailTransaction::Idle);
        if reply.code() >= 400 {
            self.note_rejection(reason, &reply);
        }
        reply
    }

    fn rcpt(&mut self, rcpt: Rcpt) -> Reply {
        let taken = match self.share.take(rcpt.weight()) {
            Ok(taken) => taken,
            Err(new) => {
                let reply = replies::no_room();
                if new {
                    self.note_rejection("envelopes", &reply);
                }
                return reply;
            }
        };
        let limit = self.gate.limits().recipients;
        let reply = self.step(|t| t.rcpt(rcpt, limit));
        if reply.code() == 250 {
            self.patience.recipient();
        } else {
            self.share.undo(taken);
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

    /// A command that leads to no message is borne some times.
    fn chatter(&mut self, reply: Reply) -> (Answer, Next) {
        let verdict = self.patience.junk();
        (self.judge(verdict, reply), Next::Command)
    }

    /// Lets a reply out, unless it is one complaint too many.
    fn count(&mut self, reply: Reply) -> Answer {
        let verdict = if self.cut_short && reply.code() == 503 {
            self.patience.junk()
        } else {
            self.patience.answered(&reply)
        };
        self.judge(verdict, reply)
    }

    fn judge(&mut self, verdict: Verdict, reply: Reply) -> Answer {
        match verdict {
            Verdict::Go => Answer::Go(reply),
            Verdict::Slow(delay) => {
                self.delay = Some(delay);
                Answer::Go(reply)
            }
            Verdict::Enough(reason, last) => {
                self.note_rejection(reason, &last);
                Answer::Enough(last)
            }
        }
    }
}

/// What a command is answered with at once.
enum Answer {
    /// Nothing: the reply follows the octets.
    Octets,
    Go(Reply),
    /// This, and it is the last.
    Enough(Reply),
}

impl Answer {
    fn with(self, next: Next) -> (Option<Reply>, Next) {
        match self {
            Self::Octets => (None, next),
            Self::Go(reply) => (Some(reply), next),
            Self::Enough(reply) => (Some(reply), Next::Close),
        }
    }
}
