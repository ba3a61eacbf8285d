//! Segment files: names, the header, reading a record back.

use crate::queue::{
    disk::{Disk, DiskFile},
    record::{self, Record},
};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

/// Counts segments from 1; the age order of all records is segment, then offset.
pub type SegmentNumber = u32;

/// Starts every segment file: magic and format version.
pub(super) const FILE_HEADER: &[u8; 16] = b"waxseal journal\x01";
const EXTENSION: &str = "wxj";

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The segment.
    pub segment: SegmentNumber,
    /// Octets from the start of its file.
    pub offset: u32,
    /// Octets of the whole record.
    pub length: u32,
}

impl Place {
    /// No record: segments count from 1.
    pub const NONE: Self = Self { segment: 0, offset: 0, length: 0 };
}

/// The file of a segment.
pub(in crate::queue) fn path(directory: &Path, number: SegmentNumber) -> PathBuf {
    directory.join(format!("{number:010}.{EXTENSION}"))
}

/// The segments in a directory, oldest first.
pub(in crate::queue) fn list(directory: &Path) -> io::Result<Vec<SegmentNumber>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if let Some(number) = name.to_str().and_then(|n| n.strip_suffix(".wxj")).and_then(|n| n.parse().ok())
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Makes a segment file with its header, synced, its name too. Where that fails the file is removed again, if it can be.
pub(super) fn create(
    disk: &dyn Disk,
    directory: &Path,
    number: SegmentNumber,
) -> io::Result<Box<dyn DiskFile>> {
    let path = path(directory, number);
    let mut file = disk.create(&path)?;
    let made = file
        .write_at(0, FILE_HEADER)
        .and_then(|()| file.sync())
        .and_then(|()| disk.sync_directory(directory));
    match made {
        Ok(()) => Ok(file),
        Err(error) => {
            let _ = disk.remove(&path);
            Err(error)
        }
    }
}

/// Makes the names in a directory durable.
pub(in crate::queue) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The raw octets of a record.
pub(super) fn read_raw(directory: &Path, place: Place) -> io::Result<Vec<u8>> {
    let file = File::open(path(directory, place.segment))?;
    let mut octets = vec![0; place.length as usize];
    file.read_exact_at(&mut octets, u64::from(place.offset))?;
    Ok(octets)
}

/// Reads a record back: what it says and its content part.
pub(in crate::queue) fn read(directory: &Path, place: Place) -> io::Result<(Record, Vec<u8>)> {
    let mut octets = read_raw(directory, place)?;
    let (record, content_length) = match record::decode(&octets) {
        Ok((record, content, _)) => (record, content.len()),
        Err(damage) => return Err(io::Error::new(io::ErrorKind::InvalidData, damage)),
    };
    Ok((record, octets.split_off(octets.len() - content_length)))
}
