//! Takes messages through one part of waxseal, for `check.py` to count the instructions:
//! `instructions session|journal MESSAGES`. All goes one after another, so that the count does not depend on chance.
#![allow(clippy::unwrap_used, reason = "what cannot be set up cannot be counted")]

mod journal;
#[path = "../material.rs"]
mod material;
mod session;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Cargo adds `--bench` when it runs benches; without a case there is nothing to do then.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (case, messages) = match words[..] {
        [] => return ExitCode::SUCCESS,
        [case, messages] => (case, messages.parse().unwrap_or(0)),
        _ => ("", 0),
    };
    match case {
        "session" => session::run(messages),
        "journal" => journal::run(messages),
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}
