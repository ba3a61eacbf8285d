//! Taking messages out, for the daemon. Whoever put a file in still owns it, and may hold it open: nothing that it says
//! is believed that has not been checked, and it is claimed by a rename before it is looked at, so that nothing can be
//! put in its place.

use super::{
    Spool, UNFINISHED,
    format::{self, Damage, HEAD_LIMIT, TRAILER},
    is_message, sync_directory,
};
use crate::mail::Envelope;
use rustix::fs::OFlags;
use std::{
    fs::{self, File},
    io::{self, Read as _},
    ops::Range,
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Octets of content read at once.
const CHUNK: usize = 64 << 10;
/// Entries of a directory looked at in one round.
const MOST: usize = 10_000;
/// Nobody writes to a message for longer than this without a pause: what is older and unfinished was given up.
const GIVEN_UP: Duration = Duration::from_secs(3600);

/// Why a file cannot be taken, now or ever.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// A link, a pipe, a directory, or a file that has other names as well.
    #[error("it is no plain file, or has another name as well")]
    NoPlainFile,
    /// It is no sound message.
    #[error("{0}")]
    Damaged(#[from] Damage),
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl Spool {
    /// Claims what has been put in, `most` at most. Then the names of all that is claimed, the oldest first.
    ///
    /// # Errors
    /// Where a directory cannot be read.
    pub fn claim(&self, most: usize) -> io::Result<Vec<String>> {
        let (drop, taken) = (self.drop_directory(), self.taken_directory());
        let mut claimed: Vec<String> = names(&taken)?.filter(|name| is_message(name)).collect();
        // All of these can be claimed, so that nobody keeps others' mail out by what cannot.
        let mut fresh: Vec<String> = Vec::new();
        for name in names(&drop)?.take(MOST) {
            if is_message(&name) {
                fresh.push(name);
            } else if name.starts_with(UNFINISHED) && is_given_up(&drop.join(&name)) {
                let _ = fs::rename(drop.join(&name), self.free_place_aside(&name));
            }
        }
        fresh.sort();
        for name in fresh.into_iter().take(most.saturating_sub(claimed.len())) {
            // Only we put anything in there, so that nothing can come in between.
            let free = fs::symlink_metadata(taken.join(&name)).is_err();
            if free && fs::rename(drop.join(&name), taken.join(&name)).is_ok() {
                claimed.push(name);
            }
        }
        claimed.sort();
        Ok(claimed)
    }

    /// Opens a claimed message.
    ///
    /// # Errors
    /// Where it is not to be taken.
    pub fn open(&self, name: &str) -> Result<Spooled, Unfit> {
        let path = self.taken_directory().join(name);
        let before = fs::symlink_metadata(&path)?;
        if !before.is_file() || before.nlink() != 1 {
            return Err(Unfit::NoPlainFile);
        }
        // Not to be led elsewhere by a link, nor to wait for the other end of a pipe.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
        let file = File::options().read(true).custom_flags(flags).open(&path)?;
        let found = file.metadata()?;
        if !found.is_file() || found.nlink() != 1 {
            return Err(Unfit::NoPlainFile);
        }
        Spooled::read(file, found.uid(), found.len())
    }

    /// A message that the queue has leaves the spool. Durable with [`Spool::settle`].
    ///
    /// # Errors
    /// Where it cannot be removed: it would be taken again.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.taken_directory().join(name))
    }

    /// Makes removals durable.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn settle(&self) -> io::Result<()> {
        sync_directory(&self.taken_directory())
    }

    /// Puts a claimed file aside, for an operator; where it is now.
    ///
    /// # Errors
    /// Where it cannot be moved: it stays claimed.
    pub fn set_aside(&self, name: &str) -> io::Result<PathBuf> {
        let place = self.free_place_aside(name);
        fs::rename(self.taken_directory().join(name), &place)?;
        sync_directory(&self.aside_directory())?;
        Ok(place)
    }

    /// A name that is not taken there, so that nothing is ever overwritten.
    fn free_place_aside(&self, name: &str) -> PathBuf {
        let aside = self.aside_directory();
        let is_free = |place: &PathBuf| fs::symlink_metadata(place).is_err();
        let numbered = (1..).map(|number| aside.join(format!("{number}-{name}")));
        std::iter::once(aside.join(name)).chain(numbered).find(is_free).unwrap_or_else(|| aside.join(name))
    }
}

/// The names in a directory but for those of directories, which only their owner can move.
fn names(directory: &Path) -> io::Result<impl Iterator<Item = String>> {
    let name = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let other = entry.file_type().is_ok_and(|kind| !kind.is_dir());
        other.then(|| entry.file_name().into_string().ok())?
    };
    Ok(fs::read_dir(directory)?.filter_map(name))
}

fn is_given_up(path: &Path) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|found| found.modified());
    modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > GIVEN_UP))
}

/// A message in the spool, open.
#[derive(Debug)]
pub struct Spooled {
    envelope: Envelope,
    uid: u32,
    file: File,
    content: Range<u64>,
    /// Of the octets before the content.
    head: crc32fast::Hasher,
    promised: u32,
    at: u64,
    checksum: crc32fast::Hasher,
}

impl Spooled {
    fn read(file: File, uid: u32, length: u64) -> Result<Self, Unfit> {
        let mut octets = Vec::new();
        // Two lines, and rarely more than the first octets.
        while octets.len() < HEAD_LIMIT && memchr::memchr_iter(b'\n', &octets).nth(1).is_none() {
            if (&file).take(CHUNK as u64).read_to_end(&mut octets)? == 0 {
                break;
            }
        }
        let (envelope, content) = format::read_head(&octets, length)?;
        let mut trailer = [0; TRAILER];
        file.read_exact_at(&mut trailer, content.end).map_err(|_| Damage::Torn)?;
        let promised = format::promised(&trailer, length)?;
        let mut head = crc32fast::Hasher::new();
        head.update(octets.get(..content.start as usize).ok_or(Damage::Torn)?);
        let (at, checksum) = (content.start, head.clone());
        Ok(Self { envelope, uid, file, content, head, promised, at, checksum })
    }

    /// Its envelope.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The user who put it in: the file's owner, whatever the message says.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Octets of its content.
    pub fn size(&self) -> u64 {
        self.content.end - self.content.start
    }

    /// The next octets of its content; empty at the end, and then all of it was as it was written.
    ///
    /// # Errors
    /// [`Damage::Torn`] at the end, where the octets are not those that were promised: nothing of them is to be used.
    pub fn next_chunk(&mut self) -> Result<Vec<u8>, Unfit> {
        let wanted = (self.content.end - self.at).min(CHUNK as u64) as usize;
        if wanted == 0 {
            let same = self.checksum.clone().finalize() == self.promised;
            return if same { Ok(Vec::new()) } else { Err(Damage::Torn.into()) };
        }
        let mut octets = vec![0; wanted];
        match self.file.read_exact_at(&mut octets, self.at) {
            Ok(()) => {}
            // Its owner has cut it short meanwhile.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(Damage::Torn.into()),
            Err(error) => return Err(error.into()),
        }
        self.at += wanted as u64;
        self.checksum.update(&octets);
        Ok(octets)
    }

    /// Back to the beginning of its content.
    pub fn rewind(&mut self) {
        self.at = self.content.start;
        self.checksum = self.head.clone();
    }
}
