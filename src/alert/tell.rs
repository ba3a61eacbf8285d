//! Tells what `watch` decides: in the log, by command, by mail. What has not gone out is tried again at the next look,
//! also after a restart.

use super::{
    book::{self, Book, Pending},
    command,
    facts::{AccountState, Facts},
    mail,
    notice::{Key, Notice, Phase},
    watch::{Limits, Watch},
};
use crate::{
    account::AccountId,
    config::Snapshot,
    queue::{Queue, schedule::Millis},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::task::{JoinHandle, spawn_blocking};

/// The file in the state directory.
const FILE: &str = "alerts.json";

/// What was told, and the ways to tell.
#[derive(Debug)]
pub struct Alerts {
    path: PathBuf,
    watch: Watch,
    outbox: Vec<Pending>,
    /// The book as it is on disk.
    kept: Book,
    /// The command under way, and the notice that it tells.
    running: Option<(Notice, JoinHandle<()>)>,
    /// What the log says once, until it is over.
    nobody_carries: bool,
    book_unwritten: bool,
}

impl Alerts {
    /// Takes up what an earlier run left in the state directory.
    pub async fn open(state_dir: &Path, limits: Limits) -> Self {
        let path = state_dir.join(FILE);
        let read = path.clone();
        let read = spawn_blocking(move || book::read(&read)).await;
        let kept = match read.unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into())) {
            Ok((book, None)) => book,
            Ok((book, Some(aside))) => {
                let aside = aside.display().to_string();
                tracing::warn!(target: "waxseal::alert", aside, "the record of alerts was damaged: moved aside");
                book
            }
            Err(error) => {
                let path = path.display().to_string();
                tracing::warn!(target: "waxseal::alert", path, %error, "the record of alerts cannot be read");
                Book::default()
            }
        };
        Self {
            path,
            watch: Watch::resume(limits, kept.told.clone()),
            outbox: kept.outbox.clone(),
            kept,
            running: None,
            nobody_carries: false,
            book_unwritten: false,
        }
    }

    /// Looks at the facts, and tells what there is to tell. The record is on disk before anything goes out, so that a
    /// crash may repeat a notice but never swallow it.
    pub async fn look(&mut self, facts: &Facts, snapshot: &Arc<Snapshot>, queue: &Queue, now: Millis) {
        let settings = &snapshot.config.alert;
        for notice in self.watch.look(facts, now) {
            log(&notice);
            self.outbox.retain(|earlier| earlier.notice.key != notice.key);
            let (command, mail) = (!settings.command.is_empty(), settings.mail_to.is_some());
            self.outbox.push(Pending { notice, command, mail });
        }
        for pending in &mut self.outbox {
            // A way that is configured no more is not waited for.
            pending.command &= !settings.command.is_empty();
            pending.mail &= settings.mail_to.is_some();
        }
        self.keep().await;
        self.send_mail(facts, snapshot, queue).await;
        self.start_command(snapshot);
        self.keep().await;
    }

    /// Waits for the end of the command under way; for ever where there is none. May be dropped and called again.
    pub async fn command_ended(&mut self) {
        let Some((notice, task)) = &mut self.running else { return std::future::pending().await };
        // How it ended is in the log.
        let _ = task.await;
        if let Some(pending) = self.outbox.iter_mut().find(|pending| pending.notice == *notice) {
            pending.command = false;
        }
        self.running = None;
        self.keep().await;
    }

    fn start_command(&mut self, snapshot: &Snapshot) {
        if self.running.is_some() {
            return;
        }
        if let Some(pending) = self.outbox.iter().find(|pending| pending.command) {
            let notice = pending.notice.clone();
            let object = command::object(&notice, &snapshot.hostname);
            let run = command::run(snapshot.config.alert.command.clone(), notice.key.clone(), object);
            self.running = Some((notice, tokio::spawn(run)));
        }
    }

    async fn send_mail(&mut self, facts: &Facts, snapshot: &Snapshot, queue: &Queue) {
        let Some(mail_to) = &snapshot.config.alert.mail_to else { return };
        let works = |id: &AccountId| {
            let ready = |state| state == AccountState::Ready;
            facts.accounts.iter().any(|account| account.id == *id && ready(account.state))
                && !self.watch.suspects(id)
        };
        let mut nobody = false;
        for pending in self.outbox.iter_mut().filter(|pending| pending.mail) {
            let Key { event, account: about } = &pending.notice.key;
            // What has ended is no reason to pass an account over.
            let about = about.as_ref().filter(|_| pending.notice.phase != Phase::Ended);
            let event = event.as_str();
            let Some(account) = mail::carrier(&snapshot.config.accounts, works, about, mail_to) else {
                nobody = true;
                if !self.nobody_carries {
                    tracing::warn!(target: "waxseal::alert", event, "no account can carry the alert mail; it waits");
                }
                continue;
            };
            match mail::send(&pending.notice, mail_to, account, snapshot, queue).await {
                Ok(queue_id) => {
                    pending.mail = false;
                    tracing::info!(target: "waxseal::alert", event, %queue_id, account = %account.id, "alert mail queued");
                }
                Err(error) => {
                    tracing::warn!(target: "waxseal::alert", event, %error, "alert mail not queued; it is tried again");
                }
            }
        }
        self.nobody_carries = nobody;
    }

    /// Brings the book on disk up to date. Where the disk refuses, alerts go out all the same.
    async fn keep(&mut self) {
        self.outbox.retain(|pending| pending.command || pending.mail);
        let book = Book { told: self.watch.told().clone(), outbox: self.outbox.clone() };
        if book == self.kept {
            return;
        }
        let path = self.path.clone();
        let written = spawn_blocking(move || book::write(&path, &book).map(|()| book)).await;
        match written.unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into())) {
            Ok(book) => {
                self.kept = book;
                self.book_unwritten = false;
            }
            Err(error) => {
                if !self.book_unwritten {
                    tracing::warn!(
                        target: "waxseal::alert",
                        %error,
                        "the record of alerts cannot be written; a restart may tell again"
                    );
                }
                self.book_unwritten = true;
            }
        }
    }
}

impl Drop for Alerts {
    /// A command under way goes with us; the next start runs it again.
    fn drop(&mut self) {
        if let Some((_, task)) = &self.running {
            task.abort();
        }
    }
}

fn log(notice: &Notice) {
    let Notice { key, explanation, remedy, .. } = notice;
    let event = key.event.as_str();
    let account = key.account.as_ref().map_or("", AccountId::as_str);
    match notice.phase {
        Phase::Begins => {
            tracing::warn!(target: "waxseal::alert", event, account, explanation, remedy, "alert begins");
        }
        Phase::Lasts => {
            tracing::warn!(target: "waxseal::alert", event, account, explanation, remedy, "alert lasts");
        }
        Phase::Ended => tracing::info!(target: "waxseal::alert", event, account, explanation, "alert ended"),
    }
}
