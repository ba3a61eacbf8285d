//! What is answered to each command (steps 3 to 5 of the path).

use super::{
    Gate, Peer,
    auth::{Login, Said, Verdict},
};
use crate::{
    account::{AccountId, ApplicationId},
    mail::{Envelope, Reply, trace::Protocol},
    smtp::{Command, MailTransaction, Standing, auth::Credentials, command::Mail, limits, replies},
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
            login: Login::default(),
            transaction: MailTransaction::Idle,
            sender_refused: false,
            errors: 0,
        }
    }

    /// Answers a line. A login that has to be looked at first is answered by [`Self::settle_login`].
    pub(super) fn answer(&mut self, heard: Result<Command, Reply>) -> (Option<Reply>, Next) {
        let standing = self.standing();
        let command = match heard.and_then(|command| self.admit(command, &standing)) {
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
                return (Some(replies::client_refused()), Next::Close);
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
            Command::Quit => return (Some(replies::bye()), Next::Close),
            Command::StartTls => return (Some(replies::ready_for_tls()), Next::StartTls),
            Command::Auth(_) if !matches!(self.transaction, MailTransaction::Idle) => {
                replies::auth_in_transaction()
            }
            Command::Auth(auth) => {
                let said = self.login.begin(auth, standing.authentication);
                return self.say_of_login(said);
            }
            Command::Http => {
                self.note_rejection("http", &replies::not_http());
                return (Some(replies::not_http()), Next::Abandon);
            }
        };
        if reply.code() == 354 {
            return (Some(reply), Next::Data);
        }
        if self.sender_refused && reply.code() == 503 {
            return (Some(reply), Next::Command);
        }
        self.count(reply)
    }

    /// Whether the next line is an answer of the client's in a SASL exchange, and no command.
    pub(super) fn awaits_response(&self) -> bool {
        self.login.awaits_response()
    }

    /// Takes such an answer.
    pub(super) fn respond(&mut self, line: &[u8]) -> (Option<Reply>, Next) {
        let said = self.login.respond(line);
        self.say_of_login(said)
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
    pub(super) fn settle_login(&mut self, verdict: Verdict) -> (Option<Reply>, Next, Duration) {
        let Peer { client, listener_name, .. } = &self.peer;
        match &verdict {
            Verdict::User(user) => {
                info!(target: "waxseal::inbound", listener = %listener_name, %client, %user, "logged in");
            }
            Verdict::Nobody(user) => {
                // What a stranger typed may be a password in the wrong place: only names that we know are told.
                let user = user.as_deref().unwrap_or("");
                info!(target: "waxseal::inbound", listener = %listener_name, %client, user, "login failed");
            }
            Verdict::Unknown => {
                warn!(target: "waxseal::inbound", listener = %listener_name, %client, "login not looked at");
            }
        }
        let failed = matches!(verdict, Verdict::Nobody(_));
        let (reply, wait) = self.login.settle(verdict);
        let (reply, next) = if failed { self.count_one(reply) } else { (Some(reply), Next::Command) };
        (reply, next, wait)
    }

    /// The content comes now: what was agreed on, and the state is idle again behind it.
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
        let authenticated = self.login.user().is_some();
        Protocol { esmtp: self.esmtp, secure: self.cipher.is_some(), authenticated, ..Protocol::default() }
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
            self.sender_refused |= matches!(self.transaction, MailTransaction::Idle);
        }
        if matches!(reply.code(), 530 | 538) && matches!(command, Command::Mail(_) | Command::Auth(_)) {
            let login = reply == replies::auth_first();
            self.note_rejection(if login { "authentication" } else { "encryption" }, &reply);
        }
        Err(reply)
    }

    fn say_of_login(&mut self, said: Said) -> (Option<Reply>, Next) {
        match said {
            Said::Reply(reply) => self.count(reply),
            Said::Nothing => (None, Next::Verify),
        }
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
        let user = self.login.user().cloned();
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
    fn count(&mut self, reply: Reply) -> (Option<Reply>, Next) {
        if replies::is_protocol_error(&reply) { self.count_one(reply) } else { (Some(reply), Next::Command) }
    }

    /// Counts a reply as a complaint.
    fn count_one(&mut self, reply: Reply) -> (Option<Reply>, Next) {
        self.errors += 1;
        if self.errors < limits::ERRORS {
            return (Some(reply), Next::Command);
        }
        self.note_rejection("errors", &replies::too_many_errors());
        (Some(replies::too_many_errors()), Next::Close)
    }
}
