//! The last lines of the log, for the console: kept beside what goes to standard error.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

/// Lines that are kept.
const MOST: usize = 1000;
/// Octets of a line that are kept.
const LONGEST: usize = 1024;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Counted from 1 since the start.
    pub number: u64,
    /// When it was written.
    pub at: SystemTime,
    /// The line, without its end and without journald's priority.
    pub text: String,
}

struct Recent {
    last: u64,
    lines: VecDeque<LogLine>,
}

static RECENT: Mutex<Recent> = Mutex::new(Recent { last: 0, lines: VecDeque::new() });

/// The lines behind number `after`, the oldest first.
pub fn recent(after: u64) -> Vec<LogLine> {
    let recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    recent.lines.iter().filter(|line| line.number > after).cloned().collect()
}

impl Recent {
    fn keep(&mut self, text: &[u8], at: SystemTime) {
        self.last += 1;
        if self.lines.len() == MOST {
            self.lines.pop_front();
        }
        let text = &text[..text.len().min(LONGEST)];
        let text = match text {
            [b'<', priority, b'>', rest @ ..] if priority.is_ascii_digit() => rest,
            whole => whole,
        };
        let text = String::from_utf8_lossy(text).trim_end().to_owned();
        self.lines.push_back(LogLine { number: self.last, at, text });
    }
}

/// Standard error, with a copy for [`recent`]. A line comes in one write.
pub(super) struct Tee;

impl Write for Tee {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        RECENT.lock().unwrap_or_else(PoisonError::into_inner).keep(octets, SystemTime::now());
        io::stderr().write_all(octets)?;
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room_and_priorities_go() {
        let mut recent = Recent { last: 0, lines: VecDeque::new() };
        for number in 0..=MOST {
            recent.keep(format!("<6>line {number}\n").as_bytes(), SystemTime::UNIX_EPOCH);
        }
        assert_eq!(recent.lines.len(), MOST);
        assert_eq!((recent.lines[0].number, recent.lines[0].text.as_str()), (2, "line 1"));
        recent.keep(&[b'x'; 5000], SystemTime::UNIX_EPOCH);
        assert_eq!(recent.lines.back().unwrap().text.len(), LONGEST);
    }
}
