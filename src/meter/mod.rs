//! What went through: counters of messages, how long they took, and the last day minute by minute. Counted where it is
//! decided, read by `/metrics`, the console and `waxseal status`. Labels are ids and fixed words, never addresses.

mod day;
mod histogram;
mod kept;
mod reason;

pub use day::{Day, MINUTES, Minute, Sums};
pub use histogram::{BOUNDS, Histogram};
pub use kept::{Unreadable, from_json, to_json};
pub use reason::{REJECTIONS, Reason};

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// Milliseconds since the Unix epoch.
pub type Millis = u64;

/// Stands for a listener where a message is waxseal's own: a notification, an alert.
pub const OWN: &str = "waxseal";
/// Stands for a listener where a message was left by sendmail(8) while the daemon was down.
pub const SPOOL: &str = "spool";

/// Counts by a label.
pub type Counts = BTreeMap<Arc<str>, u64>;
/// Counts by a word.
pub type Words = BTreeMap<&'static str, u64>;

/// The meter. A clone is another handle on the same one.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Mutex<Readings>>);

/// What it has counted since the start, and the last day.
#[derive(Debug, Clone, Default)]
pub struct Readings {
    /// By listener.
    pub listeners: BTreeMap<Arc<str>, Listener>,
    /// By account.
    pub accounts: BTreeMap<Arc<str>, Account>,
    /// The last day.
    pub day: Day,
}

/// What came in at a listener.
#[derive(Debug, Clone, Default)]
pub struct Listener {
    /// Messages taken, by account.
    pub received: Counts,
    /// Messages, senders and clients refused, by reason.
    pub rejected: Words,
    /// Clients connected now.
    pub connections: u64,
}

/// What went out through an account.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// Messages delivered to all of their recipients.
    pub delivered: u64,
    /// Attempts that left somebody for later, by reason.
    pub deferred: Words,
    /// Messages that somebody will not get, by reason.
    pub failed: Words,
    /// From receipt to the provider's 250.
    pub delays: Histogram,
}

/// The time of the host.
pub fn unix_millis() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Meter {
    /// A client has connected.
    pub fn connected(&self, listener: &str) {
        self.at(listener, |listener| listener.connections += 1);
    }

    /// It is gone.
    pub fn disconnected(&self, listener: &str) {
        self.at(listener, |listener| listener.connections = listener.connections.saturating_sub(1));
    }

    /// A message was taken.
    pub fn received(&self, listener: &str, account: &str, now: Millis) {
        let mut readings = self.lock();
        readings.day.at(now).received += 1;
        let received = &mut entry(&mut readings.listeners, listener).received;
        *entry(received, account) += 1;
    }

    /// A message, a sender or a client was refused.
    pub fn rejected(&self, listener: &str, reason: &'static str, now: Millis) {
        let mut readings = self.lock();
        readings.day.at(now).rejected += 1;
        *entry(&mut readings.listeners, listener).rejected.entry(reason).or_default() += 1;
    }

    /// A message has got to all of its recipients, so many milliseconds after its receipt.
    pub fn delivered(&self, account: &str, delay: Millis, now: Millis) {
        let mut readings = self.lock();
        readings.day.at(now).delivered(delay);
        let account = entry(&mut readings.accounts, account);
        account.delivered += 1;
        account.delays.observe(delay as f64 / 1000.0);
    }

    /// An attempt has left somebody for later.
    pub fn deferred(&self, account: &str, reason: Reason, now: Millis) {
        let mut readings = self.lock();
        readings.day.at(now).deferred += 1;
        *entry(&mut readings.accounts, account).deferred.entry(reason.as_str()).or_default() += 1;
    }

    /// Somebody will not get a message.
    pub fn failed(&self, account: &str, reason: Reason, now: Millis) {
        let mut readings = self.lock();
        readings.day.at(now).failed += 1;
        *entry(&mut readings.accounts, account).failed.entry(reason.as_str()).or_default() += 1;
    }

    /// So many messages wait in the queue.
    pub fn depth(&self, messages: usize, now: Millis) {
        self.lock().day.at(now).saw_depth(messages);
    }

    /// The day as an earlier run of the daemon left it.
    pub fn begin_with(&self, day: Day) {
        self.lock().day = day;
    }

    /// A copy of everything.
    pub fn readings(&self) -> Readings {
        self.lock().clone()
    }

    /// Looks at the day, without a copy.
    pub fn with_day<T>(&self, look: impl FnOnce(&Day) -> T) -> T {
        look(&self.lock().day)
    }

    fn at(&self, listener: &str, change: impl FnOnce(&mut Listener)) {
        change(entry(&mut self.lock().listeners, listener));
    }

    fn lock(&self) -> MutexGuard<'_, Readings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entry of a label: its text is copied the first time alone.
fn entry<'a, T: Default>(map: &'a mut BTreeMap<Arc<str>, T>, label: &str) -> &'a mut T {
    match map.get_key_value(label) {
        Some((label, _)) => {
            let label = label.clone();
            map.entry(label).or_default()
        }
        None => map.entry(label.into()).or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_by_listener_account_and_reason() {
        let meter = Meter::default();
        meter.connected("a");
        meter.connected("a");
        meter.disconnected("a");
        meter.received("a", "x", 1);
        meter.rejected("a", "sender", 1);
        meter.delivered("x", 1500, 1);
        meter.deferred("x", Reason::Tls, 1);
        meter.failed("x", Reason::Recipient, 1);
        meter.depth(7, 1);
        let Readings { listeners, accounts, day } = meter.readings();
        assert_eq!(
            (listeners["a"].connections, listeners["a"].received["x"], listeners["a"].rejected["sender"]),
            (1, 1, 1)
        );
        let account = &accounts["x"];
        assert_eq!((account.delivered, account.deferred["tls"], account.failed["recipient"]), (1, 1, 1));
        assert_eq!((account.delays.count(), account.delays.sum()), (1, 1.5));
        let sums = day.sums(1, 5);
        assert_eq!(
            (sums.received, sums.rejected, sums.delivered, sums.deferred, sums.failed),
            (1, 1, 1, 1, 1)
        );
        assert_eq!(day.minutes(1).last().unwrap().unwrap().depth, 7);
    }
}
