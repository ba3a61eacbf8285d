//! What an operator should know of the database, for `waxseal store check`.

use super::{Database, DatabaseError, Node, Schema};
use sqlx::Row as _;
use std::time::{Duration, Instant, SystemTime};

/// The database as it is.
#[derive(Debug, Clone)]
pub struct Examination {
    /// PostgreSQL's version.
    pub server: String,
    /// One question and its answer.
    pub round_trip: Duration,
    /// How far this host's clock is from the database's.
    pub clock_apart: Duration,
    /// The connection is encrypted.
    pub encrypted: bool,
    /// It is a standby, and takes no writes.
    pub is_standby: bool,
    /// Its `synchronous_commit`.
    pub synchronous_commit: String,
    /// Its `synchronous_standby_names`; empty where a COMMIT waits for its own disk alone.
    pub synchronous_standbys: String,
    /// The tables.
    pub schema: Schema,
    /// The nodes.
    pub nodes: Vec<Node>,
}

impl Database {
    /// Looks at everything that `waxseal store check` tells.
    ///
    /// # Errors
    /// As [`Database::run`].
    pub async fn examine(&self) -> Result<Examination, DatabaseError> {
        self.ask(async { sqlx::query("SELECT 1").execute(self.pool()).await.map(drop) }).await?;
        let asked = (Instant::now(), SystemTime::now());
        let row = sqlx::query(
            "SELECT current_setting('server_version'), extract(epoch FROM clock_timestamp())::float8,
                    coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),
                    pg_is_in_recovery(), current_setting('synchronous_commit'),
                    current_setting('synchronous_standby_names')",
        );
        let row = self.ask(row.fetch_one(self.pool())).await?;
        let round_trip = asked.0.elapsed();
        let read = || -> Result<_, sqlx::Error> {
            let there = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(row.try_get::<f64, _>(1)?.max(0.0));
            let here = asked.1 + round_trip / 2;
            let clock_apart = there.duration_since(here).unwrap_or_else(|before| before.duration());
            Ok((
                row.try_get(0)?,
                clock_apart,
                row.try_get(2)?,
                row.try_get(3)?,
                row.try_get(4)?,
                row.try_get(5)?,
            ))
        };
        let (server, clock_apart, encrypted, is_standby, synchronous_commit, synchronous_standbys) = read()?;
        let schema = self.schema().await?;
        schema.fits()?;
        let nodes = self.nodes().await?;
        Ok(Examination {
            server,
            round_trip,
            clock_apart,
            encrypted,
            is_standby,
            synchronous_commit,
            synchronous_standbys,
            schema,
            nodes,
        })
    }
}
