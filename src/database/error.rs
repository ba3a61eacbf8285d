//! What a database's answer means for whoever asked. Pure.

/// Why something is not in the database, or not out of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// It cannot be reached, is starting or stopping, or takes no writes. Worth asking again.
    #[error("the database of [store] is away: {0}")]
    Away(String),
    /// It does not let this node in, or not do this. The operator has to act.
    #[error("the database of [store] refuses: {0}")]
    Refused(String),
    /// Nobody has made the tables yet.
    #[error("the database of [store] has no tables of waxseal: run `waxseal store migrate` once")]
    NoSchema,
    /// The tables are older than this program.
    #[error(
        "the tables in the database of [store] are of version {found}, and this waxseal needs {needed}: run `waxseal store migrate`"
    )]
    SchemaTooOld {
        /// Theirs.
        found: i32,
        /// This program's.
        needed: i32,
    },
    /// The tables are too new for this program.
    #[error(
        "the tables in the database of [store] are of version {found}, for programs that know {readable_from} at least; this one knows {known}: install a newer waxseal"
    )]
    SchemaTooNew {
        /// Theirs.
        found: i32,
        /// The oldest that still understands them.
        readable_from: i32,
        /// This program's.
        known: i32,
    },
    /// The settings cannot be used.
    #[error("[store] {0}")]
    Settings(String),
    /// The system has no randomness to give.
    #[error("the system gives no randomness")]
    NoRandomness,
}

impl DatabaseError {
    /// Whether it will pass by itself.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away(_))
    }

    /// What a SQLSTATE says (PostgreSQL, appendix A).
    fn judged(state: &str, message: String) -> Self {
        match state {
            "42P01" | "3F000" => Self::NoSchema,
            // Read-only: a standby, or a primary that has just been made one.
            "25006" => Self::Away(message),
            _ => match state.get(..2) {
                // Connection, resources, an operator's intervention, the system; a transaction that lost.
                Some("08" | "53" | "57" | "58" | "40") => Self::Away(message),
                _ => Self::Refused(message),
            },
        }
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => {
                let state = database.code().unwrap_or_default();
                Self::judged(&state, format!("{} ({state})", database.message()))
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Away(error.to_string()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_told_from_what_does_not() {
        for (state, away) in [
            ("57P01", true),
            ("57P03", true),
            ("53300", true),
            ("25006", true),
            ("40001", true),
            ("08006", true),
            ("42501", false),
            ("28P01", false),
            ("3D000", false),
        ] {
            assert_eq!(DatabaseError::judged(state, String::new()).is_away(), away, "{state}");
        }
        assert_eq!(DatabaseError::judged("42P01", String::new()), DatabaseError::NoSchema);
        assert!(DatabaseError::from(sqlx::Error::PoolTimedOut).is_away());
    }
}
