//! Who is at the other end of a connection.

use crate::config::ListenerSettings;
use std::{fmt, net::IpAddr};

/// A client, as far as the system vouches for it. Two connections of the same client are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Client {
    /// Somebody at this address; an IPv4-mapped IPv6 address as IPv4.
    Network(IpAddr),
    /// A user of this host, who came through a Unix socket.
    Local {
        /// The user's number.
        uid: u32,
    },
}

impl Client {
    /// The client at an address.
    pub fn at(address: IpAddr) -> Self {
        Self::Network(address.to_canonical())
    }

    /// Its address, where it has one.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Network(address) => Some(*address),
            Self::Local { .. } => None,
        }
    }

    /// Whether a listener with these settings is there for it. A Unix socket is there for whoever may open it.
    pub fn may_submit(&self, listener: &ListenerSettings) -> bool {
        self.address().is_none_or(|address| listener.admits(address))
    }

    /// Whether nothing between it and us leaves this host.
    pub fn is_on_this_host(&self) -> bool {
        self.address().is_none_or(|address| address.is_loopback())
    }

    /// What stands in the brackets behind its name in a trace field: the address literal of RFC 5321 §4.4; of a local
    /// user, who has none, a comment.
    pub fn in_trace(&self) -> String {
        match self {
            Self::Network(IpAddr::V4(address)) => format!("[{address}]"),
            Self::Network(IpAddr::V6(address)) => format!("[IPv6:{address}]"),
            Self::Local { uid } => format!("local uid {uid}"),
        }
    }
}

/// For logs: `192.0.2.1`, `2001:db8::1`, `uid:1000`.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(address) => address.fmt(f),
            Self::Local { uid } => write!(f, "uid:{uid}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_and_how_they_are_written() {
        let at = |text: &str| Client::at(text.parse().unwrap());
        let cases = [
            (at("192.0.2.1"), "192.0.2.1", "[192.0.2.1]", false),
            (at("127.9.0.1"), "127.9.0.1", "[127.9.0.1]", true),
            (at("::ffff:127.0.0.1"), "127.0.0.1", "[127.0.0.1]", true),
            (at("2001:db8::1"), "2001:db8::1", "[IPv6:2001:db8::1]", false),
            (at("::1"), "::1", "[IPv6:::1]", true),
            (Client::Local { uid: 1000 }, "uid:1000", "local uid 1000", true),
        ];
        for (client, shown, in_trace, on_this_host) in cases {
            assert_eq!((client.to_string().as_str(), client.in_trace().as_str()), (shown, in_trace));
            assert_eq!(client.is_on_this_host(), on_this_host, "{client}");
        }
    }
}
