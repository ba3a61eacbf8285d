//! Where OAuth tokens are kept: sealed and durable, on this host for one process or in PostgreSQL for several nodes.
//!
//! `seal`, `record`, `packed` and `parcel` (tokens on their way to another host) are pure; `key` and `snapshot` touch one
//! file each; `sled` alone names the engine of one host, and `postgres` sends the statements of several.

mod consents;
mod key;
mod packed;
pub mod parcel;
mod postgres;
mod record;
mod seal;
mod sled;
mod snapshot;

pub use consents::{BegunConsent, Browser, ConsentStore, Finisher, Taken};

use crate::{
    account::{AccountId, token::TokenSet},
    database::{Database, DatabaseError, News},
};
use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};
use tokio::sync::broadcast;

/// What a store is asked for.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps the tokens of every OAuth account: for this host alone, or for several nodes. What was begun is carried to its
/// end or has not happened, even where the caller gives up.
pub trait TokenStore: Send + Sync + 'static {
    /// The tokens of an account.
    fn load<'a>(&'a self, account: &'a AccountId) -> StoreFuture<'a, Kept>;

    /// Puts an account's tokens in place of those it had, if those are still the ones that the caller knows. They are on
    /// stable storage when this returns [`Saved::Kept`].
    fn save<'a>(&'a self, account: &'a AccountId, tokens: &'a TokenSet, over: Over)
    -> StoreFuture<'a, Saved>;

    /// Drops an account's tokens, durably. An account without tokens is no error.
    fn forget<'a>(&'a self, account: &'a AccountId) -> StoreFuture<'a, Version>;

    /// The accounts that have tokens, in order.
    fn list(&self) -> StoreFuture<'_, Vec<AccountId>>;

    /// Asks to be the one that gets new tokens for this account. A store of one process always agrees.
    fn lease<'a>(&'a self, _account: &'a AccountId) -> StoreFuture<'a, Lease> {
        Box::pin(async { Ok(Lease::Ours { held: Box::new(()), there: None }) })
    }

    /// Where consents that were begun are kept: in this process, unless others may finish them. Asked for once.
    fn consents(&self) -> Arc<dyn ConsentStore> {
        consents_here()
    }

    /// Tells what others change; `None` where there are no others.
    fn changes(&self) -> Option<broadcast::Receiver<News>> {
        None
    }
}

/// Which tokens of an account these are: whatever is kept is of a version that never was before. The default is that of
/// an account which never had any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Version(pub u64);

/// What a store has of an account.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Its tokens, if it has any.
    pub tokens: Option<TokenSet>,
    /// Their version.
    pub version: Version,
}

/// In whose place tokens are put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Of whatever is there: somebody has just agreed to these.
    Whatever,
    /// Of these only: they were obtained with them.
    Version(Version),
}

/// What became of tokens that were to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// They are kept, as this version.
    Kept(Version),
    /// Somebody else has put others there meanwhile: those stay.
    Overtaken,
}

/// The answer to whoever would get new tokens.
pub enum Lease {
    /// Go ahead, and drop `held` when done. It is kept up until then, and runs out by itself where its process dies.
    Ours {
        /// The right to go on.
        held: Box<dyn Send + Sync>,
        /// What is kept now; `None` where only the caller can have changed it.
        there: Option<Kept>,
    },
    /// Somebody else is at it.
    Anothers,
}

/// Why tokens cannot be read or kept. The operator has to act on all of these.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else holds the store's lock.
    #[error("another waxseal uses this store ({}): stop it first, or give this one its own state_dir", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The tokens were sealed under a different key.
    #[error(
        "the tokens in {} were sealed with another key than {}: put the right key back; or, to start over and authorize every account anew, move the tokens away. Nothing was changed",
        state_dir.display(), key.display()
    )]
    WrongKey {
        /// The store's directory.
        state_dir: PathBuf,
        /// The key in use.
        key: PathBuf,
    },
    /// There are tokens but no key.
    #[error(
        "there are sealed tokens but no key at {}: put the key back from a backup; or, to start over and authorize every account anew, move `tokens` and `tokens.snapshot` away. Nothing was changed",
        path.display()
    )]
    KeyMissing {
        /// Where the key should be.
        path: PathBuf,
    },
    /// The nodes' tokens were sealed under a different key.
    #[error(
        "the nodes' tokens are sealed with another key than {}: give every node the same store.key. Nothing was changed",
        path.display()
    )]
    NotTheNodesKey {
        /// The key in use.
        path: PathBuf,
    },
    /// Several nodes need one key, which none of them makes for itself.
    #[error(
        "there is no key at {}: several nodes seal their tokens with one key, so make it once (`openssl rand -hex 32`), and put it there on every node, with mode 600",
        path.display()
    )]
    NodesKeyMissing {
        /// Where the key should be.
        path: PathBuf,
    },
    /// Others than the owner may read the key.
    #[error("the key {} may be read by others (mode {mode:04o}): chmod 600 it", path.display())]
    KeyPermissions {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key is not 32 octets, nor 64 hexadecimal digits.
    #[error("the key {} must be 32 octets or 64 hexadecimal digits", path.display())]
    KeyMalformed {
        /// The key file.
        path: PathBuf,
    },
    /// A record cannot be read back.
    #[error("the stored tokens of account {account} cannot be read: {reason}")]
    Damaged {
        /// The account's id.
        account: String,
        /// What is wrong with them.
        reason: &'static str,
    },
    /// The storage engine failed.
    #[error("the token store failed: {0}")]
    Engine(String),
    /// The nodes' database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl StoreError {
    /// Whether it concerns every account, and passes by itself.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_away())
    }

    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

/// Opens the store of this host below `state_dir`, making what is missing. The key is `$CREDENTIALS_DIRECTORY/store.key`
/// where systemd passes one, else `state_dir/store.key`.
pub fn open(state_dir: &Path) -> Result<Arc<dyn TokenStore>, StoreError> {
    open_with(state_dir, credentials().as_deref())
}

/// As [`open`], with the credentials directory given.
pub fn open_with(state_dir: &Path, credentials: Option<&Path>) -> Result<Arc<dyn TokenStore>, StoreError> {
    Ok(Arc::new(sled::SledStore::open(state_dir, credentials)?))
}

/// Opens the store of several nodes. The key is where [`open`] has it, and never made. Sends nothing yet.
pub fn open_shared(database: Database, state_dir: &Path) -> Result<Arc<dyn TokenStore>, StoreError> {
    open_shared_with(database, state_dir, credentials().as_deref())
}

/// As [`open_shared`], with the credentials directory given.
pub fn open_shared_with(
    database: Database,
    state_dir: &Path,
    credentials: Option<&Path>,
) -> Result<Arc<dyn TokenStore>, StoreError> {
    Ok(Arc::new(postgres::PostgresStore::open(database, state_dir, credentials)?))
}

/// Consents of this process alone: they end with it.
pub fn consents_here() -> Arc<dyn ConsentStore> {
    Arc::new(consents::Here::default())
}

/// Whether this host has a store of its own below `state_dir`.
pub fn is_there(state_dir: &Path) -> bool {
    state_dir.join(snapshot::NAME).exists()
}

fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

#[cfg(test)]
mod tests;
