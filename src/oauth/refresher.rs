//! The background refresher: keeps every grant fresh, also those of idle accounts.

use super::{Tokens, renew::Eagerness};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// Token requests of the refresher at once, over all accounts.
const AT_ONCE: usize = 4;
/// The clock is looked at this often, so that a suspended or re-set machine catches up.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
const SHORTEST_SLEEP: Duration = Duration::from_millis(500);

/// Refreshes tokens ahead of their end until `stop`, then waits for requests under way.
pub async fn run(tokens: Tokens, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let mut next = LONGEST_SLEEP;
        let (now, instant) = (tokens.0.now(), Instant::now());
        for entry in tokens.0.entries() {
            let due = entry.standing().due(now, instant, entry.jitter);
            match due {
                // Somebody is at it already: look again soon.
                Some(wait) if wait.is_zero() && entry.flight.try_lock().is_err() => next = SHORTEST_SLEEP,
                Some(wait) if wait.is_zero() => {
                    let (tokens, permits) = (tokens.clone(), permits.clone());
                    tokio::spawn(async move {
                        let _permit = permits.acquire_owned().await;
                        // The failure is logged and noted where it happens.
                        let _ = tokens.fly(&entry.id, Eagerness::Ahead).await;
                    });
                }
                Some(wait) => next = next.min(wait),
                None => {}
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(next.max(SHORTEST_SLEEP)) => {}
            () = tokens.0.wake.notified() => {}
        }
    }
    tokens.settle().await;
}
