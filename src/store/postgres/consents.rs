//! Consents in PostgreSQL: begun at one node, finished at any.

use super::{PostgresStore, Shared, to_its_end};
use crate::{
    database::DatabaseError,
    store::{
        StoreError, StoreFuture,
        consents::{BegunConsent, Browser, ConsentStore, Digest, Finisher, Taken, digest_of},
        packed::{pack_consent, unpack_consent},
    },
};
use sqlx::Row as _;
use std::time::Duration;

/// Consents of all nodes at once; the oldest make room.
const MOST: i64 = 1000;

impl Shared {
    async fn begin_consent(
        &self,
        state: Digest,
        sealed: Vec<u8>,
        browser: Option<Browser>,
        lasts: Duration,
    ) -> Result<(), StoreError> {
        // Rows that another node is about to delete are left to it, so that no two wait for each other.
        let statement = sqlx::query(
            "WITH gone AS (
                 DELETE FROM waxseal.consent WHERE state IN (
                     SELECT state FROM waxseal.consent
                     WHERE ends <= clock_timestamp()
                        OR begun <= (SELECT begun FROM waxseal.consent ORDER BY begun DESC OFFSET $5 LIMIT 1)
                     FOR UPDATE SKIP LOCKED)
             )
             INSERT INTO waxseal.consent (state, sealed, browser, begun, ends)
             SELECT $1, $2, $3, now, now + make_interval(secs => $4) FROM clock_timestamp() AS now",
        )
        .bind(state.to_vec())
        .bind(sealed)
        .bind(browser.map(|browser| browser.0.to_vec()))
        .bind(lasts.as_secs_f64())
        .bind(MOST - 1);
        self.run(statement.execute(self.database.pool())).await.map(drop)
    }

    async fn take_consent(&self, state: Digest, by: Finisher) -> Result<Taken, StoreError> {
        let (anybodys, browser) = match by {
            Finisher::Operator => (true, None),
            Finisher::Browser(browser) => (false, browser),
        };
        let statement = sqlx::query(
            "WITH taken AS (
                 DELETE FROM waxseal.consent
                 WHERE state = $1 AND ends > clock_timestamp() AND ($2 OR browser IS NULL OR browser = $3)
                 RETURNING sealed
             )
             SELECT sealed FROM taken
             UNION ALL
             SELECT NULL FROM waxseal.consent
             WHERE state = $1 AND ends > clock_timestamp() AND NOT $2 AND browser IS DISTINCT FROM $3
                   AND browser IS NOT NULL",
        )
        .bind(state.to_vec())
        .bind(anybodys)
        .bind(browser.map(|browser| browser.0.to_vec()));
        let Some(row) = self.run(statement.fetch_optional(self.database.pool())).await? else {
            return Ok(Taken::Unknown);
        };
        match row.try_get::<Option<Vec<u8>>, _>(0).map_err(DatabaseError::from)? {
            Some(sealed) => {
                Ok(Taken::Begun(unpack_consent(&self.key, &state, &sealed, || self.wrong_key())?))
            }
            None => Ok(Taken::AnotherBrowsers),
        }
    }

    async fn is_consent_open(&self, state: Digest) -> Result<bool, StoreError> {
        let statement = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM waxseal.consent WHERE state = $1 AND ends > clock_timestamp())",
        );
        self.run(statement.bind(state.to_vec()).fetch_one(self.database.pool())).await
    }
}

impl ConsentStore for PostgresStore {
    fn begin<'a>(
        &'a self,
        state: &'a str,
        begun: BegunConsent,
        browser: Option<Browser>,
        lasts: Duration,
    ) -> StoreFuture<'a, ()> {
        let (shared, state) = (self.0.clone(), digest_of(state));
        let sealed = pack_consent(&shared.key, &state, &begun);
        to_its_end(async move { shared.begin_consent(state, sealed?, browser, lasts).await })
    }

    fn take<'a>(&'a self, state: &'a str, by: Finisher) -> StoreFuture<'a, Taken> {
        let (shared, state) = (self.0.clone(), digest_of(state));
        to_its_end(async move { shared.take_consent(state, by).await })
    }

    fn is_open<'a>(&'a self, state: &'a str) -> StoreFuture<'a, bool> {
        let (shared, state) = (self.0.clone(), digest_of(state));
        to_its_end(async move { shared.is_consent_open(state).await })
    }
}
