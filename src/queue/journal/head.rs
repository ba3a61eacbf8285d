//! The segment that is written to, and what becomes of it when the disk fails.

use super::segment::{self, FILE_HEADER, SegmentNumber};
use crate::{
    failpoint::{self, Point},
    queue::{
        disk::{Disk, DiskFile},
        record::Octets,
    },
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The octets of a segment that hold nothing yet.
const EMPTY: u32 = FILE_HEADER.len() as u32;
/// Names that are tried where one is taken by a file that would not go.
const TRIES: u32 = 16;
/// A burst's buffer is not kept for ever.
const GATHERED_KEPT: usize = 256 << 10;

/// Writes records behind what is good of a segment; how many octets they have. All but large contents go together.
fn write<'a>(
    open: &mut Open,
    gathered: &mut Vec<u8>,
    records: impl Iterator<Item = &'a Octets>,
) -> io::Result<u32> {
    let mut end = open.length;
    let mut put = |octets: &[u8]| {
        if !octets.is_empty() {
            open.file.write_at(u64::from(end), octets)?;
            end += octets.len() as u32;
        }
        Ok::<_, io::Error>(())
    };
    for Octets { head, content } in records {
        gathered.extend_from_slice(head);
        if !content.is_empty() {
            put(gathered)?;
            gathered.clear();
            put(content)?;
        }
    }
    put(gathered)?;
    Ok(end - open.length)
}

/// Whether the system has no room, which it may have in a moment.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A segment that can be written to. All octets up to `length` were written without an error.
#[derive(Debug)]
struct Open {
    number: SegmentNumber,
    file: Box<dyn DiskFile>,
    length: u32,
}

/// The newest segment; none while the disk refuses one.
#[derive(Debug)]
pub(super) struct Head {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    /// The newest number that may be in use.
    last: SegmentNumber,
    open: Option<Open>,
    /// Files left behind that hold octets nobody was promised, with the length that they should have.
    untrimmed: Vec<(Box<dyn DiskFile>, u32)>,
    /// What is written together.
    gathered: Vec<u8>,
}

impl Head {
    /// Begins a segment after `last`. A full disk is no reason not to start: what is sent makes room.
    pub(super) fn begin(disk: Arc<dyn Disk>, directory: &Path, last: SegmentNumber) -> io::Result<Self> {
        let mut head = Self {
            disk,
            directory: directory.to_owned(),
            last,
            open: None,
            untrimmed: Vec::new(),
            gathered: Vec::new(),
        };
        match head.make() {
            Ok(open) => head.open = Some(open),
            Err(error) if is_full(&error) => {
                tracing::error!(target: "waxseal::queue", %error, "no new journal segment");
            }
            Err(error) => return Err(error),
        }
        Ok(head)
    }

    /// Where the next octet goes: a segment, made where there is none, and an offset.
    pub(super) fn position(&mut self) -> io::Result<(SegmentNumber, u32)> {
        if self.open.is_none() {
            self.open = Some(self.make()?);
        }
        self.end().ok_or_else(|| io::Error::other("no journal segment"))
    }

    /// Up to where the newest segment is known to be good.
    pub(super) fn end(&self) -> Option<(SegmentNumber, u32)> {
        self.open.as_ref().map(|open| (open.number, open.length))
    }

    /// Appends records, and makes all that was appended durable where `sync` asks for it. After an error none of these
    /// records counts, and [`Head::end`] is none where the segment cannot be written any more.
    pub(super) fn append<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Octets>,
        sync: bool,
    ) -> io::Result<()> {
        self.position()?;
        let Some(open) = &mut self.open else { return Err(io::Error::other("no journal segment")) };
        let written = write(open, &mut self.gathered, records);
        self.gathered.clear();
        self.gathered.shrink_to(GATHERED_KEPT);
        let octets = match written {
            Ok(octets) => octets,
            Err(error) => {
                // Nothing was lost yet: with the tail cut off the segment is good for smaller records, and more room.
                if !is_full(&error) || open.file.truncate(u64::from(open.length)).is_err() {
                    self.abandon();
                }
                return Err(error);
            }
        };
        if sync && octets > 0 {
            failpoint::reach(Point::RecordWritten);
        }
        // After a failed fsync the system may have dropped pages and believe them written: never this file again.
        if sync && let Err(error) = open.file.sync() {
            self.abandon();
            return Err(error);
        }
        if sync && octets > 0 {
            failpoint::reach(Point::RecordSynced);
        }
        open.length += octets;
        Ok(())
    }

    /// Leaves the segment and begins the next one. Where that cannot be made, this one goes on.
    pub(super) fn roll(&mut self) {
        match self.make() {
            Ok(open) => self.open = Some(open),
            Err(error) => tracing::error!(target: "waxseal::queue", %error, "no new journal segment"),
        }
    }

    /// Whether octets that were refused may still be on the disk; tries to cut them off.
    pub(super) fn is_trimmed(&mut self) -> bool {
        self.untrimmed.retain_mut(|(file, length)| !trim(file.as_mut(), *length));
        self.untrimmed.is_empty()
    }

    /// The segment is not written again, and what was not promised is cut off.
    fn abandon(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        let path = segment::path(&self.directory, open.number);
        let removed = open.length == EMPTY && self.disk.remove(&path).is_ok();
        if !removed && !trim(open.file.as_mut(), open.length) {
            tracing::error!(target: "waxseal::queue", segment = open.number, "journal tail not cut off");
            self.untrimmed.push((open.file, open.length));
        }
    }

    fn make(&mut self) -> io::Result<Open> {
        for _ in 0..TRIES {
            let number = self.last + 1;
            match segment::create(self.disk.as_ref(), &self.directory, number) {
                Ok(file) => {
                    self.last = number;
                    return Ok(Open { number, file, length: EMPTY });
                }
                // What an unfinished try left there would not go.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.last = number,
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

fn trim(file: &mut dyn DiskFile, length: u32) -> bool {
    file.truncate(u64::from(length)).and_then(|()| file.sync()).is_ok()
}
