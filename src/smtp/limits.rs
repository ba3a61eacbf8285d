//! Bounds that no configuration changes.

/// Octets of a command line with its line end. RFC 5321 §4.5.3.1.4 asks for 512, and more for parameters.
pub const COMMAND_LINE: usize = 2048;

/// Bad commands after which a session is closed.
pub const ERRORS: u32 = 10;

/// Octets of content that are looked at for a header section; what comes later counts as body.
pub const HEADER_SECTION: usize = 256 * 1024;

/// `Received` fields past which a message is taken to loop (RFC 5321 §6.3 asks for at least 100 hops allowed at
/// servers in general; a relay next to its clients sees a handful).
pub const HOPS: usize = 50;

/// Octets kept of what a client calls itself in EHLO.
pub const CLIENT_NAME: usize = 255;
