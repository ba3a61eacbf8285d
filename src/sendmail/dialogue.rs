//! The client's half of SMTP, from EHLO on (RFC 5321 §3.3): one command at a time, what the daemon has said of every
//! recipient kept. Pure: replies in, commands out.

use crate::mail::{DsnRequest, EnhancedCode, ForwardPath, Mailbox, Notify, Reply, ReplyClass, ReversePath};
use std::fmt::Write as _;

/// A message that is to be handed over.
#[derive(Debug, Clone)]
pub struct Submission {
    /// MAIL FROM.
    pub sender: ReversePath,
    /// RCPT TO, at least one.
    pub recipients: Vec<ForwardPath>,
    /// Octets of content.
    pub size: u64,
    /// Whether there are octets beyond ASCII in the content.
    pub eight_bit: bool,
    /// RET and ENVID.
    pub dsn: DsnRequest,
    /// NOTIFY, of every recipient.
    pub notify: Option<Notify>,
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The daemon has the message for it; this was its reply.
    Taken(Reply),
    /// It was refused for good, by RCPT where `of_recipient`.
    Refused {
        /// The refusal.
        reply: Reply,
        /// Whether it is about this recipient, and not about the message.
        of_recipient: bool,
    },
    /// Not now, or nobody knows.
    PutOff {
        /// Why, for people.
        why: String,
        /// The final dot was sent and not answered: the daemon may have the message.
        in_doubt: bool,
    },
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this line, and hear the reply.
    Say(String),
    /// Send the content and the end of data, and hear the reply.
    Content,
    /// There is nothing left to be said but QUIT.
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Ehlo,
    Helo,
    Mail,
    Rcpt,
    Data,
    Dot,
    Over,
}

/// What EHLO offered.
#[derive(Debug, Clone, Copy, Default)]
struct Offered {
    size: bool,
    eight_bit: bool,
    utf8: bool,
    dsn: bool,
}

/// A dialogue under way.
#[derive(Debug)]
pub struct Dialogue<'a> {
    submission: &'a Submission,
    /// What we call ourselves.
    name: &'a str,
    stage: Stage,
    offered: Offered,
    /// One a recipient; `None` while nothing is known.
    fates: Vec<Option<Fate>>,
    /// The recipients of this transaction that RCPT has taken.
    accepted: Vec<usize>,
    /// The recipient that RCPT is about, and the next one to ask for.
    asked: usize,
    /// The daemon takes no more recipients in one transaction: the others go in the next one.
    full: bool,
}

impl<'a> Dialogue<'a> {
    /// Begins behind a good greeting.
    pub fn begin(submission: &'a Submission, name: &'a str) -> (Self, Step) {
        let dialogue = Self {
            submission,
            name,
            stage: Stage::Ehlo,
            offered: Offered::default(),
            fates: vec![None; submission.recipients.len()],
            accepted: Vec::new(),
            asked: 0,
            full: false,
        };
        (dialogue, Step::Say(format!("EHLO {name}")))
    }

    /// Takes in a reply.
    pub fn hear(&mut self, reply: &Reply) -> Step {
        use ReplyClass::{Completed, Permanent, Temporary};
        match (self.stage, reply.class()) {
            _ if reply.code() == 421 => self.put_off_rest(&reply.to_string()),
            (Stage::Ehlo, Completed) => {
                self.offered = offered(reply);
                self.mail()
            }
            (Stage::Ehlo, Permanent) => {
                self.stage = Stage::Helo;
                Step::Say(format!("HELO {}", self.name))
            }
            (Stage::Helo, Completed) => self.mail(),
            (Stage::Mail, Completed) => self.rcpt(0),
            (Stage::Rcpt, Completed) => {
                self.accepted.push(self.asked);
                self.rcpt(self.asked + 1)
            }
            (Stage::Rcpt, Permanent) => {
                self.fates[self.asked] = Some(Fate::Refused { reply: reply.clone(), of_recipient: true });
                self.rcpt(self.asked + 1)
            }
            // The limit of recipients (RFC 5321 §4.5.3.1.10): those taken so far first.
            (Stage::Rcpt, Temporary) if is_too_many(reply) && !self.accepted.is_empty() => {
                self.full = true;
                self.data()
            }
            (Stage::Rcpt, Temporary) => {
                self.fates[self.asked] = Some(put_off(&reply.to_string()));
                self.rcpt(self.asked + 1)
            }
            (Stage::Data, ReplyClass::Intermediate) => {
                self.stage = Stage::Dot;
                Step::Content
            }
            (Stage::Dot, Completed) => {
                for index in self.accepted.drain(..) {
                    self.fates[index] = Some(Fate::Taken(reply.clone()));
                }
                if self.full { self.mail() } else { self.over() }
            }
            (Stage::Mail | Stage::Data | Stage::Dot, Permanent) => self.refuse_rest(reply),
            _ => self.put_off_rest(&reply.to_string()),
        }
    }

