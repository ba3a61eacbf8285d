//! The message: read from standard input to its end, in memory while it is small and in a file without a name past
//! that, so that it can be sent, and spooled where that fails.

use super::{
    compose::{self, Defaults},
    input::Input,
};
use crate::mail::header::{Extent, HeaderScanner};
use rustix::fs::OFlags;
use std::{
    fs::File,
    io::{self, ErrorKind, Read, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Octets read at once.
const CHUNK: usize = 64 << 10;
/// A body past this many octets goes to a file.
const MEMORY: usize = 256 << 10;
/// Octets of a header section.
pub const HEADER_LIMIT: usize = 4 << 20;

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Standard input fails.
    #[error("standard input cannot be read: {0}")]
    Input(io::Error),
    /// There is no room for it.
    #[error("a message of this size finds no room in a temporary file: {0}")]
    Scratch(io::Error),
    /// Its header section does not end.
    #[error("the header section is longer than {} MiB", HEADER_LIMIT >> 20)]
    Header,
}

/// A message as it came, its line ends canonical.
#[derive(Debug)]
pub struct Draft {
    /// The fields of its header section.
    pub section: Vec<u8>,
    body: Body,
}

/// A message as it goes out.
#[derive(Debug)]
pub struct Message {
    head: Vec<u8>,
    body: Body,
}

#[derive(Debug, Default)]
struct Body {
    memory: Vec<u8>,
    /// What came before the octets in memory.
    file: Option<(File, u64)>,
    eight_bit: bool,
}

impl Body {
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.eight_bit |= !octets.is_ascii();
        self.memory.extend_from_slice(octets);
        if self.memory.len() <= MEMORY {
            return Ok(());
        }
        let (file, length) = match &mut self.file {
            Some(file) => file,
            none => none.insert((scratch()?, 0)),
        };
        file.write_all(&self.memory)?;
        *length += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }
}

