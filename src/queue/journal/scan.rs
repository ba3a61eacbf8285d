//! Reading the whole journal, as at start. What cannot be read is set aside, never deleted.

use super::{
    reader::{Piece, Reader},
    segment::{self, Place, SegmentNumber},
    window::Window,
};
use crate::queue::{
    disk::{self, Disk},
    record::Record,
};
use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
};

/// What the scan found beside records.
#[derive(Debug, Default)]
pub struct Scanned {
    /// The newest segment, 0 where there is none.
    pub last: SegmentNumber,
    /// Every segment with its length in octets, oldest first.
    pub segments: Vec<(SegmentNumber, u64)>,
    /// Octets that are no record.
    pub gaps: Vec<Gap>,
}

impl Scanned {
    /// Damaged places within the journal.
    pub fn damaged(&self) -> usize {
        self.gaps.iter().filter(|gap| !gap.torn).count()
    }

    /// Octets of torn tails: written when the power went, never acknowledged.
    pub fn torn(&self) -> usize {
        self.gaps.iter().filter(|gap| gap.torn).map(|gap| (gap.octets.end - gap.octets.start) as usize).sum()
    }
}

/// Octets of a segment that are no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The segment.
    pub segment: SegmentNumber,
    /// Where in its file they lie.
    pub octets: Range<u64>,
    /// They are the end of the file, and were being written when the power went.
    pub torn: bool,
}

/// Why the journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A sound record, or a file, of a format that this version does not know.
    #[error(transparent)]
    Later(#[from] LaterVersion),
    /// The disk refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A later waxseal was here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} holds {} at offset {offset}, written by a later waxseal; run that version or move the file away",
    file.display(), format_of(*version, *kind)
)]
pub struct LaterVersion {
    /// The segment's file.
    pub file: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// The version.
    pub version: u8,
    /// The kind, where it is a record.
    pub kind: Option<u8>,
}

fn format_of(version: u8, kind: Option<u8>) -> String {
    match kind {
        Some(kind) => format!("a record of version {version}, kind {kind},"),
        None => format!("a journal of version {version}"),
    }
}

/// Gives every record to `take`, oldest first. A damaged place is passed over to the next record that can be read, and
/// once all has been read it is copied to `quarantine`. Takes no more memory than a window of 1 MiB or the largest
/// record.
///
/// # Errors
/// Where something is of a later version: nothing has been changed on the disk then. Where the directory or a segment
/// cannot be read, or a damaged place cannot be set aside.
pub fn scan(
    disk: &dyn Disk,
    directory: &Path,
    quarantine: &Path,
    take: impl FnMut(Record, Place),
) -> Result<Scanned, ScanError> {
    let scanned = scan_readonly(directory, take)?;
    for gap in &scanned.gaps {
        set_aside(disk, directory, quarantine, gap)?;
    }
    Ok(scanned)
}

/// As [`scan`], but nothing is written anywhere.
///
/// # Errors
/// As [`scan`].
pub fn scan_readonly(directory: &Path, mut take: impl FnMut(Record, Place)) -> Result<Scanned, ScanError> {
    let mut later = None;
    let scanned = scan_up_to(directory, (SegmentNumber::MAX, u32::MAX), |found| match found {
        Found::Record(record, place) => {
            take(record, place);
            true
        }
        Found::Later(version) => {
            later = Some(version);
            false
        }
    })?;
    match later {
        Some(version) => Err(version.into()),
        None => Ok(scanned),
    }
}

/// What a scan comes upon.
pub(in crate::queue) enum Found {
    Record(Record, Place),
    Later(LaterVersion),
}

/// Reads the journal up to `end`, a segment and an offset in it, as long as `take` wants to go on. A segment that goes
/// meanwhile is passed over.
pub(in crate::queue) fn scan_up_to(
    directory: &Path,
    end: (SegmentNumber, u32),
    mut take: impl FnMut(Found) -> bool,
) -> io::Result<Scanned> {
    let mut scanned = Scanned::default();
    for number in segment::list(directory)?.into_iter().filter(|number| *number <= end.0) {
        let limit = if number == end.0 { u64::from(end.1) } else { u64::MAX };
        let mut reader = match Reader::open(directory, number, limit) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        scanned.last = number;
        scanned.segments.push((number, reader.length()));
        while let Some(piece) = reader.next()? {
            let goes_on = match piece {
                Piece::Record(record, place) => take(Found::Record(record, place)),
                Piece::Later { offset, version, kind } => {
                    let file = segment::path(directory, number);
                    take(Found::Later(LaterVersion { file, offset, version, kind }))
                }
                Piece::Damaged(octets) => {
                    scanned.gaps.push(Gap { segment: number, octets, torn: false });
                    true
                }
                Piece::Torn(octets) => {
                    scanned.gaps.push(Gap { segment: number, octets, torn: true });
                    true
                }
            };
            if !goes_on {
                return Ok(scanned);
            }
        }
    }
    Ok(scanned)
}

fn set_aside(disk: &dyn Disk, directory: &Path, quarantine: &Path, gap: &Gap) -> io::Result<()> {
    let Gap { segment: number, octets: Range { start, end }, .. } = *gap;
    let copy = quarantine.join(format!("{number:010}-{start}.octets"));
    disk::make_directory(disk, quarantine)?;
    // An earlier start has set the same octets aside, or was interrupted at it.
    match copy.metadata() {
        Ok(metadata) if metadata.len() == end - start => return Ok(()),
        Ok(_) => disk.remove(&copy)?,
        Err(_) => {}
    }
    let mut window = Window::open(&segment::path(directory, number), end)?;
    let mut file = disk.create(&copy)?;
    let mut at = start;
    while at < end {
        let octets = window.octets(at, 1)?;
        if octets.is_empty() {
            break;
        }
        file.write_at(at - start, octets)?;
        at += octets.len() as u64;
    }
    file.sync()?;
    disk.sync_directory(quarantine)?;
    tracing::warn!(
        target: "waxseal::queue",
        segment = number, offset = start, octets = end - start,
        "unreadable octets in the journal set aside in quarantine/"
    );
    Ok(())
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
