//! Bounds that no configuration changes.

use std::time::Duration;

/// Octets of a command line with its line end. RFC 5321 §4.5.3.1.4 asks for 512, and more for parameters.
pub const COMMAND_LINE: usize = 2048;

/// Octets of one command line that are passed over before the client is given up.
pub const LINE_SKIPPED: usize = 64 * 1024;

/// Bad commands after which a session is closed.
pub const ERRORS: u32 = 10;

/// Refused senders and recipients since the last message after which every further refusal is slow to come, and those
/// after which the session is closed; the habits of Postfix (`smtpd_soft_error_limit`, `smtpd_hard_error_limit`).
pub const REFUSALS: (u32, u32) = (10, 20);

/// How long a refusal is kept back then (`smtpd_error_sleep_time`).
pub const REFUSAL_DELAY: Duration = Duration::from_secs(1);

/// Commands since the last message that lead to none, NOOP and the like, past which each is an error
/// (`smtpd_junk_command_limit`).
pub const JUNK: u32 = 100;

/// Octets of content a second below which a client uses up its patience (`smtpd_min_data_rate`).
pub const PACE: u32 = 500;

/// Octets of a message that will be refused which are still read, past the limit of its size, so that the client
/// hears why; further ones end the connection.
pub const WASTE: u64 = 1 << 30;

/// `Received` fields past which a message is taken to loop (RFC 5321 §6.3 asks for at least 100 hops allowed at
/// servers in general; a relay next to its clients sees a handful).
pub const HOPS: usize = 50;

/// Octets kept of what a client calls itself in EHLO.
pub const CLIENT_NAME: usize = 255;
