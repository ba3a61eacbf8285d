//! Messages on their way to be acknowledged: those that come while others are committed go together.

use super::copies::{Original, copy, copy_with_file};
use crate::{database::Database, mail::QueueId};
use std::{collections::HashSet, sync::Arc};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Transactions at once.
const AT_ONCE: usize = 4;
/// Messages in one, and octets: more of them would keep the first ones waiting for the last.
const TOGETHER: usize = 128;
const OCTETS: usize = 256 << 10;

/// Where messages are handed in.
pub(super) struct Commits(mpsc::UnboundedSender<Job>);

/// Where they are committed.
pub(super) struct Jobs(mpsc::UnboundedReceiver<Job>);

struct Job {
    original: Original,
    answer: oneshot::Sender<bool>,
}

impl Commits {
    pub(super) fn new() -> (Self, Jobs) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), Jobs(receiver))
    }

    /// Whether the copy of a message is committed. `false` does not say that it is not.
    pub(super) async fn commit(&self, original: Original) -> bool {
        let (answer, answered) = oneshot::channel();
        self.0.send(Job { original, answer }).is_ok() && answered.await.unwrap_or(false)
    }
}

impl Jobs {
    /// Commits what is handed in, until `stop`.
    pub(super) async fn run(mut self, database: Database, stop: CancellationToken) {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            let first = tokio::select! {
                () = stop.cancelled() => return,
                job = self.0.recv() => job,
            };
            let Some(first) = first else { return };
            // While all are busy, more come that go along.
            let Ok(permit) = permits.clone().acquire_owned().await else { return };
            let mut octets = first.original.receipt.len();
            let mut jobs = vec![first];
            while jobs.len() < TOGETHER && octets < OCTETS {
                let Ok(job) = self.0.try_recv() else { break };
                octets += job.original.receipt.len();
                jobs.push(job);
            }
            let database = database.clone();
            tokio::spawn(async move {
                let (large, small) = jobs.into_iter().partition(|job| job.original.file.is_some());
                answer(&database, small).await;
                // Each is answered for by its own copy alone.
                for job in large {
                    answer(&database, vec![job]).await;
                }
                drop(permit);
            });
        }
    }
}

async fn answer(database: &Database, jobs: Vec<Job>) {
    let (originals, answers): (Vec<_>, Vec<_>) =
        jobs.into_iter().map(|Job { original, answer }| (original, answer)).unzip();
    let ids: Vec<QueueId> = originals.iter().map(|original| original.id).collect();
    let committed = commit(database, originals).await;
    for (id, answer) in ids.iter().zip(answers) {
        let _ = answer.send(committed.contains(id));
    }
}

/// Copies messages; the ids of those whose copies are committed. Of the others that is not known.
pub(super) async fn commit(database: &Database, originals: Vec<Original>) -> HashSet<QueueId> {
    let (with_file, small): (Vec<_>, Vec<_>) =
        originals.into_iter().partition(|original| original.file.is_some());
    let mut committed = HashSet::new();
    if !small.is_empty() {
        committed.extend(copy(database, &small).await.unwrap_or_default());
    }
    for mut original in with_file {
        if let Some(path) = original.file.take()
            && copy_with_file(database, &original, path).await.unwrap_or(false)
        {
            committed.insert(original.id);
        }
    }
    committed
}
