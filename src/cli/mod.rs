//! The command line: one file a command group. What talks to the running daemon goes over its control socket.

mod account;
mod account_add;
mod admin_url;
pub mod arguments;
pub mod check;
mod client;
mod colour;
mod conf_d;
mod demo;
mod doctor;
mod import;
mod learn;
mod manual;
mod moving;
mod output;
mod progress;
mod queue;
pub mod route;
mod runtime;
mod sendmail;
mod serve;
mod status;
mod store;
mod systemd;
mod terminal;
mod trace;
mod verify;

pub use arguments::Arguments;

use arguments::Command;
use clap::Parser as _;
use std::{ffi::OsString, process::ExitCode};

/// Runs what a process was called with, its name first; the exit codes are the contract's, or sendmail(8)'s.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    match sendmail::Call::recognize(&arguments) {
        Some(call) => call.run(),
        None => run(Arguments::parse_from(arguments)),
    }
}

/// Runs a command; the exit codes are the contract's.
pub fn run(arguments: Arguments) -> ExitCode {
    let config = arguments.config.as_deref();
    match arguments.command {
        Command::Serve => serve::serve(config),
        Command::Demo(arguments) => demo::demo(&arguments),
        Command::Learn(arguments) => learn::learn(config, &arguments),
        Command::Check { online: true, .. } => match check::check(config, false) {
            ExitCode::SUCCESS => doctor::doctor(config, Vec::new(), false),
            code => code,
        },
        Command::Check { json, .. } => check::check(config, json),
        Command::Route { address, client, listener, user, json } => {
            let (listener, user) = (listener.as_deref(), user.as_deref());
            let query = route::RouteQuery { sender: &address, client, listener, user };
            route::route(config, query, json)
        }
        Command::Account { command } => account::account(config, command),
        Command::Doctor { accounts, json } => doctor::doctor(config, accounts, json),
        Command::Import(arguments) => import::import(config, &arguments),
        Command::Queue { command } => queue::queue(config, command),
        Command::Trace { query, limit, json } => trace::trace(config, &query, limit, json),
        Command::Store { command } => store::store(config, command),
        Command::Status { json } => status::status(config, json),
        Command::Reload => status::reload(config),
        Command::AdminUrl => admin_url::admin_url(config),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { directory } => manual::man(&directory),
        Command::Sendmail { words } => sendmail::Call::new(arguments.config, words).run(),
    }
}
