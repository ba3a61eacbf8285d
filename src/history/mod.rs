//! What became of every message: kept for a while, found again by queue id, Message-ID and address.
//!
//! Telling costs the teller a line of JSON in memory. A thread writes the lines to one file a day and syncs them once
//! a second; mail never waits for it. The queue's journal is the history's write-ahead log: its records carry the same
//! events, and at start those that the last run may not have made durable are taken from there.

mod backwards;
mod days;
mod event;
mod joined;
mod ledger;
mod query;
mod search;
mod writer;

pub use event::{Event, What};
pub use query::Query;
pub use search::{Found, Traced, search};

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle, ThreadId},
    time::Duration,
};
use tokio::sync::oneshot;
use writer::Shared;

/// How far a clock may have been set back without an event being passed over at the next start, in milliseconds.
const SLACK: u64 = 10_000;

/// A handle on the history. Dropping the last one ends the writer after it has synced.
#[derive(Clone)]
pub struct History {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    directory: PathBuf,
    recalls_from: u64,
    writer: ThreadId,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "History({})", self.inner.directory.display())
    }
}

impl History {
    /// The history in this directory; events older than `keep` go. Nothing on disk is touched before something is
    /// told or waited for.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn open(directory: &Path, keep: Duration) -> io::Result<Self> {
        let recalls_from = days::read_mark(directory).saturating_sub(SLACK);
        let shared = Arc::new(Shared::new(keep));
        let mut writer = writer::Writer::new(shared.clone(), directory.to_owned());
        let thread = thread::Builder::new().name("history".into()).spawn(move || writer.run())?;
        let inner = Inner {
            shared,
            directory: directory.to_owned(),
            recalls_from,
            writer: thread.thread().id(),
            thread: Some(thread),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Events older than this go from now on.
    pub fn set_keep(&self, keep: Duration) {
        self.inner.shared.set_keep(keep);
    }

    /// Where the files are.
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// Prepares to tell events of one moment, before the journal's record about them is appended; tell them once it
    /// is. A record whose events are never told gives them to the next start.
    pub fn prepare<'a>(&self, events: impl IntoIterator<Item = &'a Event>) -> Telling {
        let (mut lines, mut count, mut at) = (Vec::with_capacity(256), 0, None);
        for event in events {
            event.write_to(&mut lines);
            count += 1;
            at = Some(at.map_or(event.at, |at: u64| at.min(event.at)));
        }
        if let Some(at) = at {
            self.inner.shared.announce(at);
        }
        Telling { shared: self.inner.shared.clone(), at, lines, count }
    }

    /// The time from which on the last run may have left events out: the journal's events from then on are to be
    /// recalled at start.
    pub fn recalls_from(&self) -> u64 {
        self.inner.recalls_from
    }

    /// Takes an event out of the journal, at start. It may be known already: readers drop what is told twice. Waits
    /// while there is no room, but not for a disk that does not take anything.
    pub fn recall(&self, event: &Event) {
        if event.at >= self.inner.recalls_from {
            let mut line = Vec::new();
            event.write_to(&mut line);
            self.inner.shared.recall(event.at, &line);
        }
    }

    /// Has `work` done once all that was told so far is durable. Where the disk refuses it is done all the same:
    /// journal segments that wait for the history must not be what keeps a disk full.
    pub fn then(&self, work: impl FnOnce() + Send + 'static) {
        self.inner.shared.then(Box::new(work));
    }

    /// [`History::then`], waited for.
    pub async fn sync(&self) {
        let (tell, told) = oneshot::channel();
        self.then(move || {
            let _ = tell.send(());
        });
        let _ = told.await;
    }

    /// [`History::sync`] for threads that may block.
    pub fn sync_blocking(&self) {
        let (tell, told) = std::sync::mpsc::channel();
        self.then(move || {
            let _ = tell.send(());
        });
        let _ = told.recv();
    }

    /// What is wrong, while nothing can be written.
    pub fn trouble(&self) -> Option<String> {
        self.inner.shared.trouble()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.close();
        // The last handle may go in work that the writer itself is doing.
        if let Some(thread) = self.thread.take().filter(|_| thread::current().id() != self.writer) {
            let _ = thread.join();
        }
    }
}

/// Events that are about to be told. Dropped untold, they are left to the next start.
#[derive(Debug)]
pub struct Telling {
    shared: Arc<Shared>,
    /// `None` once told, or where there is nothing to tell.
    at: Option<u64>,
    lines: Vec<u8>,
    count: usize,
}

impl Telling {
    /// Tells them.
    pub fn tell(mut self) {
        if let Some(at) = self.at.take() {
            self.shared.tell(at, &self.lines, self.count);
        }
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if let Some(at) = self.at.take() {
            self.shared.miss(at);
        }
    }
}

#[cfg(test)]
mod tests;
