//! The engine below the store. sled is used for what it does well and watched in the rest: its flush is followed by
//! a sync of our own, its panics are caught, and a snapshot beside it stands in when it has lost something.

use super::{
    Kept, Over, Saved, StoreError, StoreFuture, TokenStore, Version,
    key::load_or_make,
    packed::{pack, unpack},
    seal::{self, Key, Unsealable},
    snapshot::{self, Records, Snapshot, sync_directory},
};
use crate::account::{AccountId, token::TokenSet};
use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::task::spawn_blocking;
use tracing::{info, warn};

/// Octets of sled's page cache.
const CACHE: u64 = 8 << 20;
/// The key of the generation; account ids have a prefix of their own.
const GENERATION: &[u8] = b"generation";
const ACCOUNT: &str = "account/";

/// Tokens in sled.
pub(super) struct SledStore(Arc<Host>);

struct Host {
    paths: Paths,
    key: Key,
    // Dropped before the lock that guards it.
    engine: Mutex<Engine>,
    _lock: File,
}

struct Paths {
    state_dir: PathBuf,
    sled: PathBuf,
    snapshot: PathBuf,
    key: PathBuf,
}

struct Engine {
    db: sled::Db,
    generation: u64,
    /// Of this run: no other process writes here meanwhile.
    versions: HashMap<AccountId, Version>,
}

/// What went wrong while opening: damage is repaired from the snapshot, the rest is reported.
enum Trouble {
    Damage(String),
    Error(StoreError),
}

impl SledStore {
    pub(super) fn open(state_dir: &Path, credentials: Option<&Path>) -> Result<Self, StoreError> {
        make_directory(state_dir)?;
        let lock = lock(&state_dir.join("tokens.lock"))?;
        let (sled, snapshot) = (state_dir.join("tokens"), state_dir.join(snapshot::NAME));
        let (key, key_path) = load_or_make(state_dir, credentials, snapshot.exists())?;
        let paths = Paths { state_dir: state_dir.to_owned(), sled, snapshot, key: key_path };
        let (saved, damaged) = match snapshot::read(&paths.snapshot) {
            Ok(saved) => (saved, false),
            Err(None) => (None, true),
            Err(Some(error)) => return Err(error),
        };
        // With the wrong key nothing may be touched, so this comes before any repair.
        for (account, sealed) in saved.iter().flat_map(|s| &s.records) {
            if seal::unseal(&key, account, sealed) == Err(Unsealable::WrongKey) {
                return Err(paths.wrong_key());
            }
        }
        if damaged {
            // sled cuts off what it cannot read, and nothing stands in for that now.
            paths.copy_aside()?;
        }
        let engine = match open_engine(&paths, &key, saved.as_ref()) {
            Ok(engine) => engine,
            Err(Trouble::Error(error)) => return Err(error),
            Err(Trouble::Damage(reason)) => repair(&paths, saved.as_ref(), &reason)?,
        };
        if damaged {
            // Whatever can still be read out of it is not to be written over.
            let aside = paths.move_aside(&paths.snapshot)?;
            warn!(aside = %aside.display(), "the token snapshot is damaged: moved aside, and written anew from the store");
        }
        let store = Host { paths, key, engine: Mutex::new(engine), _lock: lock };
        {
            let engine = store.engine.lock().unwrap_or_else(PoisonError::into_inner);
            let behind = saved.as_ref().map_or(0, |s| s.generation) != engine.generation;
            if behind {
                store.write_snapshot(&engine)?;
            }
        }
        Ok(Self(Arc::new(store)))
    }
}

impl Host {
    /// One change, durable in sled first and in the snapshot next; `None` where somebody else was faster.
    fn change(
        &self,
        account: &AccountId,
        sealed: Option<Vec<u8>>,
        over: Over,
    ) -> Result<Option<Version>, StoreError> {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(over, Over::Version(version) if version != engine.version(account)) {
            return Ok(None);
        }
        let generation = engine.generation + 1;
        let mut batch = sled::Batch::default();
        batch.insert(GENERATION, &generation.to_le_bytes());
        match sealed {
            Some(sealed) => batch.insert(name(account).as_bytes(), sealed),
            None => batch.remove(name(account).as_bytes()),
        }
        caught(|| engine.db.apply_batch(batch))?;
        engine.generation = generation;
        flush(&engine.db, &self.paths.sled)?;
        self.write_snapshot(&engine)?;
        engine.versions.insert(account.clone(), Version(generation));
        Ok(Some(Version(generation)))
    }

    fn write_snapshot(&self, engine: &Engine) -> Result<(), StoreError> {
        let (generation, records) = scan(&engine.db)?;
        snapshot::write(&self.paths.snapshot, &Snapshot { generation, records })
    }
}

