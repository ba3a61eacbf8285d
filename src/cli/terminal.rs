//! Questions on a terminal, and secrets that it does not show.

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use zeroize::Zeroizing;

/// Whether somebody is there to answer.
pub(super) fn is_attended() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Asks until there is an answer; an empty one is the default, where there is one.
pub(super) fn ask(question: &str, default: Option<&str>) -> io::Result<String> {
    loop {
        match default.filter(|default| !default.is_empty()) {
            Some(default) => prompt(&format!("{question} [{default}]: "))?,
            None => prompt(&format!("{question}: "))?,
        }
        let answer = line()?;
        match (answer.trim(), default) {
            ("", Some(default)) => return Ok(default.to_owned()),
            ("", None) => {}
            (answer, _) => return Ok(answer.to_owned()),
        }
    }
}

/// Asks for a secret, which the terminal does not show; empty where there is none.
pub(super) fn ask_secret(question: &str) -> io::Result<Zeroizing<String>> {
    let answer = {
        // Before the question, lest an answer that comes at once is shown.
        let _silence = Silence::begin()?;
        prompt(&format!("{question} (not shown): "))?;
        line()
    };
    let _ = writeln!(io::stdout());
    answer
}

fn prompt(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// A line of standard input without its end.
pub(super) fn line() -> io::Result<Zeroizing<String>> {
    // Room enough that growing leaves no copies of a secret behind.
    let mut line = Zeroizing::new(String::with_capacity(4096));
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "standard input ended"));
    }
    while line.ends_with(['\n', '\r']) {
        line.pop();
    }
    Ok(line)
}

/// No echo while it lives.
struct Silence(Termios);

impl Silence {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
