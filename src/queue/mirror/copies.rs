//! The copies of messages in PostgreSQL (`src/database/migrations/0003_queue.sql`).

use crate::{
    database::{Database, DatabaseError},
    mail::QueueId,
    queue::read_back::blocking,
};
use sqlx::Row as _;
use std::{fs::File, io::Read as _, path::PathBuf};

/// A large content goes in pieces of so many octets, so that memory is unmoved by its size.
const CHUNK: usize = 256 << 10;

/// A message as it is copied.
#[derive(Debug)]
pub(super) struct Original {
    pub(super) id: QueueId,
    /// The record of its receipt, whole.
    pub(super) receipt: Vec<u8>,
    /// Its content, where that is in a file of its own.
    pub(super) file: Option<PathBuf>,
}

/// A message as it is fetched.
pub(super) struct Fetched {
    pub(super) receipt: Vec<u8>,
    pub(super) status: Option<Vec<u8>>,
    pub(super) chunks: i32,
}

/// To whom a message belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// There is no copy of it.
    Nobodys,
    Ours,
    /// Another node's, or it has left; with the copy's mark.
    Anothers(i32),
}

fn number(id: QueueId) -> i64 {
    id.number().cast_signed()
}

/// Tells a message from another one.
pub(super) fn mark(receipt: &[u8]) -> i32 {
    crc32fast::hash(receipt).cast_signed()
}

fn numbers(ids: &[QueueId]) -> Vec<i64> {
    ids.iter().map(|id| number(*id)).collect()
}

fn id(number: i64) -> QueueId {
    QueueId::from_number(number.cast_unsigned())
}

/// Copies messages without files of their own, in one transaction: those that are there when this returns. The rest have
/// an id that another message has.
pub(super) async fn copy(database: &Database, copies: &[Original]) -> Result<Vec<QueueId>, DatabaseError> {
    let ids: Vec<i64> = copies.iter().map(|copy| number(copy.id)).collect();
    let receipts: Vec<&[u8]> = copies.iter().map(|copy| copy.receipt.as_slice()).collect();
    let marks: Vec<i32> = copies.iter().map(|copy| mark(&copy.receipt)).collect();
    let statement = sqlx::query_scalar::<_, i64>(
        "INSERT INTO waxseal.message (id, owner, receipt, mark)
         SELECT id, $1, receipt, mark FROM unnest($2::bigint[], $3::bytea[], $4::integer[]) AS g (id, receipt, mark)
         ON CONFLICT (id) DO NOTHING RETURNING id",
    );
    let statement = statement.bind(database.epoch()).bind(ids).bind(receipts).bind(marks);
    let mut there = database.run(statement.fetch_all(database.pool())).await?;
    if there.len() < copies.len() {
        for copy in copies.iter().filter(|copy| !there.contains(&number(copy.id))).collect::<Vec<_>>() {
            // A copy that was made before, and whose COMMIT was not heard of, is as good as this one.
            if is_copied(database, copy).await? {
                there.push(number(copy.id));
            }
        }
    }
    Ok(there.into_iter().map(id).collect())
}

/// Whether a message has this very copy.
async fn is_copied(database: &Database, copy: &Original) -> Result<bool, DatabaseError> {
    let statement = sqlx::query_scalar("SELECT receipt = $2 FROM waxseal.message WHERE id = $1");
    let statement = statement.bind(number(copy.id)).bind(&copy.receipt);
    Ok(database.run(statement.fetch_optional(database.pool())).await?.unwrap_or(false))
}

/// Copies a message with its file, in one transaction; whether it is there when this returns. Else another message has its
/// id.
pub(super) async fn copy_with_file(
    database: &Database,
    copy: &Original,
    path: PathBuf,
) -> anyhow::Result<bool> {
    let (mut file, length) = blocking(move || {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok((file, length))
    })
    .await?;
    let mut transaction = database.run(database.pool().begin()).await?;
    let made = sqlx::query(
        "INSERT INTO waxseal.message (id, owner, receipt, chunks, mark) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO NOTHING",
    );
    let chunks = i32::try_from(length.div_ceil(CHUNK as u64)).unwrap_or(i32::MAX);
    let made = made.bind(number(copy.id)).bind(database.epoch()).bind(&copy.receipt).bind(chunks);
    let made = made.bind(mark(&copy.receipt));
    if database.run(made.execute(&mut *transaction)).await?.rows_affected() == 0 {
        return Ok(is_copied(database, copy).await?);
    }
    for at in 0..chunks {
        let octets;
        (file, octets) = blocking(move || {
            let mut octets = Vec::with_capacity(CHUNK);
            (&mut file).take(CHUNK as u64).read_to_end(&mut octets)?;
            Ok((file, octets))
        })
        .await?;
        let statement = sqlx::query("INSERT INTO waxseal.chunk (id, number, octets) VALUES ($1, $2, $3)");
        let statement = statement.bind(number(copy.id)).bind(at).bind(octets);
        database.run(statement.execute(&mut *transaction)).await?;
    }
    database.run(transaction.commit()).await?;
    Ok(true)
}

