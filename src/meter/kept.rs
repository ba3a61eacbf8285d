//! The last day as it is kept over a restart: JSON, whose keys are only ever added. Pure.

use super::day::{Day, Minute};
use serde::{Deserialize, Serialize};

/// A file that is none of ours, or damaged.
#[derive(Debug, thiserror::Error)]
#[error("it is not what waxseal writes: {0}")]
pub struct Unreadable(String);

#[derive(Serialize, Deserialize)]
struct File {
    minutes: Vec<Kept>,
}

/// A minute; zeros are left out.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    /// Minutes since the Unix epoch.
    minute: u64,
    #[serde(skip_serializing_if = "is_zero")]
    received: u32,
    #[serde(skip_serializing_if = "is_zero")]
    delivered: u32,
    #[serde(skip_serializing_if = "is_zero")]
    deferred: u32,
    #[serde(skip_serializing_if = "is_zero")]
    failed: u32,
    #[serde(skip_serializing_if = "is_zero")]
    rejected: u32,
    #[serde(skip_serializing_if = "is_zero")]
    depth: u32,
    #[serde(skip_serializing_if = "is_zero")]
    longest: u32,
    delays: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The day as a file.
///
/// # Errors
/// None that could be met: numbers are always JSON.
pub fn to_json(day: &Day) -> Result<Vec<u8>, Unreadable> {
    let kept = |(number, minute): (u64, Minute)| Kept {
        minute: number,
        received: minute.received,
        delivered: minute.delivered,
        deferred: minute.deferred,
        failed: minute.failed,
        rejected: minute.rejected,
        depth: minute.depth,
        longest: minute.longest,
        delays: minute.delays,
    };
    let file = File { minutes: day.known().map(kept).collect() };
    serde_json::to_vec(&file).map_err(|error| Unreadable(error.to_string()))
}

/// A file as a day. Minutes behind `now`, in minutes since the Unix epoch, are not believed.
///
/// # Errors
/// Where it is not what [`to_json`] writes.
pub fn from_json(octets: &[u8], now: u64) -> Result<Day, Unreadable> {
    let file: File = serde_json::from_slice(octets).map_err(|error| Unreadable(error.to_string()))?;
    let mut day = Day::default();
    let mut minutes = file.minutes;
    minutes.retain(|kept| kept.minute <= now);
    minutes.sort_by_key(|kept| kept.minute);
    for kept in minutes {
        let minute = Minute {
            received: kept.received,
            delivered: kept.delivered,
            deferred: kept.deferred,
            failed: kept.failed,
            rejected: kept.rejected,
            depth: kept.depth,
            longest: kept.longest,
            delays: kept.delays,
        };
        day.put(kept.minute, minute);
    }
    Ok(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_writes() {
        let mut day = Day::default();
        day.put(30_000_000, Minute { received: 1, delays: 7, ..Minute::default() });
        day.put(30_000_005, Minute { failed: 2, depth: 9, ..Minute::default() });
        let written = to_json(&day).unwrap();
        let read = from_json(&written, 30_000_005).unwrap();
        assert_eq!(read.known().collect::<Vec<_>>(), day.known().collect::<Vec<_>>());
        assert_eq!(from_json(&written, 30_000_001).unwrap().known().count(), 1);
    }

    #[test]
    fn later_keys_are_passed_over_and_what_is_damaged_is_said() {
        let later = br#"{"version":9,"minutes":[{"minute":5,"received":2,"bounced":1,"delays":0}]}"#;
        assert_eq!(from_json(later, 9).unwrap().known().count(), 1);
        for damaged in [&b""[..], b"{", b"[]", br#"{"minutes":[{"minute":-1}]}"#] {
            assert!(from_json(damaged, 9).is_err());
        }
    }
}
