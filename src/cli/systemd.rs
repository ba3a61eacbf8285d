//! What systemd is told (sd_notify(3)): how the daemon stands, and that it is alive.

use crate::admin::Service;
use sd_notify::NotifyState;
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

/// How often the line that `systemctl status` shows is looked at.
const LOOK: Duration = Duration::from_secs(10);
/// What a step of the shutdown may take beyond its own limit.
const MOMENT: Duration = Duration::from_secs(5);

/// Without systemd this does nothing.
pub(super) fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::warn!(target: "waxseal", %error, "systemd not notified");
    }
}

/// A step of the shutdown may take so long, whatever `TimeoutStopSec=` says, and a moment more.
pub(super) fn may_take(time: Duration) {
    let microseconds = (time + MOMENT).as_micros();
    tell(&[NotifyState::ExtendTimeoutUsec(u32::try_from(microseconds).unwrap_or(u32::MAX))]);
}

/// Who keeps the line true and the watchdog quiet.
pub(super) struct Attended {
    status: JoinHandle<()>,
}

impl Attended {
    /// The line is the shutdown's from now on. The watchdog goes on being told: a drain takes longer than some ask for.
    pub(super) fn stopping(self) {
        self.status.abort();
        tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }
}

/// Begins to keep the line true and the watchdog quiet. Where there is no systemd, that is nothing.
pub(super) fn attend(service: &Arc<Service>) -> Attended {
    let (status, watchdog) = (service.clone(), service.clone());
    tokio::spawn(async move { keep_watchdog(&watchdog).await });
    Attended { status: tokio::spawn(async move { keep_status(&status).await }) }
}

async fn keep_status(service: &Service) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = String::new();
    loop {
        look.tick().await;
        let line = status_line(service);
        if line != said {
            tell(&[NotifyState::Status(&line)]);
            said = line;
        }
    }
}

/// At half of `WatchdogSec=`, as long as the runtime turns and the journal's writer answers. One that hangs in its disk
/// for longer than that is what the watchdog is for; so is one that has ended.
async fn keep_watchdog(service: &Service) {
    let mut microseconds = 0;
    if !sd_notify::watchdog_enabled(false, &mut microseconds) {
        return;
    }
    let mut ping = interval(Duration::from_micros((microseconds / 2).max(1)));
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ping.tick().await;
        if service.queue.answers().await {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// One line: accounts, queue, and a reload that was refused.
pub(super) fn status_line(service: &Service) -> String {
    let accounts = service.accounts();
    let ready = accounts.iter().filter(|account| account.state == "ready").count();
    let active = accounts.iter().filter(|account| account.active).count();
    let counts = service.queue.counts();
    let count = |states: &[&str]| states.iter().filter_map(|state| counts.get(state)).sum::<usize>();
    let mut line = format!(
        "{ready} of {active} accounts ready, {} messages waiting, {} held, {} failed",
        count(&["queued", "active", "deferred"]),
        count(&["held"]),
        count(&["failed"])
    );
    if let Some(refused) = service.refused_reload() {
        line.push_str(&format!("; {refused}"));
    }
    line
}
