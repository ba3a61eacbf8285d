//! The history's files: one a day (UTC), and the mark.

use crate::mail::Timestamp;
use std::{
    fmt,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::ledger::DAY;

/// Holds the mark, in 20 digits: every event that is older is in the files.
const MARK: &str = "synced";
/// Files that stay open for writing: today's, yesterday's, and those that the journal is read into at start.
const OPEN: usize = 4;

/// A day by its date; sorts by age.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day(String);

impl Day {
    /// The day of an instant, in milliseconds since the Unix epoch.
    pub(super) fn of(at: u64) -> Self {
        let mut text = Timestamp::from_millis(at).to_string();
        text.truncate("YYYY-MM-DD".len());
        Self(text)
    }

    /// The day that a file of this name holds.
    fn of_file(name: &str) -> Option<Self> {
        let date = name.strip_suffix(".jsonl")?;
        let digit = |(at, octet): (usize, u8)| match at {
            4 | 7 => octet == b'-',
            _ => octet.is_ascii_digit(),
        };
        (date.len() == 10 && date.bytes().enumerate().all(digit)).then(|| Self(date.to_owned()))
    }

    /// Its file.
    pub(super) fn path(&self, directory: &Path) -> PathBuf {
        directory.join(format!("{self}.jsonl"))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The days that there are files of, the oldest first.
pub(super) fn list(directory: &Path) -> io::Result<Vec<Day>> {
    let mut days = Vec::new();
    for entry in fs::read_dir(directory)? {
        days.extend(entry?.file_name().to_str().and_then(Day::of_file));
    }
    days.sort_unstable();
    Ok(days)
}

/// The mark that the last run left; 0 where there is none that can be read.
pub(super) fn read_mark(directory: &Path) -> u64 {
    let text = fs::read_to_string(directory.join(MARK)).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// A file that is written to.
#[derive(Debug)]
struct Open {
    day: u64,
    file: File,
    dirty: bool,
}

/// The files while they are written.
#[derive(Debug)]
pub(super) struct Days {
    directory: PathBuf,
    open: Vec<Open>,
    /// A file was made whose name is not durable yet.
    named: bool,
}

impl Days {
    /// Nothing is touched yet.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, open: Vec::new(), named: false }
    }

    /// Appends whole lines to the file of a day, counted from 1970-01-01.
    pub(super) fn append(&mut self, day: u64, lines: &[u8]) -> io::Result<()> {
        let open = self.file(day)?;
        open.dirty = true;
        open.file.write_all(lines)
    }

    fn file(&mut self, day: u64) -> io::Result<&mut Open> {
        let at = match self.open.iter().position(|open| open.day == day) {
            Some(at) => at,
            None => {
                if self.open.len() >= OPEN {
                    self.sync()?;
                    self.open.clear();
                }
                let file = self.open_file(day)?;
                self.open.push(Open { day, file, dirty: false });
                self.open.len() - 1
            }
        };
        Ok(&mut self.open[at])
    }

    fn open_file(&mut self, day: u64) -> io::Result<File> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let path = Day::of(day * DAY).path(&self.directory);
        let mut file = File::options().read(true).append(true).create(true).mode(0o600).open(path)?;
        let length = file.metadata()?.len();
        self.named |= length == 0;
        // A line that was torn by a crash or a full disk gets its end, so that it costs no other.
        let mut last = [b'\n'];
        if length > 0 {
            file.read_exact_at(&mut last, length - 1)?;
        }
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
        Ok(file)
    }

    /// Makes all that was appended durable.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        for open in self.open.iter_mut().filter(|open| open.dirty) {
            open.file.sync_data()?;
            open.dirty = false;
        }
        if self.named {
            File::open(&self.directory)?.sync_all()?;
            if let Some(parent) = self.directory.parent() {
                File::open(parent)?.sync_all()?;
            }
            self.named = false;
        }
        Ok(())
    }

    /// Writes the mark, after a sync. It is not synced itself: an earlier one is right too.
    pub(super) fn mark(&self, at: u64) -> io::Result<()> {
        let path = self.directory.join(MARK);
        let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.write_all_at(format!("{at:020}\n").as_bytes(), 0)
    }

    /// After a failure nobody knows how the files end: they are opened anew.
    pub(super) fn forget(&mut self) {
        self.open.clear();
    }

    /// Removes the files of all days before this instant's.
    pub(super) fn prune(&self, before: u64) -> io::Result<()> {
        let days = match list(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            days => days?,
        };
        let first = Day::of(before);
        for day in days.into_iter().filter(|day| *day < first) {
            fs::remove_file(day.path(&self.directory))?;
            tracing::info!(target: "waxseal::history", %day, "history outlived: day removed");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_named_by_date() {
        assert_eq!(Day::of(1_763_900_000_000).to_string(), "2025-11-23");
        assert_eq!(Day::of_file("2025-11-23.jsonl"), Some(Day::of(1_763_900_000_000)));
        for name in ["synced", "2025-11-23", "2025-1-123.jsonl", "2025-11-23.jsonl.gz", "x025-11-23.jsonl"] {
            assert_eq!(Day::of_file(name), None, "{name}");
        }
        assert!(Day::of(0) < Day::of(DAY));
    }

    #[test]
    fn a_torn_line_costs_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = Day::of(0).path(directory.path());
        fs::write(&path, "whole\ntor").unwrap();
        let mut days = Days::new(directory.path().to_owned());
        days.append(0, b"new\n").unwrap();
        days.sync().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\ntor\nnew\n");
        drop(days);
        Days::new(directory.path().to_owned()).append(0, b"newer\n").unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "whole\ntor\nnew\nnewer\n");
    }

    #[test]
    fn many_days_at_once_are_written_in_turn() {
        let directory = tempfile::tempdir().unwrap();
        let mut days = Days::new(directory.path().join("history"));
        for round in 0..3 {
            for day in 0..9 {
                days.append(day, format!("{round}\n").as_bytes()).unwrap();
            }
        }
        days.sync().unwrap();
        let listed = list(&directory.path().join("history")).unwrap();
        assert_eq!(listed.len(), 9);
        for day in listed {
            let path = day.path(&directory.path().join("history"));
            assert_eq!(fs::read_to_string(path).unwrap(), "0\n1\n2\n");
        }
    }

    #[test]
    fn days_go_when_all_of_them_is_past() {
        let directory = tempfile::tempdir().unwrap();
        let mut days = Days::new(directory.path().to_owned());
        days.prune(5 * DAY).unwrap();
        for day in 0..6 {
            days.append(day, b"x\n").unwrap();
        }
        fs::write(directory.path().join("notes.txt"), "the administrator's").unwrap();
        days.prune(3 * DAY + DAY - 1).unwrap();
        assert_eq!(list(directory.path()).unwrap(), [3, 4, 5].map(|day| Day::of(day * DAY)));
        assert!(directory.path().join("notes.txt").exists());
    }

    #[test]
    fn the_mark_is_read_back_and_damage_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let days = Days::new(directory.path().to_owned());
        assert_eq!(read_mark(directory.path()), 0);
        for at in [1_763_900_000_000, 7] {
            days.mark(at).unwrap();
            assert_eq!(read_mark(directory.path()), at);
        }
        fs::write(directory.path().join(MARK), [0xff, 0, 9]).unwrap();
        assert_eq!(read_mark(directory.path()), 0);
    }
}
