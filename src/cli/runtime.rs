//! The runtime of those commands that are daemons, or play one.

use super::output::complain;
use std::{future::Future, process::ExitCode};

/// Runs to its end what a command is made of; an error is said.
pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> Result<T, ExitCode> {
    let fail = |sentence: String| {
        complain(&sentence);
        ExitCode::FAILURE
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| fail(format!("the runtime does not start: {error}")))?;
    runtime.block_on(work).map_err(|error| fail(format!("{error:#}")))
}

/// The exit code of a command that has nothing to say in the end.
pub(super) fn ended(result: Result<(), ExitCode>) -> ExitCode {
    result.map_or_else(|code| code, |()| ExitCode::SUCCESS)
}