/// A file that nobody else sees and that is gone with this process.
fn scratch() -> io::Result<File> {
    let named = std::env::var_os("TMPDIR").map(PathBuf::from).filter(|path| path.is_absolute());
    // /tmp is often in memory, which is what this is to spare.
    let places = named.into_iter().chain(["/var/tmp", "/tmp"].map(PathBuf::from));
    let mut last = ErrorKind::NotFound.into();
    for place in places {
        match unnamed(&place).or_else(|_| unlinked(&place)) {
            Ok(file) => return Ok(file),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn unnamed(directory: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE.bits() as i32;
    File::options().read(true).write(true).mode(0o600).custom_flags(flags).open(directory)
}

/// Where the file system has no files without names.
fn unlinked(directory: &Path) -> io::Result<File> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let path = directory.join(format!("waxseal-{:032x}", u128::from_le_bytes(random)));
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

impl Draft {
    /// Reads a message to its end. `ignore_dots` is `-i`.
    ///
    /// # Errors
    /// Where it cannot be read, or not be kept.
    pub fn read(from: &mut impl Read, ignore_dots: bool) -> Result<Self, ReadError> {
        let mut gathering = Gathering::default();
        let mut input = Input::new(ignore_dots);
        let (mut chunk, mut fresh) = (vec![0; CHUNK], Vec::new());
        loop {
            let read = match from.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(ReadError::Input(error)),
            };
            let more = input.take(&chunk[..read], &mut fresh);
            gathering.take(&mut fresh)?;
            if !more {
                return gathering.finish();
            }
        }
        input.finish(&mut fresh);
        gathering.take(&mut fresh)?;
        gathering.finish()
    }

    /// The message that goes out.
    pub fn complete(self, defaults: &Defaults<'_>) -> Message {
        Message { head: compose::head(&self.section, defaults), body: self.body }
    }
}

#[derive(Default)]
struct Gathering {
    scanner: HeaderScanner,
    /// All octets while the header section has not ended.
    head: Vec<u8>,
    section: Option<Vec<u8>>,
    body: Body,
}

impl Gathering {
    fn take(&mut self, fresh: &mut Vec<u8>) -> Result<(), ReadError> {
        if self.section.is_some() {
            self.body.append(fresh).map_err(ReadError::Scratch)?;
            fresh.clear();
            return Ok(());
        }
        self.head.append(fresh);
        match self.scanner.advance(&self.head) {
            Some(extent) => self.split(extent),
            None if self.head.len() <= HEADER_LIMIT => Ok(()),
            // A line without end, and no field before it: there is no header section.
            None if self.scanner.finish().end == self.scanner.finish().start => {
                self.split(self.scanner.finish())
            }
            None => Err(ReadError::Header),
        }
    }

    fn split(&mut self, Extent { start, end, body }: Extent) -> Result<(), ReadError> {
        let head = std::mem::take(&mut self.head);
        self.section = Some(head[start..end].to_vec());
        self.body.append(&head[body..]).map_err(ReadError::Scratch)
    }

    fn finish(mut self) -> Result<Draft, ReadError> {
        if self.section.is_none() {
            self.split(self.scanner.finish())?;
        }
        Ok(Draft { section: self.section.unwrap_or_default(), body: self.body })
    }
}

impl Message {
    /// Octets.
    pub fn size(&self) -> u64 {
        let file = self.body.file.as_ref().map_or(0, |(_, length)| *length);
        self.head.len() as u64 + file + self.body.memory.len() as u64
    }

    /// Whether there are octets beyond ASCII.
    pub fn is_eight_bit(&self) -> bool {
        self.body.eight_bit || !self.head.is_ascii()
    }

    /// Goes through all of it, from the first octet on, in pieces.
    ///
    /// # Errors
    /// What `each` fails with; or where the file cannot be read back.
    pub fn for_each(&self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        each(&self.head)?;
        if let Some((file, length)) = &self.body.file {
            let (mut chunk, mut at) = (vec![0; CHUNK], 0);
            while at < *length {
                let wanted = (length - at).min(CHUNK as u64) as usize;
                file.read_exact_at(&mut chunk[..wanted], at)?;
                each(&chunk[..wanted])?;
                at += wanted as u64;
            }
        }
        each(&self.body.memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sendmail::compose::Author;
    use std::time::SystemTime;

    fn complete(draft: Draft) -> (Message, Vec<u8>) {
        let author = Author { address: "a@b".into(), name: String::new() };
        let defaults =
            Defaults { author: &author, domain: "b", date: SystemTime::UNIX_EPOCH, message_id: "<1@b>" };
        let message = draft.complete(&defaults);
        let mut octets = Vec::new();
        message.for_each(|piece| octets.write_all(piece)).unwrap();
        assert_eq!(message.size(), octets.len() as u64);
        (message, octets)
    }

    const HEADER: &str = "Date: x\nFrom: y@z\nMessage-ID: z\n";

    #[test]
    fn messages_of_all_sizes_come_out_as_they_went_in() {
        for size in [0, 1000, MEMORY - 10, MEMORY + 10, 3 * MEMORY + 17] {
            let body: String = (0..size / 8).map(|n| format!("{n:06}\n")).collect();
            let text = format!("{HEADER}\n{body}");
            let draft = Draft::read(&mut text.as_bytes(), true).unwrap();
            assert_eq!(draft.body.file.is_some(), size > MEMORY);
            let (message, octets) = complete(draft);
            assert_eq!(octets, text.replace('\n', "\r\n").as_bytes(), "{size}");
            assert!(!message.is_eight_bit());
        }
    }

    #[test]
    fn what_is_no_header_section_is_body() {
        let cases = [
            ("text\n", "", "text\n"),
            ("\ntext\n", "", "text\n"),
            ("", "", ""),
            ("Subject: x\ntext\n", "Subject: x\n", "text\n"),
            ("Subject: x\n", "Subject: x\n", ""),
            ("Subject: x", "Subject: x\n", ""),
            ("From a@b Mon Nov 23 12:00:00 2026\nSubject: x\n\n.\n", "Subject: x\n", ""),
        ];
        for (text, section, body) in cases {
            let draft = Draft::read(&mut text.as_bytes(), false).unwrap();
            assert_eq!(draft.section, section.replace('\n', "\r\n").as_bytes(), "{text:?}");
            assert_eq!(draft.body.memory, body.replace('\n', "\r\n").as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn octets_beyond_ascii_are_seen_wherever_they_are() {
        for text in ["Subject: \u{fc}\n\nx\n", "Subject: u\n\nx\u{fc}\n"] {
            let (message, _) = complete(Draft::read(&mut text.as_bytes(), true).unwrap());
            assert!(message.is_eight_bit(), "{text}");
        }
    }

    #[test]
    fn lines_and_header_sections_without_end() {
        let line = "x".repeat(HEADER_LIMIT + 100_000);
        let draft = Draft::read(&mut line.as_bytes(), true).unwrap();
        assert!(draft.section.is_empty());
        assert_eq!(
            complete(draft).0.size(),
            complete(Draft::read(&mut "x\n".as_bytes(), true).unwrap()).0.size() + line.len() as u64 - 1
        );
        let fields = "Subject: x\n".repeat(HEADER_LIMIT / 10);
        assert!(matches!(Draft::read(&mut fields.as_bytes(), true), Err(ReadError::Header)));
    }

    #[test]
    fn input_that_fails_is_said() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(ErrorKind::InvalidData.into())
            }
        }
        assert!(matches!(Draft::read(&mut Broken, true), Err(ReadError::Input(_))));
    }
}
