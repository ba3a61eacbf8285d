use super::*;
use crate::{
    mail::QueueId,
    queue::{
        disk::{Disk, DiskFile, HostDisk},
        journal::Journal,
        record::{self, Record},
    },
};
use std::{
    fs,
    sync::{Mutex, PoisonError},
};

/// A disk whose next operations of a kind fail, as often as was asked for.
#[derive(Debug, Clone, Default)]
struct Flaky(Arc<Mutex<Vec<(&'static str, i32)>>>);

impl Flaky {
    /// The next operation of this kind fails with this error.
    fn fail(&self, operation: &'static str, errno: i32) {
        self.0.lock().unwrap().push((operation, errno));
    }

    fn ask(&self, operation: &str) -> io::Result<()> {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match faults.iter().position(|(name, _)| *name == operation) {
            Some(index) => Err(io::Error::from_raw_os_error(faults.remove(index).1)),
            None => Ok(()),
        }
    }

    fn is_spent(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

impl Disk for Flaky {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.ask("create")?;
        Ok(Box::new(FlakyFile(self.clone(), HostDisk.create(path)?)))
    }
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        HostDisk.create_directory(path)
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.ask("sync_directory")?;
        HostDisk.sync_directory(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        HostDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.ask("remove")?;
        HostDisk.remove(path)
    }
    fn free(&self, directory: &Path) -> u64 {
        HostDisk.free(directory)
    }
}

#[derive(Debug)]
struct FlakyFile(Flaky, Box<dyn DiskFile>);

impl DiskFile for FlakyFile {
    fn write_at(&mut self, offset: u64, octets: &[u8]) -> io::Result<()> {
        if let Err(error) = self.0.ask("write") {
            // What a full disk does: part of it is there.
            let _ = self.1.write_at(offset, &octets[..octets.len() / 2]);
            return Err(error);
        }
        self.1.write_at(offset, octets)
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.ask("truncate")?;
        self.1.truncate(length)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.0.ask("sync")?;
        self.1.sync()
    }
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn journal(directory: &Path, disk: &Flaky) -> Journal {
    let options = JournalOptions { disk: Arc::new(disk.clone()), segment_size: 64 << 20 };
    Journal::start(directory, &options, 0).unwrap()
}

fn done(n: u32) -> Vec<u8> {
    record::encode_done(QueueId::new(1, n), &[])
}

fn read(journal: &Journal, place: Place) -> u32 {
    let (Record::Done { id, .. }, _) = journal.read(place).unwrap() else { panic!() };
    (id.number() & 0xf_ffff) as u32
}

/// The departures that a start would find, oldest first.
fn found(directory: &Path) -> Vec<u32> {
    let mut found = Vec::new();
    let scanned = super::super::scan_readonly(directory, |record, _| {
        let Record::Done { id, .. } = record else { panic!() };
        found.push((id.number() & 0xf_ffff) as u32);
    });
    assert_eq!(scanned.unwrap().gaps, []);
    found
}

#[tokio::test]
async fn records_can_be_read_back_where_the_answer_says() {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path(), &Flaky::default());
    for n in 0..10 {
        let durability = if n % 2 == 0 { Durability::Synced } else { Durability::Written };
        let place = journal.append(done(n), durability).await.unwrap();
        assert_eq!(read(&journal, place), n);
        assert_eq!(journal.end(), (place.segment, place.offset + place.length));
    }
}

#[tokio::test]
async fn files_go_only_after_a_sync() {
    let directory = tempfile::tempdir().unwrap();
    let content = directory.path().join("content");
    fs::write(&content, "x").unwrap();
    let disk = Flaky::default();
    let journal = journal(directory.path(), &disk);
    journal.append(done(1), Durability::Written).await.unwrap();
    journal.remove_file(content.clone());
    // A sync that fails is followed by another segment, and the file goes after that one is synced.
    disk.fail("sync", EIO);
    while content.exists() {
        tokio::task::yield_now().await;
    }
    assert!(disk.is_spent());
    drop(journal);
    assert_eq!(found(directory.path()), [1, 1]);
}

#[tokio::test]
async fn a_file_whose_sync_failed_is_never_trusted_again() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Flaky::default();
    let journal = journal(directory.path(), &disk);
    let kept = journal.append(done(1), Durability::Synced).await.unwrap();
    disk.fail("sync", EIO);
    journal.append(done(2), Durability::Synced).await.unwrap_err();
    let next = journal.append(done(3), Durability::Synced).await.unwrap();
    assert_eq!((kept.segment, next.segment), (1, 2));
    assert_eq!((read(&journal, kept), read(&journal, next)), (1, 3));
    drop(journal);
    assert_eq!(found(directory.path()), [1, 3], "what was refused is cut off");
}

#[tokio::test]
async fn what_was_written_and_not_synced_is_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Flaky::default();
    let journal = journal(directory.path(), &disk);
    let lazy = journal.append(done(1), Durability::Written).await.unwrap();
    disk.fail("sync", EIO);
    // Neither the segment nor the next one can be synced, nor can one be made for a while.
    disk.fail("create", EIO);
    journal.append(done(2), Durability::Synced).await.unwrap_err();
    let mut next = Err(io::ErrorKind::Other.into());
    while next.is_err() {
        next = journal.append(done(3), Durability::Synced).await;
    }
    assert!(disk.is_spent());
    assert_eq!(read(&journal, lazy), 1);
    assert_eq!(journal.moved().follow(lazy).segment, 2, "the index's place leads to the new one");
    drop(journal);
    assert_eq!(found(directory.path()), [1, 1, 3]);
}

#[tokio::test]
async fn a_full_disk_refuses_and_the_segment_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Flaky::default();
    let journal = journal(directory.path(), &disk);
    for n in 0..20 {
        disk.fail("write", ENOSPC);
        let error = journal.append(done(n), Durability::Synced).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
    let place = journal.append(done(20), Durability::Synced).await.unwrap();
    assert_eq!(place.segment, 1);
    drop(journal);
    assert_eq!(found(directory.path()), [20]);
}

#[tokio::test]
async fn a_client_is_refused_where_a_departure_waits_for_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Flaky::default();
    let journal = journal(directory.path(), &disk);
    disk.fail("write", ENOSPC);
    let error = journal.append(done(1), Durability::Copied).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    for _ in 0..2 {
        disk.fail("write", ENOSPC);
    }
    journal.append(done(2), Durability::Written).await.unwrap();
    journal.append(done(3), Durability::Copied).await.unwrap();
    drop(journal);
    assert_eq!(found(directory.path()), [2, 3]);
}

