//! What a client does, for those who watch sessions without taking part in them. No password is among it, nor a line
//! that made no sense: it may be one.

use super::auth::Mechanism;
use crate::mail::{Envelope, Reply, ReversePath};

/// One thing that a client did.
#[derive(Debug)]
pub enum Seen<'a> {
    /// It came.
    Connected,
    /// It said who it is.
    Greeting {
        /// What it calls itself; empty where it said nothing.
        name: &'a str,
        /// Whether by EHLO, and not by HELO.
        esmtp: bool,
    },
    /// It asked for STARTTLS, whether or not that was to be had.
    StartTls,
    /// It began with TLS where none was due.
    UndueTls,
    /// The connection is under TLS.
    Secured,
    /// There was no TLS handshake where one was due, and why.
    NoTls(&'a str),
    /// It logged in where nobody looks at logins.
    Login {
        /// By which mechanism.
        mechanism: Mechanism,
        /// As whom; empty where that could not be read.
        username: &'a str,
    },
    /// It wanted to log in by a mechanism that there is not.
    OtherMechanism(&'static str),
    /// Its MAIL was taken.
    Sender {
        /// Whose mail it is.
        path: &'a ReversePath,
        /// The size that it declared.
        size: Option<u64>,
        /// Whether that came under TLS.
        secure: bool,
    },
    /// Its message came to an end, whatever becomes of it.
    Message {
        /// Its envelope.
        envelope: &'a Envelope,
        /// Octets of its content.
        octets: u64,
        /// Whether its lines ended with bare LF.
        bare_lf: bool,
    },
    /// Something was refused with this reply.
    Refused(&'a Reply),
}
