//! One mail transaction: MAIL, RCPT, DATA and the content, with a reply kept for every recipient
//! (RFC 5321 §3.3, RFC 2920).

use super::{
    Attempt, Stage, Trouble, content,
    dialogue::{Capabilities, Connection},
    failure::{Cause, Failure, trouble},
};
use crate::{
    account::SenderPolicy,
    failpoint::{self, Point},
    mail::{BodyType, Dsn, EnhancedCode, ForwardPath, Mailbox, Reply, ReplyClass, SenderRewriter},
};
use std::fmt::Display;

/// Commands in one flight, so that neither side's socket buffers fill while both are writing.
const FLIGHT: usize = 128;

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

/// A transaction that is over.
pub(super) struct Transacted {
    /// One for each recipient, in the attempt's order.
    pub(super) answers: Vec<Answer>,
    /// Whether the connection can serve another transaction.
    pub(super) usable: bool,
    /// Nothing was answered, not even MAIL: a kept connection had gone stale.
    pub(super) unanswered: bool,
}

/// Runs the attempt on a connection between transactions.
pub(super) async fn transact(
    connection: &mut Connection,
    attempt: &Attempt,
    policy: &SenderPolicy,
) -> Transacted {
    let mut answers: Vec<Option<Answer>> = vec![None; attempt.recipients.len()];
    for (answer, recipient) in answers.iter_mut().zip(&attempt.recipients) {
        *answer = unsendable(connection.capabilities, attempt, policy, recipient).map(Answer::Unsendable);
    }
    let mut run = Run { connection, attempt, policy, answers, unanswered: true };
    let (usable, rest) = if run.answers.iter().all(Option::is_some) {
        run.unanswered = false;
        (true, None)
    } else {
        match run.converse().await {
            Ok(End::Clean) => (true, None),
            Ok(End::Dirty) => (run.connection.reset().await, None),
            Ok(End::Closed(stage, reply)) => (false, Some(Answer::Said(stage, reply))),
            Err(failure) => (false, Some(Answer::Broke(failure))),
        }
    };
    let unanswered = run.unanswered;
    let missing = || Answer::Broke(Failure::new(Stage::Rcpt, Cause::Nonsense));
    let answers = run
        .answers
        .into_iter()
        .map(|answer| answer.or_else(|| rest.clone()).unwrap_or_else(missing))
        .collect();
    Transacted { answers, usable, unanswered }
}

/// How a transaction leaves its connection.
enum End {
    Clean,
    /// RSET is needed.
    Dirty,
    /// The server closes it with this reply, which goes for every recipient not yet answered for.
    Closed(Stage, Reply),
}

#[derive(Clone, Copy)]
enum Command {
    Mail,
    Rcpt(usize),
    Data,
}

struct Run<'a> {
    connection: &'a mut Connection,
    attempt: &'a Attempt,
    policy: &'a SenderPolicy,
    answers: Vec<Option<Answer>>,
    unanswered: bool,
}

