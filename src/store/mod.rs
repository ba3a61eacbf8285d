//! Where OAuth tokens are kept: sealed, durable, owned by one process at a time.
//!
//! `seal`, `record` and `parcel` (tokens on their way to another host) are pure; `key` and `snapshot` touch one file each; `sled` alone names the engine.

mod key;
pub mod parcel;
mod record;
mod seal;
mod sled;
mod snapshot;

use crate::account::{AccountId, token::TokenSet};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Keeps the tokens of every OAuth account. Calls block for as long as the disk takes.
pub trait TokenStore: Send + Sync + 'static {
    /// The tokens of an account, if it has any.
    fn load(&self, account: &AccountId) -> Result<Option<TokenSet>, StoreError>;

    /// Puts an account's tokens in place of those it had. They are on stable storage when this returns `Ok`.
    fn save(&self, account: &AccountId, tokens: &TokenSet) -> Result<(), StoreError>;

    /// Drops an account's tokens, durably. An account without tokens is no error.
    fn forget(&self, account: &AccountId) -> Result<(), StoreError>;

    /// The accounts that have tokens, in order.
    fn list(&self) -> Result<Vec<AccountId>, StoreError>;
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
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

/// Opens the store below `state_dir`, making what is missing. The key is `$CREDENTIALS_DIRECTORY/store.key` where
/// systemd passes one, else `state_dir/store.key`.
pub fn open(state_dir: &Path) -> Result<Arc<dyn TokenStore>, StoreError> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    open_with(state_dir, credentials.as_deref())
}

/// As [`open`], with the credentials directory given.
pub fn open_with(state_dir: &Path, credentials: Option<&Path>) -> Result<Arc<dyn TokenStore>, StoreError> {
    Ok(Arc::new(sled::SledStore::open(state_dir, credentials)?))
}

#[cfg(test)]
mod tests;
