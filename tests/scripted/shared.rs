//! The same queue, shared on PostgreSQL: where `WAXSEAL_TEST_POSTGRES` is a server's URL (`tests/interop/postgres.py`),
//! every queue that a test opens is one node's, with a database of its own.

#[allow(clippy::duplicate_mod, reason = "some test binaries have `support`, too")]
#[path = "../support/server.rs"]
mod server;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};
use tokio_util::sync::CancellationToken;
use waxseal::{
    database::Database,
    queue::{Queue, SharedPacing, SharedQueue},
};

/// The run of the node that each directory belongs to.
static RUNS: Mutex<Option<HashMap<PathBuf, CancellationToken>>> = Mutex::new(None);

/// Shares the queue of a directory, if it is to be.
pub fn share(queue: &Queue, directory: &Path) {
    let Some(settings) = server::settings_for(directory) else { return };
    // A process that is started anew beside the same directory is the same node.
    let identity = i64::from(crc32fast::hash(directory.as_os_str().as_encoded_bytes()));
    let database = Database::open_as(&settings, identity).unwrap();
    let run = CancellationToken::new();
    let before = RUNS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_default()
        .insert(directory.to_owned(), run.clone());
    before.iter().for_each(CancellationToken::cancel);
    queue.share(SharedQueue::new(database.clone()));
    queue.share_pacing(SharedPacing::new(database.clone()));
    tokio::spawn(database.attend(run));
}