impl Run<'_> {
    async fn converse(&mut self) -> Result<End, Failure> {
        let mut commands = vec![Command::Mail];
        let open = self.answers.iter().enumerate().filter(|(_, answer)| answer.is_none());
        commands.extend(open.map(|(recipient, _)| Command::Rcpt(recipient)));
        commands.push(Command::Data);

        let flight = if self.connection.capabilities.pipelining { FLIGHT } else { 1 };
        let mut accepted = Vec::with_capacity(commands.len());
        let mut mail_refused = false;
        let mut data_reply = None;
        for flight in commands.chunks(flight) {
            // DATA goes out ahead of the replies only in company of RCPTs that may yet succeed.
            let hopeless = accepted.is_empty() && matches!(flight, [Command::Data]);
            if mail_refused || hopeless {
                break;
            }
            self.send(flight).await?;
            for command in flight {
                let stage = command.stage();
                let reply = self.connection.wire.reply(stage).await?;
                if reply.code() == 421 {
                    self.unanswered &= matches!(command, Command::Mail);
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
        let capabilities = self.connection.capabilities;
        let wire = &mut self.connection.wire;
        wire.in_step(flight[0].stage())?;
        for command in flight {
            match *command {
                Command::Mail => wire.push(&mail(capabilities, self.attempt, self.policy)),
                Command::Rcpt(recipient) => wire.push(&rcpt(capabilities, self.attempt, recipient)),
                Command::Data => wire.push("DATA"),
            }
        }
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
        content::send(&mut self.connection.wire, &self.attempt.content, rewriter).await
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

impl Command {
    fn stage(self) -> Stage {
        match self {
            Self::Mail => Stage::Mail,
            Self::Rcpt(_) => Stage::Rcpt,
            Self::Data => Stage::Data,
        }
    }
}

/// Who sends it upstream: what the client said, but for an account that puts its own mailbox there. The null
/// reverse-path stays, or reports would be answered by reports (RFC 5321 §4.5.5).
fn sender<'a>(attempt: &'a Attempt, policy: &'a SenderPolicy) -> Option<&'a Mailbox> {
    attempt.reverse_path.mailbox().map(|said| policy.mailbox().unwrap_or(said))
}

/// The octets that will be sent, as far as they are known.
fn octets(attempt: &Attempt, policy: &SenderPolicy) -> Option<u64> {
    let growth = policy.mailbox().map_or(0, |_| SenderRewriter::GROWTH);
    attempt.content.octets().map(|octets| octets + growth)
}

fn mail(capabilities: Capabilities, attempt: &Attempt, policy: &SenderPolicy) -> String {
    let sender = sender(attempt, policy);
    let path = sender.map_or_else(String::new, |mailbox| address(mailbox, capabilities.smtputf8));
    let mut command = format!("MAIL FROM:<{path}>");
    if let (Some(_), Some(octets)) = (capabilities.size, octets(attempt, policy)) {
        command.push_str(&format!(" SIZE={octets}"));
    }
    // Eight-bit content goes out as it is even where 8BITMIME is not offered: octets in are octets out.
    if capabilities.eight_bit && attempt.body == BodyType::EightBitMime {
        command.push_str(" BODY=8BITMIME");
    }
    let needed = attempt.smtputf8
        || sender.is_some_and(Mailbox::needs_smtputf8)
        || attempt.recipients.iter().any(ForwardPath::needs_smtputf8);
    if capabilities.smtputf8 && needed {
        command.push_str(" SMTPUTF8");
    }
    if capabilities.dsn {
        let request = Dsn::request(attempt.dsn.as_deref());
        add(&mut command, "RET", request.ret.as_ref());
        add(&mut command, "ENVID", request.envid.as_ref());
    }
    command
}

fn rcpt(capabilities: Capabilities, attempt: &Attempt, recipient: usize) -> String {
    let path = match &attempt.recipients[recipient] {
        ForwardPath::Postmaster => "postmaster".to_owned(),
        ForwardPath::Mailbox(mailbox) => address(mailbox, capabilities.smtputf8),
    };
    let mut command = format!("RCPT TO:<{path}>");
    if capabilities.dsn {
        let wish = Dsn::recipient(attempt.dsn.as_deref(), recipient);
        add(&mut command, "NOTIFY", wish.notify.as_ref());
        add(&mut command, "ORCPT", wish.orcpt.as_ref());
    }
    command
}

/// A parameter, where it has a value.
fn add(command: &mut String, keyword: &str, value: Option<&impl Display>) {
    if let Some(value) = value {
        command.push_str(&format!(" {keyword}={value}"));
    }
}

/// Without SMTPUTF8 a domain beyond ASCII goes out in A-labels, which every server knows; all else as it came.
fn address(mailbox: &Mailbox, smtputf8: bool) -> String {
    let domain = mailbox.domain();
    if smtputf8 || domain.as_str().is_ascii() {
        mailbox.to_string()
    } else {
        format!("{}@{}", mailbox.local_part(), domain.ascii())
    }
}

/// Why this server can never take the message for this recipient; known before MAIL.
fn unsendable(
    capabilities: Capabilities,
    attempt: &Attempt,
    policy: &SenderPolicy,
    recipient: &ForwardPath,
) -> Option<Trouble> {
    if let Some(limit) = capabilities.size.filter(|limit| *limit > 0)
        && let Some(octets) = octets(attempt, policy)
        && octets > limit
    {
        return Some(trouble(
            Stage::Mail,
            EnhancedCode(5, 3, 4),
            format!("the message has {octets} octets, and the mail server takes {limit} at most"),
            "send it in parts or with smaller attachments, or have the limit raised at the provider",
        ));
    }
    let foreign = |mailbox: &Mailbox| !mailbox.local_part().is_ascii();
    let sender = sender(attempt, policy).is_some_and(foreign);
    let recipient = matches!(recipient, ForwardPath::Mailbox(mailbox) if foreign(mailbox));
    (!capabilities.smtputf8 && (sender || recipient)).then(|| {
        let (stage, whose) = if sender { (Stage::Mail, "sender") } else { (Stage::Rcpt, "recipient") };
        trouble(
            stage,
            EnhancedCode(5, 6, 7),
            format!(
                "the {whose} address has letters beyond ASCII, and the mail server takes none (no SMTPUTF8)"
            ),
            "use an address in plain letters",
        )
    })
}
