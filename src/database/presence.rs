//! Which nodes there are. Each says every few seconds that it is there.

use super::{Database, DatabaseError};
use sqlx::Row as _;
use std::time::{Duration, SystemTime};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(5);
/// A node that was silent for so long is taken for gone.
const GONE: Duration = Duration::from_secs(20);
/// A node that was silent for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(7 * 86_400);

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// The version of its program.
    pub program: String,
    /// When it started.
    pub started: SystemTime,
    /// How long ago it last said that it is there, by the database's clock.
    pub silent: Duration,
    /// It is this one.
    pub is_this: bool,
}

impl Node {
    /// Whether it was heard of lately.
    pub fn is_there(&self) -> bool {
        self.silent < GONE
    }
}

impl Database {
    /// All nodes that were heard of within a week, by name.
    ///
    /// # Errors
    /// As [`Database::run`].
    pub async fn nodes(&self) -> Result<Vec<Node>, DatabaseError> {
        let rows = sqlx::query(
            "SELECT name, program, extract(epoch FROM started)::float8,
                    extract(epoch FROM clock_timestamp() - seen)::float8, epoch
             FROM waxseal.node ORDER BY name",
        );
        self.run(async {
            let node = |row: &sqlx::postgres::PgRow| -> Result<Node, sqlx::Error> {
                let seconds =
                    |at| Ok::<_, sqlx::Error>(Duration::from_secs_f64(row.try_get::<f64, _>(at)?.max(0.0)));
                Ok(Node {
                    name: row.try_get(0)?,
                    program: row.try_get(1)?,
                    started: SystemTime::UNIX_EPOCH + seconds(2)?,
                    silent: seconds(3)?,
                    is_this: row.try_get::<i64, _>(4)? == self.epoch(),
                })
            };
            rows.fetch_all(self.pool()).await?.iter().map(node).collect()
        })
        .await
    }
}

/// Says that this node is there until `stop`, and takes its name out of the list then.
pub(super) async fn keep(database: &Database, stop: &CancellationToken) {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut mine = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = beats.tick() => {}
        }
        // Where it fails, that was told when the database went away.
        let Ok(previous) = beat(database).await else { continue };
        // Of two processes each finds the other's mark, time and again.
        if mine && previous.is_some_and(|epoch| epoch != database.epoch()) {
            warn!(
                node = database.node(),
                "another process has this node's name: give each its own [store] node"
            );
        }
        mine = true;
    }
    let goodbye = sqlx::query("DELETE FROM waxseal.node WHERE name = $1 AND epoch = $2")
        .bind(database.node())
        .bind(database.epoch());
    // Where it fails, the others find out by the silence.
    let _ = database.run(goodbye.execute(database.pool())).await;
}

/// One sign of life; gives back whose it was before.
async fn beat(database: &Database) -> Result<Option<i64>, DatabaseError> {
    let statement = sqlx::query(
        "WITH before AS (SELECT epoch FROM waxseal.node WHERE name = $1),
              gone AS (DELETE FROM waxseal.node WHERE seen < clock_timestamp() - make_interval(secs => $5)),
              heard AS (SELECT pg_notify($4, ''))
         INSERT INTO waxseal.node AS n (name, epoch, program, seen)
         SELECT $1, $2, $3, clock_timestamp() FROM heard
         ON CONFLICT (name) DO UPDATE SET
             started = CASE WHEN n.epoch = excluded.epoch THEN n.started ELSE excluded.started END,
             epoch = excluded.epoch, program = excluded.program, seen = excluded.seen
         RETURNING (SELECT epoch FROM before)",
    )
    .bind(database.node())
    .bind(database.epoch())
    .bind(env!("CARGO_PKG_VERSION"))
    .bind(super::news::own_channel(database))
    .bind(FORGOTTEN.as_secs_f64());
    database.run(async { statement.fetch_one(database.pool()).await?.try_get(0) }).await
}
