//! What tests saw in the log, kept for `tests/interop/events.py`: that every documented event is seen somewhere.
#![allow(dead_code, reason = "every test binary takes what it needs")]

use std::{
    collections::HashMap,
    fs,
    io::{self, Write},
    path::PathBuf,
    sync::{
        Mutex, Once,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Lines that are kept of one sort: enough to see its fields, and no flood.
const MOST: usize = 20;

/// A file of its own in this build's `tmp/events`.
fn file() -> io::Result<fs::File> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("events");
    fs::create_dir_all(&directory)?;
    let (test, pid) = (env!("CARGO_CRATE_NAME"), std::process::id());
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    fs::File::create(directory.join(format!("{test}-{pid}-{number}.log")))
}

/// What a line is about: its text up to the first field, without its time.
fn sort(line: &str) -> &str {
    let text = line.split_once(' ').map_or(line, |(_, text)| text);
    text.split('=').next().unwrap_or(text)
}

#[derive(Default)]
struct Sieve(HashMap<String, usize>);

impl Sieve {
    fn passes(&mut self, line: &str) -> bool {
        let count = self.0.entry(sort(line).to_owned()).or_default();
        *count += 1;
        *count <= MOST
    }
}

/// Keeps what daemons have logged.
pub fn keep(log: &str) {
    let mut sieve = Sieve::default();
    let lines: Vec<_> = log.lines().filter(|line| sieve.passes(line)).collect();
    if !lines.is_empty() {
        let _ = file().and_then(|mut file| file.write_all((lines.join("\n") + "\n").as_bytes()));
    }
}

/// From now on what this process itself logs is kept, but for threads with a subscriber of their own.
pub fn record() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Ok(file) = file() else { return };
        let kept = Mutex::new(Kept { file, sieve: Sieve::default() });
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_target(false)
            .with_env_filter("off,waxseal=debug")
            .with_writer(kept)
            .finish();
        let _ = tracing::subscriber::set_global_default(subscriber);
    });
}

struct Kept {
    file: fs::File,
    sieve: Sieve,
}

impl Write for Kept {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.sieve.passes(&String::from_utf8_lossy(octets)) {
            self.file.write_all(octets)?;
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
