//! The queue's clock: the system's, or one that a simulation moves.

use super::schedule::Millis;
use crate::meter::unix_millis;
use std::time::Duration;
use tokio::sync::watch;

/// Waits are cut into pieces of this length, so that a system clock that jumps is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// What time it is.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The system's.
    System,
    /// Stands still until it is moved: see [`Clock::simulated`].
    Simulated(watch::Receiver<Millis>),
}

impl Clock {
    /// A clock that shows what is sent to it, from `start` on: an hour of a simulation takes as long as its work does.
    pub fn simulated(start: Millis) -> (watch::Sender<Millis>, Self) {
        let (sender, receiver) = watch::channel(start);
        (sender, Self::Simulated(receiver))
    }

    /// Milliseconds since the Unix epoch.
    pub fn now(&self) -> Millis {
        match self {
            Self::System => unix_millis(),
            Self::Simulated(time) => *time.borrow(),
        }
    }

    /// Waits until `until`, or somewhat less: ask again what time it is.
    pub(super) async fn sleep_until(&self, until: Millis) {
        match self {
            Self::System => {
                let wait = Duration::from_millis(until.saturating_sub(self.now()));
                tokio::time::sleep(wait.min(LONGEST_SLEEP)).await;
            }
            Self::Simulated(time) => {
                // A simulation whose end of the clock is gone moves no more.
                if time.clone().wait_for(|now| *now >= until).await.is_err() {
                    std::future::pending().await
                }
            }
        }
    }
}
