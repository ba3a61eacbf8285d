//! Whether the database answers, as far as this node knows; its going and coming are told once each.

use super::DatabaseError;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};
use tracing::{error, info};

/// How the database stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// What went wrong last; `None` while it answers as it should.
    pub trouble: Option<String>,
    /// Since when that is so.
    pub since: Option<SystemTime>,
}

/// Keeps the standing.
#[derive(Debug, Default)]
pub(super) struct Keeper(Mutex<Standing>);

impl Keeper {
    pub(super) fn get(&self) -> Standing {
        self.lock().clone()
    }

    /// Takes in what a request came to.
    pub(super) fn note(&self, error: Option<&DatabaseError>) {
        let mut standing = self.lock();
        match (error, &standing.trouble) {
            (None, None) => {}
            (None, Some(_)) => {
                *standing = Standing { trouble: None, since: Some(SystemTime::now()) };
                info!("the shared store is back");
            }
            (Some(error), before) => {
                let reason = error.to_string();
                if before.is_none() {
                    error!(%reason, "the shared store is away");
                    standing.since = Some(SystemTime::now());
                }
                standing.trouble = Some(reason);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
