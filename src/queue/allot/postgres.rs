//! The limits that nodes keep together, in PostgreSQL: one question for all accounts, answered by the functions of
//! `src/database/migrations/0002_pacing.sql`.

use super::{Allotted, Allotter, AskFuture, Wish};
use crate::{
    account::AccountId,
    database::Database,
    queue::lane::{Batch, Draw, Kind},
};
use sqlx::Row as _;
use std::{
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

/// Connections are a node's for this long, unless it asks again.
const LEASE: Duration = Duration::from_secs(30);
/// So long before the end nothing more is begun: what was begun has this time to be over before others may begin.
const MARGIN: Duration = Duration::from_secs(10);

/// What nodes that share a database may use of the accounts' limits.
pub struct SharedPacing {
    database: Database,
}

impl SharedPacing {
    /// With this database.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    async fn give_back(&self, unused: &[(&AccountId, Batch)]) -> Option<()> {
        let accounts: Vec<&str> = unused.iter().map(|(account, _)| account.as_str()).collect();
        let kinds: Vec<i16> = unused.iter().map(|(_, batch)| number(batch.kind)).collect();
        let keys: Vec<i64> = unused.iter().map(|(_, batch)| batch.key).collect();
        let counts: Vec<i32> = unused.iter().map(|(_, batch)| batch.count.cast_signed()).collect();
        let statement = sqlx::query(
            "UPDATE waxseal.taken AS t SET count = greatest(0, t.count - u.count)
             FROM unnest($1::text[], $2::smallint[], $3::bigint[], $4::integer[]) AS u (account, kind, until_ms, count)
             WHERE (t.account, t.kind, t.until_ms) = (u.account, u.kind, u.until_ms)",
        );
        let statement = statement.bind(accounts).bind(kinds).bind(keys).bind(counts);
        self.database.run(statement.execute(self.database.pool())).await.ok().map(drop)
    }

    async fn answer(&self, wishes: Vec<Wish>) -> Option<Vec<Allotted>> {
        let unused: Vec<_> =
            wishes.iter().flat_map(|wish| wish.unused.iter().map(|batch| (&wish.account, *batch))).collect();
        if !unused.is_empty() {
            self.give_back(&unused).await?;
        }
        let asked = Instant::now();
        let count = |of: fn(&Wish) -> usize| -> Vec<i32> {
            wishes.iter().map(|wish| i32::try_from(of(wish)).unwrap_or(i32::MAX)).collect()
        };
        let draw = |wish: &Wish, kind| wish.draws.iter().find(|draw| draw.kind == kind).copied();
        let drawn = |kind, of: fn(Draw) -> f64| -> Vec<f64> {
            wishes.iter().map(|wish| draw(wish, kind).map_or(0.0, of)).collect()
        };
        let lasts = |draw: Draw| (draw.window + draw.usable).as_secs_f64();
        let statement = sqlx::query(
            "SELECT waxseal.ask_slots(w.account, $1, $2, w.most, w.open, w.want, $3),
                    CASE WHEN w.m_want > 0
                        THEN waxseal.take(w.account, 1::smallint, w.m_want::integer, w.m_most::integer, w.m_lasts) END,
                    CASE WHEN w.r_want > 0
                        THEN waxseal.take(w.account, 2::smallint, w.r_want::integer, w.r_most::integer, w.r_lasts) END
             FROM unnest($4::text[], $5::integer[], $6::integer[], $7::integer[],
                         $8::float8[], $9::float8[], $10::float8[], $11::float8[], $12::float8[], $13::float8[])
                  AS w (account, most, open, want, m_want, m_most, m_lasts, r_want, r_most, r_lasts)",
        )
        .bind(self.database.epoch())
        .bind(self.database.node())
        .bind(LEASE.as_secs_f64())
        .bind(wishes.iter().map(|wish| wish.account.as_str()).collect::<Vec<_>>())
        .bind(count(|wish| wish.most))
        .bind(count(|wish| wish.open))
        .bind(count(|wish| wish.want))
        .bind(drawn(Kind::Messages, |draw| f64::from(draw.want)))
        .bind(drawn(Kind::Messages, |draw| f64::from(draw.most)))
        .bind(drawn(Kind::Messages, lasts))
        .bind(drawn(Kind::Recipients, |draw| f64::from(draw.want)))
        .bind(drawn(Kind::Recipients, |draw| f64::from(draw.most)))
        .bind(drawn(Kind::Recipients, lasts));
        let rows = self.database.run(statement.fetch_all(self.database.pool())).await.ok()?;
        let mut allotted = Vec::new();
        for (wish, row) in wishes.iter().zip(&rows) {
            let mut batches = Vec::new();
            for (column, kind) in [(1, Kind::Messages), (2, Kind::Recipients)] {
                let taken: Option<Vec<i64>> = row.try_get(column).ok()?;
                if let (Some(&[count, key]), Some(draw)) = (taken.as_deref(), draw(wish, kind)) {
                    let count = u32::try_from(count).unwrap_or(0);
                    batches.push(Batch { kind, count, key, ends: asked + draw.usable });
                }
            }
            let connections: i32 = row.try_get(0).ok()?;
            allotted.push(Allotted {
                account: wish.account.clone(),
                connections: usize::try_from(connections).unwrap_or(0),
                ends: asked + LEASE.saturating_sub(MARGIN),
                batches,
            });
        }
        Some(allotted)
    }
}

fn number(kind: Kind) -> i16 {
    match kind {
        Kind::Messages => 1,
        Kind::Recipients => 2,
    }
}

impl Allotter for SharedPacing {
    fn ask(&self, wishes: Vec<Wish>) -> AskFuture<'_> {
        Box::pin(self.answer(wishes))
    }

    fn leave(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            let statement =
                sqlx::query("DELETE FROM waxseal.slots WHERE epoch = $1").bind(self.database.epoch());
            // Where it fails they run out by themselves.
            let _ = self.database.run(statement.execute(self.database.pool())).await;
        })
    }
}
