use super::{super::command, *};
use Encryption::{Implicit, None, Offered, Required};

fn standing(encryption: Encryption, secure: bool) -> Standing {
    let authentication = Authentication::None;
    Standing { encryption, authentication, on_this_host: false, secure, authenticated: false }
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
        let lines = standing.offer(1000, 7);
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

#[test]
fn logins_are_taken_where_nobody_can_read_them_or_nobody_looks() {
    use Authentication as A;
    // Listener's TLS, its logins, client on this host, under TLS; what AUTH gets.
    let cases = [
        (None, A::None, true, false, 502),
        (Implicit, A::None, false, true, 502),
        (None, A::Optional, true, false, 0),
        (None, A::Optional, false, false, 538),
        (Offered, A::Optional, false, false, 538),
        (Offered, A::Optional, false, true, 0),
        (Offered, A::Required, true, false, 0),
        (Required, A::Required, true, false, 530),
        (Required, A::Required, false, true, 0),
        (Implicit, A::Required, false, true, 0),
        (None, A::Ignore, false, false, 0),
        (Offered, A::Ignore, false, false, 0),
        (Required, A::Ignore, false, false, 530),
        (Required, A::Ignore, false, true, 0),
    ];
    for (encryption, authentication, on_this_host, secure, answer) in cases {
        let standing = Standing { encryption, authentication, on_this_host, secure, authenticated: false };
        for line in ["AUTH PLAIN", "AUTH NTLM"] {
            assert_eq!(code(standing, line), answer, "{line} {standing:?}");
        }
        let lines = standing.offer(1, 1);
        let offered = ["AUTH PLAIN LOGIN", "AUTH=LOGIN PLAIN"].map(|line| lines.iter().any(|l| l == line));
        assert_eq!(offered, [answer == 0; 2], "{standing:?}");
        if answer == 0 {
            assert_eq!(code(Standing { authenticated: true, ..standing }, "AUTH PLAIN"), 503);
        }
    }
}

#[test]
fn where_logins_are_demanded_mail_comes_after_them() {
    use Authentication as A;
    for (authentication, authenticated, answer) in
        [(A::Required, false, 530), (A::Required, true, 0), (A::Optional, false, 0), (A::Ignore, false, 0)]
    {
        let standing = Standing { authentication, authenticated, secure: true, ..standing(Implicit, true) };
        assert_eq!(code(standing, "MAIL FROM:<a@b>"), answer, "{authentication:?}");
        assert_eq!(code(standing, "NOOP"), 0);
    }
}
