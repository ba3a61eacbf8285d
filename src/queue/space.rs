//! How much room the disk has, asked at most once a second.

use super::disk::Disk;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

const FRESH_FOR: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    octets: u64,
}

/// The last readings.
#[derive(Debug)]
pub(super) struct Space {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    free: Mutex<Option<Reading>>,
    used: Mutex<Option<Reading>>,
}

fn cached(cache: &Mutex<Option<Reading>>, read: impl FnOnce() -> u64) -> u64 {
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    match *cache {
        Some(reading) if reading.at.elapsed() < FRESH_FOR => reading.octets,
        _ => {
            let octets = read();
            *cache = Some(Reading { at: Instant::now(), octets });
            octets
        }
    }
}

impl Space {
    pub(super) fn new(disk: Arc<dyn Disk>, directory: &Path) -> Self {
        Self { disk, directory: directory.to_owned(), free: Mutex::new(None), used: Mutex::new(None) }
    }

    /// Octets that may still be written. Where the system does not say, writing decides.
    pub(super) fn free(&self) -> u64 {
        cached(&self.free, || self.disk.free(&self.directory))
    }

    /// Octets that the queue takes.
    pub(super) fn used(&self, count: impl FnOnce() -> u64) -> u64 {
        cached(&self.used, count)
    }
}
