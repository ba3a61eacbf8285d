//! What systemd is told (sd_notify(3)): how the daemon stands, and that it is alive.

use crate::admin::Service;
use sd_notify::NotifyState;
use std::{sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval};

/// How often the line that `systemctl status` shows is looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Without systemd this does nothing.
pub(super) fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::warn!(target: "waxseal", %error, "systemd not notified");
    }
}

/// Keeps the line true and the watchdog quiet, for as long as it runs. Ends where there is no systemd.
pub(super) async fn attend(service: Arc<Service>) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    tokio::join!(keep_status(&service), keep_watchdog(&service));
}

async fn keep_status(service: &Service) {
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
/// for longer than that is what the watchdog is for.
async fn keep_watchdog(service: &Service) {
    let mut microseconds = 0;
    if !sd_notify::watchdog_enabled(false, &mut microseconds) {
        return;
    }
    let mut ping = interval(Duration::from_micros((microseconds / 2).max(1)));
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ping.tick().await;
        service.queue.answers().await;
        tell(&[NotifyState::Watchdog]);
    }
}

/// One line: accounts, queue, and whether a reload was refused.
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
    if service.reload_is_refused() {
        line.push_str("; the last reload was refused, see the log");
    }
    line
}