/// Tells where messages stand.
pub(super) async fn restate(
    database: &Database,
    statuses: &[(QueueId, Vec<u8>)],
) -> Result<(), DatabaseError> {
    let ids: Vec<i64> = statuses.iter().map(|(id, _)| number(*id)).collect();
    let records: Vec<&[u8]> = statuses.iter().map(|(_, record)| record.as_slice()).collect();
    let statement = sqlx::query(
        "UPDATE waxseal.message AS m SET status = g.status
         FROM unnest($2::bigint[], $3::bytea[]) AS g (id, status)
         WHERE m.id = g.id AND m.owner = $1 AND m.left_at IS NULL",
    );
    let statement = statement.bind(database.epoch()).bind(ids).bind(records);
    database.run(statement.execute(database.pool())).await.map(drop)
}

/// Removes the copies of messages that have left. Where a message was another node's once, that it has left stays there.
pub(super) async fn remove(database: &Database, ids: &[QueueId]) -> Result<(), DatabaseError> {
    let statement = sqlx::query(
        "WITH ours AS (SELECT id, adopted, chunks FROM waxseal.message
                       WHERE id = ANY ($2) AND owner = $1 AND left_at IS NULL FOR UPDATE),
              emptied AS (DELETE FROM waxseal.chunk WHERE id IN (SELECT id FROM ours WHERE chunks > 0)),
              removed AS (DELETE FROM waxseal.message WHERE id IN (SELECT id FROM ours WHERE NOT adopted))
         UPDATE waxseal.message SET left_at = clock_timestamp(), receipt = '', status = NULL, chunks = 0
         WHERE id IN (SELECT id FROM ours WHERE adopted)",
    );
    let statement = statement.bind(database.epoch()).bind(numbers(ids));
    database.run(statement.execute(database.pool())).await.map(drop)
}

/// Whose these messages are, which this node has.
pub(super) async fn whose(
    database: &Database,
    ids: &[QueueId],
) -> Result<Vec<(QueueId, Whose)>, DatabaseError> {
    let statement = sqlx::query_as::<_, (i64, i32, i32)>(
        "SELECT message_id, whose, the_mark FROM waxseal.whose($1, $2, $3)",
    );
    let statement = statement.bind(database.epoch()).bind(database.identity()).bind(numbers(ids));
    let rows = database.run(statement.fetch_all(database.pool())).await?;
    let whose = |whose, mark| match whose {
        0 => Whose::Nobodys,
        1 => Whose::Ours,
        _ => Whose::Anothers(mark),
    };
    Ok(rows.into_iter().map(|(number, of, mark)| (id(number), whose(of, mark))).collect())
}

/// All messages of this node that came before `limit`.
pub(super) async fn owned(database: &Database, limit: QueueId) -> Result<Vec<QueueId>, DatabaseError> {
    let statement = sqlx::query_scalar::<_, i64>(
        "SELECT id FROM waxseal.message WHERE owner = $1 AND left_at IS NULL AND id < $2 ORDER BY id",
    );
    let statement = statement.bind(database.epoch()).bind(number(limit));
    Ok(database.run(statement.fetch_all(database.pool())).await?.into_iter().map(id).collect())
}

/// Takes over up to so many messages of nodes that are gone.
pub(super) async fn take_over(database: &Database, most: i32) -> Result<Vec<QueueId>, DatabaseError> {
    let statement = sqlx::query_scalar::<_, i64>("SELECT message_id FROM waxseal.take_over($1, $2)");
    let statement = statement.bind(database.epoch()).bind(most);
    let mut taken: Vec<_> =
        database.run(statement.fetch_all(database.pool())).await?.into_iter().map(id).collect();
    taken.sort();
    Ok(taken)
}

/// A message of this node.
pub(super) async fn fetch(database: &Database, of: QueueId) -> Result<Option<Fetched>, DatabaseError> {
    let statement = sqlx::query(
        "SELECT receipt, status, chunks FROM waxseal.message WHERE id = $1 AND owner = $2 AND left_at IS NULL",
    );
    let statement = statement.bind(number(of)).bind(database.epoch());
    database
        .run(async {
            let Some(row) = statement.fetch_optional(database.pool()).await? else { return Ok(None) };
            Ok(Some(Fetched { receipt: row.try_get(0)?, status: row.try_get(1)?, chunks: row.try_get(2)? }))
        })
        .await
}

/// One piece of a message's content.
pub(super) async fn fetch_chunk(
    database: &Database,
    of: QueueId,
    at: i32,
) -> Result<Option<Vec<u8>>, DatabaseError> {
    let statement = sqlx::query_scalar("SELECT octets FROM waxseal.chunk WHERE id = $1 AND number = $2");
    database.run(statement.bind(number(of)).bind(at).fetch_optional(database.pool())).await
}

/// Makes the partitions of the days to come, and drops those of days long past.
pub(super) async fn keep_days(database: &Database) -> Result<(), DatabaseError> {
    let statement = sqlx::query("SELECT waxseal.keep_days()");
    database.run(statement.execute(database.pool())).await.map(drop)
}
