//! One segment, piece by piece: records, and what lies between them that is none.

use super::{
    segment::{self, FILE_HEADER, Place, SegmentNumber},
    window::{WINDOW, Window},
};
use crate::queue::record::{self, Damage, HEADER, Record};
use std::{io, ops::Range, path::Path};

/// So many octets are read in a segment to see whether what looks like the start of a large record is one.
const PATIENCE: u64 = 1 << 30;

/// A piece of a segment.
#[derive(Debug)]
pub(super) enum Piece {
    /// A record, and its length.
    Record(Record, Place),
    /// Octets that are no record, with readable ones behind them or without a sign of a torn tail.
    Damaged(Range<u64>),
    /// Octets up to the end of the file that were being written when the power went.
    Torn(Range<u64>),
    /// A sound record, or a whole file, of a format that this waxseal does not know: its version, its kind.
    Later { offset: u64, version: u8, kind: Option<u8> },
}

/// What starts at an offset.
enum Start {
    Record(Record, usize),
    Later { version: u8, kind: u8, length: usize },
    Nothing(Damage),
}

/// A segment being read.
pub(super) struct Reader {
    number: SegmentNumber,
    window: Window,
    at: u64,
    /// The version octet of a file header that is not ours.
    foreign: Option<u8>,
    patience: u64,
}

impl Reader {
    /// Opens a segment, to be read up to `limit` or its end.
    pub(super) fn open(directory: &Path, number: SegmentNumber, limit: u64) -> io::Result<Self> {
        let mut window = Window::open(&segment::path(directory, number), limit)?;
        let (name, version) = FILE_HEADER.split_at(FILE_HEADER.len() - 1);
        let header = window.octets(0, FILE_HEADER.len())?;
        let (at, foreign) = match header.strip_prefix(name) {
            Some(rest) if rest.starts_with(version) => (FILE_HEADER.len() as u64, None),
            Some([foreign, ..]) if *foreign > version[0] => (0, Some(*foreign)),
            // Without its header the file is read from its first octet on.
            _ => (0, None),
        };
        Ok(Self { number, window, at, foreign, patience: PATIENCE })
    }

    /// Octets of the file.
    pub(super) fn length(&self) -> u64 {
        self.window.end()
    }

    /// The next piece, `None` at the end. Zeros up to the end of the file are no piece.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        let at = self.at;
        if at >= self.window.end() {
            return Ok(None);
        }
        let damage = match self.start_at(at, true)? {
            Start::Record(record, length) => {
                self.at = at + length as u64;
                let place = Place { segment: self.number, offset: at as u32, length: length as u32 };
                return Ok(Some(Piece::Record(record, place)));
            }
            Start::Later { version, kind, length } => {
                self.at = at + length as u64;
                return Ok(Some(Piece::Later { offset: at, version, kind: Some(kind) }));
            }
            Start::Nothing(damage) => damage,
        };
        let end = self.end_of_damage(at)?;
        self.at = end;
        if end < self.window.end() {
            return Ok(Some(Piece::Damaged(at..end)));
        }
        // Nothing of ours in it, and its header says whose it is.
        if let (Some(version), 0, true) = (self.foreign, at, end > FILE_HEADER.len() as u64) {
            return Ok(Some(Piece::Later { offset: 0, version, kind: None }));
        }
        if self.is_zero(at..end)? {
            return Ok(None);
        }
        Ok(Some(if self.is_torn(at, damage)? { Piece::Torn(at..end) } else { Piece::Damaged(at..end) }))
    }

    /// What starts at `at`. Where nobody said that a record starts there, patience with large ones is limited.
    fn start_at(&mut self, at: u64, expected: bool) -> io::Result<Start> {
        let length = match record::frame_length(self.window.octets(at, HEADER)?) {
            Ok(length) => length,
            Err(damage) => return Ok(Start::Nothing(damage)),
        };
        if length as u64 > self.window.end() - at {
            return Ok(Start::Nothing(Damage::Short));
        }
        if length > WINDOW && !self.large_is_sound(at, length, expected)? {
            return Ok(Start::Nothing(Damage::Corrupt));
        }
        let octets = self.window.octets(at, length)?;
        Ok(match record::decode(octets) {
            Ok((record, _, length)) => Start::Record(record, length),
            Err(Damage::Later { version, kind }) => Start::Later { version, kind, length },
            Err(damage) => Start::Nothing(damage),
        })
    }

    /// Whether a record that the window would have to grow for is one, found out without growing it.
    fn large_is_sound(&mut self, at: u64, length: usize, expected: bool) -> io::Result<bool> {
        match self.patience.checked_sub(length as u64) {
            _ if expected => {}
            Some(rest) => self.patience = rest,
            None => return Ok(false),
        }
        let mut check = record::Check::begin(self.window.octets(at, HEADER)?);
        let mut done = HEADER;
        while done < length {
            let octets = self.window.octets(at + done as u64, 1)?;
            let octets = &octets[..octets.len().min(length - done)];
            if octets.is_empty() {
                return Ok(false);
            }
            check.update(octets);
            done += octets.len();
        }
        Ok(check.holds())
    }

    /// Where the damage that starts at `at` ends: behind the record that it is in, where that record's own parts agree on
    /// its length, else at the next record that can be read. What a message contains is not looked at if it can be
    /// avoided: it may look like records.
    fn end_of_damage(&mut self, at: u64) -> io::Result<u64> {
        let end = self.window.end();
        if let Some(length) = record::claimed_length(self.window.octets(at, WINDOW)?) {
            let behind = at + length as u64;
            if behind >= end {
                return Ok(end);
            }
            if !matches!(self.start_at(behind, false)?, Start::Nothing(_)) {
                return Ok(behind);
            }
        }
        let mut from = at + 1;
        while from + HEADER as u64 <= end {
            let octets = self.window.octets(from, HEADER)?;
            match memchr::memmem::find(octets, &record::MAGIC) {
                Some(found) => {
                    let start = from + found as u64;
                    if !matches!(self.start_at(start, false)?, Start::Nothing(_)) {
                        return Ok(start);
                    }
                    from = start + 1;
                }
                // A magic may lie across the edge of the window.
                None => from += (octets.len() - (record::MAGIC.len() - 1)) as u64,
            }
        }
        Ok(end)
    }

    fn is_zero(&mut self, range: Range<u64>) -> io::Result<bool> {
        let mut at = range.start;
        while at < range.end {
            let octets = self.window.octets(at, 1)?;
            let octets = &octets[..octets.len().min((range.end - at) as usize)];
            if octets.is_empty() || octets.iter().any(|octet| *octet != 0) {
                return Ok(octets.is_empty());
            }
            at += octets.len() as u64;
        }
        Ok(true)
    }

    /// Whether what stops at the end of the file was being written when the power went: a record that is longer than the
    /// file, or one that ends in a zero, as no record does.
    fn is_torn(&mut self, at: u64, damage: Damage) -> io::Result<bool> {
        let end = self.window.end();
        if damage == Damage::Short {
            let octets = self.window.octets(at, WINDOW)?;
            return Ok(!record::contradicts_itself(octets));
        }
        Ok(self.window.octets(end - 1, 1)?.first() == Some(&0))
    }
}
