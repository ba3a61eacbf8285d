//! How much nonsense is borne from one client, and how fast it may come. Decides without clock or I/O.

use crate::{
    mail::Reply,
    smtp::{limits, replies},
};
use std::time::Duration;

/// What a client has done since its last message was taken.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// Mistakes in the use of SMTP.
    errors: u32,
    /// Commands that lead to no message.
    junk: u32,
    /// Senders and recipients that were refused, and recipients that were taken.
    refused: u32,
    taken: u32,
}

/// What a reply is to be followed by.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Go,
    /// It is kept back for so long.
    Slow(Duration),
    /// Enough: this comes in its place, and the connection is closed. The word is for logs.
    Enough(&'static str, Reply),
}

impl Patience {
    /// A message was taken: all is forgiven.
    pub(super) fn forgive(&mut self) {
        *self = Self::default();
    }

    /// Counts a command that leads to no message, whatever its answer; many of them are mistakes.
    pub(super) fn junk(&mut self) -> Verdict {
        self.junk += 1;
        if self.junk > limits::JUNK { self.mistake() } else { Verdict::Go }
    }

    /// Counts what a command was answered with.
    pub(super) fn answered(&mut self, reply: &Reply) -> Verdict {
        if replies::is_protocol_error(reply) {
            return self.mistake();
        }
        if !replies::is_address_refusal(reply) {
            return Verdict::Go;
        }
        self.refused += 1;
        let (soft, hard) = limits::REFUSALS;
        // A list of a thousand addresses may well have some bad ones; who guesses has few good ones.
        if self.refused >= hard && self.refused > self.taken {
            return Verdict::Enough("refusals", replies::too_many_refusals());
        }
        if self.refused > soft { Verdict::Slow(limits::REFUSAL_DELAY) } else { Verdict::Go }
    }

    /// A recipient was taken.
    pub(super) fn recipient(&mut self) {
        self.taken += 1;
    }

    /// Counts a mistake.
    pub(super) fn mistake(&mut self) -> Verdict {
        self.errors += 1;
        if self.errors < limits::ERRORS {
            Verdict::Go
        } else {
            Verdict::Enough("errors", replies::too_many_errors())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::MailboxError;

    /// How many verdicts of each kind come, up to the last.
    fn run(mut next: impl FnMut() -> Verdict) -> (u32, u32) {
        let (mut quick, mut slow) = (0, 0);
        loop {
            match next() {
                Verdict::Go => quick += 1,
                Verdict::Slow(_) => slow += 1,
                Verdict::Enough(..) => return (quick, slow),
            }
            assert!(quick + slow < 1000, "never enough");
        }
    }

    #[test]
    fn ten_mistakes_are_enough() {
        let mut patience = Patience::default();
        assert_eq!(run(|| patience.answered(&replies::unknown_command())), (9, 0));
    }

    #[test]
    fn refusals_come_slowly_and_then_end() {
        let refusal = replies::bad_recipient(&MailboxError::Domain);
        let mut patience = Patience::default();
        assert_eq!(run(|| patience.answered(&refusal)), (10, 9));
        patience.forgive();
        for _ in 0..50 {
            patience.recipient();
        }
        assert_eq!(run(|| patience.answered(&refusal)), (10, 40), "fifty good ones before");
    }

    #[test]
    fn chatter_is_borne_for_a_while() {
        let mut patience = Patience::default();
        assert_eq!(run(|| patience.junk()), (109, 0));
    }

    #[test]
    fn a_full_house_is_nobodys_fault() {
        let mut patience = Patience::default();
        for reply in [replies::too_many_recipients(), replies::no_room(), replies::too_big()] {
            for _ in 0..100 {
                assert_eq!(patience.answered(&reply), Verdict::Go, "{reply}");
            }
        }
    }
}
