//! What this node's history has.

use super::{
    here::blocking,
    parts::{Part, Traces},
};
use crate::{
    admin::{service::Service, views::message},
    history::{self, Found, Query},
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// More messages than these are not shown at once.
const MOST: usize = 1000;

/// Calls a search off when nobody waits for it any more.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Service {
    /// Searches the history, up to what was told a moment ago.
    pub(super) async fn traces(&self, query: &str, limit: usize) -> Part {
        let query = Query::parse(query);
        let history = self.queue.history().clone();
        history.sync().await;
        let (queue, stop) = (self.queue.clone(), Arc::new(AtomicBool::new(false)));
        let _waiting = Waiting(stop.clone());
        blocking(move || {
            let stop = || stop.load(Ordering::Relaxed);
            let found = match history::search(history.directory(), &query, limit.min(MOST), &stop) {
                // Nothing has been told yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Found::default(),
                Err(error) => return Part::Failed(format!("the history cannot be read: {error}")),
                Ok(found) => found,
            };
            let queued = found.messages.iter().filter_map(|traced| queue.show(traced.id).ok());
            let queued = queued.map(|listed| message(&listed)).collect();
            Part::Traces(Traces { found, queued })
        })
        .await
    }
}
