//! `GET /metrics` in Prometheus' text format: what the meter has counted, and what can be told of accounts, tokens and
//! queue at one instant.

mod messages;

use super::service::Service;
use crate::{account::AccountId, queue::LaneView};
use std::{
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Media type of the text format.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const STATES: [&str; 4] = ["ready", "needs_authorization", "failing", "inactive"];

/// A metric with its samples.
struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: Vec<(String, f64)>,
}

impl Metric {
    fn new(name: &'static str, kind: &'static str, help: &'static str) -> Self {
        Self { name, kind, help, samples: Vec::new() }
    }

    fn add(&mut self, labels: &[(&str, &str)], value: f64) {
        let pair = |(name, value): &(&str, &str)| format!("{name}=\"{}\"", escaped(value));
        let labels: Vec<_> = labels.iter().map(pair).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.samples.push((labels, value));
    }

    /// A sample of a name of its own below the metric's: `_bucket`, `_sum` and `_count` of a histogram.
    fn add_part(&mut self, part: &'static str, labels: &[(&str, &str)], value: f64) {
        self.add(labels, value);
        if let Some((labels, _)) = self.samples.last_mut() {
            labels.insert_str(0, part);
        }
    }

    fn write(&self, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# HELP {} {}\n# TYPE {} {}", self.name, self.help, self.name, self.kind);
        for (labels, value) in &self.samples {
            let _ = writeln!(out, "{}{labels} {value}", self.name);
        }
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Seconds from `now` until `then`; negative where it is past.
fn until(then: SystemTime, now: SystemTime) -> f64 {
    match then.duration_since(now) {
        Ok(left) => left.as_secs_f64().round(),
        Err(past) => -past.duration().as_secs_f64().round(),
    }
}

impl Service {
    /// All metrics as text.
    pub(super) fn metrics(&self, now: SystemTime) -> String {
        let mut out = String::new();
        let mut all = self.process_metrics();
        all.extend(self.message_metrics());
        all.extend(self.queue_metrics(now));
        all.extend(self.account_metrics(now));
        all.iter().for_each(|metric| metric.write(&mut out));
        out
    }

    fn process_metrics(&self) -> Vec<Metric> {
        let mut build = Metric::new("waxseal_build_info", "gauge", "1, with the version as a label.");
        build.add(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        let mut start =
            Metric::new("process_start_time_seconds", "gauge", "When the daemon started, since the epoch.");
        start.add(&[], -until(UNIX_EPOCH, self.started_at));
        vec![build, start]
    }

    fn account_metrics(&self, now: SystemTime) -> Vec<Metric> {
        let mut states =
            Metric::new("waxseal_account_state", "gauge", "1 for the state that an account is in.");
        let mut expires =
            Metric::new("waxseal_token_expires_seconds", "gauge", "Seconds until the access token ends.");
        let mut age = Metric::new("waxseal_grant_age_seconds", "gauge", "Seconds since somebody agreed.");
        let mut rotated = Metric::new(
            "waxseal_grant_rotated_seconds",
            "gauge",
            "Seconds since the refresh token was obtained.",
        );
        let mut ends = Metric::new(
            "waxseal_grant_ends_seconds",
            "gauge",
            "Seconds until the grant ends unless something is done.",
        );
        let mut asked =
            Metric::new("waxseal_token_refresh_total", "counter", "Token requests by what they came to.");
        for view in self.accounts() {
            let account = ("account", view.id.as_str());
            for state in STATES {
                states.add(&[account, ("state", state)], f64::from(u8::from(view.state == state)));
            }
            let Some(status) = self.tokens.status(&AccountId::new(&view.id)) else { continue };
            if let Some(at) = status.expires_at {
                expires.add(&[account], until(at, now));
            }
            if let Some(at) = status.authorized_at {
                age.add(&[account], -until(at, now));
            }
            if let Some(at) = status.rotated_at {
                rotated.add(&[account], -until(at, now));
            }
            if let Some(forecast) = status.forecast {
                ends.add(&[account, ("cause", &forecast.cause.to_string())], until(forecast.ends_at, now));
            }
            let results = status.asked;
            for (result, count) in [
                ("granted", results.granted),
                ("rejected", results.rejected),
                ("misconfigured", results.misconfigured),
                ("unavailable", results.unavailable),
            ] {
                asked.add(&[account, ("result", result)], count as f64);
            }
        }
        vec![states, expires, age, rotated, ends, asked]
    }

    fn queue_metrics(&self, now: SystemTime) -> Vec<Metric> {
        let mut messages = Metric::new("waxseal_queue_messages", "gauge", "Messages in the queue by state.");
        let mut oldest =
            Metric::new("waxseal_queue_oldest_seconds", "gauge", "Age of the oldest message that waits.");
        let mut octets = Metric::new("waxseal_queue_bytes", "gauge", "Octets that the queue takes on disk.");
        for LaneView { account, tally, .. } in self.queue.lanes() {
            for (state, count) in [
                ("queued", tally.queued),
                ("active", tally.active),
                ("deferred", tally.deferred),
                ("held", tally.held),
                ("failed", tally.failed),
            ] {
                messages.add(&[("account", account.as_str()), ("state", state)], count as f64);
            }
        }
        for lane in self.queue.backlogs() {
            let came = UNIX_EPOCH + Duration::from_millis(lane.oldest);
            oldest.add(&[("account", lane.account.as_str())], -until(came, now));
        }
        octets.add(&[], self.queue.octets() as f64);
        let mut up =
            Metric::new("waxseal_store_up", "gauge", "1 while the nodes' database serves; 1 without one.");
        let trouble = self.database.as_ref().and_then(|database| database.standing().trouble);
        up.add(&[], if trouble.is_none() { 1.0 } else { 0.0 });
        let mut alone = Metric::new(
            "waxseal_store_uncopied_messages",
            "gauge",
            "Messages on this host's disk alone, which several nodes should share.",
        );
        alone.add(&[], self.queue.uncopied().unwrap_or(0) as f64);
        vec![messages, oldest, octets, up, alone]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let mut metric = Metric::new("waxseal_x", "gauge", "What.");
        metric.add(&[("account", "a\"b\\c\nd")], -3.0);
        metric.add(&[], 2.5);
        let mut out = String::new();
        metric.write(&mut out);
        assert_eq!(
            out,
            "# HELP waxseal_x What.\n# TYPE waxseal_x gauge\nwaxseal_x{account=\"a\\\"b\\\\c\\nd\"} -3\nwaxseal_x 2.5\n"
        );
    }
}
