//! What clients are told: every fixed reply of the inbound side in one table (RFC 5321 §4.2, RFC 3463).

use crate::mail::{EnhancedCode, MailboxError, Reply};

macro_rules! replies {
    ($($(#[$doc:meta])* $name:ident = $code:literal ($class:literal, $subject:literal, $detail:literal) $text:literal;)*) => {
        $($(#[$doc])* pub fn $name() -> Reply {
            Reply::new($code, EnhancedCode($class, $subject, $detail), $text)
        })*
    };
}

replies! {
    /// NOOP and whatever else simply works.
    ok = 250 (2, 0, 0) "OK";
    /// MAIL taken.
    sender_ok = 250 (2, 1, 0) "Sender OK";
    /// RCPT taken.
    recipient_ok = 250 (2, 1, 5) "Recipient OK";
    /// QUIT.
    bye = 221 (2, 0, 0) "Bye";
    /// AUTH: the login is good.
    logged_in = 235 (2, 7, 0) "Authentication successful";
    /// STARTTLS: the handshake may begin.
    ready_for_tls = 220 (2, 0, 0) "Ready to start TLS";
    /// VRFY: the provider knows, not we (RFC 5321 §3.5.3).
    cannot_verify = 252 (2, 0, 0) "Cannot verify the user, but will take mail and try to deliver it";
    /// HELP.
    help = 214 (2, 0, 0) "Commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT";

    /// No or an unknown verb.
    unknown_command = 500 (5, 5, 2) "Command not recognized";
    /// A command line over the limit.
    line_too_long = 500 (5, 5, 2) "Line too long";
    /// A verb of SMTP that this server does not serve.
    not_implemented = 502 (5, 5, 1) "Command not implemented";
    /// MAIL without `FROM:<address>`.
    mail_syntax = 501 (5, 5, 2) "Syntax: MAIL FROM:<address>";
    /// RCPT without `TO:<address>`.
    rcpt_syntax = 501 (5, 5, 2) "Syntax: RCPT TO:<address>";
    /// A command without parameters had some.
    no_parameters = 501 (5, 5, 4) "No parameters allowed";
    /// A parameter's value makes no sense.
    bad_parameter = 501 (5, 5, 4) "Parameter value not valid";
    /// A parameter of an extension that was not offered.
    unknown_parameter = 555 (5, 5, 4) "Parameter not recognized or not implemented";
    /// An address beyond ASCII, and MAIL did not say SMTPUTF8 (RFC 6531 §3.5); or one that is not even UTF-8.
    needs_smtputf8 = 553 (5, 6, 7) "An address beyond ASCII has to be UTF-8, and announced by SMTPUTF8 at MAIL";

    /// BDAT whose size cannot be read: the connection is closed, since its octets would be taken for commands.
    chunk_unclear = 501 (5, 5, 4) "Syntax: BDAT size [LAST]; closing connection";
    /// Anything but BDAT and RSET between chunks (RFC 3030 §2).
    amid_chunks = 503 (5, 5, 1) "The message comes by BDAT: its next chunk or RSET has to follow";

    /// MAIL inside a transaction.
    nested_mail = 503 (5, 5, 1) "Nested MAIL command";
    /// RCPT or DATA outside a transaction.
    mail_first = 503 (5, 5, 1) "Need MAIL first";
    /// DATA without recipients.
    rcpt_first = 503 (5, 5, 1) "Need RCPT first";

    /// STARTTLS under TLS.
    tls_twice = 503 (5, 5, 1) "TLS is active already";
    /// AUTH without a mechanism, or with more than that and a response.
    auth_syntax = 501 (5, 5, 4) "Syntax: AUTH mechanism [initial-response]";
    /// AUTH with a mechanism that there is not.
    unknown_mechanism = 504 (5, 5, 4) "Mechanism not known; there are PLAIN and LOGIN";
    /// A response that is no base64, or no message of the mechanism.
    auth_undecodable = 501 (5, 5, 2) "Response cannot be decoded";
    /// The client cancelled the exchange.
    auth_cancelled = 501 (5, 0, 0) "Authentication cancelled";
    /// AUTH once more.
    auth_twice = 503 (5, 5, 1) "Authenticated already";
    /// AUTH inside a transaction.
    auth_in_transaction = 503 (5, 5, 1) "AUTH is not permitted during a mail transaction";
    /// MAIL before a login where the listener demands one.
    auth_first = 530 (5, 7, 0) "Authentication required";
    /// No such user, or not the user's password: which of them is not told.
    auth_failed = 535 (5, 7, 8) "Authentication credentials invalid";
    /// A password would travel in the clear.
    auth_needs_tls = 538 (5, 7, 11) "Encryption required for this mechanism: STARTTLS first";
    /// The login could not be looked at.
    auth_trouble = 454 (4, 7, 0) "Temporary authentication failure, try again later";
    /// The listener demands TLS (RFC 3207 §4).
    tls_first = 530 (5, 7, 0) "Must issue a STARTTLS command first";
    /// Plaintext where a TLS handshake was due.
    tls_expected = 554 (5, 5, 1) "A TLS handshake was expected here; closing connection";

    /// RCPT over the limit (RFC 5321 §4.5.3.1.10).
    too_many_recipients = 452 (4, 5, 3) "Too many recipients";
    /// Declared or real size over the limit (RFC 1870 §6.1).
    too_big = 552 (5, 3, 4) "Message size exceeds the limit";
    /// The message has been through too many hops (RFC 5321 §6.3).
    too_many_hops = 554 (5, 4, 6) "Too many hops, the message seems to loop";
    /// The queue is full.
    no_room = 452 (4, 3, 1) "Insufficient storage, try again later";
    /// The queue cannot write.
    storage_trouble = 451 (4, 3, 0) "Local trouble, try again later";

    /// Waited too long for the client.
    timed_out = 421 (4, 4, 2) "Timeout, closing connection";
    /// The error budget is used up.
    too_many_errors = 421 (4, 7, 0) "Too many errors, closing connection";
    /// Too many senders or recipients were refused.
    too_many_refusals = 421 (4, 7, 0) "Too many refused addresses, closing connection";
    /// The daemon stops.
    shutting_down = 421 (4, 3, 2) "Service shutting down, closing connection";
    /// No connection left, of all or of this client's.
    too_many_connections = 421 (4, 7, 0) "Too many connections, try again later";
    /// The client is not one of the listener's.
    client_refused = 554 (5, 7, 1) "Access denied, this client may not submit here";
    /// HTTP on an SMTP port.
    not_http = 554 (5, 5, 0) "This is SMTP, not HTTP; closing connection";
}

/// 354: the content may come.
pub fn start_input() -> Reply {
    Reply::bare(354, "End data with <CR><LF>.<CR><LF>")
}

/// 250 after a chunk that is not the last (RFC 3030 §2).
pub fn chunk_taken(octets: u64) -> Reply {
    Reply::new(250, EnhancedCode(2, 0, 0), format!("{octets} octets received"))
}

/// 250 after the final dot: the message is ours from now on.
pub fn queued(id: crate::mail::QueueId) -> Reply {
    Reply::new(250, EnhancedCode(2, 0, 0), format!("queued as {id}"))
}

/// 501 5.1.7: the reverse-path is none.
pub fn bad_sender(error: &MailboxError) -> Reply {
    Reply::new(501, EnhancedCode(5, 1, 7), format!("Bad sender address: {error}"))
}

/// 501 5.1.3: the forward-path is none.
pub fn bad_recipient(error: &MailboxError) -> Reply {
    Reply::new(501, EnhancedCode(5, 1, 3), format!("Bad recipient address: {error}"))
}

/// Whether this answers a mistake in the use of SMTP, as against a refused address or message.
pub fn is_protocol_error(reply: &Reply) -> bool {
    reply.code() >= 500 && reply.enhanced().is_some_and(|e| e.1 == 5)
}

/// Whether this refuses a sender or recipient: its address is none, needs SMTPUTF8, or may not pass here.
pub fn is_address_refusal(reply: &Reply) -> bool {
    reply.code() >= 500 && reply.enhanced().is_some_and(|e| matches!((e.1, e.2), (1 | 7, _) | (6, 7)))
}
