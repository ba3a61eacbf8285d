//! PostgreSQL, where several nodes share what one host keeps on its disk: the connection, the schema, and who is there.
//!
//! What is kept in it belongs to the modules that keep it: `store::postgres` has the tokens.

mod error;
mod examine;
mod news;
mod presence;
mod questions;
mod schema;
mod settings;
mod standing;

pub use error::DatabaseError;
pub use examine::Examination;
pub use news::{CHANNEL, News, tokens_payload};
pub use presence::{Membership, Node};
pub use questions::{Question, Said};
pub use schema::{Schema, migrate};
pub use settings::{Settings, SettingsError};
pub use standing::Standing;

use sqlx::{
    Executor as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{
    future::Future,
    sync::{Arc, atomic::AtomicI32},
    time::Duration,
};
use tokio::{
    sync::{OnceCell, broadcast, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Connections of one node, beside the one that listens.
const CONNECTIONS: u32 = 8;
/// How long an answer may take, the connection included. What takes longer is as good as away.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(300);

/// Every row is found by an index. A plan that was made while a table was empty is used for as long as the connection
/// lives, or until the table is analyzed: one that reads all of it would take longer with every message.
async fn by_index(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    match connection.execute("SET enable_seqscan = off").await {
        // A server that plans in another way goes on in its own.
        Err(sqlx::Error::Database(_)) => Ok(()),
        set => set.map(drop),
    }
}

/// The nodes' database. A clone is another handle on the same one. Nothing is connected before it is needed.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    pool: PgPool,
    options: PgConnectOptions,
    node: String,
    epoch: i64,
    identity: i64,
    /// Negative until it is known.
    number: AtomicI32,
    membership: watch::Sender<Membership>,
    standing: standing::Keeper,
    news: broadcast::Sender<News>,
    fit: OnceCell<()>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Database({})", self.0.node)
    }
}

impl Database {
    /// A handle on the database of these settings. Has to be called within the runtime.
    ///
    /// # Errors
    /// Where the settings cannot be used.
    pub fn open(settings: &Settings) -> Result<Self, DatabaseError> {
        Self::open_as(settings, 0)
    }

    /// As [`Database::open`], for a node: `identity` is that of its state directory.
    ///
    /// # Errors
    /// Where the settings cannot be used.
    pub fn open_as(settings: &Settings, identity: i64) -> Result<Self, DatabaseError> {
        let options = settings.options()?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .idle_timeout(IDLE)
            .after_connect(|connection, _| Box::pin(by_index(connection)))
            .connect_lazy_with(options.clone());
        let mut epoch = [0; 8];
        getrandom::fill(&mut epoch).map_err(|_| DatabaseError::NoRandomness)?;
        Ok(Self(Arc::new(Inner {
            pool,
            options,
            node: settings.node.clone(),
            epoch: i64::from_le_bytes(epoch),
            identity,
            number: AtomicI32::new(-1),
            membership: watch::Sender::default(),
            standing: standing::Keeper::default(),
            news: broadcast::channel(1024).0,
            fit: OnceCell::new(),
        })))
    }

    /// The name of this node.
    pub fn node(&self) -> &str {
        &self.0.node
    }

    /// This run of this node; never the same twice.
    pub fn epoch(&self) -> i64 {
        self.0.epoch
    }

    /// What stays the same from run to run beside one state directory.
    pub fn identity(&self) -> i64 {
        self.0.identity
    }

    /// Where statements are sent.
    pub fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    /// Whether it answers, as far as this node knows.
    pub fn standing(&self) -> Standing {
        self.0.standing.get()
    }

    /// Hears what other nodes tell. A receiver that lags has missed something.
    pub fn news(&self) -> broadcast::Receiver<News> {
        self.0.news.subscribe()
    }

    /// Runs a piece of work against the schema that this program knows, with bounded patience.
    ///
    /// # Errors
    /// Where the database is away, refuses, or has another schema. What was sent may have been done all the same.
    pub async fn run<T>(
        &self,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, DatabaseError> {
        self.0.fit.get_or_try_init(|| self.check_fit()).await?;
        self.ask(work).await
    }

    async fn check_fit(&self) -> Result<(), DatabaseError> {
        self.ask(schema::read(&self.0.pool)).await?.fits()
    }

    /// As [`Database::run`], whatever the schema.
    async fn ask<T>(&self, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, DatabaseError> {
        let done = match timeout(PATIENCE, work).await {
            Ok(done) => done.map_err(DatabaseError::from),
            Err(_) => Err(DatabaseError::Away(format!("no answer within {} s", PATIENCE.as_secs()))),
        };
        self.0.standing.note(done.as_ref().err());
        done
    }

    /// The schema as it is.
    ///
    /// # Errors
    /// As [`Database::run`].
    pub async fn schema(&self) -> Result<Schema, DatabaseError> {
        self.ask(schema::read(&self.0.pool)).await
    }

    /// Says that this node is there, and listens to the others, until `stop`.
    pub async fn attend(self, stop: CancellationToken) {
        tokio::join!(presence::keep(&self, &stop), news::listen(&self, &stop));
    }
}
