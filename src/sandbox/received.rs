//! What the sandbox's mail server has received.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Instant,
};
use tokio::sync::watch;

/// A message that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The reverse-path without its brackets.
    pub from: String,
    /// The parameters of MAIL, as sent.
    pub mail_parameters: String,
    /// The forward-paths that were accepted.
    pub to: Vec<String>,
    /// The parameters of each RCPT that was accepted, as sent.
    pub rcpt_parameters: Vec<String>,
    /// The content, after unstuffing.
    pub octets: Vec<u8>,
    /// Who was logged in.
    pub user: Option<String>,
    /// By which mechanism.
    pub mechanism: Option<String>,
    /// The sandbox's number of the access token, where one was used.
    pub token: Option<usize>,
    /// TLS version, or `none`.
    pub tls: String,
    /// The number of the connection, from 1.
    pub connection: usize,
    /// When its content was whole.
    pub arrived_at: Instant,
}

/// All of them, in order.
#[derive(Debug)]
pub(super) struct Messages {
    kept: Mutex<Vec<Received>>,
    count: watch::Sender<usize>,
    directory: Option<PathBuf>,
}

impl Messages {
    pub(super) fn new(directory: Option<PathBuf>) -> Self {
        Self { kept: Mutex::default(), count: watch::Sender::new(0), directory }
    }

    pub(super) fn add(&self, message: Received) -> std::io::Result<()> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = &self.directory {
            std::fs::write(directory.join(format!("{:06}.eml", *self.count.borrow() + 1)), &message.octets)?;
        }
        kept.push(message);
        self.count.send_modify(|count| *count += 1);
        Ok(())
    }

    pub(super) fn all(&self) -> Vec<Received> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those that have not been taken, which are kept no longer.
    pub(super) fn take(&self) -> Vec<Received> {
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until `count` have arrived. The sender lives as long as `self`, so the wait cannot fail.
    pub(super) async fn wait_for(&self, count: usize) -> Vec<Received> {
        let mut arrived = self.count.subscribe();
        let _ = arrived.wait_for(|arrived| *arrived >= count).await;
        self.all()
    }
}
