//! What is around every record: magic, checksum, lengths. Pure.

use super::Damage;
use bytes::Bytes;
use serde::Serialize;

/// Starts every record; the scan after a damaged place looks for it.
pub const MAGIC: [u8; 4] = *b"WXr\x01";
/// Octets before the meta part.
pub const HEADER: usize = 18;
/// The checksum is over all octets from here on.
pub(super) const CHECKED: usize = 8;
pub(super) const VERSION: u8 = 1;
/// Larger lengths are damage, not records.
pub(super) const META_LIMIT: u32 = 16 << 20;
pub(super) const CONTENT_LIMIT: u32 = 64 << 20;
/// A content of so many octets or more stays apart from the rest of its record: a copy would cost more than a write.
pub(super) const LARGE: usize = 32 << 10;

/// A record's octets. A large content is not copied to the rest of its record: it comes behind it.
#[derive(Debug, Default)]
pub struct Octets {
    /// All of a record, or all but its content; or several records in a row.
    pub head: Vec<u8>,
    /// What comes behind that.
    pub content: Bytes,
}

impl Octets {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.head.len() + self.content.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Vec<u8>> for Octets {
    fn from(head: Vec<u8>) -> Self {
        Self { head, content: Bytes::new() }
    }
}

pub(super) fn frame(kind: u8, meta: &impl Serialize, content: &[u8]) -> Vec<u8> {
    let mut out = begin(kind, meta, content.len());
    out.extend_from_slice(content);
    let checksum = crc32fast::hash(&out[CHECKED..]);
    finish(&mut out, checksum);
    out
}

/// A record up to its content, without the checksum.
pub(super) fn begin(kind: u8, meta: &impl Serialize, content: usize) -> Vec<u8> {
    let behind = if content < LARGE { content } else { 0 };
    let mut out = Vec::with_capacity(HEADER + 384 + behind);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[VERSION, kind]);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(content as u32).to_le_bytes());
    // Strings, numbers and lists always serialize, and a Vec takes every write.
    let _ = serde_json::to_writer(&mut out, meta);
    let meta_length = (out.len() - HEADER) as u32;
    out[10..14].copy_from_slice(&meta_length.to_le_bytes());
    out
}

pub(super) fn finish(out: &mut [u8], checksum: u32) {
    out[4..CHECKED].copy_from_slice(&checksum.to_le_bytes());
}

/// The length of the whole record whose first [`HEADER`] octets these are.
pub fn frame_length(header: &[u8]) -> Result<usize, Damage> {
    let Some(header) = header.get(..HEADER) else { return Err(Damage::Short) };
    if header[..4] != MAGIC {
        return Err(Damage::Corrupt);
    }
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (meta, content) = (number(10), number(14));
    if meta > META_LIMIT || content > CONTENT_LIMIT {
        return Err(Damage::Corrupt);
    }
    Ok(HEADER + meta as usize + content as usize)
}
