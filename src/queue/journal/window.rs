//! A file seen through a window that slides forward, so that reading it takes no more memory than its largest record.

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path};

/// Octets of the window, unless one record is larger.
pub(super) const WINDOW: usize = 1 << 20;

/// A file up to an end.
#[derive(Debug)]
pub(super) struct Window {
    file: File,
    end: u64,
    /// Where in the file the buffer starts.
    start: u64,
    buffer: Vec<u8>,
    /// Octets of the buffer that have been read.
    filled: usize,
}

impl Window {
    /// Opens a file, to be read up to `limit` or its end.
    pub(super) fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        let end = file.metadata()?.len().min(limit);
        Ok(Self { file, end, start: 0, buffer: Vec::new(), filled: 0 })
    }

    /// Where the file ends.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The octets from `at` on: at least `wanted`, fewer only where the file ends. Going back costs another reading.
    pub(super) fn octets(&mut self, at: u64, wanted: usize) -> io::Result<&[u8]> {
        let wanted = wanted.min(usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX));
        let known = at >= self.start && at + wanted as u64 <= self.start + self.filled as u64;
        if !known {
            self.slide(at, wanted)?;
        }
        let skip = usize::try_from(at - self.start).unwrap_or(usize::MAX).min(self.filled);
        Ok(&self.buffer[skip..self.filled])
    }

    fn slide(&mut self, at: u64, wanted: usize) -> io::Result<()> {
        let kept = match at.checked_sub(self.start) {
            Some(skip) if skip <= self.filled as u64 => {
                self.buffer.copy_within(skip as usize..self.filled, 0);
                self.filled - skip as usize
            }
            _ => 0,
        };
        (self.start, self.filled) = (at, kept);
        let size = wanted.max(WINDOW.min(usize::try_from(self.end).unwrap_or(usize::MAX)));
        if self.buffer.len() != size && kept <= size {
            self.buffer.resize(size, 0);
            self.buffer.shrink_to(size);
        }
        let most = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX).min(self.buffer.len());
        while self.filled < most {
            let from = at + self.filled as u64;
            match self.file.read_at(&mut self.buffer[self.filled..most], from) {
                // It was cut off meanwhile.
                Ok(0) => self.end = from,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if self.end <= at + self.filled as u64 {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_what_the_file_has_wherever_one_looks() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let octets: Vec<u8> = (0..3 * WINDOW as u32 + 77).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &octets).unwrap();
        let mut window = Window::open(&path, u64::MAX).unwrap();
        for (at, wanted) in [
            (0, 10),
            (WINDOW - 3, 10),
            (WINDOW - 1, 2 * WINDOW),
            (5, 5),
            (2 * WINDOW, 100),
            (octets.len() - 4, 100),
            (octets.len(), 1),
        ] {
            let seen = window.octets(at as u64, wanted).unwrap();
            assert!(seen.len() >= wanted.min(octets.len() - at), "{at}");
            assert_eq!(*seen, octets[at..at + seen.len()], "{at}");
        }
        assert_eq!(window.buffer.len(), WINDOW, "a large record's room is given back");
        assert_eq!(Window::open(&path, 9).unwrap().octets(4, 100).unwrap(), &octets[4..9]);
    }
}
