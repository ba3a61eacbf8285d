//! A PostgreSQL server for tests that can do without: `WAXSEAL_TEST_POSTGRES` is its URL (`tests/interop/postgres.py`).

use std::{fs, path::Path, thread};
use waxseal::database::{Settings, migrate};

/// The settings of a database of this directory's own, which is made where there is none yet; `None` without a server.
pub fn settings_for(directory: &Path) -> Option<Settings> {
    let server = std::env::var("WAXSEAL_TEST_POSTGRES").ok()?;
    let settings = |url: &str| Settings { url: url.into(), node: "one".into(), ca_file: None };
    let note = directory.join("database");
    if let Ok(url) = fs::read_to_string(&note) {
        return Some(settings(&url));
    }
    let name = format!("t{:016x}", fastrand::u64(..));
    let url = format!("{server}/{name}");
    let made = settings(&url);
    // Whoever asks may be within a runtime already.
    thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            use sqlx::Connection as _;
            let mut connection = sqlx::PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
            let statement = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
            sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
            migrate(&made).await.unwrap();
        });
    })
    .join()
    .unwrap();
    fs::create_dir_all(directory).unwrap();
    fs::write(&note, &url).unwrap();
    Some(settings(&url))
}
