//! Durations, sizes and rates as people write them. Pure.

use crate::account::Rate;
use std::time::Duration;

/// Parses `"90s"`, `"5m"`, `"1h"`, `"5d"`, `"250ms"`. `None` for anything else, zero included.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let total = number.checked_mul(milliseconds)?;
    (total > 0).then(|| Duration::from_millis(total))
}

/// Parses `"50MiB"`, `"25MB"`, `"10GiB"`, `"4096"` into octets; `kB` and `KB` are 1000, `KiB` 1024.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Parses `"30/min"`, `"5/s"`, `"100/h"`, `"1000/d"`; the outer `None` is an error, the inner one `"none"`.
pub fn parse_rate(text: &str) -> Option<Option<Rate>> {
    if text == "none" {
        return Some(None);
    }
    let (count, unit) = text.split_once('/')?;
    let seconds = match unit.trim() {
        "s" | "sec" => 1,
        "m" | "min" => 60,
        "h" | "hour" => 3600,
        "d" | "day" => 86_400,
        _ => return None,
    };
    let count = count.trim().parse().ok().filter(|count| *count > 0)?;
    Some(Some(Rate { count, per: Duration::from_secs(seconds) }))
}

/// The duration in its largest whole unit.
pub fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")]
        .into_iter()
        .find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit))
        .map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}

/// The size in its largest whole binary unit.
pub fn show_size(octets: u64) -> String {
    [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|(shift, _)| octets >= 1 << shift && octets.is_multiple_of(1 << shift))
        .map_or_else(|| format!("{octets}B"), |(shift, name)| format!("{}{name}", octets >> shift))
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let cases = [
            ("90s", Some(90_000)),
            ("5m", Some(300_000)),
            ("5 min", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("5d", Some(432_000_000)),
            ("250ms", Some(250)),
            ("0s", None),
            ("5", None),
            ("", None),
            ("-5s", None),
            ("5w", None),
            ("99999999999999999d", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse_duration(text), want.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn sizes() {
        let cases = [
            ("50MiB", Some(50 << 20)),
            ("25MB", Some(25_000_000)),
            ("10 GiB", Some(10 << 30)),
            ("4096", Some(4096)),
            ("5mb", None),
            ("MiB", None),
            ("99999999TiB", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse_size(text), want, "{text}");
        }
    }

    #[test]
    fn rates() {
        let rate = |count, seconds| Some(Some(Rate { count, per: Duration::from_secs(seconds) }));
        let cases = [
            ("30/min", rate(30, 60)),
            ("5/s", rate(5, 1)),
            ("100/h", rate(100, 3600)),
            ("none", Some(None)),
            ("0/s", None),
            ("30", None),
            ("30/week", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse_rate(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for text in ["90s", "5m", "5d", "250ms"] {
            assert_eq!(parse_duration(text).map(show_duration).as_deref(), Some(text));
        }
        for text in ["50MiB", "10GiB", "512KiB"] {
            assert_eq!(parse_size(text).map(show_size).as_deref(), Some(text));
        }
    }
}