#[tokio::test]
async fn a_tail_that_cannot_be_cut_off_is_cut_off_later() {
    let directory = tempfile::tempdir().unwrap();
    let content = directory.path().join("content");
    fs::write(&content, "x").unwrap();
    let disk = Flaky::default();
    let journal = journal(directory.path(), &disk);
    journal.append(done(1), Durability::Synced).await.unwrap();
    disk.fail("sync", EIO);
    for _ in 0..3 {
        disk.fail("truncate", EIO);
    }
    journal.append(done(2), Durability::Synced).await.unwrap_err();
    journal.remove_file(content.clone());
    journal.sync().await.unwrap();
    assert!(content.exists(), "the receipt that was refused may still name it");
    while content.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(journal);
    assert_eq!(found(directory.path()), [1]);
}

#[tokio::test]
async fn a_segment_that_cannot_be_made_costs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Flaky::default();
    let options = JournalOptions { disk: Arc::new(disk.clone()), segment_size: 100 };
    let journal = Journal::start(directory.path(), &options, 0).unwrap();
    let mut segments = Vec::new();
    for n in 0..8 {
        if n == 2 {
            disk.fail("create", ENOSPC);
            disk.fail("sync_directory", EIO);
            // What it leaves under the next name does not block the try after.
            disk.fail("remove", EIO);
        }
        let place = journal.append(done(n), Durability::Synced).await.unwrap();
        segments.push(place.segment);
    }
    assert!(disk.is_spent());
    drop(journal);
    assert_eq!(found(directory.path()), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert!(segments.is_sorted() && segments.last() == Some(&3), "{segments:?}");
}

#[tokio::test]
async fn an_old_segment_goes_before_a_younger_one() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Flaky::default();
    let options = JournalOptions { disk: Arc::new(disk.clone()), segment_size: 20 };
    let journal = Journal::start(directory.path(), &options, 0).unwrap();
    for n in 0..3 {
        journal.append(done(n), Durability::Synced).await.unwrap();
    }
    disk.fail("remove", EIO);
    journal.remove_segments(vec![1, 2]);
    journal.sync().await.unwrap();
    assert_eq!(found(directory.path()), [0, 1, 2], "the first would not go");
    while found(directory.path()) != [2] {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A stream of records that nobody waits for does not put their sync off.
#[tokio::test]
async fn lazy_records_are_durable_in_time_under_load() {
    let directory = tempfile::tempdir().unwrap();
    let content = directory.path().join("content");
    fs::write(&content, "x").unwrap();
    let journal = journal(directory.path(), &Flaky::default());
    journal.append(done(0), Durability::Written).await.unwrap();
    journal.remove_file(content.clone());
    let began = Instant::now();
    while content.exists() {
        journal.append(done(1), Durability::Written).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}
