//! The CLI's end of the control socket.

use crate::{
    admin::protocol::{Answer, LeftOut, Request},
    cli::output::{complain, complain_of_config},
    config::{load_from_process_env, process_env, state_dir_despite},
};
use std::{
    io::{self, BufRead as _, BufReader, ErrorKind, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// `EX_UNAVAILABLE` of sysexits.h: the daemon is down.
pub(super) const EX_UNAVAILABLE: u8 = 69;
/// The daemon's socket in its state directory.
pub(super) const SOCKET: &str = "control.sock";

/// Asks the daemon that this configuration belongs to; `progress` takes what comes before the last answer.
///
/// # Errors
/// The exit code, after the reason has been printed.
pub(super) fn ask(
    config: Option<&Path>,
    request: &Request,
    progress: &mut dyn FnMut(serde_json::Value),
) -> Result<serde_json::Value, ExitCode> {
    let path = state_dir(config)?.join(SOCKET);
    let stream = UnixStream::connect(&path).map_err(|error| down(&path, &error))?;
    converse(stream, &path, request, progress)
}

/// [`ask`] for requests without progress.
///
/// # Errors
/// As [`ask`].
pub(super) fn ask_once(config: Option<&Path>, request: &Request) -> Result<serde_json::Value, ExitCode> {
    ask(config, request, &mut |_| {})
}

/// Complains of what an answer leaves out, where that is told before it.
pub(super) fn tell_left_out(progress: serde_json::Value) {
    if let Ok(told) = serde_json::from_value::<LeftOut>(progress) {
        told.left_out.iter().for_each(|sentence| complain(sentence));
    }
}

/// [`ask`]; where no daemon listens, `stopped` answers from the state directory, with the same `progress`.
///
/// # Errors
/// As [`ask`].
pub(super) fn ask_or(
    config: Option<&Path>,
    request: &Request,
    progress: &mut dyn FnMut(serde_json::Value),
    stopped: impl FnOnce(&Path, &mut dyn FnMut(serde_json::Value)) -> Result<serde_json::Value, ExitCode>,
) -> Result<serde_json::Value, ExitCode> {
    let state_dir = state_dir(config)?;
    let path = state_dir.join(SOCKET);
    match UnixStream::connect(&path) {
        Ok(stream) => converse(stream, &path, request, progress),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            stopped(&state_dir, progress)
        }
        Err(error) => Err(down(&path, &error)),
    }
}

/// Where the configuration is wrong by now, its daemon may still run with the one of before.
fn state_dir(config: Option<&Path>) -> Result<PathBuf, ExitCode> {
    load_from_process_env(config).map(|config| config.state_dir).or_else(|errors| {
        let state_dir = state_dir_despite(config, process_env());
        let is_there = state_dir.join(SOCKET).exists();
        if is_there { Ok(state_dir) } else { Err(complain_of_config(&errors)) }
    })
}

/// Says that the daemon does not answer, and gives the exit code for it.
pub(super) fn down(path: &Path, error: &io::Error) -> ExitCode {
    let hint = match error.kind() {
        ErrorKind::PermissionDenied => "you need the rights of its user or group; try sudo",
        _ => "is it running? start it with `systemctl start waxseal` or `waxseal serve`",
    };
    complain(&format!("the daemon does not answer on {}: {error}; {hint}", path.display()));
    ExitCode::from(EX_UNAVAILABLE)
}

/// Asks over a connection that is there.
///
/// # Errors
/// As [`ask`].
pub(super) fn converse(
    mut stream: UnixStream,
    path: &Path,
    request: &Request,
    progress: &mut dyn FnMut(serde_json::Value),
) -> Result<serde_json::Value, ExitCode> {
    let down = |error: io::Error| down(path, &error);
    let mut line = serde_json::to_vec(request).map_err(|error| down(error.into()))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(down)?;
    let mut answers = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if answers.read_line(&mut line).map_err(down)? == 0 {
            return Err(down(io::Error::other("it closed the connection")));
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
