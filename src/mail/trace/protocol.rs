//! The word behind `with` in a trace field (RFC 5321 §4.4, RFC 3848, RFC 6531 §4.3).

/// How a message came to this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Protocol {
    /// The client said EHLO.
    pub esmtp: bool,
    /// It said SMTPUTF8 of this message.
    pub utf8: bool,
    /// The connection is under TLS.
    pub secure: bool,
    /// The client has logged in.
    pub authenticated: bool,
}

impl Protocol {
    /// The keyword that IANA has registered for it. There is none for plain SMTP with TLS or a login: a client that
    /// says HELO is told of as `SMTP`, whatever else it did.
    pub fn keyword(self) -> &'static str {
        match (self.utf8, self.esmtp, self.secure, self.authenticated) {
            (true, _, false, false) => "UTF8SMTP",
            (true, _, false, true) => "UTF8SMTPA",
            (true, _, true, false) => "UTF8SMTPS",
            (true, _, true, true) => "UTF8SMTPSA",
            (false, false, ..) => "SMTP",
            (false, true, false, false) => "ESMTP",
            (false, true, false, true) => "ESMTPA",
            (false, true, true, false) => "ESMTPS",
            (false, true, true, true) => "ESMTPSA",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords() {
        let words: Vec<&str> = (0..16u8)
            .map(|n| {
                let bit = |bit: u8| n & bit != 0;
                Protocol { utf8: bit(8), esmtp: bit(4), secure: bit(2), authenticated: bit(1) }.keyword()
            })
            .collect();
        let utf8 = ["UTF8SMTP", "UTF8SMTPA", "UTF8SMTPS", "UTF8SMTPSA"];
        let wanted = [["SMTP"; 4], ["ESMTP", "ESMTPA", "ESMTPS", "ESMTPSA"], utf8, utf8].concat();
        assert_eq!(words, wanted);
    }
}
