//! The same queue, shared on PostgreSQL: where `WAXSEAL_TEST_POSTGRES` is a server's URL (`tests/interop/postgres.py`),
//! every queue that a test opens is one node's, with a database of its own.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
};
use tokio_util::sync::CancellationToken;
use waxseal::{
    database::{Database, Settings, migrate},
    queue::{Queue, SharedPacing, SharedQueue},
};

/// The run of the node that each directory belongs to.
static RUNS: Mutex<Option<HashMap<PathBuf, CancellationToken>>> = Mutex::new(None);

/// Shares the queue of a directory, if it is to be.
pub fn share(queue: &Queue, directory: &Path) {
    let Ok(server) = std::env::var("WAXSEAL_TEST_POSTGRES") else { return };
    let settings = Settings { url: url(&server, directory).into(), node: "one".into(), ca_file: None };
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

/// The database of a directory, which is made where there is none yet.
fn url(server: &str, directory: &Path) -> String {
    let note = directory.join("database");
    if let Ok(url) = fs::read_to_string(&note) {
        return url;
    }
    let name = format!("q{:016x}", fastrand::u64(..));
    let (server, url) = (server.to_owned(), format!("{server}/{name}"));
    let made = url.clone();
    // Whoever opens a queue may be within a runtime already.
    thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            use sqlx::Connection as _;
            let mut connection = sqlx::PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
            let statement = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
            sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
            let settings = Settings { url: made.into(), node: "setup".into(), ca_file: None };
            migrate(&settings).await.unwrap();
        });
    })
    .join()
    .unwrap();
    fs::write(&note, &url).unwrap();
    url
}
