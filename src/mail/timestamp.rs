//! Instants as people and programs read them: RFC 3339, UTC, whole seconds.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Displays as `2026-11-23T22:25:56Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp(SystemTime);

impl Timestamp {
    /// Of an instant.
    pub fn new(at: SystemTime) -> Self {
        Self(at)
    }

    /// Of milliseconds since the Unix epoch.
    pub fn from_millis(millis: u64) -> Self {
        Self(UNIX_EPOCH + Duration::from_millis(millis))
    }

    /// Displays with milliseconds: `2026-11-23T22:25:56.042Z`.
    pub fn precise(self) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            let millis = self.0.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_millis();
            let seconds = self.to_string();
            write!(f, "{}.{millis:03}Z", seconds.trim_end_matches('Z'))
        })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (year, month, day) = civil(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// A day of the Gregorian calendar, from 1970-01-01 on. Displays as `2027-05-01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(u64);

impl Day {
    /// Parses `2027-05-01`; `None` for anything else, days that no month has included.
    pub fn parse(text: &str) -> Option<Self> {
        let (year, rest) = text.split_once('-')?;
        let (month, day) = rest.split_once('-')?;
        let number = |text: &str, digits: usize| -> Option<u64> {
            (text.len() == digits && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
        };
        let wanted = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
        // `civil` rises with its argument, so that its inverse is a search.
        let (mut low, mut high) = (0, 366 * 9999);
        while low < high {
            let middle = low + (high - low) / 2;
            if civil(middle) < wanted { low = middle + 1 } else { high = middle }
        }
        (civil(low) == wanted).then_some(Self(low))
    }

    /// Its first instant, in UTC.
    pub fn start(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0 * 86_400)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// Year, month (1 to 12) and day of the month of a day counted from 1970-01-01, in the Gregorian calendar.
pub(in crate::mail) fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, so that the leap day ends a year; 400 years are 146,097 days.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_where_they_matter() {
        for (millis, text) in [(0, "1970-01-01T00:00:00.000Z"), (951_782_400_042, "2000-02-29T00:00:00.042Z")]
        {
            assert_eq!(Timestamp::from_millis(millis).precise().to_string(), text);
        }
    }

    #[test]
    fn timestamps() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_795_472_756_999, "2026-11-23T22:25:56Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
        }
    }

    #[test]
    fn days() {
        for (text, number) in
            [("1970-01-01", 0), ("2000-02-29", 11_016), ("2027-05-01", 20_939), ("9999-12-31", 2_932_896)]
        {
            assert_eq!(Day::parse(text), Some(Day(number)), "{text}");
            assert_eq!(Day(number).to_string(), text);
        }
        for text in [
            "",
            "2027-5-1",
            "2027-02-29",
            "2027-13-01",
            "2027-00-10",
            "1969-12-31",
            "+027-05-01",
            "2027-05-01Z",
        ] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
    }
}
