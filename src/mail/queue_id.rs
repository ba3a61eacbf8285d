//! The name of a queued message.

use std::{fmt, str::FromStr};

/// Digits of the written form, in ASCII order, so that ids sort by age. Without E, I, O and U few ids are words.
const DIGITS: &[u8; 32] = b"0123456789ABCDFGHJKLMNPQRSTVWXYZ";
/// Five bits a digit.
const LENGTH: usize = 13;

/// Names a message from its receipt to the end of its history. Sorts by age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(u64);

/// A text was to be a queue id and is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a queue id is 13 digits and letters other than E, I, O and U, as in 1N85GP5PM0000")]
pub struct QueueIdError;

impl QueueId {
    /// The id of the `sequence`-th message (modulo 2^20) of the millisecond `unix_millis`.
    pub fn new(unix_millis: u64, sequence: u32) -> Self {
        Self((unix_millis << 20) | u64::from(sequence & 0xf_ffff))
    }

    /// The id with this number, as kept in the journal.
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// About when the message came: milliseconds since the Unix epoch. Later than the clock where that was set back.
    pub fn unix_millis(self) -> u64 {
        self.0 >> 20
    }

    /// The number that stands for it in the journal.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'0'; LENGTH];
        let mut rest = self.0;
        for digit in text.iter_mut().rev() {
            *digit = DIGITS[(rest & 31) as usize];
            rest >>= 5;
        }
        f.pad(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for QueueId {
    type Err = QueueIdError;

    fn from_str(text: &str) -> Result<Self, QueueIdError> {
        if text.len() != LENGTH {
            return Err(QueueIdError);
        }
        let mut number = 0u64;
        for (i, byte) in text.bytes().enumerate() {
            let digit =
                DIGITS.iter().position(|d| *d == byte.to_ascii_uppercase()).ok_or(QueueIdError)? as u64;
            if i == 0 && digit > 15 {
                return Err(QueueIdError);
            }
            number = (number << 5) | digit;
        }
        Ok(Self(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_the_round_trip_and_sort_by_age() {
        let mut written = Vec::new();
        for (millis, sequence) in [(0, 0), (1, 0), (1, 1), (1_763_900_000_000, 7), (1_763_900_000_001, 0)] {
            let id = QueueId::new(millis, sequence);
            assert_eq!(id.to_string().parse(), Ok(id));
            written.push(id.to_string());
        }
        let mut sorted = written.clone();
        sorted.sort();
        assert_eq!(written, sorted);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "A", "0CK7TQ2M4X1Z", "0CK7TQ2M4X1ZE", "ZZZZZZZZZZZZZ", "0CK7TQ2M4X1é"] {
            assert_eq!(text.parse::<QueueId>(), Err(QueueIdError), "{text}");
        }
    }
}
