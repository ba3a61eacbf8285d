//! The store as a whole: what it survives and what it refuses.

use super::*;
use crate::account::token::Consent;
use secrecy::ExposeSecret;
use std::{fs, os::unix::fs::PermissionsExt, time::SystemTime};

/// Waits for what a store is asked for.
fn of<T>(asked: StoreFuture<'_, T>) -> Result<T, StoreError> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(asked)
}

fn save(store: &dyn TokenStore, account: &str, tokens: &TokenSet) {
    let saved = of(store.save(&AccountId::new(account), tokens, Over::Whatever)).unwrap();
    assert!(matches!(saved, Saved::Kept(_)));
}

fn tokens(refresh: &str) -> TokenSet {
    let now = SystemTime::now();
    TokenSet {
        consent: Some(Consent {
            refresh_token: refresh.into(),
            previous_refresh_token: None,
            authorized_at: now,
            rotated_at: now,
            ends_at: None,
        }),
        access_token: Some(("canary-access".into(), now)),
        in_its_own_name: false,
        refreshed_at: now,
    }
}

fn refresh_token(store: &dyn TokenStore, account: &str) -> Option<String> {
    let tokens = of(store.load(&AccountId::new(account))).unwrap().tokens;
    tokens.and_then(|tokens| tokens.consent).map(|consent| consent.refresh_token.expose_secret().to_owned())
}

/// A store with two accounts, closed again.
fn filled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), None).unwrap();
    save(&*store, "a", &tokens("canary-0"));
    save(&*store, "a", &tokens("canary-a"));
    save(&*store, "b", &tokens("canary-b"));
    dir
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn tokens_are_there_after_reopening_and_gone_after_forget() {
    let dir = filled();
    let store = open_with(dir.path(), None).unwrap();
    assert_eq!(refresh_token(&*store, "a").as_deref(), Some("canary-a"));
    assert_eq!(refresh_token(&*store, "c"), None);
    assert_eq!(of(store.list()).unwrap(), [AccountId::new("a"), AccountId::new("b")]);
    of(store.forget(&AccountId::new("a"))).unwrap();
    drop(store);
    let store = open_with(dir.path(), None).unwrap();
    assert_eq!(of(store.list()).unwrap(), [AccountId::new("b")]);
}

#[test]
fn no_file_holds_a_token_in_clear() {
    let dir = filled();
    for path in files(dir.path()) {
        let octets = fs::read(&path).unwrap();
        assert!(!octets.windows(6).any(|w| w == b"canary"), "{}", path.display());
    }
}

#[test]
fn directories_and_key_are_the_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    open_with(&state, None).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join("tokens")), 0o700);
    assert_eq!(mode(&state.join("store.key")), 0o600);
}

#[test]
fn a_second_opener_is_turned_away() {
    let dir = tempfile::tempdir().unwrap();
    let _first = open_with(dir.path(), None).unwrap();
    let error = open_with(dir.path(), None).err().unwrap();
    assert!(error.to_string().contains("another waxseal uses this store"), "{error}");
}

#[test]
fn a_wrong_key_changes_nothing() {
    for snapshot_too in [true, false] {
        let dir = filled();
        let key = dir.path().join("store.key");
        let right = fs::read(&key).unwrap();
        fs::write(&key, [9; 32]).unwrap();
        let snapshot = dir.path().join("tokens.snapshot");
        let kept = fs::read(&snapshot).unwrap();
        if !snapshot_too {
            fs::remove_file(&snapshot).unwrap();
        }
        let error = open_with(dir.path(), None).err().unwrap();
        assert!(matches!(error, StoreError::WrongKey { .. }), "{error}");
        assert!(!dir.path().join("quarantine").exists());
        if snapshot_too {
            assert_eq!(fs::read(&snapshot).unwrap(), kept);
        }
        fs::write(&key, right).unwrap();
        let store = open_with(dir.path(), None).unwrap();
        assert_eq!(refresh_token(&*store, "b").as_deref(), Some("canary-b"));
    }
}

