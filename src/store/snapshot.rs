//! `tokens.snapshot`: every sealed record in one small file beside the engine's, replaced whole after each change.
//!
//! Layout: `wxsnap` and a version (2 octets), generation (8), number of records (4), then for each the length of the
//! account's id (2), the id, the length of the sealed value (4), the value; at last a CRC-32. Little-endian.

use super::StoreError;
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// The file, beside the engine.
pub(super) const NAME: &str = "tokens.snapshot";
const MAGIC: &[u8; 8] = b"wxsnap\x00\x01";

/// All records, still sealed, by account id.
pub(super) type Records = BTreeMap<String, Vec<u8>>;

/// What the file holds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// Grows by one with every change; tells which of engine and snapshot is ahead.
    pub(super) generation: u64,
    pub(super) records: Records,
}

impl Snapshot {
    pub(super) fn encode(&self) -> Result<Vec<u8>, &'static str> {
        let mut octets = MAGIC.to_vec();
        octets.extend_from_slice(&self.generation.to_le_bytes());
        let count = u32::try_from(self.records.len()).map_err(|_| "too many accounts")?;
        octets.extend_from_slice(&count.to_le_bytes());
        for (account, sealed) in &self.records {
            let length = u16::try_from(account.len()).map_err(|_| "an account's id is too long")?;
            octets.extend_from_slice(&length.to_le_bytes());
            octets.extend_from_slice(account.as_bytes());
            let length = u32::try_from(sealed.len()).map_err(|_| "an account's tokens are too long")?;
            octets.extend_from_slice(&length.to_le_bytes());
            octets.extend_from_slice(sealed);
        }
        octets.extend_from_slice(&crc32fast::hash(&octets).to_le_bytes());
        Ok(octets)
    }

    pub(super) fn decode(octets: &[u8]) -> Option<Self> {
        let (body, checksum) = octets.split_last_chunk::<4>()?;
        if crc32fast::hash(body).to_le_bytes() != *checksum {
            return None;
        }
        let mut rest = body.strip_prefix(MAGIC)?;
        let generation = u64::from_le_bytes(take(&mut rest)?);
        let count = u32::from_le_bytes(take(&mut rest)?);
        let mut records = Records::new();
        for _ in 0..count {
            let length = u16::from_le_bytes(take(&mut rest)?);
            let account = rest.split_off(..usize::from(length))?;
            let length = u32::from_le_bytes(take(&mut rest)?);
            let sealed = rest.split_off(..usize::try_from(length).ok()?)?;
            records.insert(std::str::from_utf8(account).ok()?.to_owned(), sealed.to_vec());
        }
        rest.is_empty().then_some(Self { generation, records })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

/// Reads the snapshot. `Ok(None)`: there is none; `Err(None)`: it is damaged.
pub(super) fn read(path: &Path) -> Result<Option<Snapshot>, Option<StoreError>> {
    match fs::read(path) {
        Ok(octets) => Snapshot::decode(&octets).map(Some).ok_or(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Some(StoreError::io("read", path)(error))),
    }
}

/// Replaces the snapshot so that either the old or the new one is there whole, whatever happens.
pub(super) fn write(path: &Path, snapshot: &Snapshot) -> Result<(), StoreError> {
    let octets = snapshot.encode().map_err(|reason| StoreError::Engine(reason.into()))?;
    let temporary = path.with_extension("snapshot.new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(StoreError::io("make", &temporary))?;
    file.write_all(&octets).map_err(StoreError::io("write", &temporary))?;
    file.sync_all().map_err(StoreError::io("sync", &temporary))?;
    fs::rename(&temporary, path).map_err(StoreError::io("rename", &temporary))?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(StoreError::io("sync", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_comes_back_and_damage_shows() {
        let records = Records::from([("a".into(), vec![1, 2, 3]), ("b".into(), vec![])]);
        let snapshot = Snapshot { generation: 9, records };
        let octets = snapshot.encode().unwrap();
        assert_eq!(Snapshot::decode(&octets), Some(snapshot));
        for at in 0..octets.len() {
            assert_eq!(Snapshot::decode(&octets[..at]), None);
            let mut flipped = octets.clone();
            flipped[at] ^= 1;
            assert_eq!(Snapshot::decode(&flipped), None);
        }
    }
}
