//! The CLI's end of the control socket.

use crate::{
    admin::protocol::{Answer, Request},
    cli::output::{complain, complain_of_config},
    config::load_from_process_env,
};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    process::ExitCode,
};

/// `EX_UNAVAILABLE` of sysexits.h: the daemon is down.
const EX_UNAVAILABLE: u8 = 69;

/// Asks the daemon that this configuration belongs to; `progress` takes what comes before the last answer.
///
/// # Errors
/// The exit code, after the reason has been printed.
pub(super) fn ask(
    config: Option<&Path>,
    request: &Request,
    progress: &mut dyn FnMut(serde_json::Value),
) -> Result<serde_json::Value, ExitCode> {
    let state_dir = match load_from_process_env(config) {
        Ok(config) => config.state_dir,
        Err(errors) => return Err(complain_of_config(&errors)),
    };
    let path = state_dir.join("control.sock");
    let down = |error: std::io::Error| {
        let hint = match error.kind() {
            std::io::ErrorKind::PermissionDenied => "you need the rights of its user or group; try sudo",
            _ => "is it running? start it with `systemctl start waxseal` or `waxseal serve`",
        };
        complain(&format!("the daemon does not answer on {}: {error}; {hint}", path.display()));
        ExitCode::from(EX_UNAVAILABLE)
    };
    let mut stream = UnixStream::connect(&path).map_err(down)?;
    let mut line = serde_json::to_vec(request).map_err(|error| down(error.into()))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(down)?;
    let mut answers = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if answers.read_line(&mut line).map_err(down)? == 0 {
            return Err(down(std::io::Error::other("it closed the connection")));
        }
        match serde_json::from_str::<Answer>(&line).map_err(|error| down(error.into()))? {
            Answer::Progress(value) => progress(value),
            Answer::Done(value) => return Ok(value),
            Answer::Failed { message, exit_code } => {
                complain(&message);
                return Err(ExitCode::from(exit_code));
            }
        }
    }
}

/// [`ask`] for requests without progress.
///
/// # Errors
/// As [`ask`].
pub(super) fn ask_once(config: Option<&Path>, request: &Request) -> Result<serde_json::Value, ExitCode> {
    ask(config, request, &mut |_| {})
}
