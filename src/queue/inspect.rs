//! Reading everything that the disk has of a queue, and changing nothing.

use super::{
    Queue,
    course::{Course, Progress},
    journal::{self, Found, LaterVersion, ScanError, SegmentNumber},
    recovery::{CONTENT, JOURNAL, content_path},
    verify::{Audit, Contents, Problem, Report, Spot},
};
use crate::mail::QueueId;
use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

/// So often a queue at work is read again where segments went meanwhile.
const TRIES: usize = 3;
/// Octets of a content file that are in memory at once.
const BUFFER: usize = 256 << 10;
/// The end of a journal that nobody writes to.
const ALL: (SegmentNumber, u32) = (SegmentNumber::MAX, u32::MAX);

/// Why a queue could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// Somebody wrote to it meanwhile.
    #[error("the queue changed while it was read; try again")]
    Changed,
    /// The disk refuses.
    #[error("the queue cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A later waxseal has written to it.
    #[error(transparent)]
    Later(#[from] LaterVersion),
}

impl From<ScanError> for InspectError {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Later(version) => version.into(),
            ScanError::Io(error) => error.into(),
        }
    }
}

/// Looks at the queue in a directory that no daemon has, without a lock; what was read counts only where nobody began to
/// write meanwhile.
pub(super) fn unchanged<T>(
    directory: &Path,
    read: impl FnOnce(&Path) -> Result<T, InspectError>,
) -> Result<T, InspectError> {
    let journal = directory.join(JOURNAL);
    let before = journal::list(&journal)?;
    let value = read(&journal);
    // A start begins a segment, and may take others away.
    if journal::list(&journal)? == before { value } else { Err(InspectError::Changed) }
}

/// Verifies the queue in a directory while no daemon has it: every record of every segment, every content file with its
/// length and checksum, and whether they fit together. Takes no lock and writes nothing. `tell` hears how far it has come.
/// Blocks on the disk.
///
/// # Errors
/// Where something but single files cannot be read, or a daemon has started meanwhile.
pub fn verify_stopped(directory: &Path, tell: &mut dyn FnMut(Progress)) -> Result<Report, InspectError> {
    unchanged(directory, |_| {
        let mut course = Course::begin(octets(directory, ALL)?, tell);
        let audit = read_journal(directory, ALL, &mut course)?;
        Ok(with_contents(audit, directory, &mut course, |_| true)?)
    })
}

impl Queue {
    /// Verifies the queue while it works, up to what is known to be good when this begins. `tell` hears how far it
    /// has come. Blocks on the disk.
    ///
    /// # Errors
    /// As [`verify_stopped`].
    pub fn verify(&self, tell: &mut dyn FnMut(Progress)) -> Result<Report, InspectError> {
        let directory = &self.shared.directory;
        for _ in 0..TRIES {
            let end = self.journal().end();
            let before = journal::list(&directory.join(JOURNAL))?;
            let mut course = Course::begin(octets(directory, end)?, tell);
            let audit = read_journal(directory, end, &mut course)?;
            let after = journal::list(&directory.join(JOURNAL))?;
            // Of a segment that went before it was read, it is not known what it said.
            if after.first() == before.first() {
                let still_here = |id| self.state().item(id).is_some();
                return Ok(with_contents(audit, directory, &mut course, still_here)?);
            }
        }
        Err(InspectError::Changed)
    }
}

fn segment_name(number: SegmentNumber) -> String {
    journal::segment_path(Path::new(JOURNAL), number).display().to_string()
}

/// Octets that there are to read. What goes meanwhile, or cannot be looked at, is none of them: reading it will tell.
fn octets(directory: &Path, end: (SegmentNumber, u32)) -> io::Result<u64> {
    let length = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    let journal = directory.join(JOURNAL);
    let mut octets = 0;
    for number in journal::list(&journal)?.into_iter().filter(|number| *number <= end.0) {
        let limit = if number == end.0 { u64::from(end.1) } else { u64::MAX };
        octets += length(&journal::segment_path(&journal, number)).min(limit);
    }
    for entry in fs::read_dir(directory.join(CONTENT))? {
        octets += length(&entry?.path());
    }
    Ok(octets)
}

fn read_journal(directory: &Path, end: (SegmentNumber, u32), course: &mut Course<'_>) -> io::Result<Audit> {
    let mut audit = Audit::default();
    // Where the last record lay: its segment, and the octets up to its end in it.
    let (mut segment, mut read) = (0, 0);
    let journal = directory.join(JOURNAL);
    let scanned = journal::scan_up_to(&journal, end, |found| {
        match found {
            Found::Record(record, place) => {
                if place.segment != segment {
                    (segment, read) = (place.segment, 0);
                }
                let behind = u64::from(place.offset) + u64::from(place.length);
                course.advance(behind.saturating_sub(read));
                read = behind;
                audit.record(&record, || Spot {
                    file: segment_name(place.segment),
                    offset: u64::from(place.offset),
                });
            }
            Found::Later(later) => {
                let file = later.file.strip_prefix(directory).unwrap_or(&later.file).display().to_string();
                audit.problem(file, Some(later.offset), Problem::Later { version: later.version });
            }
        }
        true
    })?;
    scanned.segments.iter().for_each(|(_, octets)| audit.segment(*octets));
    course.reach(scanned.segments.iter().map(|(_, octets)| octets).sum());
    for gap in scanned.gaps {
        let octets = gap.octets.end - gap.octets.start;
        if gap.torn {
            audit.torn(octets);
        } else {
            let file = segment_name(gap.segment);
            audit.problem(file, Some(gap.octets.start), Problem::Unreadable { octets });
        }
    }
    Ok(audit)
}

fn with_contents(
    mut audit: Audit,
    directory: &Path,
    course: &mut Course<'_>,
    still_here: impl Fn(QueueId) -> bool,
) -> io::Result<Report> {
    let mut buffer = vec![0; BUFFER];
    for entry in fs::read_dir(directory.join(CONTENT))? {
        let entry = entry?;
        let name = entry.file_name();
        let id = id_of(&name);
        let contents = match read_contents(&entry.path(), &mut buffer, course) {
            // It left with its message.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            contents => contents.map_err(|error| error.to_string()),
        };
        audit.content_file(Path::new(CONTENT).join(&name).display().to_string(), id, contents);
    }
    let name = |id| content_path(Path::new(""), id).display().to_string();
    Ok(audit.finish(still_here, name))
}

/// The message whose content is in a file of this name.
fn id_of(name: &OsStr) -> Option<QueueId> {
    name.to_str()?.strip_suffix(".eml")?.parse().ok()
}

fn read_contents(path: &Path, buffer: &mut [u8], course: &mut Course<'_>) -> io::Result<Contents> {
    let mut file = File::open(path)?;
    let (mut octets, mut hasher) = (0, crc32fast::Hasher::new());
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok(Contents { octets, crc: hasher.finalize() }),
            Ok(read) => {
                octets += read as u64;
                course.advance(read as u64);
                hasher.update(&buffer[..read]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
