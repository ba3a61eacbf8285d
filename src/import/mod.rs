//! Accounts out of the configuration of other tools. Pure: files are read by whoever calls, through [`Files`].
//!
//! What an importer finds it says in full: an account's draft, and every setting that did not come along, with its
//! place, its name and the way out. Names and places are told, values never: any of them may be a secret.

pub mod emailproxy;
mod ini;
pub mod msmtp;
mod names;
pub mod postfix;
mod provider;
pub mod ssmtp;

use crate::draft::Draft;
use std::{
    fmt::{self, Write as _},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The files of the host that an importer may ask for.
pub trait Files {
    /// The text of a file, or why there is none: "it does not exist".
    fn read(&self, path: &Path) -> Result<Zeroizing<String>, String>;
    /// Whether it is a directory.
    fn is_directory(&self, path: &Path) -> bool;
    /// The home directory that `~` stands for.
    fn home(&self) -> Option<PathBuf>;
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; 0 is the file as a whole.
    pub line: usize,
}

impl Place {
    /// A line of a file.
    pub fn new(file: &Path, line: usize) -> Self {
        Self { file: file.to_owned(), line }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file.display()),
            line => write!(f, "{}:{line}", self.file.display()),
        }
    }
}

/// A setting that did not come along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Where it stands.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// Why, and the way out.
    pub why: String,
}

impl LeftOut {
    /// A setting with why it did not come along.
    pub fn new(place: Place, name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { place, name: name.into(), why: why.into() }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{} {}: {}", self.place, self.name, self.why);
        // Names come from files of others, and go to a terminal.
        text.chars().try_for_each(|c| {
            if c.is_control() { write!(f, "{}", c.escape_default()) } else { f.write_char(c) }
        })
    }
}

/// An account that was found.
#[derive(Debug)]
pub struct Found {
    /// The account.
    pub draft: Draft,
    /// Where it was found.
    pub place: Place,
    /// What of it did not come along.
    pub left_out: Vec<LeftOut>,
}

impl Found {
    fn new(draft: Draft, place: Place) -> Self {
        Self { draft, place, left_out: Vec::new() }
    }

    /// Makes it no default account: another one is.
    pub fn refuse_default(&mut self) {
        if self.draft.flag("default") {
            self.draft.unset("default");
            self.leave(
                self.place.clone(),
                "default",
                "it serves senders that no other account does: left to another one",
            );
            names::must_serve(&mut self.draft);
        }
    }

    fn leave(&mut self, place: Place, name: impl Into<String>, why: impl Into<String>) {
        self.left_out.push(LeftOut::new(place, name, why));
    }
}

/// All that an importer found.
#[derive(Debug, Default)]
pub struct Imported {
    /// The accounts, with ids that differ.
    pub accounts: Vec<Found>,
    /// What did not come along and belongs to none of them.
    pub left_out: Vec<LeftOut>,
}

/// Why nothing can be imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ImportError {
    /// The file, and the line where there is one.
    pub place: Place,
    /// What is wrong with it.
    pub problem: String,
}

impl ImportError {
    fn new(place: Place, problem: impl Into<String>) -> Self {
        Self { place, problem: problem.into() }
    }
}

/// The tools that there is an importer for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Postfix, with or without sasl-xoauth2.
    Postfix,
    /// msmtp.
    Msmtp,
    /// Email OAuth 2.0 Proxy.
    EmailProxy,
    /// sSMTP.
    Ssmtp,
}

impl Tool {
    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postfix => "Postfix",
            Self::Msmtp => "msmtp",
            Self::EmailProxy => "Email OAuth 2.0 Proxy",
            Self::Ssmtp => "sSMTP",
        }
    }

    /// Reads the tool's files.
    ///
    /// # Errors
    /// A file that was named and cannot be read, or is none of this tool.
    pub fn import(self, paths: &[PathBuf], files: &dyn Files) -> Result<Imported, ImportError> {
        let mut imported = match self {
            Self::Postfix => postfix::import(paths, files),
            Self::Msmtp => msmtp::import(paths, files),
            Self::EmailProxy => emailproxy::import(paths, files),
            Self::Ssmtp => ssmtp::import(paths, files),
        }?;
        // Of several files the first one has the default account.
        imported
            .accounts
            .iter_mut()
            .filter(|found| found.draft.flag("default"))
            .skip(1)
            .for_each(Found::refuse_default);
        names::tell_apart(&mut imported.accounts);
        let in_order = |notes: &mut Vec<LeftOut>| notes.sort_by(|a, b| a.place.cmp(&b.place));
        imported.accounts.iter_mut().for_each(|found| in_order(&mut found.left_out));
        in_order(&mut imported.left_out);
        Ok(imported)
    }
}

/// The text of a file that was named.
fn text(path: &Path, files: &dyn Files) -> Result<Zeroizing<String>, ImportError> {
    files.read(path).map_err(|why| ImportError::new(Place::new(path, 0), format!("cannot be read: {why}")))
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
