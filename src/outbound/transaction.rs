//! One mail transaction: MAIL, RCPT, DATA and the content, with a reply kept for every recipient
//! (RFC 5321 §3.3, RFC 2920).

use super::{
    Attempt, Stage, Trouble, content,
    dialogue::Connection,
    failure::{Cause, Failure},
    flight::{Command, Plan},
    wire::Wire,
};
use crate::{
    account::SenderPolicy,
    failpoint::{self, Point},
    mail::{Reply, ReplyClass, SenderRewriter},
};

/// What became of one recipient, before anybody judges it.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// The server's reply; at [`Stage::Content`] it is the final one.
    Said(Stage, Reply),
    /// The dialogue broke off.
    Broke(Failure),
    /// This server cannot take it, whatever is tried.
    Unsendable(Trouble),
}

/// What a connection is asked to do.
pub(super) struct Work<'a> {
    pub(super) attempt: &'a Attempt,
    pub(super) policy: &'a SenderPolicy,
    /// Its commands went out behind the content of the attempt before; their replies come first.
    pub(super) begun: bool,
    /// Its commands may go out behind the content of this one.
    pub(super) next: Option<&'a Attempt>,
}

/// A transaction that is over.
pub(super) struct Transacted {
    /// One for each recipient, in the attempt's order.
    pub(super) answers: Vec<Answer>,
    /// Whether the connection can serve another transaction.
    pub(super) usable: bool,
    /// Nothing was answered, not even MAIL: a kept connection had gone stale.
    pub(super) unanswered: bool,
    /// Whether the next attempt has begun.
    pub(super) ahead: Ahead,
}

/// What became of commands behind the final dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ahead {
    /// There were none.
    No,
    /// They are out, and their replies are the next to come.
    Begun,
    /// They are out, and the server may have stumbled over them: it closed the connection, said nothing, or took what
    /// it was told for an error in the dialogue.
    Stumbled,
}

/// Runs the attempt on a connection between transactions.
pub(super) async fn transact(connection: &mut Connection, work: Work<'_>) -> Transacted {
    let Work { attempt, policy, begun, next } = work;
    let mut plan = Plan::new(connection, attempt, policy);
    let unsendable = std::mem::take(&mut plan.unsendable).into_iter();
    let answers = unsendable.map(|trouble| trouble.map(Answer::Unsendable)).collect();
    let next = next.map(|next| Plan::new(connection, next, policy)).filter(Plan::is_one_flight);
    let mut run =
        Run { connection, attempt, policy, plan, answers, unanswered: true, begun, next, ahead: Ahead::No };
    let (usable, rest) = if run.plan.is_sendable() {
        match run.converse().await {
            Ok(End::Clean) => (true, None),
            Ok(End::Dirty) => (run.connection.reset().await, None),
            Ok(End::Closed(stage, reply)) => (false, Some(Answer::Said(stage, reply))),
            Err(failure) => (false, Some(Answer::Broke(failure))),
        }
    } else {
        run.unanswered = false;
        (true, None)
    };
    let (unanswered, mut ahead) = (run.unanswered, run.ahead);
    if !usable && ahead == Ahead::Begun {
        ahead = Ahead::Stumbled;
    }
    let missing = || Answer::Broke(Failure::new(Stage::Rcpt, Cause::Nonsense));
    let answers = run
        .answers
        .into_iter()
        .map(|answer| answer.or_else(|| rest.clone()).unwrap_or_else(missing))
        .collect();
    Transacted { answers, usable, unanswered, ahead }
}

/// How a transaction leaves its connection.
enum End {
    Clean,
    /// RSET is needed.
    Dirty,
    /// The server closes it with this reply, which goes for every recipient not yet answered for.
    Closed(Stage, Reply),
}

struct Run<'a> {
    connection: &'a mut Connection,
    attempt: &'a Attempt,
    policy: &'a SenderPolicy,
    plan: Plan<'a>,
    answers: Vec<Option<Answer>>,
    unanswered: bool,
    begun: bool,
    next: Option<Plan<'a>>,
    ahead: Ahead,
}