impl Host {
    fn load(&self, account: &AccountId) -> Result<Kept, StoreError> {
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        let version = engine.version(account);
        let sealed = caught(|| engine.db.get(name(account)))?;
        let unpack = |sealed: sled::IVec| unpack(&self.key, account, &sealed, || self.paths.wrong_key());
        Ok(Kept { tokens: sealed.map(unpack).transpose()?, version })
    }

    fn list(&self) -> Result<Vec<AccountId>, StoreError> {
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(scan(&engine.db)?.1.keys().map(|id| AccountId::new(id)).collect())
    }
}

impl Engine {
    fn version(&self, account: &AccountId) -> Version {
        self.versions.get(account).copied().unwrap_or_default()
    }
}

impl SledStore {
    /// The engine may wait for the disk, so it is kept off the runtime's own threads.
    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Host) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<'static, T> {
        let host = self.0.clone();
        Box::pin(async move {
            let done = spawn_blocking(move || work(&host)).await;
            done.unwrap_or_else(|_| Err(engine("the store's thread broke off")))
        })
    }
}

impl TokenStore for SledStore {
    fn load<'a>(&'a self, account: &'a AccountId) -> StoreFuture<'a, Kept> {
        let account = account.clone();
        self.ask(move |host| host.load(&account))
    }

    fn save<'a>(
        &'a self,
        account: &'a AccountId,
        tokens: &'a TokenSet,
        over: Over,
    ) -> StoreFuture<'a, Saved> {
        let (account, tokens) = (account.clone(), tokens.clone());
        self.ask(move |host| {
            let sealed = pack(&host.key, &account, &tokens)?;
            let changed = host.change(&account, Some(sealed), over)?;
            Ok(changed.map_or(Saved::Overtaken, Saved::Kept))
        })
    }

    fn forget<'a>(&'a self, account: &'a AccountId) -> StoreFuture<'a, Version> {
        let account = account.clone();
        self.ask(move |host| Ok(host.change(&account, None, Over::Whatever)?.unwrap_or_default()))
    }

    fn list(&self) -> StoreFuture<'_, Vec<AccountId>> {
        self.ask(Host::list)
    }
}

impl Paths {
    fn wrong_key(&self) -> StoreError {
        StoreError::WrongKey { state_dir: self.state_dir.clone(), key: self.key.clone() }
    }

    /// Moves what is damaged to `quarantine/`, and says where it is now.
    fn move_aside(&self, what: &Path) -> Result<PathBuf, StoreError> {
        let aside = self.aside(what)?;
        fs::rename(what, &aside).map_err(StoreError::io("move aside", what))?;
        aside.parent().map_or(Ok(()), sync_directory)?;
        sync_directory(&self.state_dir)?;
        Ok(aside)
    }

    /// Copies sled's files to `quarantine/`, where there are any.
    fn copy_aside(&self) -> Result<(), StoreError> {
        if self.sled.is_dir() {
            let aside = self.aside(&self.sled)?;
            copy(&self.sled, &aside).map_err(StoreError::io("copy aside", &self.sled))?;
            aside.parent().map_or(Ok(()), sync_directory)?;
        }
        Ok(())
    }

    /// A name in `quarantine/` that nothing has yet.
    fn aside(&self, what: &Path) -> Result<PathBuf, StoreError> {
        let quarantine = self.state_dir.join("quarantine");
        make_directory(&quarantine)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = what.file_name().unwrap_or_default().to_string_lossy();
        Ok(quarantine.join(format!("{name}-{now}")))
    }
}

fn name(account: &AccountId) -> String {
    format!("{ACCOUNT}{account}")
}

fn make_directory(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(StoreError::io("make", path))
}

/// A directory with everything below it, durably.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?.path();
        let target = to.join(entry.file_name().unwrap_or_default());
        if entry.is_dir() {
            copy(&entry, &target)?;
        } else {
            fs::copy(&entry, &target)?;
            File::open(&target)?.sync_all()?;
        }
    }
    File::open(to)?.sync_all()
}

