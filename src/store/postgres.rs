//! Tokens in PostgreSQL, for several nodes: sealed as on a disk, compared and set by version, and asked for by one node at
//! a time.

mod consents;

use super::{
    ConsentStore, Kept, Lease, Over, Saved, StoreError, StoreFuture, TokenStore, Version, key,
    packed::{pack, unpack},
    seal::Key,
};
use crate::{
    account::{AccountId, token::TokenSet},
    database::{CHANNEL, Database, DatabaseError, News, tokens_payload},
};
use sqlx::{Row as _, postgres::PgRow};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{OnceCell, broadcast},
    task::AbortHandle,
    time::sleep,
};

/// A lease runs out after this long, by the database's clock, unless it is kept up.
const LEASE: Duration = Duration::from_secs(15);
/// So often it is kept up.
const KEEP_UP: Duration = Duration::from_secs(4);

/// Tokens in PostgreSQL.
pub(super) struct PostgresStore(Arc<Shared>);

struct Shared {
    database: Database,
    key: Key,
    key_path: PathBuf,
    /// Known once the database has been asked which key its tokens are sealed under.
    key_fits: OnceCell<()>,
}

impl PostgresStore {
    pub(super) fn open(
        database: Database,
        state_dir: &Path,
        credentials: Option<&Path>,
    ) -> Result<Self, StoreError> {
        let (key, key_path) = key::load(state_dir, credentials)?;
        Ok(Self(Arc::new(Shared { database, key, key_path, key_fits: OnceCell::new() })))
    }
}

impl Shared {
    /// Sends a statement once it is certain that the tokens there are sealed under the key of this node.
    async fn run<T>(&self, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
        self.key_fits.get_or_try_init(|| self.check_key()).await?;
        Ok(self.database.run(work).await?)
    }

    /// The first node of all says which key it is.
    async fn check_key(&self) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "UPDATE waxseal.schema SET key_name = coalesce(key_name, $1)
             WHERE key_name IS NULL OR key_name = $1 RETURNING version",
        );
        let pool = self.database.pool();
        let fits = self.database.run(statement.bind(self.key.name()).fetch_optional(pool)).await?;
        fits.map(drop).ok_or_else(|| self.wrong_key())
    }

    fn wrong_key(&self) -> StoreError {
        StoreError::NotTheNodesKey { path: self.key_path.clone() }
    }

    fn kept(&self, account: &AccountId, row: &PgRow) -> Result<Kept, StoreError> {
        let read =
            || Ok::<_, sqlx::Error>((row.try_get::<Option<Vec<u8>>, _>(0)?, row.try_get::<i64, _>(1)?));
        let (sealed, version) = read().map_err(DatabaseError::from)?;
        let unpack = |sealed: Vec<u8>| unpack(&self.key, account, &sealed, || self.wrong_key());
        Ok(Kept { tokens: sealed.map(unpack).transpose()?, version: Version(version.cast_unsigned()) })
    }

    async fn load(&self, account: &AccountId) -> Result<Kept, StoreError> {
        let statement = sqlx::query("SELECT sealed, version FROM waxseal.token WHERE account = $1");
        let row = self.run(statement.bind(account.as_str()).fetch_optional(self.database.pool())).await?;
        row.map_or_else(|| Ok(Kept::default()), |row| self.kept(account, &row))
    }

    /// Puts something in the place of what is there, if that is of `version`, ends the lease, and tells the others.
    async fn put(
        &self,
        account: &AccountId,
        sealed: Option<Vec<u8>>,
        over: Over,
    ) -> Result<Saved, StoreError> {
        let version = match over {
            Over::Whatever => None,
            Over::Version(version) => Some(version.0.cast_signed()),
        };
        // Where there is no row, there is version 0.
        let statement = sqlx::query(
            "WITH put AS (
                 INSERT INTO waxseal.token AS t (account, sealed, version)
                 SELECT $1, $2, nextval('waxseal.token_version')
                 WHERE $3::bigint IS NULL OR $3 = 0
                    OR EXISTS (SELECT FROM waxseal.token WHERE account = $1 AND version = $3)
                 ON CONFLICT (account) DO UPDATE SET sealed = excluded.sealed, version = excluded.version,
                     holder = NULL, holder_node = NULL, held_until = NULL
                 WHERE $3 IS NULL OR t.version = $3
                 RETURNING t.version
             )
             SELECT version, pg_notify($4, $5) FROM put",
        )
        .bind(account.as_str())
        .bind(sealed)
        .bind(version)
        .bind(CHANNEL)
        .bind(tokens_payload(account.as_str(), &self.database));
        let pool = self.database.pool();
        let put =
            async { statement.fetch_optional(pool).await?.map(|row| row.try_get::<i64, _>(0)).transpose() };
        let put = self.run(put).await?;
        Ok(put.map_or(Saved::Overtaken, |version| Saved::Kept(Version(version.cast_unsigned()))))
    }

    async fn list(&self) -> Result<Vec<AccountId>, StoreError> {
        let statement = sqlx::query_scalar::<_, String>(
            "SELECT account FROM waxseal.token WHERE sealed IS NOT NULL ORDER BY account COLLATE \"C\"",
        );
        let accounts = self.run(statement.fetch_all(self.database.pool())).await?;
        Ok(accounts.iter().map(|account| AccountId::new(account)).collect())
    }

    async fn lease(self: Arc<Self>, account: AccountId) -> Result<Lease, StoreError> {
        let mut number = [0; 8];
        getrandom::fill(&mut number).map_err(|_| DatabaseError::NoRandomness)?;
        let number = i64::from_le_bytes(number);
        let statement = sqlx::query(
            "INSERT INTO waxseal.token AS t (account, holder, holder_node, held_until)
             VALUES ($1, $2, $3, clock_timestamp() + make_interval(secs => $4))
             ON CONFLICT (account) DO UPDATE SET
                 holder = excluded.holder, holder_node = excluded.holder_node, held_until = excluded.held_until
             WHERE t.held_until IS NULL OR t.held_until < clock_timestamp()
             RETURNING t.sealed, t.version",
        )
        .bind(account.as_str())
        .bind(number)
        .bind(self.database.node())
        .bind(LEASE.as_secs_f64());
        let Some(row) = self.run(statement.fetch_optional(self.database.pool())).await? else {
            return Ok(Lease::Anothers);
        };
        // Made before anything can fail, so that the lease is given back then.
        let held = Held::new(self.database.clone(), account.clone(), number);
        Ok(Lease::Ours { there: Some(self.kept(&account, &row)?), held: Box::new(held) })
    }
}