#[test]
fn a_lost_key_is_not_replaced() {
    let dir = filled();
    fs::remove_file(dir.path().join("store.key")).unwrap();
    assert!(matches!(open_with(dir.path(), None).err().unwrap(), StoreError::KeyMissing { .. }));
    assert!(!dir.path().join("store.key").exists());
}

fn damage(octets: &[u8], how: usize) -> Vec<u8> {
    match how {
        0 => Vec::new(),
        1 => octets[..octets.len() / 2].to_vec(),
        2 => octets[..octets.len().saturating_sub(1)].to_vec(),
        3 => octets.iter().map(|octet| octet ^ 0xff).collect(),
        _ => {
            // A flip in every part of the file, zeros included.
            let mut octets = octets.to_vec();
            let step = (octets.len() / 7).max(1);
            for at in (how - 4..octets.len()).step_by(step) {
                octets[at] ^= 0x24;
            }
            octets
        }
    }
}

#[test]
fn whatever_happens_to_one_file_the_tokens_are_there() {
    let names: Vec<_> = {
        let dir = filled();
        files(dir.path()).iter().map(|path| path.strip_prefix(dir.path()).unwrap().to_owned()).collect()
    };
    assert!(names.len() >= 4, "{names:?}");
    for name in names.iter().filter(|name| !name.ends_with("store.key")) {
        for how in 0..8 {
            let dir = filled();
            let path = dir.path().join(name);
            // Names of sled's own snapshots differ from run to run.
            let Ok(octets) = fs::read(&path) else { continue };
            fs::write(&path, damage(&octets, how)).unwrap();
            let store = open_with(dir.path(), None)
                .unwrap_or_else(|error| panic!("{} damaged as {how}: {error}", name.display()));
            assert_eq!(refresh_token(&*store, "a").as_deref(), Some("canary-a"), "{} {how}", name.display());
            assert_eq!(refresh_token(&*store, "b").as_deref(), Some("canary-b"), "{} {how}", name.display());
            // And it goes on working.
            save(&*store, "b", &tokens("canary-c"));
            drop(store);
            let store = open_with(dir.path(), None).unwrap();
            assert_eq!(refresh_token(&*store, "b").as_deref(), Some("canary-c"), "{} {how}", name.display());
        }
    }
}

#[test]
fn a_store_that_vanished_is_restored_and_a_damaged_one_is_kept_aside() {
    let dir = filled();
    fs::remove_dir_all(dir.path().join("tokens")).unwrap();
    let store = open_with(dir.path(), None).unwrap();
    assert_eq!(refresh_token(&*store, "a").as_deref(), Some("canary-a"));
    assert_eq!(fs::read_dir(dir.path().join("quarantine")).unwrap().count(), 1);
}

#[test]
fn a_damaged_snapshot_is_kept_aside_and_written_anew() {
    let dir = filled();
    let (snapshot, key) = (dir.path().join("tokens.snapshot"), dir.path().join("store.key"));
    let whole = fs::read(&snapshot).unwrap();
    let pieces = &whole[..whole.len() / 2];
    fs::write(&snapshot, pieces).unwrap();
    // With the wrong key it stays where it is.
    let right = fs::read(&key).unwrap();
    fs::write(&key, [9; 32]).unwrap();
    assert!(matches!(open_with(dir.path(), None).err().unwrap(), StoreError::WrongKey { .. }));
    assert_eq!(fs::read(&snapshot).unwrap(), pieces);
    fs::write(&key, right).unwrap();
    let store = open_with(dir.path(), None).unwrap();
    assert_eq!(refresh_token(&*store, "a").as_deref(), Some("canary-a"));
    assert_eq!(fs::read(&snapshot).unwrap(), whole);
    let aside = files(&dir.path().join("quarantine"));
    assert!(aside.iter().any(|path| fs::read(path).unwrap() == pieces), "{aside:?}");
}
