//! The binary: everything is in the library.

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    waxseal::cli::run(waxseal::cli::Arguments::parse())
}
