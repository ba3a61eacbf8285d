//! Replies that an upstream server sends: cut the same however they come, and fit to be logged.

use waxseal::{mail::Reply, outbound::first_reply};

/// The input is what a server sends.
pub fn holds(octets: &[u8]) {
    let whole = first_reply(octets);
    if let Ok(Some((reply, length))) = &whole {
        assert!(*length <= octets.len() && octets[length - 1] == b'\n');
        assert!((200..600).contains(&reply.code()));
        assert!(!reply.text().contains(|c: char| c.is_control() && c != '\n'), "{reply:?}");
        assert_eq!(first_reply(&octets[..*length]), whole, "what follows a reply is not part of it");
        for come in [0, 1, length / 2, length - 1] {
            assert_eq!(first_reply(&octets[..come]), Ok(None), "{}", octets[..come].escape_ascii());
        }
    }
    // A reply is not taken back, nor refused once it is there, when more comes.
    let half = first_reply(&octets[..octets.len() / 2]);
    assert!(matches!(half, Ok(None)) || half == whole, "{}", octets.escape_ascii());
}

/// What is said to a client is a reply that any client can read: of one code, in lines of 512 octets at most
/// (RFC 5321 §4.5.3.1.5), whatever the client had said before.
pub(super) fn is_fit_for_a_client(reply: &Reply) {
    let mut wire = Vec::new();
    reply.write_to(&mut wire);
    assert!(wire.split_inclusive(|octet| *octet == b'\n').all(|line| line.len() <= 512), "{reply:?}");
    let (read, length) = first_reply(&wire).ok().flatten().expect("a reply");
    assert_eq!((read.code(), read.enhanced(), length), (reply.code(), reply.enhanced(), wire.len()));
}
