//! The key that seals tokens: systemd's credential, else a file made at first start.

use super::{StoreError, seal::Key};
use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

const NAME: &str = "store.key";

/// The key that several nodes have in common, and where it lies. None is made: each would make another.
pub(super) fn load(state_dir: &Path, credentials: Option<&Path>) -> Result<(Key, PathBuf), StoreError> {
    load_or_make(state_dir, credentials, true).map_err(|error| match error {
        StoreError::KeyMissing { path } => StoreError::NodesKeyMissing { path },
        error => error,
    })
}

/// The key and where it lies. `tokens_exist` says that there is something which only the old key opens, so that
/// no new one is made over it.
pub(super) fn load_or_make(
    state_dir: &Path,
    credentials: Option<&Path>,
    tokens_exist: bool,
) -> Result<(Key, PathBuf), StoreError> {
    if let Some(path) = credentials.map(|dir| dir.join(NAME)).filter(|path| path.exists()) {
        // systemd grants access to credentials through an ACL, which shows as group bits.
        return Ok((read(&path, 0o007)?, path));
    }
    let path = state_dir.join(NAME);
    match read(&path, 0o077) {
        Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            if tokens_exist {
                return Err(StoreError::KeyMissing { path });
            }
            Ok((make(state_dir, &path)?, path))
        }
        key => Ok((key?, path)),
    }
}

fn read(path: &Path, forbidden: u32) -> Result<Key, StoreError> {
    let file = File::open(path).map_err(StoreError::io("open", path))?;
    let mode = file.metadata().map_err(StoreError::io("examine", path))?.permissions().mode() & 0o7777;
    if mode & forbidden != 0 {
        return Err(StoreError::KeyPermissions { path: path.to_owned(), mode });
    }
    // Larger than any valid key, so that a longer file shows as such.
    let mut octets = Zeroizing::new(Vec::with_capacity(128));
    file.take(128).read_to_end(&mut octets).map_err(StoreError::io("read", path))?;
    parse(&octets).map(Key::new).ok_or_else(|| StoreError::KeyMalformed { path: path.to_owned() })
}

fn parse(octets: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    if octets.len() == 32 {
        key.copy_from_slice(octets);
        return Some(key);
    }
    let digits = octets.trim_ascii();
    if digits.len() != 64 {
        return None;
    }
    for (octet, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let value = |digit: u8| char::from(digit).to_digit(16);
        *octet = u8::try_from(value(pair[0])? << 4 | value(pair[1])?).ok()?;
    }
    Some(key)
}

fn make(state_dir: &Path, path: &Path) -> Result<Key, StoreError> {
    let mut octets = Zeroizing::new([0; 32]);
    getrandom::fill(octets.as_mut_slice())
        .map_err(|_| StoreError::Engine("the system gives no randomness".into()))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(StoreError::io("make", path))?;
    file.write_all(octets.as_slice()).map_err(StoreError::io("write", path))?;
    file.sync_all().map_err(StoreError::io("sync", path))?;
    super::snapshot::sync_directory(state_dir)?;
    Ok(Key::new(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_32_octets_or_64_digits() {
        assert_eq!(parse(&[7; 32]).unwrap().as_slice(), [7; 32]);
        assert_eq!(parse(format!("{}\n", "0F".repeat(32)).as_bytes()).unwrap().as_slice(), [15; 32]);
        assert!(parse(&[]).is_none());
        assert!(parse(&[7; 31]).is_none());
        assert!(parse("g".repeat(64).as_bytes()).is_none());
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        load_or_make(dir.path(), None, false).unwrap();
        let path = dir.path().join(NAME);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let error = load_or_make(dir.path(), None, false).unwrap_err();
        assert!(matches!(error, StoreError::KeyPermissions { mode: 0o640, .. }), "{error}");
    }

    #[test]
    fn systemds_credential_comes_first_and_no_key_is_made_over_old_tokens() {
        let (state, credentials) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert!(matches!(load_or_make(state.path(), None, true), Err(StoreError::KeyMissing { .. })));
        assert!(!state.path().join(NAME).exists());
        let path = credentials.path().join(NAME);
        std::fs::write(&path, [3; 32]).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o440)).unwrap();
        assert_eq!(load_or_make(state.path(), Some(credentials.path()), true).unwrap().1, path);
    }
}
