//! The command line: one file a command group. What talks to the running daemon goes over its control socket.

mod account;
pub mod arguments;
pub mod check;
mod client;
mod demo;
mod output;
mod queue;
pub mod route;
mod serve;
mod status;
mod trace;
mod verify;

pub use arguments::Arguments;

use arguments::Command;
use std::process::ExitCode;

/// Runs a command; the exit codes are the contract's.
pub fn run(arguments: Arguments) -> ExitCode {
    let config = arguments.config.as_deref();
    match arguments.command {
        Command::Serve => serve::serve(config),
        Command::Demo(arguments) => demo::demo(&arguments),
        Command::Check { json } => check::check(config, json),
        Command::Route { address, client, listener, user, json } => {
            let (listener, user) = (listener.as_deref(), user.as_deref());
            let query = route::RouteQuery { sender: &address, client, listener, user };
            route::route(config, query, json)
        }
        Command::Account { command } => account::account(config, command),
        Command::Queue { command } => queue::queue(config, command),
        Command::Trace { query, limit, json } => trace::trace(config, &query, limit, json),
        Command::Status { json } => status::status(config, json),
        Command::Reload => status::reload(config),
    }
}
