//! Why mail is put off, refused or rejected: few fixed words, for they are labels. Pure.

/// Why a message was put off by its provider, or failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The server cannot be reached, does not answer or broke the connection off.
    Connection,
    /// The greeting, or the reply to EHLO: the server takes no connections from here.
    Greeting,
    /// No TLS where it is demanded, or a certificate that is not good.
    Tls,
    /// The server does not let the account in.
    Login,
    /// There is no access token.
    Token,
    /// The server is busy, or wants mail more slowly.
    Rate,
    /// A quota of the provider's is used up.
    Quota,
    /// The reply to MAIL FROM.
    Sender,
    /// The reply to RCPT TO.
    Recipient,
    /// The reply to the content; or the server cannot take such a message at all.
    Content,
    /// The final dot was not answered: the provider may have the message.
    InDoubt,
    /// Our own disk.
    Storage,
    /// The message is older than `expire`.
    Expired,
}

impl Reason {
    /// All of them, in their order.
    pub const ALL: [Self; 13] = [
        Self::Connection,
        Self::Greeting,
        Self::Tls,
        Self::Login,
        Self::Token,
        Self::Rate,
        Self::Quota,
        Self::Sender,
        Self::Recipient,
        Self::Content,
        Self::InDoubt,
        Self::Storage,
        Self::Expired,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Greeting => "greeting",
            Self::Tls => "tls",
            Self::Login => "login",
            Self::Token => "token",
            Self::Rate => "rate",
            Self::Quota => "quota",
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::Content => "content",
            Self::InDoubt => "in_doubt",
            Self::Storage => "storage",
            Self::Expired => "expired",
        }
    }

    /// The reason that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// Whether mail can be put off for it.
    pub fn defers(self) -> bool {
        self != Self::Expired
    }

    /// Whether mail can fail of it. What is wrong with the account or the server never fails a message.
    pub fn fails(self) -> bool {
        matches!(self, Self::Sender | Self::Recipient | Self::Content | Self::Expired)
    }
}

/// The words of the events `rejected` and `client refused`.
pub const REJECTIONS: [&str; 16] = [
    "authentication",
    "chunk",
    "client",
    "connections",
    "encryption",
    "envelopes",
    "errors",
    "hops",
    "http",
    "plaintext",
    "refusals",
    "sender",
    "sequence",
    "size",
    "storage",
    "tls",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_word_of_its_own() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
            assert!(reason.defers() || reason.fails());
        }
        assert_eq!(Reason::parse("weather"), None);
        assert!(REJECTIONS.is_sorted());
    }
}
