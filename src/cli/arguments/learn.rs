//! `waxseal learn`.

use crate::{
    cli::learn::address,
    config::{ListenAddress, parse_duration},
};
use clap::Args;
use std::time::Duration;

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
