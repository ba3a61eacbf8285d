//! `alerts.json` in the state directory: what was told, and what is still to be told by command or mail. Small, and
//! replaced whole, so that a restart neither tells again nor forgets.

use super::{
    notice::{Event, Key, Notice, Phase},
    watch::{Lasting, Told},
};
use crate::{account::AccountId, mail::Day, queue::schedule::Millis};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// The version that this program writes, and the only one that it reads.
const VERSION: u32 = 1;

/// A notice that has not gone out every way that it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    /// What to tell.
    pub(super) notice: Notice,
    /// The command has not run to its end.
    pub(super) command: bool,
    /// The mail is not in the queue.
    pub(super) mail: bool,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Book {
    /// What was told.
    pub(super) told: Told,
    /// What is still to be told, the oldest first; at most one notice a key.
    pub(super) outbox: Vec<Pending>,
}

#[derive(Serialize, Deserialize)]
struct BookForm {
    version: u32,
    lasting: Vec<LastingForm>,
    secrets: Vec<SecretForm>,
    outbox: Vec<PendingForm>,
}

#[derive(Serialize, Deserialize)]
struct KeyForm {
    event: String,
    account: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct LastingForm {
    #[serde(flatten)]
    key: KeyForm,
    since: Millis,
    told_at: Millis,
}

#[derive(Serialize, Deserialize)]
struct SecretForm {
    account: String,
    ends: String,
    mark: u64,
}

#[derive(Serialize, Deserialize)]
struct PendingForm {
    #[serde(flatten)]
    key: KeyForm,
    phase: String,
    since: Millis,
    at: Millis,
    explanation: String,
    remedy: String,
    command: bool,
    mail: bool,
}

impl KeyForm {
    fn of(key: &Key) -> Self {
        Self {
            event: key.event.as_str().to_owned(),
            account: key.account.as_ref().map(|account| account.as_str().to_owned()),
        }
    }

    fn key(&self) -> Option<Key> {
        Some(Key { event: Event::parse(&self.event)?, account: self.account.as_deref().map(AccountId::new) })
    }
}

impl Book {
    fn encode(&self) -> io::Result<Vec<u8>> {
        let lasting = self.told.lasting.iter().map(|(key, lasting)| LastingForm {
            key: KeyForm::of(key),
            since: lasting.since,
            told_at: lasting.told_at,
        });
        let secrets = self.told.secrets.iter().map(|(account, (ends, mark))| SecretForm {
            account: account.as_str().to_owned(),
            ends: ends.to_string(),
            mark: *mark,
        });
        let outbox = self.outbox.iter().map(|pending| PendingForm {
            key: KeyForm::of(&pending.notice.key),
            phase: pending.notice.phase.as_str().to_owned(),
            since: pending.notice.since,
            at: pending.notice.at,
            explanation: pending.notice.explanation.clone(),
            remedy: pending.notice.remedy.clone(),
            command: pending.command,
            mail: pending.mail,
        });
        let form = BookForm {
            version: VERSION,
            lasting: lasting.collect(),
            secrets: secrets.collect(),
            outbox: outbox.collect(),
        };
        Ok(serde_json::to_vec_pretty(&form)?)
    }

    /// `None` where the octets are no book of this version.
    fn decode(octets: &[u8]) -> Option<Self> {
        let form: BookForm = serde_json::from_slice(octets).ok()?;
        if form.version != VERSION {
            return None;
        }
        let mut book = Self::default();
        for LastingForm { key, since, told_at } in form.lasting {
            book.told.lasting.insert(key.key()?, Lasting { since, told_at });
        }
        for SecretForm { account, ends, mark } in form.secrets {
            book.told.secrets.insert(AccountId::new(&account), (Day::parse(&ends)?, mark));
        }
        for form in form.outbox {
            let notice = Notice {
                key: form.key.key()?,
                phase: Phase::parse(&form.phase)?,
                since: form.since,
                at: form.at,
                explanation: form.explanation,
                remedy: form.remedy,
            };
            book.outbox.push(Pending { notice, command: form.command, mail: form.mail });
        }
        Some(book)
    }
}

/// Reads the book. One that is damaged is set aside under another name, which is returned, and an empty one begun.
///
/// # Errors
/// Where the file cannot be read, or not be set aside.
pub(super) fn read(path: &Path) -> io::Result<(Book, Option<PathBuf>)> {
    let octets = match fs::read(path) {
        Ok(octets) => octets,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Book::default(), None)),
        Err(error) => return Err(error),
    };
    if let Some(book) = Book::decode(&octets) {
        return Ok((book, None));
    }
    let aside = path.with_extension("json.damaged");
    fs::rename(path, &aside)?;
    Ok((Book::default(), Some(aside)))
}

/// Replaces the book so that either the old or the new one is there whole.
///
/// # Errors
/// Where the disk refuses; the old one is there still.
pub(super) fn write(path: &Path, book: &Book) -> io::Result<()> {
    let temporary = path.with_extension("json.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&book.encode()?)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> Book {
        let support = AccountId::new("support");
        let mut book = Book::default();
        let lasting = Lasting { since: 1, told_at: 2 };
        book.told.lasting.insert(Key::of(Event::Failing, &support), lasting);
        book.told.lasting.insert(Key { event: Event::DiskLow, account: None }, lasting);
        book.told.secrets.insert(support.clone(), (Day::parse("2027-05-01").unwrap(), 30));
        let notice = Notice {
            key: Key::of(Event::Failing, &support),
            phase: Phase::Lasts,
            since: 1,
            at: 2,
            explanation: "\u{201c}no\u{201d}".into(),
            remedy: String::new(),
        };
        book.outbox.push(Pending { notice, command: true, mail: false });
        book
    }

    #[test]
    fn what_was_written_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("alerts.json");
        assert_eq!(read(&path).unwrap(), (Book::default(), None), "there is none yet");
        write(&path, &book()).unwrap();
        write(&path, &book()).unwrap();
        assert_eq!(read(&path).unwrap(), (book(), None));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left there");
    }

    #[test]
    fn a_damaged_book_is_set_aside_and_begun_anew() {
        let whole = book().encode().unwrap();
        let later = String::from_utf8(whole.clone()).unwrap().replace("\"version\": 1", "\"version\": 2");
        let strange = String::from_utf8(whole.clone()).unwrap().replace("disk_low", "disk_lost");
        for octets in [&whole[..whole.len() - 1], b"", b"\0\0\0", b"{}", later.as_bytes(), strange.as_bytes()]
        {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("alerts.json");
            fs::write(&path, octets).unwrap();
            let (book, aside) = read(&path).unwrap();
            assert_eq!(book, Book::default());
            assert_eq!(fs::read(aside.unwrap()).unwrap(), octets);
            write(&path, &book).unwrap();
            assert_eq!(read(&path).unwrap().1, None);
        }
    }
}
