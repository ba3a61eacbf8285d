//! The store that several nodes share, in place of this host's own, and the way from the one to the other.

use crate::{
    config::Config,
    database::Database,
    store::{self, Over, Saved, StoreError, TokenStore},
};
use anyhow::{Context as _, bail};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// This node's handle on the database of `[store]`, where there is one.
pub(super) fn database(config: &Config) -> anyhow::Result<Option<Database>> {
    let Some(settings) = &config.store else { return Ok(None) };
    Ok(Some(Database::open_as(settings, identity(&config.state_dir)?)?))
}

/// A number that stays with the state directory: who has it is the same node, started anew.
fn identity(state_dir: &Path) -> anyhow::Result<i64> {
    let path = state_dir.join("node.id");
    let unusable = || format!("{} cannot be used", path.display());
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().with_context(unusable),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut octets = [0; 8];
            getrandom::fill(&mut octets).map_err(|_| anyhow::anyhow!("the system gives no randomness"))?;
            let identity = i64::from_le_bytes(octets);
            fs::write(&path, format!("{identity}\n")).with_context(unusable)?;
            Ok(identity)
        }
        Err(error) => Err(error).with_context(unusable),
    }
}

/// Opens the shared store; says so where this host's own is left aside by it.
pub(super) fn open(database: &Database, state_dir: &Path) -> Result<Arc<dyn TokenStore>, StoreError> {
    let store = store::open_shared(database.clone(), state_dir)?;
    if store::is_there(state_dir) {
        tracing::warn!(
            target: "waxseal", state_dir = %state_dir.display(),
            "this host has tokens of its own, which [store] leaves aside: waxseal store import takes them in"
        );
    }
    Ok(store)
}

/// What became of this host's own tokens.
#[derive(Debug)]
pub struct Imported {
    /// Accounts whose tokens are in the shared store now.
    pub taken: Vec<String>,
    /// Accounts that had tokens there already, which stay.
    pub left: Vec<String>,
    /// Where this host's own files are now.
    pub aside: PathBuf,
}

/// Takes this host's own tokens into the shared store, those of accounts that have none there or, with `replace`, all,
/// and moves the files aside: a rotated token that is presented twice may cost the grant. No daemon may run here.
///
/// # Errors
/// The first thing that does not work, in a sentence. What was taken in before it stays, and can be taken in again.
pub async fn import(config: &Config, replace: bool) -> anyhow::Result<Imported> {
    let Some(settings) = &config.store else {
        bail!("there is no [store] in the configuration: nothing to take tokens in to");
    };
    let state_dir = &config.state_dir;
    if !store::is_there(state_dir) {
        bail!("there are no tokens of this host's own in {}", state_dir.display());
    }
    let own = store::open(state_dir)?;
    let shared = store::open_shared(Database::open(settings)?, state_dir)?;
    let (mut taken, mut left) = (Vec::new(), Vec::new());
    for account in own.list().await? {
        let Some(tokens) = own.load(&account).await?.tokens else { continue };
        let there = shared.load(&account).await?;
        let is_free = there.tokens.is_none() || replace;
        let saved = match is_free {
            true => shared.save(&account, &tokens, Over::Version(there.version)).await?,
            false => Saved::Overtaken,
        };
        let list = if matches!(saved, Saved::Kept(_)) { &mut taken } else { &mut left };
        list.push(account.to_string());
    }
    drop(own);
    let aside = set_aside(state_dir)?;
    Ok(Imported { taken, left, aside })
}

/// Whether the key of this host is the one that the nodes' tokens are sealed under.
///
/// # Errors
/// That it is not, that there is none, or why that cannot be told.
pub async fn key_fits(database: &Database, state_dir: &Path) -> Result<(), StoreError> {
    store::open_shared(database.clone(), state_dir)?.list().await.map(drop)
}

fn set_aside(state_dir: &Path) -> anyhow::Result<PathBuf> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let aside = state_dir.join(format!("imported-{now}"));
    fs::create_dir(&aside).with_context(|| format!("{} cannot be made", aside.display()))?;
    // The snapshot goes first: without it nothing is taken for a store of this host's own.
    for name in ["tokens.snapshot", "tokens"] {
        let (from, to) = (state_dir.join(name), aside.join(name));
        fs::rename(&from, &to).with_context(|| format!("{} cannot be moved aside", from.display()))?;
    }
    Ok(aside)
}
