//! How sendmail(8) ends: the codes of sysexits.h, which its callers know. Pure.

use crate::mail::{EnhancedCode, Reply};

/// An exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Every recipient has it: the daemon does, or the spool.
    Ok = 0,
    /// `EX_USAGE`: the command line makes no sense.
    Usage = 64,
    /// `EX_DATAERR`: an address, or the message, is not fit to be sent.
    DataError = 65,
    /// `EX_NOUSER`: the recipient was refused.
    NoUser = 67,
    /// `EX_UNAVAILABLE`: the message was refused; or the daemon is down, where it is needed.
    Unavailable = 69,
    /// `EX_SOFTWARE`: what happened should not.
    Software = 70,
    /// `EX_IOERR`: standard input cannot be read.
    IoError = 74,
    /// `EX_TEMPFAIL`: the message was not taken, neither by the daemon nor by the spool; try again later.
    TempFail = 75,
    /// `EX_NOPERM`: the control socket is not for this user.
    NoPermission = 77,
    /// `EX_CONFIG`: the configuration file that was named cannot be used.
    Config = 78,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What a refusal for good means to the caller. `of_recipient` is whether RCPT was refused.
    pub fn of_refusal(reply: &Reply, of_recipient: bool) -> Self {
        match (reply.enhanced(), reply.code()) {
            // Bad syntax of an address, a message past the size limit, one that loops or cannot be converted.
            (Some(EnhancedCode(5, 1, 3 | 7 | 8) | EnhancedCode(5, 6, _)), _) => Self::DataError,
            (Some(EnhancedCode(5, 3, 4) | EnhancedCode(5, 4, 6)), _) | (None, 501 | 552) => Self::DataError,
            (Some(EnhancedCode(5, 1, _)), _) if of_recipient => Self::NoUser,
            (None, 550 | 551 | 553) if of_recipient => Self::NoUser,
            _ => Self::Unavailable,
        }
    }

    /// The one that is told of two: the worse.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.max(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        use Exit::{DataError, NoUser, Unavailable};
        let cases = [
            ("550 5.7.1 no account", false, Unavailable),
            ("550 5.7.1 not allowed", true, Unavailable),
            ("550 5.1.1 no such user", true, NoUser),
            ("550 No such user", true, NoUser),
            ("550 no", false, Unavailable),
            ("501 5.1.3 Bad recipient address", true, DataError),
            ("501 5.1.7 Bad sender address", false, DataError),
            ("552 5.3.4 too big", false, DataError),
            ("552 too big", false, DataError),
            ("553 5.6.7 needs SMTPUTF8", true, DataError),
            ("554 5.4.6 loops", false, DataError),
            ("554 5.6.0 content", false, DataError),
            ("554 5.0.0 no", false, Unavailable),
            ("500 5.5.2 what", false, Unavailable),
        ];
        for (reply, of_recipient, wanted) in cases {
            let (code, text) = reply.split_once(' ').unwrap();
            let reply = Reply::received(code.parse().unwrap(), text);
            assert_eq!(Exit::of_refusal(&reply, of_recipient), wanted, "{reply}");
        }
        assert_eq!(NoUser.and(Exit::Ok), NoUser);
    }
}
