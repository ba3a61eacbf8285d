//! The last day's numbers, kept over a restart: read at start, written every five minutes and in the end.

use crate::{
    meter::{Meter, from_json, to_json, unix_millis},
    queue::Queue,
};
use std::{
    fs::{self, File},
    future::Future,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Its file in the state directory.
const NAME: &str = "day.json";
/// How often the depth of the queue is looked at.
const LOOK: Duration = Duration::from_secs(10);
/// How often it is written.
const WRITE: Duration = Duration::from_secs(5 * 60);

/// Goes on where an earlier run ended, before anything is counted; then watches the queue and keeps the day, until
/// `stop`.
pub(super) fn keep(
    queue: Queue,
    state_dir: &Path,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    let path = state_dir.join(NAME);
    take_up(queue.meter(), &path);
    watch(queue, path, stop)
}

async fn watch(queue: Queue, path: PathBuf, stop: CancellationToken) {
    let meter = queue.meter().clone();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut written = Instant::now();
    loop {
        let ends = tokio::select! {
            () = stop.cancelled() => true,
            _ = look.tick() => false,
        };
        let waiting = queue.lanes().iter().map(|lane| lane.tally.outstanding()).sum();
        meter.depth(waiting, unix_millis());
        if ends || written.elapsed() >= WRITE {
            written = Instant::now();
            let (meter, path) = (meter.clone(), path.clone());
            let put = tokio::task::spawn_blocking(move || put(&meter, &path)).await;
            if let Err(error) = put.unwrap_or_else(|error| Err(io::Error::other(error))) {
                tracing::warn!(target: "waxseal", %error, "the numbers of the last day cannot be written");
            }
        }
        if ends {
            return;
        }
    }
}

fn take_up(meter: &Meter, path: &Path) {
    let octets = match fs::read(path) {
        Ok(octets) => octets,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            tracing::warn!(target: "waxseal", %error, "the numbers of the last day cannot be read: they begin anew");
            return;
        }
    };
    match from_json(&octets, unix_millis() / 60_000) {
        Ok(day) => meter.begin_with(day),
        Err(error) => {
            tracing::warn!(target: "waxseal", %error, "the numbers of the last day cannot be read: they begin anew");
        }
    }
}

/// They are of no use to anybody after a power loss that tore them, so nothing is synced.
fn put(meter: &Meter, path: &Path) -> io::Result<()> {
    let octets = meter.with_day(to_json).map_err(io::Error::other)?;
    let temporary = path.with_extension("json.new");
    File::create(&temporary)?.write_all(&octets)?;
    fs::rename(&temporary, path)
}
