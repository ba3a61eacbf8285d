//! `-bm`: one message, from standard input to the daemon or the spool.

use super::{
    compose::{Author, Defaults},
    dialogue::{Fate, Submission},
    exit::Exit,
    header,
    identity::{self, User},
    message::{Draft, Message, ReadError},
    options::Options,
    recipients::{self, Recipients},
    transport::hand_over,
};
use crate::{
    config::Front,
    mail::{BodyType, DsnRecipient, DsnRequest, Envelope, ForwardPath, Mailbox, ReversePath},
    spool::Spool,
};
use std::{
    io::{self, ErrorKind, Read},
    time::SystemTime,
};

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    /// The exit code.
    pub exit: Exit,
    /// What went wrong, for standard error.
    pub complaints: Vec<String>,
    /// What became of the message, for `-v`.
    pub remarks: Vec<String>,
}

impl Report {
    fn good() -> Self {
        Self { exit: Exit::Ok, complaints: Vec::new(), remarks: Vec::new() }
    }

    fn bad(exit: Exit, complaint: impl Into<String>) -> Self {
        Self { exit, complaints: vec![complaint.into()], remarks: Vec::new() }
    }

    fn complain(&mut self, exit: Exit, complaint: String) {
        self.exit = self.exit.and(exit);
        self.complaints.push(complaint);
    }
}

/// Takes a message from `input` and hands it over. Once this has said [`Exit::Ok`], every recipient's is durable with
/// the daemon or in the spool.
pub fn submit(options: &Options, front: &Front, input: &mut impl Read) -> Report {
    if options.operands.is_empty() && !options.extract {
        let help = "no recipient: name some, or use -t to take them from the header section";
        return Report::bad(Exit::Usage, help);
    }
    let hostname = identity::hostname(front.hostname.as_deref());
    let (user, domain) = (identity::user(), identity::domain(&hostname));
    let own = format!("{}@{domain}", user.login);
    let sender = match recipients::sender(options.sender.as_deref().unwrap_or(&own), &domain) {
        Ok(sender) => sender,
        Err(complaint) => return Report::bad(Exit::Usage, format!("the sender {complaint}")),
    };
    let draft = match Draft::read(input, options.ignore_dots) {
        Ok(draft) => draft,
        Err(error) => {
            let exit = match error {
                ReadError::Input(_) => Exit::IoError,
                ReadError::Scratch(_) => Exit::TempFail,
                ReadError::Header => Exit::DataError,
            };
            return Report::bad(exit, error.to_string());
        }
    };
    let Recipients { paths, complaints } = addressees(options, &draft, &domain);
    let mut report = Report::good();
    for complaint in complaints {
        report.complain(Exit::DataError, complaint);
    }
    if paths.is_empty() {
        report.complain(Exit::DataError, "no recipient is left: nothing was sent".into());
        return report;
    }
    let (author, message_id) = (author(options, &sender, user, own), message_id(&domain));
    let date = SystemTime::now();
    let defaults = Defaults { author: &author, domain: &domain, date, message_id: &message_id };
    let message = draft.complete(&defaults);
    let submission = Submission {
        sender,
        recipients: paths,
        size: message.size(),
        eight_bit: message.is_eight_bit(),
        dsn: DsnRequest { ret: options.ret, envid: options.envid.clone() },
        notify: options.notify,
    };
    let fates = hand_over(&front.doors, &hostname, &submission, &message);
    settle(&mut report, fates, &submission, &message, front);
    report
}

fn addressees(options: &Options, draft: &Draft, domain: &str) -> Recipients {
    let mut found: Vec<_> =
        options.operands.iter().flat_map(|operand| super::addresses::parse(operand.as_bytes())).collect();
    if options.extract {
        found.extend(header::recipients(&draft.section));
    }
    recipients::resolve(found, &identity::aliases(options.aliases.as_deref()), domain)
}

/// Who stands in `From` where the message has none: the sender, else the caller.
fn author(options: &Options, sender: &ReversePath, user: User, own: String) -> Author {
    let named = sender.mailbox().filter(|_| options.sender.is_some()).map(Mailbox::to_string);
    let full_name = if named.is_none() { user.full_name } else { String::new() };
    Author { address: named.unwrap_or(own), name: options.full_name.clone().unwrap_or(full_name) }
}

fn message_id(domain: &str) -> String {
    let millis = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    format!("<{millis}_{:016x}@{domain}>", fastrand::u64(..))
}

/// Tells what became of the recipients, and spools the message for those that were put off.
fn settle(report: &mut Report, fates: Vec<Fate>, submission: &Submission, message: &Message, front: &Front) {
    let (mut put_off, mut reason, mut doubt) = (Vec::new(), String::new(), false);
    let say = |report: &mut Report, line: String| {
        if !report.remarks.contains(&line) {
            report.remarks.push(line);
        }
    };
    for (path, fate) in submission.recipients.iter().zip(fates) {
        match fate {
            Fate::Taken(reply) => say(report, format!("taken: {reply}")),
            Fate::Refused { reply, of_recipient } => {
                let exit = Exit::of_refusal(&reply, of_recipient);
                let reply = reply.to_string().replace('\n', " ");
                let line = if of_recipient {
                    format!("{path} was refused: {reply}")
                } else {
                    format!("the message was refused: {reply}")
                };
                // Of the message it is the same for everybody.
                if !report.complaints.contains(&line) {
                    report.complain(exit, line);
                }
            }
            Fate::PutOff { why, in_doubt } => {
                put_off.push(path.clone());
                doubt |= in_doubt;
                reason = why;
            }
        }
    }
    if put_off.is_empty() {
        return;
    }
    let count = put_off.len();
    match leave(put_off, submission, message, front) {
        Ok(name) => {
            let twice =
                if doubt { "; it may be sent twice, since the daemon may have it already" } else { "" };
            say(report, format!("spooled as {name} for {count} recipients: {reason}{twice}"));
        }
        Err(error) => {
            let place = Spool::new(&front.spool).drop_directory();
            let line = format!(
                "not sent to {count} recipients ({reason}), and not spooled in {} either: {error}; try again later",
                place.display()
            );
            report.complain(Exit::TempFail, line);
        }
    }
}

fn leave(
    recipients: Vec<ForwardPath>,
    submission: &Submission,
    message: &Message,
    front: &Front,
) -> io::Result<String> {
    let utf8 = submission.sender.mailbox().is_some_and(Mailbox::needs_smtputf8)
        || recipients.iter().any(ForwardPath::needs_smtputf8);
    let body = if submission.eight_bit { BodyType::EightBitMime } else { BodyType::SevenBit };
    let wish = DsnRecipient { notify: submission.notify, orcpt: None };
    let wishes = vec![wish; recipients.len()];
    let envelope = Envelope::new(submission.sender.clone(), recipients, body, utf8)
        .map_err(io::Error::other)?
        .with_dsn(submission.dsn.clone(), wishes);
    let spool = Spool::new(&front.spool);
    let put = || spool.put(&envelope, |out| message.for_each(|piece| out.write_all(piece)));
    match put() {
        // The host's own spool comes with the package. Another one is somebody's, who may not have started it yet.
        Err(error) if error.kind() == ErrorKind::NotFound && front.spool != Front::default().spool => {
            spool.build().and_then(|()| put())
        }
        done => done,
    }
}
