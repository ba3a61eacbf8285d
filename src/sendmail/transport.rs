//! Handing a message over: the first door that opens, and the dialogue through it.

use super::{
    dialogue::{Dialogue, Fate, Step, Submission},
    message::Message,
};
use crate::{
    config::Door,
    mail::{Reply, ReplyClass},
    outbound::{DotStuffer, first_reply},
};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// How long a door may take to open. It is on this host.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a reply may take, and a write.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the reply to the final dot may take (RFC 5321 §4.5.3.2.6): who gives up too early sends twice.
const DOT_PATIENCE: Duration = Duration::from_secs(600);
/// Octets of content written at once.
const FLIGHT: usize = 64 << 10;

/// A stream with timeouts.
pub(super) trait Stream: Read + Write {
    fn patience(&self, patience: Duration) -> io::Result<()>;
}

impl Stream for UnixStream {
    fn patience(&self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))?;
        self.set_write_timeout(Some(PATIENCE))
    }
}

impl Stream for TcpStream {
    fn patience(&self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))?;
        self.set_write_timeout(Some(PATIENCE))
    }
}

/// Connects to a Unix socket. Where its backlog is full this waits, but not for ever, as the standard library would.
pub(super) fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(CONNECT))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, None)?;
    Ok(socket.into())
}

/// Connects to a TCP address of this host.
pub(super) fn connect_tcp(address: &std::net::SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(address, CONNECT)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn connect(door: &Door) -> io::Result<Box<dyn Stream>> {
    Ok(match door {
        Door::Unix(path) => Box::new(connect_unix(path)?),
        Door::Tcp(address) => Box::new(connect_tcp(address)?),
    })
}

/// Hands a message over through the first door behind which a server greets. What became of each recipient.
pub(super) fn hand_over(doors: &[Door], name: &str, submission: &Submission, message: &Message) -> Vec<Fate> {
    let (mut refusal, mut reasons) = (None, Vec::new());
    for door in doors {
        match enter(door) {
            Ok(Entrance::Open(mut line)) => return line.converse(name, submission, message),
            Ok(Entrance::Refused(reply)) => refusal = Some(reply),
            Ok(Entrance::Busy(reply)) => reasons.push(format!("{door}: {reply}")),
            Err(error) => reasons.push(format!("{door}: {error}")),
        }
    }
    if doors.is_empty() {
        reasons.push("no listener of the configuration can be reached from this host".into());
    }
    let why = reasons.join("; ");
    let fate = match refusal {
        // Whoever is turned away is not to come in by the spool.
        Some(reply) => Fate::Refused { reply, of_recipient: false },
        None => Fate::PutOff { why, in_doubt: false },
    };
    vec![fate; submission.recipients.len()]
}

/// What a greeting said.
enum Entrance {
    Open(Line),
    Refused(Reply),
    Busy(Reply),
}

fn enter(door: &Door) -> io::Result<Entrance> {
    let stream = connect(door)?;
    stream.patience(PATIENCE)?;
    let mut line = Line { stream, read: Vec::new() };
    let greeting = line.reply()?;
    Ok(match greeting.class() {
        ReplyClass::Completed => Entrance::Open(line),
        ReplyClass::Permanent => Entrance::Refused(greeting),
        _ => Entrance::Busy(greeting),
    })
}

/// A connection, and what has been read of it and not used.
struct Line {
    stream: Box<dyn Stream>,
    read: Vec<u8>,
}

impl Line {
    fn converse(&mut self, name: &str, submission: &Submission, message: &Message) -> Vec<Fate> {
        let (mut dialogue, mut step) = Dialogue::begin(submission, name);
        while step != Step::Over {
            match self.take(&step, message) {
                Ok(reply) => step = dialogue.hear(&reply),
                Err(error) => return dialogue.fates(&format!("the connection broke: {error}")),
            }
        }
        // All is said and known; a server that has gone needs no leave.
        let _ = self.stream.write_all(b"QUIT\r\n");
        dialogue.fates("the dialogue did not come to its end")
    }

    fn take(&mut self, step: &Step, message: &Message) -> io::Result<Reply> {
        match step {
            Step::Say(line) => self.stream.write_all(format!("{line}\r\n").as_bytes())?,
            Step::Content => {
                self.send(message)?;
                self.stream.patience(DOT_PATIENCE)?;
                let reply = self.reply();
                self.stream.patience(PATIENCE)?;
                return reply;
            }
            Step::Over => {}
        }
        self.reply()
    }

    fn send(&mut self, message: &Message) -> io::Result<()> {
        let (mut stuffer, mut flight) = (DotStuffer::default(), Vec::with_capacity(2 * FLIGHT));
        message.for_each(|piece| {
            for piece in piece.chunks(FLIGHT) {
                stuffer.encode(piece, &mut flight);
                if flight.len() >= FLIGHT {
                    self.stream.write_all(&flight)?;
                    flight.clear();
                }
            }
            Ok(())
        })?;
        stuffer.finish(&mut flight);
        self.stream.write_all(&flight)
    }

    fn reply(&mut self) -> io::Result<Reply> {
        loop {
            match first_reply(&self.read) {
                Ok(Some((reply, length))) => {
                    self.read.drain(..length);
                    return Ok(reply);
                }
                Ok(None) => {}
                Err(_) => return Err(io::Error::other("what answers there does not speak SMTP")),
            }
            let mut octets = [0; 4096];
            match self.stream.read(&mut octets) {
                Ok(0) => return Err(io::Error::other("it was closed by the other side")),
                Ok(read) => self.read.extend_from_slice(&octets[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::Error::other("no reply came in time"));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
