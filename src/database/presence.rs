//! Which nodes there are. Each says every few seconds that it is there.

use super::{Database, DatabaseError};
use sqlx::Row as _;
use std::{
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(5);
/// A node that was silent for so long is taken for gone.
const GONE: Duration = Duration::from_secs(20);
/// What a node has is its own for so long after a sign of life; longer than it may send on a share of the limits
/// (`queue::allot`), so that nobody takes over what it is still sending.
const LEASE: Duration = Duration::from_secs(30);

/// Between two looks at whether the database is away.
const LOOK: Duration = Duration::from_millis(50);

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
    /// Messages in its queue that have a copy; those of a node that is gone, until others have taken them over.
    pub messages: u64,
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
                    extract(epoch FROM clock_timestamp() - seen)::float8, epoch,
                    (SELECT count(*) FROM waxseal.message WHERE owner = node.epoch AND left_at IS NULL)
             FROM waxseal.node AS node ORDER BY name",
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
                    messages: row.try_get::<i64, _>(5)?.unsigned_abs(),
                })
            };
            rows.fetch_all(self.pool()).await?.iter().map(node).collect()
        })
        .await
    }
}

/// How a node stands with the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Membership {
    /// The others have not heard of it yet, or no longer.
    #[default]
    Out,
    /// They have, and it has to find out what is still its own.
    Joining,
    /// It sends.
    Ready,
}

impl Database {
    /// A number below 1024 that no other node has; where the database could not be asked for one, one of this state
    /// directory's own.
    pub fn number(&self) -> u32 {
        let own = self.0.identity.unsigned_abs() % 1024;
        u32::try_from(self.0.number.load(Ordering::Relaxed)).unwrap_or(own as u32)
    }

    /// Waits until the others have heard of this node, or the database turns out to be away, for `patience` at most.
    pub async fn heard_of(&self, patience: Duration) {
        let mut membership = self.membership();
        let end = Instant::now() + patience;
        while *membership.borrow_and_update() == Membership::Out
            && self.standing().trouble.is_none()
            && Instant::now() < end
        {
            let _ = timeout(LOOK, membership.changed()).await;
        }
    }

    /// How this node stands, and how it changes.
    pub fn membership(&self) -> watch::Receiver<Membership> {
        self.0.membership.subscribe()
    }

    /// Says that this node knows what is its own, and may send.
    ///
    /// # Errors
    /// As [`Database::run`].
    pub async fn joined(&self) -> Result<(), DatabaseError> {
        let statement =
            sqlx::query("UPDATE waxseal.node SET ready = true WHERE name = $1 AND epoch = $2 AND NOT is_out");
        let statement = statement.bind(self.node()).bind(self.epoch());
        let done = self.run(statement.execute(self.pool())).await?;
        let now = if done.rows_affected() > 0 { Membership::Ready } else { Membership::Joining };
        self.0.membership.send_replace(now);
        Ok(())
    }
}

/// Says that this node is there until `stop`, and that it is gone then.
pub(super) async fn keep(database: &Database, stop: &CancellationToken) {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut taken_since = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = beats.tick() => {}
        }
        // Where it fails, that was told when the database went away.
        let Ok(stands) = beat(database).await else { continue };
        let (stands, number) = stands;
        if let Some(number) = number {
            database.0.number.store(number, Ordering::Relaxed);
        }
        let now = match stands.as_str() {
            "ready" => Membership::Ready,
            "joining" => Membership::Joining,
            _ => Membership::Out,
        };
        database.0.membership.send_if_modified(|before| std::mem::replace(before, now) != now);
        if now != Membership::Out {
            taken_since = None;
            continue;
        }
        // A process that was killed keeps its name for as long as its lease; one that keeps it longer is alive.
        let since = *taken_since.get_or_insert_with(Instant::now);
        if since.elapsed() > LEASE + BEAT {
            warn!(
                node = database.node(),
                "another process has this node's name: give each its own [store] node"
            );
            taken_since = Some(Instant::now());
        }
    }
    let goodbye = sqlx::query(
        "WITH gone AS (DELETE FROM waxseal.node WHERE name = $1 AND epoch = $2 RETURNING epoch, identity)
         INSERT INTO waxseal.gone SELECT epoch, identity FROM gone ON CONFLICT DO NOTHING",
    );
    let goodbye = goodbye.bind(database.node()).bind(database.epoch());
    // Where it fails, the others find out by the silence.
    let _ = database.run(goodbye.execute(database.pool())).await;
}

/// One sign of life; how the node stands by it, and its number.
async fn beat(database: &Database) -> Result<(String, Option<i32>), DatabaseError> {
    let statement = sqlx::query_as(
        "WITH heard AS (SELECT pg_notify($6, '')),
              stands AS MATERIALIZED (SELECT waxseal.beat($1, $2, $3, $4, $5) AS stands FROM heard)
         SELECT stands, waxseal.number_of($1, $2) FROM stands",
    )
    .bind(database.node())
    .bind(database.epoch())
    .bind(database.0.identity)
    .bind(env!("CARGO_PKG_VERSION"))
    .bind(LEASE.as_secs_f64())
    .bind(super::news::own_channel(database));
    database.run(statement.fetch_one(database.pool())).await
}
