//! Content that is sent while it is still being received: a file that grows, and a provider that follows it.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, time::timeout};

/// How long a provider is kept waiting for more. A client that is slower than that for 256 KiB, which is what comes at
/// once, has no claim on one of the account's few connections.
const PATIENCE: Duration = Duration::from_secs(2);

/// How far a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    octets: u64,
    whole: bool,
}

/// The writer's end. Dropped before [`Grower::finish`], the content never becomes whole, and no provider takes it.
#[derive(Debug)]
pub struct Grower {
    known: watch::Sender<Known>,
    given_up: Arc<AtomicBool>,
}

/// The reader's end: canonical octets in a file, more of which may come. A clone starts over.
#[derive(Debug, Clone)]
pub struct Growing {
    path: PathBuf,
    known: watch::Receiver<Known>,
    given_up: Arc<AtomicBool>,
}

/// A file that has `octets` by now, and will have more.
pub fn growing(path: PathBuf, octets: u64) -> (Grower, Growing) {
    let (sender, known) = watch::channel(Known { octets, whole: false });
    let given_up = Arc::new(AtomicBool::new(false));
    let grower = Grower { known: sender, given_up: given_up.clone() };
    (grower, Growing { path, known, given_up })
}

impl Grower {
    /// The file has so many octets now.
    pub fn grew(&self, octets: u64) {
        self.known.send_replace(Known { octets, whole: false });
    }

    /// The file has all its octets, so many.
    pub fn finish(self, octets: u64) {
        self.known.send_replace(Known { octets, whole: true });
    }

    /// How to find out afterwards whether the reader gave up waiting: then nothing was decided about the message.
    pub fn given_up(&self) -> Arc<AtomicBool> {
        self.given_up.clone()
    }
}

impl Growing {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its octets so far.
    pub fn octets(&self) -> u64 {
        self.known.borrow().octets
    }

    /// Waits for octets past `octets`, or for the word that these are all: how many there are, and whether they are all.
    ///
    /// # Errors
    /// Where the writer has gone, or lets the provider wait too long.
    pub(super) async fn past(&mut self, octets: u64) -> Result<(u64, bool), &'static str> {
        let more = self.known.wait_for(|known| known.whole || known.octets > octets);
        let waited = match timeout(PATIENCE, more).await {
            Ok(Ok(known)) => Ok((known.octets, known.whole)),
            Ok(Err(_)) => Err("the client did not send it to its end"),
            Err(_) => Err("the client sends too slowly for the provider to wait"),
        };
        if waited.is_err() {
            self.given_up.store(true, Ordering::Release);
        }
        waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_follows_its_writer_and_gives_up_in_time() {
        let (grower, mut growing) = growing("x".into(), 10);
        assert_eq!(growing.past(0).await, Ok((10, false)));
        grower.grew(20);
        assert_eq!(growing.past(10).await, Ok((20, false)));
        let mut again = growing.clone();
        let given_up = grower.given_up();
        let (late, begun) = (again.past(20).await, tokio::time::Instant::now());
        assert!(late.is_err() && given_up.load(Ordering::Acquire), "{late:?}");
        assert!(begun.elapsed() <= PATIENCE);
        grower.finish(20);
        assert_eq!(growing.past(20).await, Ok((20, true)), "all is known even where nothing more came");
    }

    #[tokio::test]
    async fn a_writer_that_goes_leaves_content_that_is_never_whole() {
        let (grower, mut growing) = growing("x".into(), 10);
        drop(grower);
        assert_eq!(growing.past(0).await, Ok((10, false)));
        assert!(growing.past(10).await.is_err());
    }
}
