//! What the meter has counted.

use super::Metric;
use crate::{
    account::AccountId,
    admin::service::Service,
    meter::{Account, Listener, OWN, REJECTIONS, Readings, Reason, SPOOL},
};
use std::collections::BTreeMap;

impl Service {
    /// Counters of messages, delays and connections. What is configured is there from the start, at 0, with all reasons
    /// that can occur: a counter that begins at 1 has risen unseen.
    pub(super) fn message_metrics(&self) -> Vec<Metric> {
        let Readings { listeners, accounts, .. } = self.queue.meter().readings();
        let snapshot = self.live.get();
        let mut by_listener: BTreeMap<String, Listener> = BTreeMap::new();
        by_listener
            .extend(snapshot.config.listeners.iter().map(|l| (l.address.to_string(), Listener::default())));
        by_listener.extend(listeners.into_iter().map(|(name, listener)| (name.to_string(), listener)));
        let mut by_account: BTreeMap<String, Account> = BTreeMap::new();
        by_account.extend(snapshot.config.accounts.iter().map(|a| (a.id.to_string(), Account::default())));
        by_account.extend(accounts.into_iter().map(|(id, account)| (id.to_string(), account)));
        for name in [SPOOL, OWN] {
            by_listener.entry(name.to_owned()).or_default();
        }
        for (name, listener) in &mut by_listener {
            for account in &snapshot.config.accounts {
                listener.received.entry(account.id.as_str().into()).or_default();
            }
            if !matches!(&**name, SPOOL | OWN) {
                for reason in REJECTIONS {
                    listener.rejected.entry(reason).or_default();
                }
            }
        }
        for account in by_account.values_mut() {
            for reason in Reason::ALL {
                if reason.defers() {
                    account.deferred.entry(reason.as_str()).or_default();
                }
                if reason.fails() {
                    account.failed.entry(reason.as_str()).or_default();
                }
            }
        }
        let mut all = incoming(&by_listener);
        all.extend(outgoing(&by_account));
        all.push(self.upstream_connections());
        all
    }

    fn upstream_connections(&self) -> Metric {
        let mut open = Metric::new(
            "waxseal_upstream_connections",
            "gauge",
            "Connections to providers that are open, idle ones included.",
        );
        for account in &self.live.get().config.accounts {
            let id: &AccountId = &account.id;
            let upstream = (self.upstreams)(id).and_then(Result::ok);
            let count = upstream.map_or(0, |upstream| upstream.connections());
            open.add(&[("account", id.as_str())], count as f64);
        }
        open
    }
}

fn incoming(listeners: &BTreeMap<String, Listener>) -> Vec<Metric> {
    let mut received =
        Metric::new("waxseal_messages_received_total", "counter", "Messages taken, and answered for since.");
    let mut rejected = Metric::new(
        "waxseal_messages_rejected_total",
        "counter",
        "Messages, senders and clients that were refused.",
    );
    let mut connections = Metric::new("waxseal_connections", "gauge", "Clients that are connected.");
    for (name, listener) in listeners {
        let label = ("listener", name.as_str());
        for (account, count) in &listener.received {
            received.add(&[label, ("account", account)], *count as f64);
        }
        for (reason, count) in &listener.rejected {
            rejected.add(&[label, ("reason", reason)], *count as f64);
        }
        if !matches!(&**name, SPOOL | OWN) {
            connections.add(&[label], listener.connections as f64);
        }
    }
    vec![received, rejected, connections]
}

fn outgoing(accounts: &BTreeMap<String, Account>) -> Vec<Metric> {
    let mut delivered = Metric::new(
        "waxseal_messages_delivered_total",
        "counter",
        "Messages that all of their recipients have got.",
    );
    let mut deferred = Metric::new(
        "waxseal_messages_deferred_total",
        "counter",
        "Attempts that have left somebody for later.",
    );
    let mut failed =
        Metric::new("waxseal_messages_failed_total", "counter", "Messages that somebody will not get.");
    let mut delays = Metric::new(
        "waxseal_delivery_seconds",
        "histogram",
        "Seconds from receipt to the provider's reply for the last recipient.",
    );
    for (id, account) in accounts {
        let label = ("account", id.as_str());
        delivered.add(&[label], account.delivered as f64);
        for (reason, count) in &account.deferred {
            deferred.add(&[label, ("reason", reason)], *count as f64);
        }
        for (reason, count) in &account.failed {
            failed.add(&[label, ("reason", reason)], *count as f64);
        }
        for (bound, count) in account.delays.cumulative() {
            delays.add_part("_bucket", &[label, ("le", &bound.to_string())], count as f64);
        }
        let count = account.delays.count() as f64;
        delays.add_part("_bucket", &[label, ("le", "+Inf")], count);
        delays.add_part("_sum", &[label], account.delays.sum());
        delays.add_part("_count", &[label], count);
    }
    vec![delivered, deferred, failed, delays]
}
