//! The content of a message: octets that are safe to send (RFC 5321 §2.3.8, §4.5.2).

use bytes::Bytes;
use std::path::PathBuf;

/// Octets were to become [`Content`] that hold a bare CR or LF, or do not end with CRLF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the content has a bare CR or LF, or does not end with CRLF")]
pub struct NotCanonical;

/// Message octets proven free of bare CR and LF and ended by CRLF (or empty), without dot stuffing.
#[derive(Clone, PartialEq, Eq)]
pub struct Content(Bytes);

impl Content {
    /// Checks the octets and keeps them without a copy.
    pub fn new(octets: Bytes) -> Result<Self, NotCanonical> {
        for at in memchr::memchr2_iter(b'\r', b'\n', &octets) {
            let ok = match octets[at] {
                b'\r' => octets.get(at + 1) == Some(&b'\n'),
                _ => at > 0 && octets[at - 1] == b'\r',
            };
            if !ok {
                return Err(NotCanonical);
            }
        }
        if octets.last().is_none_or(|last| *last == b'\n') { Ok(Self(octets)) } else { Err(NotCanonical) }
    }

    /// Keeps octets that one of our decoders made canonical, without a look at them: it would be the second in a row.
    /// Debug builds look.
    pub fn decoded(octets: Bytes) -> Self {
        debug_assert!(Self::new(octets.clone()).is_ok(), "a decoder let through what is not canonical");
        Self(octets)
    }

    /// The octets.
    pub fn octets(&self) -> &Bytes {
        &self.0
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Content never reaches a log, by whatever way.
        write!(f, "Content({} octets)", self.0.len())
    }
}

/// Where the content of a queued message is to be had.
#[derive(Debug, Clone)]
pub enum ContentSource {
    /// Small content, in memory.
    Memory(Content),
    /// Large content, in a file of its own of `octets` octets. Its writer made it canonical.
    File {
        /// The file.
        path: PathBuf,
        /// Its length in octets.
        octets: u64,
    },
}

impl ContentSource {
    /// The length in octets.
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(content) => content.octets().len() as u64,
            Self::File { octets, .. } => *octets,
        }
    }

    /// Whether there is no octet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_octets_become_content() {
        let cases: &[(&[u8], bool)] = &[
            (b"", true),
            (b"\r\n", true),
            (b"a\r\nb\r\n", true),
            (b".\r\n", true),
            (b"a\0b\r\n", true),
            (b"a", false),
            (b"a\n", false),
            (b"a\r", false),
            (b"a\rb\r\n", false),
            (b"a\r\r\n", false),
            (b"a\n\r\n", false),
            (b"\n", false),
        ];
        for (octets, good) in cases {
            assert_eq!(Content::new(Bytes::from_static(octets)).is_ok(), *good, "{octets:?}");
        }
    }
}
