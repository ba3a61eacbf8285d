//! The seam between the queue and the disk: whatever the journal and the content files write, they write through a
//! [`Disk`], so that tests can make one fail at any operation, or cut its power. Reading needs no seam.

use std::{
    fmt::Debug,
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt as _, FileExt as _},
    path::Path,
};

/// What the queue does to directories and names. Every call blocks until the system has answered.
///
/// Names made, changed or removed survive a power loss only after [`Disk::sync_directory`] of their directory, and
/// octets only after [`DiskFile::sync`].
pub trait Disk: Debug + Send + Sync {
    /// Makes a file that is not there yet.
    ///
    /// # Errors
    /// What the system says; `AlreadyExists` where there is a file of this name.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Makes a directory for its owner alone; its parent is there.
    ///
    /// # Errors
    /// What the system says.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Octets that may still be written below a directory; `u64::MAX` where the system does not say.
    fn free(&self, directory: &Path) -> u64;
}

/// A file that is written.
pub trait DiskFile: Debug + Send + Sync {
    /// Writes octets at an offset, all of them. After an error any part of them may be there.
    ///
    /// # Errors
    /// What the system says.
    fn write_at(&mut self, offset: u64, octets: &[u8]) -> io::Result<()>;

    /// Cuts the file off at a length.
    ///
    /// # Errors
    /// What the system says.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Makes what was written durable, and the file's length with it (fdatasync). After an error nobody knows what is
    /// on the disk, and calling again does not tell either: the system may have dropped what it could not write.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&mut self) -> io::Result<()>;
}

/// The disk of this host.
#[derive(Debug, Clone, Copy)]
pub struct HostDisk;

impl Disk for HostDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = File::options().write(true).create_new(true).open(path)?;
        Ok(Box::new(HostFile(file)))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o700).create(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn free(&self, directory: &Path) -> u64 {
        rustix::fs::statvfs(directory).map_or(u64::MAX, |s| s.f_bavail.saturating_mul(s.f_frsize))
    }
}

#[derive(Debug)]
struct HostFile(File);

impl DiskFile for HostFile {
    fn write_at(&mut self, offset: u64, octets: &[u8]) -> io::Result<()> {
        self.0.write_all_at(octets, offset)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Makes a directory and those above it that are missing, their names durable.
pub(super) fn make_directory(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    make_directory(disk, parent)?;
    match disk.create_directory(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    disk.sync_directory(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_made_with_those_above_them() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("a/b/c");
        make_directory(&HostDisk, &deep).unwrap();
        make_directory(&HostDisk, &deep).unwrap();
        assert!(deep.is_dir());
    }

    #[test]
    fn a_file_is_made_once_written_anywhere_and_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let mut file = HostDisk.create(&path).unwrap();
        assert_eq!(HostDisk.create(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        file.write_at(0, b"0123456789").unwrap();
        file.write_at(2, b"ab").unwrap();
        file.truncate(5).unwrap();
        file.sync().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"01ab4");
    }
}
