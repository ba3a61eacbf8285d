use super::{super::command, *};
use Encryption::{Implicit, None, Offered, Required};

fn standing(encryption: Encryption, secure: bool) -> Standing {
    Standing { encryption, secure }
}

/// What a line gets before anything else is looked at; 0 where it may go on.
fn code(standing: Standing, line: &str) -> u16 {
    let command = command::parse(line.as_bytes()).unwrap();
    standing.admit(&command).map_or_else(|reply| reply.code(), |()| 0)
}

#[test]
fn starttls_is_offered_where_it_can_still_come() {
    let cases = [
        (None, false, false, 502),
        (Offered, false, true, 0),
        (Offered, true, false, 503),
        (Required, false, true, 0),
        (Required, true, false, 503),
        (Implicit, true, false, 503),
    ];
    for (encryption, secure, offered, answer) in cases {
        let standing = standing(encryption, secure);
        let lines = standing.offer(1000);
        assert_eq!(lines.iter().any(|line| line == "STARTTLS"), offered, "{standing:?}");
        assert_eq!(lines.last().map(String::as_str), Some("SIZE 1000"));
        assert_eq!(code(standing, "STARTTLS"), answer, "{standing:?}");
    }
}

#[test]
fn where_tls_is_demanded_nothing_else_comes_before_it() {
    let refused = ["MAIL FROM:<a@b>", "RCPT TO:<a@b>", "DATA", "VRFY root"];
    let free = ["EHLO a", "HELO a", "NOOP", "RSET", "QUIT", "HELP", "GET / HTTP/1.1"];
    for (encryption, secure, answer) in [(Required, false, 530), (Required, true, 0), (Offered, false, 0)] {
        for line in refused {
            assert_eq!(code(standing(encryption, secure), line), answer, "{line}");
        }
        for line in free {
            assert_eq!(code(standing(encryption, secure), line), 0, "{line}");
        }
    }
}