    /// What became of the recipients, in their order. Where the dialogue did not come to its end, `why` says why.
    pub fn fates(self, why: &str) -> Vec<Fate> {
        let in_doubt = |index: usize| self.stage == Stage::Dot && self.accepted.contains(&index);
        let fates = self.fates.into_iter().enumerate();
        let known = |(index, fate): (usize, Option<Fate>)| {
            fate.unwrap_or_else(|| Fate::PutOff { why: why.to_owned(), in_doubt: in_doubt(index) })
        };
        fates.map(known).collect()
    }

    fn mail(&mut self) -> Step {
        self.full = false;
        let Submission { sender, size, eight_bit, dsn, .. } = self.submission;
        let Some(path) = self.reverse_path(sender) else {
            return self.refuse_rest(&needs_smtputf8());
        };
        let mut line = format!("MAIL FROM:<{path}>");
        // Writing to a String cannot fail.
        if self.offered.size {
            let _ = write!(line, " SIZE={size}");
        }
        if self.offered.eight_bit && *eight_bit {
            line.push_str(" BODY=8BITMIME");
        }
        if self.offered.utf8 && self.needs_smtputf8() {
            line.push_str(" SMTPUTF8");
        }
        if self.offered.dsn {
            if let Some(ret) = dsn.ret {
                let _ = write!(line, " RET={ret}");
            }
            if let Some(envid) = &dsn.envid {
                let _ = write!(line, " ENVID={envid}");
            }
        }
        self.stage = Stage::Mail;
        Step::Say(line)
    }

    /// Asks for the first recipient from `from` on of which nothing is known.
    fn rcpt(&mut self, from: usize) -> Step {
        self.stage = Stage::Rcpt;
        for index in from..self.fates.len() {
            if self.fates[index].is_some() {
                continue;
            }
            let Some(path) = self.forward_path(&self.submission.recipients[index]) else {
                self.fates[index] = Some(Fate::Refused { reply: needs_smtputf8(), of_recipient: true });
                continue;
            };
            self.asked = index;
            let notify = self.submission.notify.filter(|_| self.offered.dsn);
            let notify = notify.map_or_else(String::new, |notify| format!(" NOTIFY={notify}"));
            return Step::Say(format!("RCPT TO:<{path}>{notify}"));
        }
        self.data()
    }

    fn data(&mut self) -> Step {
        if self.accepted.is_empty() {
            return self.over();
        }
        self.stage = Stage::Data;
        Step::Say("DATA".into())
    }

    fn over(&mut self) -> Step {
        self.stage = Stage::Over;
        Step::Over
    }

    fn refuse_rest(&mut self, reply: &Reply) -> Step {
        for fate in self.fates.iter_mut().filter(|fate| fate.is_none()) {
            *fate = Some(Fate::Refused { reply: reply.clone(), of_recipient: false });
        }
        self.over()
    }

    fn put_off_rest(&mut self, why: &str) -> Step {
        for fate in self.fates.iter_mut().filter(|fate| fate.is_none()) {
            *fate = Some(put_off(why));
        }
        self.over()
    }

    fn reverse_path(&self, path: &ReversePath) -> Option<String> {
        path.mailbox().map_or_else(|| Some(String::new()), |mailbox| self.mailbox(mailbox))
    }

    fn forward_path(&self, path: &ForwardPath) -> Option<String> {
        match path {
            ForwardPath::Postmaster => Some(path.to_string()),
            ForwardPath::Mailbox(mailbox) => self.mailbox(mailbox),
        }
    }

    /// A mailbox for the wire; `None` where SMTPUTF8 would be needed and is not offered.
    fn mailbox(&self, mailbox: &Mailbox) -> Option<String> {
        if self.offered.utf8 || !mailbox.needs_smtputf8() {
            return Some(mailbox.to_string());
        }
        let local = mailbox.local_part();
        local.is_ascii().then(|| format!("{local}@{}", mailbox.domain().ascii()))
    }

    fn needs_smtputf8(&self) -> bool {
        let Submission { sender, recipients, .. } = self.submission;
        sender.mailbox().is_some_and(Mailbox::needs_smtputf8)
            || recipients.iter().any(ForwardPath::needs_smtputf8)
    }
}

fn put_off(why: &str) -> Fate {
    Fate::PutOff { why: why.to_owned(), in_doubt: false }
}

fn needs_smtputf8() -> Reply {
    Reply::new(553, EnhancedCode(5, 6, 7), "Address needs SMTPUTF8, which is not offered")
}

fn is_too_many(reply: &Reply) -> bool {
    reply.code() == 452 && reply.enhanced().is_none_or(|enhanced| enhanced == EnhancedCode(4, 5, 3))
}

/// The keywords stand behind the line with the name (RFC 5321 §4.1.1.1).
fn offered(reply: &Reply) -> Offered {
    let mut offered = Offered::default();
    for line in reply.text().lines().skip(1) {
        match line.split(' ').next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "SIZE" => offered.size = true,
            "8BITMIME" => offered.eight_bit = true,
            "SMTPUTF8" => offered.utf8 = true,
            "DSN" => offered.dsn = true,
            _ => {}
        }
    }
    offered
}

#[cfg(test)]
#[path = "dialogue_tests.rs"]
mod tests;