/// Our own lock, taken before anything is read: the engine's comes too late to keep hands off the snapshot.
fn lock(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(StoreError::io("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(StoreError::io("lock", path)(error)),
    }
}

/// Opens sled and proves that it has everything that the snapshot has.
fn open_engine(paths: &Paths, key: &Key, saved: Option<&Snapshot>) -> Result<Engine, Trouble> {
    let db = open_sled(&paths.sled)?;
    let (generation, records) = scan(&db).map_err(|error| Trouble::Damage(error.to_string()))?;
    for (account, sealed) in &records {
        match seal::unseal(key, account, sealed) {
            Ok(_) => {}
            Err(Unsealable::WrongKey) => return Err(Trouble::Error(paths.wrong_key())),
            Err(why) => return Err(Trouble::Damage(format!("the tokens of account {account} are {why}"))),
        }
    }
    // sled is written first, so it can only be ahead; where it is behind or differs it has lost something.
    if let Some(saved) = saved
        && (generation < saved.generation || generation == saved.generation && records != saved.records)
    {
        return Err(Trouble::Damage("it has lost what was written to it".into()));
    }
    Ok(Engine { db, generation, versions: HashMap::new() })
}

fn open_sled(path: &Path) -> Result<sled::Db, Trouble> {
    make_directory(path).map_err(Trouble::Error)?;
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(CACHE)
        .mode(sled::Mode::LowSpace)
        // Every change is flushed by hand.
        .flush_every_ms(None);
    for attempt in 1.. {
        match catch_unwind(AssertUnwindSafe(|| config.open())) {
            Ok(Ok(db)) => {
                let synced = sync_directory(path).and_then(|()| path.parent().map_or(Ok(()), sync_directory));
                return synced.map(|()| db).map_err(Trouble::Error);
            }
            // We hold the lock above it, so this is a store of our own process on its way out.
            Ok(Err(sled::Error::Io(error))) if error.to_string().contains("could not acquire lock") => {
                if attempt == 40 {
                    return Err(Trouble::Error(StoreError::Locked { path: path.to_owned() }));
                }
                thread::sleep(Duration::from_millis(50));
            }
            Ok(Err(sled::Error::Io(error)))
                if !matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) =>
            {
                return Err(Trouble::Error(StoreError::io("open", path)(error)));
            }
            Ok(Err(error)) => return Err(Trouble::Damage(error.to_string())),
            Err(_) => return Err(Trouble::Damage("the engine panicked".into())),
        }
    }
    Err(Trouble::Damage("the engine does not open".into()))
}

/// Moves the damaged engine aside and fills a new one from the snapshot.
fn repair(paths: &Paths, saved: Option<&Snapshot>, reason: &str) -> Result<Engine, StoreError> {
    let aside = paths.move_aside(&paths.sled)?;
    let db = open_sled(&paths.sled).map_err(|trouble| match trouble {
        Trouble::Error(error) => error,
        Trouble::Damage(reason) => StoreError::Engine(reason),
    })?;
    let restored = saved.is_some();
    let saved = saved.cloned().unwrap_or_default();
    let mut batch = sled::Batch::default();
    batch.insert(GENERATION, &saved.generation.to_le_bytes());
    for (account, sealed) in &saved.records {
        batch.insert(format!("{ACCOUNT}{account}").as_bytes(), sealed.as_slice());
    }
    caught(|| db.apply_batch(batch))?;
    flush(&db, &paths.sled)?;
    sync_directory(&paths.state_dir)?;
    let accounts = saved.records.len();
    warn!(reason, aside = %aside.display(), accounts, "the token store was damaged: moved aside");
    if restored {
        info!(accounts, "tokens restored from the snapshot; accounts without any must be authorized anew");
    } else {
        warn!("there is no snapshot to restore tokens from: every account must be authorized anew");
    }
    Ok(Engine { db, generation: saved.generation, versions: HashMap::new() })
}

/// Everything in sled: its generation and its sealed records.
fn scan(db: &sled::Db) -> Result<(u64, Records), StoreError> {
    let mut generation = 0;
    let mut records = Records::new();
    for (key, value) in caught(|| db.iter().collect::<Result<Vec<_>, _>>())? {
        if key == GENERATION {
            let octets = value.as_ref().try_into();
            generation = u64::from_le_bytes(octets.map_err(|_| engine("the generation is damaged"))?);
        } else {
            let account = std::str::from_utf8(&key).ok().and_then(|key| key.strip_prefix(ACCOUNT));
            let account = account.ok_or_else(|| engine("a key is damaged"))?;
            records.insert(account.to_owned(), value.to_vec());
        }
    }
    Ok((generation, records))
}

/// sled's flush hands the file to the kernel; on Linux it does not reach the disk without a sync of its own.
fn flush(db: &sled::Db, directory: &Path) -> Result<(), StoreError> {
    caught(|| db.flush())?;
    let file = directory.join("db");
    File::open(&file).and_then(|file| file.sync_data()).map_err(StoreError::io("sync", &file))
}

/// Runs the engine; its panics are errors.
fn caught<T>(work: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| StoreError::Engine(error.to_string())),
        Err(_) => Err(engine("the engine panicked")),
    }
}

fn engine(reason: &str) -> StoreError {
    StoreError::Engine(reason.into())
}
