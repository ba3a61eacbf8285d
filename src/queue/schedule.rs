//! When a message is tried again, and when it is given up. Pure: time and chance are arguments.

use std::time::Duration;

/// Milliseconds since the Unix epoch: what the journal keeps and the queue compares.
pub type Millis = u64;

/// The waits between attempts, and the age at which a message fails.
#[derive(Debug, Clone)]
pub struct Schedule {
    retry: Vec<Duration>,
    expire: Duration,
}

impl Schedule {
    /// `retry` are the waits, the last one repeats; an empty list waits an hour.
    pub fn new(retry: Vec<Duration>, expire: Duration) -> Self {
        let retry = if retry.is_empty() { vec![Duration::from_secs(3600)] } else { retry };
        Self { retry, expire }
    }

    /// When to try again after `attempts` attempts (at least 1). `chance` in 0..1 moves the wait by up to a
    /// tenth either way, so that a thousand messages deferred together do not come back together.
    pub fn next_attempt(&self, now: Millis, attempts: u32, chance: f64) -> Millis {
        let index = (attempts.saturating_sub(1) as usize).min(self.retry.len() - 1);
        now.saturating_add(jittered(self.retry[index], chance).as_millis() as u64)
    }

    /// The age at which a message fails, in milliseconds.
    pub fn expire_millis(&self) -> Millis {
        self.expire.as_millis() as u64
    }

    /// Whether a message received at `received_at` has outlived `expire`.
    pub fn is_expired(&self, received_at: Millis, now: Millis) -> bool {
        now.saturating_sub(received_at) > self.expire_millis()
    }
}

/// `wait` moved by up to a tenth either way.
pub(crate) fn jittered(wait: Duration, chance: f64) -> Duration {
    wait.mul_f64(0.9 + 0.2 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        Schedule::new([60, 300, 900, 3600].map(Duration::from_secs).to_vec(), Duration::from_secs(5 * 86_400))
    }

    #[test]
    fn waits_follow_the_list_and_the_last_repeats() {
        for (attempts, seconds) in [(0, 60), (1, 60), (2, 300), (3, 900), (4, 3600), (5, 3600), (99, 3600)] {
            assert_eq!(schedule().next_attempt(1_000, attempts, 0.5), 1_000 + seconds * 1_000, "{attempts}");
        }
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        assert_eq!(schedule().next_attempt(0, 1, 0.0), 54_000);
        assert_eq!(schedule().next_attempt(0, 1, 1.0), 66_000);
    }

    #[test]
    fn expiry_is_by_age() {
        let five_days = 5 * 86_400_000;
        assert!(!schedule().is_expired(10, 10 + five_days));
        assert!(schedule().is_expired(10, 11 + five_days));
        assert!(!schedule().is_expired(10, 0), "a clock that went back expires nothing");
    }
}
