//! The commands of a transaction, up to DATA (RFC 5321 §3.3, RFC 2920, RFC 3461). Pure but for the log.

use super::{
    Attempt, Stage, Trouble,
    dialogue::{Capabilities, Connection},
    failure::trouble,
    wire::Wire,
};
use crate::{
    account::SenderPolicy,
    mail::{BodyType, Dsn, EnhancedCode, ForwardPath, Mailbox, SenderRewriter},
};
use std::fmt::Display;

/// Commands in one flight, so that neither side's socket buffers fill while both are writing.
const FLIGHT: usize = 128;

/// One command.
#[derive(Clone, Copy)]
pub(super) enum Command {
    Mail,
    /// For the recipient at this index.
    Rcpt(usize),
    Data,
}

impl Command {
    pub(super) fn stage(self) -> Stage {
        match self {
            Self::Mail => Stage::Mail,
            Self::Rcpt(_) => Stage::Rcpt,
            Self::Data => Stage::Data,
        }
    }
}

/// An attempt on a certain server: which of its recipients that server can take, and what it is told.
pub(super) struct Plan<'a> {
    attempt: &'a Attempt,
    policy: &'a SenderPolicy,
    capabilities: Capabilities,
    /// For each recipient, why this server can never take the message for it.
    pub(super) unsendable: Vec<Option<Trouble>>,
    /// MAIL, a RCPT for each of the others, DATA.
    pub(super) commands: Vec<Command>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(connection: &Connection, attempt: &'a Attempt, policy: &'a SenderPolicy) -> Self {
        let capabilities = connection.capabilities;
        let judge = |recipient| unsendable(capabilities, attempt, policy, recipient);
        let unsendable: Vec<_> = attempt.recipients.iter().map(judge).collect();
        let mut commands = Vec::with_capacity(unsendable.len() + 2);
        commands.push(Command::Mail);
        let open = unsendable.iter().enumerate().filter(|(_, trouble)| trouble.is_none());
        commands.extend(open.map(|(recipient, _)| Command::Rcpt(recipient)));
        commands.push(Command::Data);
        Self { attempt, policy, capabilities, unsendable, commands }
    }

    /// Whether there is a recipient to send it to.
    pub(super) fn is_sendable(&self) -> bool {
        self.commands.len() > 2
    }

    /// How many commands go out before their replies are read.
    pub(super) fn flight(&self) -> usize {
        if self.capabilities.pipelining { FLIGHT } else { 1 }
    }

    /// Whether all of it may go out in one flight, behind something else.
    pub(super) fn is_one_flight(&self) -> bool {
        self.is_sendable() && self.commands.len() <= self.flight()
    }

    /// Adds commands to what is to be written.
    pub(super) fn push(&self, commands: &[Command], wire: &mut Wire) {
        for command in commands {
            match *command {
                Command::Mail => wire.push(&mail(self.capabilities, self.attempt, self.policy)),
                Command::Rcpt(recipient) => wire.push(&rcpt(self.capabilities, self.attempt, recipient)),
                Command::Data => wire.push("DATA"),
            }
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
