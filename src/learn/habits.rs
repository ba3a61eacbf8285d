//! What has been seen of each client, counted and bounded: whoever comes may say something else each time.

use super::text::{count, shown, size};
use crate::{
    mail::{EnhancedCode, Reply, ReversePath},
    smtp::Seen,
};
use std::{collections::BTreeMap, fmt, net::IpAddr};

/// Clients that are kept, each with what it does at each listener.
const CLIENTS: usize = 4096;
/// Different things of one kind that are kept of a client.
const THINGS: usize = 100;
/// Things that are kept of all clients together.
const ALL: usize = 20_000;
/// Characters that are kept of a name.
const NAME: usize = 255;

/// A client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Somebody at this address.
    Network(IpAddr),
    /// A user of this host, by number, who came through a Unix socket.
    Local(u32),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(address) => address.fmt(f),
            Self::Local(uid) => write!(f, "user {uid} of this host"),
        }
    }
}

/// How often different things were seen. Past a bound, new ones are only counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally<K> {
    seen: BTreeMap<K, u64>,
    left_out: u64,
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self { seen: BTreeMap::new(), left_out: 0 }
    }
}

impl<K: Ord> Tally<K> {
    /// Counts a thing, of which there is room for so many; whether it is new, and kept.
    fn count(&mut self, thing: K, room: usize) -> bool {
        if let Some(times) = self.seen.get_mut(&thing) {
            *times += 1;
            return false;
        }
        if self.seen.len() >= room {
            self.left_out += 1;
            return false;
        }
        self.seen.insert(thing, 1);
        true
    }

    /// The things, each with how often it was seen.
    pub fn iter(&self) -> impl Iterator<Item = (&K, u64)> {
        self.seen.iter().map(|(thing, times)| (thing, *times))
    }

    /// How often things were seen that are not among them.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

/// A sender by its domain, in lower-case A-labels, and its address. Both are empty for the null reverse-path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sender {
    /// The domain.
    pub domain: String,
    /// The whole address.
    pub address: String,
}

impl Sender {
    fn of(path: &ReversePath) -> Self {
        let domain = path.mailbox().map(|mailbox| mailbox.domain().ascii().to_owned());
        Self { domain: domain.unwrap_or_default(), address: path.to_string() }
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.address.is_empty() { f.write_str("<>") } else { f.write_str(&self.address) }
    }
}

/// What one client does at one listener.
#[derive(Debug, Default)]
pub struct Habits {
    /// Its connections.
    pub connections: u64,
    /// `EHLO name` and `HELO name`.
    pub greetings: Tally<String>,
    /// How often it asked for STARTTLS.
    pub starttls: u64,
    /// Connections under TLS.
    pub secured: u64,
    /// How often it began with TLS where none was due.
    pub undue_tls: u64,
    /// Why there was no TLS although it was due.
    pub no_tls: Tally<String>,
    /// Mechanisms and user names that it logged in by.
    pub logins: Tally<(&'static str, String)>,
    /// Mechanisms that it asked for and that there are not.
    pub other_mechanisms: Tally<&'static str>,
    /// Domains that it sends from; an empty one for the null reverse-path.
    pub domains: Tally<String>,
    /// Whom it sends as.
    pub senders: Tally<Sender>,
    /// How often its MAIL was taken, and how often in the clear.
    pub mails: u64,
    /// See there.
    pub in_the_clear: u64,
    /// Messages that came to an end, attempts at the same one included.
    pub messages: u64,
    /// Their recipients, in all and the most of one.
    pub recipients: u64,
    /// See there.
    pub most_recipients: usize,
    /// Octets of the largest message, as declared or as seen.
    pub largest: u64,
    /// Messages whose lines ended with bare LF.
    pub bare_lf: u64,
    /// What it was refused.
    pub refusals: Tally<String>,
}

impl Habits {
    /// Whether it has sent, or would have.
    pub fn sends(&self) -> bool {
        self.mails > 0
    }

