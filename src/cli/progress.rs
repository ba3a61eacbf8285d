//! How far long work has come: a line on standard error that is written over, and only at a terminal
//! that can.

use super::{colour, output::people_size};
use crate::admin::protocol::ProgressView;
use std::{
    io::{self, Write as _},
    sync::atomic::{AtomicBool, Ordering},
};

/// Back to the line's begin, and nothing right of it (ECMA-48 §8.3.41).
const ERASE: &str = "\r\x1b[K";

/// Whether the line is there. Standard error has one, and whoever writes there clears it first.
static IS_THERE: AtomicBool = AtomicBool::new(false);

/// Takes the line away, where there is one.
pub(super) fn clear() {
    if IS_THERE.swap(false, Ordering::Relaxed) {
        write(ERASE);
    }
}

/// The line; it is gone once the work is done.
pub(super) struct ProgressLine {
    what: &'static str,
    is_seen: bool,
}

impl ProgressLine {
    /// Of work that is called `what`. Nothing is shown yet.
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, is_seen: colour::obeys(&io::stderr()) }
    }

    /// Shows what the daemon says of its progress. What is none is passed over: the daemon may be of another version.
    pub(super) fn show(&self, value: serde_json::Value) {
        if let Ok(view) = serde_json::from_value::<ProgressView>(value)
            && self.is_seen
        {
            IS_THERE.store(true, Ordering::Relaxed);
            write(&format!("{ERASE}{}", line(self.what, &view)));
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        clear();
    }
}

fn write(text: &str) {
    let mut terminal = io::stderr().lock();
    let _ = terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush());
}

fn line(what: &str, view: &ProgressView) -> String {
    let percent = (u128::from(view.done) * 100).checked_div(u128::from(view.of)).unwrap_or(100);
    format!("{what}: {percent} %, {} of {}", people_size(view.done), people_size(view.of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hundredths_and_sizes() {
        for (done, of, text) in [
            (0, 0, "verifying: 100 %, 0 B of 0 B"),
            (0, 3, "verifying: 0 %, 0 B of 3 B"),
            (1536, 2048, "verifying: 75 %, 1.5 KiB of 2.0 KiB"),
            (u64::MAX, u64::MAX, "verifying: 100 %, 16777216.0 TiB of 16777216.0 TiB"),
        ] {
            assert_eq!(line("verifying", &ProgressView { done, of }), text);
        }
    }
}
