//! What is answered to each command (steps 3 to 5 of the path).

use super::{
    Gate, Peer,
    answer::Answer,
    auth::{Login, Said, Verdict as LoginVerdict},
    budget::Share,
    patience::{Patience, Verdict},
};
use crate::{
    account::{AccountId, ApplicationId},
    mail::{Envelope, Reply, trace::Protocol},
    meter::unix_millis,
    queue::Receipt,
    smtp::{
        Command, MailTransaction, Seen, Standing,
        auth::Credentials,
        command::{Chunk, Mail, Rcpt},
        replies,
    },
};
use std::{sync::Arc, time::Duration};
use tracing::{info, warn};

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
    /// A TLS handshake, and a new session under it.
    StartTls,
    /// A look at what the client logs in with; only then comes the reply.
    Verify,
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
    login: Login,
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
    pub(super) fn new(gate: Arc<G>, peer: Peer, cipher: Option<Arc<str>>) -> Self {
        Self {
            share: Share::new(gate.envelopes()),
            gate,
            peer,
            cipher,
            client_name: String::new(),
            esmtp: false,
            login: Login::default(),
            transaction: MailTransaction::Idle,
            cut_short: false,
            patience: Patience::default(),
            delay: None,
        }
    }

    /// Answers a line. Without a reply, octets come first, or a login is looked at, which [`Self::settle_login`] answers.
    pub(super) fn answer(&mut self, heard: Result<Command, Reply>) -> (Option<Reply>, Next) {
        let standing = self.standing();
        if let Ok(Command::StartTls) = &heard {
            self.watch(&Seen::StartTls);
        }
        let (answer, next) = match heard.map(|command| self.admit(command, &standing)) {
            Ok(Ok(command)) => self.obey(command, &standing),
            Ok(Err(refusal)) => (self.count(refusal), Next::Command),
            Err(complaint) => {
                // As a rule a MAIL that makes no sense, with its RCPT and DATA behind it.
                self.cut_short |=
                    complaint.code() != 500 && matches!(self.transaction, MailTransaction::Idle);
                (self.count(complaint), Next::Command)
            }
        };
        self.let_out(answer, next)
    }

    fn obey(&mut self, command: Command, standing: &Standing) -> (Answer, Next) {
        let reply = match command {
            Command::Ehlo(name) => {
                self.greeted(name, true);
                let (hostname, limits) = (self.gate.hostname(), self.gate.limits());
                let offer = standing.offer(limits.message_size, limits.recipients).join("\n");
                return self.chatter(Reply::bare(250, format!("{hostname}\n{offer}")));
            }
            Command::Helo(name) => {
                self.greeted(name, false);
                let hostname = self.gate.hostname();
                return self.chatter(Reply::bare(250, &*hostname));
            }
            Command::Mail(_) if self.has_been_shut_out() => {
                self.note_rejection("client", &replies::client_refused());
                return (Answer::Enough(replies::client_refused()), Next::Close);
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
            Command::StartTls => return (Answer::Go(replies::ready_for_tls()), Next::StartTls),
            Command::Auth(_) if !matches!(self.transaction, MailTransaction::Idle) => {
                replies::auth_in_transaction()
            }
            Command::Auth(auth) => {
                if let Some(name) = auth.other {
                    self.watch(&Seen::OtherMechanism(name));
                }
                let said = self.login.begin(auth, standing.authentication);
                return self.say_of_login(said);
            }
            Command::Http => {
                self.note_rejection("http", &replies::not_http());
                return (Answer::Go(replies::not_http()), Next::Abandon);
            }
        };
        let next = if reply.code() == 354 { Next::Data } else { Next::Command };
        (self.count(reply), next)
    }

    /// A chunk was announced, the first of a message with what was agreed on. `Err` is for
    /// [`Conversation::refuse_chunk`], once its octets are over.
    pub(super) fn chunk(&mut self) -> Result<Option<Receipt>, Reply> {
        let (transaction, taken) = std::mem::take(&mut self.transaction).bdat();
        self.transaction = transaction;
        taken.map(|begun| begun.map(receipt))
    }

    /// Whether chunks of a message have come, and not the last.
    pub(super) fn is_chunking(&self) -> bool {
        matches!(self.transaction, MailTransaction::Chunking)
    }

    /// The answer to a chunk out of place.
    pub(super) fn refuse_chunk(&mut self, reply: Reply) -> (Option<Reply>, Next) {
        let answer = self.count(reply);
        self.let_out(answer, Next::Command)
    }

    /// A chunk will not be part of any message: the ones that the client has sent behind it neither.
    pub(super) fn cut_short(&mut self) {
        self.reset();
        self.cut_short = true;
    }

    /// Whether the next line is an answer of the client's in a SASL exchange, and no command.
    pub(super) fn awaits_response(&self) -> bool {
        self.login.awaits_response()
    }

    /// Takes such an answer.
    pub(super) fn respond(&mut self, line: &[u8]) -> (Option<Reply>, Next) {
        let said = self.login.respond(line);
        let (answer, next) = self.say_of_login(said);
        self.let_out(answer, next)
    }

    /// Ends an exchange that was broken off: what was to be its next line was none.
    pub(super) fn forget_login(&mut self) {
        self.login.forget();
    }

    /// What the client has logged in with and nobody has looked at.
    pub(super) fn take_credentials(&mut self) -> Option<Credentials> {
        self.login.take_credentials()
    }

    /// Takes what a login came to. A wrong one is answered that long after it was made.
    pub(super) fn settle_login(&mut self, verdict: LoginVerdict) -> (Option<Reply>, Next, Duration) {
        let Peer { client, listener_name, .. } = &self.peer;
        match &verdict {
            LoginVerdict::User(user) => {
                info!(target: "waxseal::inbound", listener = %listener_name, %client, %user, "logged in");
            }
            LoginVerdict::Nobody(user) => {
                // What a stranger typed may be a password in the wrong place: only names that we know are told.
                let user = user.as_deref().unwrap_or("");
                info!(target: "waxseal::inbound", listener = %listener_name, %client, user, "login failed");
            }
            LoginVerdict::Unknown => {
                warn!(target: "waxseal::inbound", listener = %listener_name, %client, "login not looked at");
            }
        }
        let failed = matches!(verdict, LoginVerdict::Nobody(_));
        let (reply, wait) = self.login.settle(verdict);
        let answer = if failed { self.count_one(reply) } else { Answer::Go(reply) };
        let (reply, next) = self.let_out(answer, Next::Command);
        (reply, next, wait)
    }

    /// DATA was taken: what was agreed on.
    pub(super) fn data(&mut self) -> Option<Receipt> {
        std::mem::take(&mut self.transaction).finish().map(receipt)
    }

    /// The end of a message's content: the state is idle again.
    pub(super) fn over(&mut self) {
        self.transaction = MailTransaction::Idle;
        self.share.give_back();
    }

    /// A message was taken: earlier mistakes are forgiven.
    pub(super) fn forgive(&mut self) {
        self.patience.forgive();
    }

    /// How long the last reply is to be kept back.
    pub(super) fn take_delay(&mut self) -> Option<Duration> {
        self.delay.take()
    }

    /// What the client called itself, and how a message comes; `utf8` is what was said of its addresses.
    pub(super) fn client(&self, utf8: bool) -> (&str, Protocol) {
        let protocol = Protocol {
            esmtp: self.esmtp,
            utf8,
            secure: self.cipher.is_some(),
            authenticated: self.login.user().is_some(),
        };
        (&self.client_name, protocol)
    }

    /// TLS version and cipher, where the connection is under TLS.
    pub(super) fn cipher(&self) -> Option<Arc<str>> {
        self.cipher.clone()
    }

    fn standing(&self) -> Standing {
        let settings = &self.peer.settings;
        // A reload may have taken the user away.
        let known = |user: &Arc<str>| self.gate.users().get(user).is_some();
        Standing {
            encryption: settings.tls.encryption(),
            authentication: settings.authentication,
            on_this_host: self.peer.client.is_on_this_host(),
            secure: self.cipher.is_some(),
            authenticated: self.login.is_let_through() || self.login.user().is_some_and(known),
        }
    }

    /// Lets a command through that may come as things stand.
    fn admit(&mut self, command: Command, standing: &Standing) -> Result<Command, Reply> {
        let Err(reply) = standing.admit(&command) else { return Ok(command) };
        if matches!(command, Command::Mail(_)) {
            self.cut_short |= matches!(self.transaction, MailTransaction::Idle);
        }
        if matches!(reply.code(), 530 | 538) && matches!(command, Command::Mail(_) | Command::Auth(_)) {
            let login = reply == replies::auth_first();
            self.note_rejection(if login { "authentication" } else { "encryption" }, &reply);
        }
        Err(reply)
    }

    fn say_of_login(&mut self, said: Said) -> (Answer, Next) {
        match said {
            // A login that needs no look to fail is one that failed all the same.
            Said::Reply(reply) if reply == replies::auth_failed() => (self.count_one(reply), Next::Command),
            Said::Reply(reply) => (self.count(reply), Next::Command),
            Said::Nothing => (Answer::Octets, Next::Verify),
            Said::LetThrough(mechanism, username) => {
                self.watch(&Seen::Login { mechanism, username: &username });
                (self.count(replies::logged_in()), Next::Command)
            }
        }
    }

    /// Says in the log that something was refused, and why.
    pub(super) fn note_rejection(&self, reason: &'static str, reply: &Reply) {
        let Peer { client, listener_name, .. } = &self.peer;
        self.gate.meter().rejected(listener_name, reason, unix_millis());
        info!(target: "waxseal::inbound", listener = %listener_name, %client, reason, %reply, "rejected");
    }

    /// Whether a reload has taken the client out of those that may submit.
    fn has_been_shut_out(&self) -> bool {
        let settings = self.gate.listener(self.peer.listener);
        settings.is_some_and(|settings| !self.peer.client.may_submit(&settings))
    }

    /// Tells whoever watches.
    pub(super) fn watch(&self, seen: &Seen<'_>) {
        self.gate.observe(&self.peer, seen);
    }

    fn let_out(&self, answer: Answer, next: Next) -> (Option<Reply>, Next) {
        let (reply, next) = answer.with(next);
        if let Some(reply) = &reply
            && reply.code() >= 400
            && !(self.cut_short && reply.code() == 503)
        {
            self.watch(&Seen::Refused(reply));
        }
        (reply, next)
    }

    fn greeted(&mut self, name: String, esmtp: bool) {
        self.watch(&Seen::Greeting { name: &name, esmtp });
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
        let user = self.login.user().cloned();
        let secure = self.cipher.is_some();
        let mut reason = "sequence";
        let reply = self.step(|transaction| {
            transaction.mail(mail, |mail| {
                if mail.size.is_some_and(|size| size > gate.limits().message_size) {
                    reason = "size";
                    return Err(replies::too_big());
                }
                let application = gate.application(peer.listener, peer.client, user.as_deref());
                reason = "sender";
                let account = gate.route(application.as_ref(), &mail.reverse_path)?;
                reason = "storage";
                if !gate.has_room(mail.size) {
                    return Err(replies::no_room());
                }
                gate.observe(&peer, &Seen::Sender { path: &mail.reverse_path, size: mail.size, secure });
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

    /// Counts a reply as a mistake, whatever it says.
    fn count_one(&mut self, reply: Reply) -> Answer {
        let verdict = self.patience.mistake();
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

fn receipt((envelope, route): (Envelope, Route)) -> Receipt {
    let Route { account, application } = route;
    Receipt { envelope, account, application }
}
