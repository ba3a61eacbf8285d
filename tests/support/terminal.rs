//! A terminal that a test sits at (`pty(7)`).
#![allow(dead_code, reason = "every test binary takes what it needs")]

use super::PATIENCE;
use rustix::pty::OpenptFlags;
use std::{
    fs::File,
    io::{Read as _, Write as _},
    sync::mpsc,
};

/// Its keyboard, and what its screen has shown.
pub struct Terminal {
    keyboard: File,
    shown: mpsc::Receiver<String>,
    all: String,
}

impl Terminal {
    /// A new one, and its end for a program. The screen ends with the last copy of that.
    pub fn open() -> (Self, File) {
        let keyboard = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        rustix::pty::grantpt(&keyboard).unwrap();
        rustix::pty::unlockpt(&keyboard).unwrap();
        let name = rustix::pty::ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
        let device = File::options().read(true).write(true).open(name).unwrap();
        let keyboard = File::from(keyboard);
        let mut screen = keyboard.try_clone().unwrap();
        let (seen, shown) = mpsc::channel();
        std::thread::spawn(move || {
            let mut octets = [0; 1024];
            while let Ok(count @ 1..) = screen.read(&mut octets) {
                if seen.send(String::from_utf8_lossy(&octets[..count]).into_owned()).is_err() {
                    break;
                }
            }
        });
        (Self { keyboard, shown, all: String::new() }, device)
    }

    /// Waits until the screen ends with this, then types a line.
    #[track_caller]
    pub fn answer(&mut self, question: &str, answer: &str) {
        while !self.all.ends_with(question) {
            match self.shown.recv_timeout(PATIENCE) {
                Ok(more) => self.all.push_str(&more),
                Err(error) => panic!("{question}: {error} in {}", self.all),
            }
        }
        self.keyboard.write_all(format!("{answer}\n").as_bytes()).unwrap();
    }

    /// All that was shown, once every program has let go of it.
    pub fn screen(mut self) -> String {
        self.all.extend(self.shown.iter());
        self.all
    }
}