impl Run<'_> {
    async fn converse(&mut self) -> Result<End, Failure> {
        let commands = std::mem::take(&mut self.plan.commands);
        let mut accepted = Vec::with_capacity(commands.len());
        let mut mail_refused = false;
        let mut data_reply = None;
        for flight in commands.chunks(self.plan.flight()) {
            // DATA goes out ahead of the replies only in company of RCPTs that may yet succeed.
            let hopeless = accepted.is_empty() && matches!(flight, [Command::Data]);
            if mail_refused || hopeless {
                break;
            }
            let begun = std::mem::take(&mut self.begun);
            if !begun {
                self.send(flight).await?;
            }
            for command in flight {
                let stage = command.stage();
                let reply = self.connection.wire.reply(stage).await?;
                if reply.code() == 421 {
                    self.unanswered &= matches!(command, Command::Mail);
                    return Ok(End::Closed(stage, reply));
                }
                if begun && matches!(command, Command::Mail) && is_protocol_error(&reply) {
                    // That is no word on the message: it is tried once more, a step at a time.
                    self.ahead = Ahead::Stumbled;
                    return Ok(End::Closed(stage, reply));
                }
                self.unanswered = false;
                let good = reply.class() == ReplyClass::Completed;
                match *command {
                    Command::Mail if good => {}
                    Command::Mail => {
                        mail_refused = true;
                        self.answer_rest(stage, &reply);
                    }
                    Command::Rcpt(_) if mail_refused => {}
                    Command::Rcpt(recipient) if good => accepted.push(recipient),
                    Command::Rcpt(recipient) => self.answers[recipient] = Some(Answer::Said(stage, reply)),
                    Command::Data => data_reply = Some(reply),
                }
            }
        }
        match data_reply {
            Some(reply) if reply.code() == 354 && accepted.is_empty() => self.send_nothing().await,
            Some(reply) if reply.code() == 354 => self.send_content().await,
            Some(reply) => {
                self.answer_rest(Stage::Data, &reply);
                Ok(End::Dirty)
            }
            None => Ok(End::Dirty),
        }
    }

    async fn send(&mut self, flight: &[Command]) -> Result<(), Failure> {
        let wire = &mut self.connection.wire;
        wire.in_step(flight[0].stage())?;
        self.plan.push(flight, wire);
        wire.flush(flight[0].stage()).await
    }

    fn answer_rest(&mut self, stage: Stage, reply: &Reply) {
        for answer in self.answers.iter_mut().filter(|answer| answer.is_none()) {
            *answer = Some(Answer::Said(stage, reply.clone()));
        }
    }

    /// 354 although every recipient was refused: end the data at once (RFC 2920 §3.1).
    async fn send_nothing(&mut self) -> Result<End, Failure> {
        match self.connection.wire.command(Stage::Content, ".").await {
            Ok(reply) if reply.code() != 421 => Ok(End::Clean),
            Ok(reply) => Ok(End::Closed(Stage::Content, reply)),
            // Everybody has an answer already.
            Err(failure) => Err(failure),
        }
    }

    async fn send_octets(&mut self) -> Result<(), Failure> {
        let rewriter = self.policy.mailbox().map(SenderRewriter::new);
        let (next, ahead) = (&self.next, &mut self.ahead);
        let behind = |wire: &mut Wire| {
            if let Some(next) = next {
                next.push(&next.commands, wire);
                *ahead = Ahead::Begun;
            }
        };
        content::send(&mut self.connection.wire, &self.attempt.content, rewriter, behind).await
    }

    async fn send_content(&mut self) -> Result<End, Failure> {
        failpoint::reach(Point::DataAccepted);
        if let Err(failure) = self.send_octets().await {
            // A server that refuses in the middle of the content says why before it hangs up.
            if failure.stage == Stage::Content
                && matches!(failure.cause, Cause::Lost(_) | Cause::Nonsense)
                && let Ok(reply) = self.connection.wire.reply(Stage::Quit).await
                && reply.code() >= 400
            {
                return Ok(End::Closed(Stage::Content, reply));
            }
            return Err(failure);
        }
        let reply = self.connection.wire.reply(Stage::InDoubt).await?;
        if reply.code() == 421 {
            return Ok(End::Closed(Stage::Content, reply));
        }
        if reply.class() == ReplyClass::Intermediate {
            // It belongs to something else, and so will the next one.
            return Err(Failure::new(Stage::InDoubt, Cause::Nonsense));
        }
        self.answer_rest(Stage::Content, &reply);
        Ok(End::Clean)
    }
}

/// Whether the server says that it did not expect or understand a command, whatever it said (RFC 5321 §4.2.2: 500 to
/// 504; RFC 3463 §3.6).
fn is_protocol_error(reply: &Reply) -> bool {
    matches!(reply.code(), 500..=504) || reply.enhanced().is_some_and(|enhanced| enhanced.1 == 5)
}