/// A lease in this node's hands.
struct Held {
    database: Database,
    account: AccountId,
    number: i64,
    upkeep: AbortHandle,
}

impl Held {
    fn new(database: Database, account: AccountId, number: i64) -> Self {
        let upkeep = tokio::spawn(keep_up(database.clone(), account.clone(), number)).abort_handle();
        Self { database, account, number, upkeep }
    }
}

/// Where this fails the lease may run out, and a save that comes too late finds another version.
async fn keep_up(database: Database, account: AccountId, number: i64) {
    loop {
        sleep(KEEP_UP).await;
        let _ = end_in(&database, &account, number, LEASE).await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.upkeep.abort();
        let (database, account, number) = (self.database.clone(), self.account.clone(), self.number);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // Where it fails the lease runs out by itself.
            runtime.spawn(async move { end_in(&database, &account, number, Duration::ZERO).await });
        }
    }
}

/// Sets the end of a lease, if it is still that one.
async fn end_in(
    database: &Database,
    account: &AccountId,
    number: i64,
    time: Duration,
) -> Result<(), DatabaseError> {
    let statement = sqlx::query(
        "UPDATE waxseal.token SET held_until = clock_timestamp() + make_interval(secs => $3)
         WHERE account = $1 AND holder = $2",
    );
    let statement = statement.bind(account.as_str()).bind(number).bind(time.as_secs_f64());
    database.run(statement.execute(database.pool())).await.map(drop)
}

/// What was sent is waited for in a task of its own, so that a caller that gives up breaks off no statement.
fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> StoreFuture<'static, T> {
    Box::pin(async {
        let done = tokio::spawn(work).await;
        done.unwrap_or_else(|_| Err(StoreError::Engine("the store's task broke off".into())))
    })
}

impl TokenStore for PostgresStore {
    fn load<'a>(&'a self, account: &'a AccountId) -> StoreFuture<'a, Kept> {
        let (shared, account) = (self.0.clone(), account.clone());
        to_its_end(async move { shared.load(&account).await })
    }

    fn save<'a>(
        &'a self,
        account: &'a AccountId,
        tokens: &'a TokenSet,
        over: Over,
    ) -> StoreFuture<'a, Saved> {
        let (shared, account) = (self.0.clone(), account.clone());
        let sealed = pack(&shared.key, &account, tokens);
        to_its_end(async move { shared.put(&account, Some(sealed?), over).await })
    }

    fn forget<'a>(&'a self, account: &'a AccountId) -> StoreFuture<'a, Version> {
        let (shared, account) = (self.0.clone(), account.clone());
        to_its_end(async move {
            match shared.put(&account, None, Over::Whatever).await? {
                Saved::Kept(version) => Ok(version),
                Saved::Overtaken => Ok(Version::default()),
            }
        })
    }

    fn list(&self) -> StoreFuture<'_, Vec<AccountId>> {
        let shared = self.0.clone();
        to_its_end(async move { shared.list().await })
    }

    fn lease<'a>(&'a self, account: &'a AccountId) -> StoreFuture<'a, Lease> {
        to_its_end(self.0.clone().lease(account.clone()))
    }

    fn consents(&self) -> Arc<dyn ConsentStore> {
        Arc::new(Self(self.0.clone()))
    }

    fn changes(&self) -> Option<broadcast::Receiver<News>> {
        Some(self.0.database.news())
    }
}