    /// Takes what was seen, with room for so many things of one kind. `Some` is what is new about it.
    fn take(&mut self, seen: &Seen<'_>, room: usize) -> Option<String> {
        match seen {
            Seen::Connected => {
                self.connections += 1;
                (self.connections == 1).then(|| "a new client".to_owned())
            }
            Seen::Greeting { name, esmtp } => {
                let greeting = format!("{} {name}", if *esmtp { "EHLO" } else { "HELO" });
                let greeting = greeting.trim_end().to_owned();
                self.greetings.count(greeting.clone(), room).then(|| format!("greets with {greeting}"))
            }
            Seen::StartTls => {
                self.starttls += 1;
                (self.starttls == 1).then(|| "asks for STARTTLS".to_owned())
            }
            Seen::UndueTls => {
                self.undue_tls += 1;
                (self.undue_tls == 1).then(|| "begins with TLS, which is not due here".to_owned())
            }
            Seen::Secured => {
                self.secured += 1;
                (self.secured == 1).then(|| "is under TLS".to_owned())
            }
            Seen::NoTls(why) => {
                self.no_tls.count((*why).to_owned(), room).then(|| format!("comes to no TLS: {why}"))
            }
            Seen::Login { mechanism, username } => {
                let mechanism = mechanism.name();
                let new = self.logins.count((mechanism, username.chars().take(NAME).collect()), room);
                new.then(|| format!("logs in by {mechanism} as {}", named(username)))
            }
            Seen::OtherMechanism(mechanism) => {
                let new = self.other_mechanisms.count(mechanism, room);
                new.then(|| format!("wants to log in by {mechanism}, which there is not"))
            }
            Seen::Sender { path, size, secure } => {
                self.mails += 1;
                self.in_the_clear += u64::from(!secure);
                self.largest = self.largest.max(size.unwrap_or_default());
                let sender = Sender::of(path);
                self.domains.count(sender.domain.clone(), room);
                self.senders.count(sender.clone(), room).then(|| format!("sends as {sender}"))
            }
            Seen::Message { envelope, octets, bare_lf } => {
                let recipients = envelope.forward_paths().len();
                self.messages += 1;
                self.recipients += recipients as u64;
                self.most_recipients = self.most_recipients.max(recipients);
                self.largest = self.largest.max(*octets);
                self.bare_lf += u64::from(*bare_lf);
                (self.messages == 1).then(|| {
                    let (recipients, size) = (count(recipients as u64, "recipient"), size(*octets));
                    format!("offers a message to {recipients}, {size}, and keeps it")
                })
            }
            Seen::Refused(reply) if is_ours(reply) => None,
            Seen::Refused(reply) => {
                self.refusals.count(reply.to_string(), room).then(|| format!("is refused: {reply}"))
            }
        }
    }
}

/// A user name, or that there was none.
pub(super) fn named(username: &str) -> &str {
    if username.is_empty() { "somebody whose name cannot be read" } else { username }
}

/// Whether this is the end of learning, and nobody's mistake.
fn is_ours(reply: &Reply) -> bool {
    reply.code() == 421 && reply.enhanced() == Some(EnhancedCode(4, 3, 2))
}

/// All that has been seen.
#[derive(Debug, Default)]
pub struct Learned {
    clients: BTreeMap<(usize, Who), Habits>,
    /// How much of it was new when it came.
    things: usize,
    passed_over: u64,
}

impl Learned {
    /// Takes what was seen of a client at the listener with this index. `Some` is a line about what is new.
    pub fn take(&mut self, listener: usize, who: Who, seen: &Seen<'_>) -> Option<String> {
        let key = (listener, who);
        if self.clients.len() >= CLIENTS && !self.clients.contains_key(&key) {
            self.passed_over += 1;
            return None;
        }
        let room = if self.things < ALL { THINGS } else { 0 };
        let news = self.clients.entry(key).or_default().take(seen, room)?;
        self.things += 1;
        Some(shown(&format!("{who} {news}")))
    }

    /// What each client did at each listener, by index.
    pub fn clients(&self) -> impl Iterator<Item = (usize, Who, &Habits)> {
        self.clients.iter().map(|((listener, who), habits)| (*listener, *who, habits))
    }

    /// How much was seen of clients for which there was no room.
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }
}
