//! The tables: made and changed by numbered steps, one node at a time (an advisory lock), and checked by everyone else.
//!
//! A step that older programs can live with leaves `readable_from` as it was, so that nodes are upgraded one by one: the
//! tables first, then program after program.

use super::{DatabaseError, Settings};
use sqlx::{
    PgPool, Row as _, SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
    postgres::PgPoolOptions,
};

/// Every step so far.
const STEPS: [(i64, &str, &str); 4] = [
    (1, "first", include_str!("migrations/0001_first.sql")),
    (2, "pacing", include_str!("migrations/0002_pacing.sql")),
    (3, "queue", include_str!("migrations/0003_queue.sql")),
    (4, "questions", include_str!("migrations/0004_questions.sql")),
];

/// The last step that this program knows, and the first that it can work with.
const KNOWN: i32 = 4;
const NEEDED: i32 = 4;

/// The tables as they were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// The last step that ran.
    pub version: i32,
    /// Programs that know this step still understand them.
    pub readable_from: i32,
}

impl Schema {
    /// Whether this program can work with them.
    ///
    /// # Errors
    /// Too old or too new, and the way out.
    pub fn fits(&self) -> Result<(), DatabaseError> {
        if self.version < NEEDED {
            return Err(DatabaseError::SchemaTooOld { found: self.version, needed: NEEDED });
        }
        if self.readable_from > KNOWN {
            let (found, readable_from) = (self.version, self.readable_from);
            return Err(DatabaseError::SchemaTooNew { found, readable_from, known: KNOWN });
        }
        Ok(())
    }
}

pub(super) async fn read(pool: &PgPool) -> Result<Schema, sqlx::Error> {
    let row = sqlx::query("SELECT version, readable_from FROM waxseal.schema").fetch_one(pool).await?;
    Ok(Schema { version: row.try_get(0)?, readable_from: row.try_get(1)? })
}

/// Makes the tables, or brings them up to what this program knows. Gives back what they were before and are now; tables
/// of a later program stay as they are.
///
/// # Errors
/// Where the database is away, or the role of the URL may not do this.
pub async fn migrate(settings: &Settings) -> Result<(Option<Schema>, Schema), DatabaseError> {
    let pool = PgPoolOptions::new().max_connections(1).connect_with(settings.options()?).await?;
    let before = match read(&pool).await.map_err(DatabaseError::from) {
        Ok(schema) => Some(schema),
        Err(DatabaseError::NoSchema) => None,
        Err(error) => return Err(error),
    };
    let steps = STEPS.map(|(number, name, text)| {
        Migration::new(number, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(steps.to_vec());
    migrator.set_ignore_missing(true);
    // To say "if it does not exist" takes the right to make one.
    let exists: bool =
        sqlx::query_scalar("SELECT to_regnamespace('waxseal') IS NOT NULL").fetch_one(&pool).await?;
    if !exists {
        migrator.create_schema("waxseal");
    }
    migrator.dangerous_set_table_name("waxseal.migration");
    migrator.run(&pool).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::Execute(error)
        | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => error.into(),
        other => DatabaseError::Refused(other.to_string()),
    })?;
    let after = read(&pool).await?;
    pool.close().await;
    Ok((before, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_are_numbered_without_a_gap() {
        let numbers: Vec<i64> = STEPS.iter().map(|step| step.0).collect();
        assert_eq!(numbers, (1..=i64::from(KNOWN)).collect::<Vec<_>>());
        for (number, name, text) in STEPS {
            let says = format!("VALUES ({number}, ");
            let sets = format!("SET version = {number}");
            assert!(text.contains(&says) || text.contains(&sets), "{name} does not say its number");
        }
    }

    #[test]
    fn a_program_reads_tables_one_step_ahead_where_these_say_so() {
        let schema = |version, readable_from| Schema { version, readable_from };
        assert_eq!(schema(KNOWN, NEEDED).fits(), Ok(()));
        assert_eq!(schema(KNOWN + 1, KNOWN).fits(), Ok(()));
        assert!(matches!(schema(KNOWN + 1, KNOWN + 1).fits(), Err(DatabaseError::SchemaTooNew { .. })));
        assert!(matches!(schema(NEEDED - 1, 0).fits(), Err(DatabaseError::SchemaTooOld { .. })));
    }
}
