//! `waxseal learn`.

use crate::{
    cli::learn::address,
    config::{ListenAddress, parse_duration},
};
use clap::Args;
use std::time::Duration;

/// What stands below its options.
pub(super) const HELP: &str = "\
Examples:
  systemctl stop waxseal.socket waxseal     # one program has the port
  waxseal learn --for 10m > learned.toml
  waxseal learn --for 1d --listen 0.0.0.0:25 --listen unix:/run/waxseal/smtp.sock
  waxseal learn --json --for 1h

No message is accepted. MAIL and RCPT are answered 250, and the message itself, when it has come to its end, 451 4.3.2: \
an application that handles mail as it should keeps it, and sends it once the daemon is there. One that does not would \
lose it, so choose the time. Every client and every login is let in; passwords are neither looked at nor kept. STARTTLS \
is offered where the configuration has a certificate.

What is new is said on standard error as it comes. Ctrl-C ends it early. Standard output is then the report, in comments, \
and below it the configuration: listeners, and a draft of an account for each sender domain. Exit code: 0; 1 where an \
address cannot be listened on; 78 where the configuration is wrong.";

/// `waxseal learn`.
#[derive(Debug, Args)]
pub struct Learn {
    /// How long, as in 90s, 10m, 1d; until Ctrl-C where it is not said
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub time: Option<Duration>,
    /// Where to listen, more than once if need be; else at the configuration's listeners, 127.0.0.1:25 without any
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub listen: Vec<ListenAddress>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "a number and a unit: 90s, 10m, 2h, 1d".to_owned())
}
