//! `waxseal serve`: the daemon and its signals.

use super::{
    output::complain_of_config,
    runtime::{block_on, ended},
    systemd,
};
use crate::{
    app::App,
    config::{Config, LogFormat, load_from_process_env},
    telemetry,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use tokio::signal::unix::{SignalKind, signal};

pub(super) fn serve(path: Option<&Path>) -> ExitCode {
    let config = match load_from_process_env(path) {
        Ok(config) => config,
        Err(errors) => return complain_of_config(&errors),
    };
    telemetry::start(log_format(&config), &config.log.level);
    // The queue holds other people's mail: whatever umask the daemon was started with, only its user reads it.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    raise_descriptors();
    ended(block_on(run(config, path.map(Path::to_owned))))
}

/// As many file descriptors as the system allows: by default it gives 1024, and asks to be asked.
pub(super) fn raise_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(target: "waxseal", %error, "the number of file descriptors stays as it was");
    }
}

fn log_format(config: &Config) -> telemetry::Format {
    match config.log.format {
        LogFormat::Text => telemetry::Format::Text,
        LogFormat::Json => telemetry::Format::Json,
        LogFormat::Auto if std::env::var_os("JOURNAL_STREAM").is_some() => telemetry::Format::Journald,
        LogFormat::Auto => telemetry::Format::Text,
    }
}

async fn run(config: Config, path: Option<PathBuf>) -> anyhow::Result<()> {
    // Taken before anything starts, so that no signal finds its default action.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let app = App::start(config, path).await?;
    systemd::tell(&[NotifyState::Ready]);
    let attended = systemd::attend(&app.service);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                let mut states = vec![NotifyState::Reloading];
                states.extend(NotifyState::monotonic_usec_now().ok());
                systemd::tell(&states);
                // What is wrong with it is in the log and in `status`.
                let _ = app.service.reload().await;
                let status = systemd::status_line(&app.service);
                systemd::tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
            }
        }
    }
    tracing::info!(target: "waxseal", "stopping: no new mail, transactions under way may end");
    attended.stopping();
    app.stop(systemd::may_take).await;
    tracing::info!(target: "waxseal", "stopped");
    Ok(())
}
