//! One message on its way onto stable storage (steps 7 and 8 of the path).

use super::{Queue, entry::Received, journal::Durability, read_back::blocking, record};
use crate::{
    account::{AccountId, ApplicationId},
    mail::{Content, ContentSource, Envelope, QueueId},
    telemetry,
};
use bytes::Bytes;
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::PathBuf,
    sync::Arc,
};

/// Content past this many octets goes to a file of its own.
const INLINE_LIMIT: usize = 256 << 10;

/// Why a message could not be made durable. The client gets a 4xx and keeps it.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// `max_size` is reached or less than `min_free` is left: 452 4.3.1.
    #[error("the queue has no room")]
    Full,
    /// Writing or syncing failed: 451 4.3.0.
    #[error("the queue cannot write: {0}")]
    Io(String),
}

impl From<io::Error> for CommitError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(error.to_string()),
        }
    }
}

/// What is known of a message when it is committed.
#[derive(Debug)]
pub struct Receipt {
    /// Its envelope.
    pub envelope: Envelope,
    /// The account that its reverse-path maps to.
    pub account: AccountId,
    /// The application that it came from.
    pub application: Option<ApplicationId>,
}

/// A message being received. Dropped without [`Intake::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct Intake {
    queue: Queue,
    id: QueueId,
    buffer: Vec<u8>,
    file: Option<ContentFile>,
}

/// The file of a large content while it is written.
#[derive(Debug)]
struct ContentFile {
    path: PathBuf,
    file: Option<File>,
    octets: u64,
    kept: bool,
}

impl Drop for ContentFile {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Intake {
    pub(super) fn new(queue: Queue, id: QueueId) -> Self {
        Self { queue, id, buffer: Vec::new(), file: None }
    }

    /// The id that the message will have.
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// Takes further canonical octets; past 256 KiB they go to a file of their own, so that memory is unmoved by the
    /// size of a message.
    pub async fn write(&mut self, octets: &[u8]) -> Result<(), CommitError> {
        self.buffer.extend_from_slice(octets);
        if self.buffer.len() > INLINE_LIMIT { self.spill().await } else { Ok(()) }
    }

    /// Moves the buffer to the content file.
    async fn spill(&mut self) -> Result<(), CommitError> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut content = match self.file.take() {
            Some(content) => content,
            None => {
                ContentFile { path: self.queue.content_path(self.id), file: None, octets: 0, kept: false }
            }
        };
        let (content, buffer) = blocking(move || {
            let file = match &mut content.file {
                Some(file) => file,
                none => none.insert(File::options().write(true).create_new(true).open(&content.path)?),
            };
            file.write_all(&buffer)?;
            content.octets += buffer.len() as u64;
            let mut buffer = buffer;
            buffer.clear();
            Ok((content, buffer))
        })
        .await?;
        self.file = Some(content);
        self.buffer = buffer;
        Ok(())
    }

    /// Makes the message durable. When this returns `Ok`, a 250 may be sent. Once begun, the commit runs to its end
    /// even where the caller goes away: a message is never on disk and unknown to the queue.
    pub async fn commit(mut self, receipt: Receipt) -> Result<QueueId, CommitError> {
        if self.file.is_some() && !self.buffer.is_empty() {
            self.spill().await?;
        }
        let committed = tokio::spawn(self.commit_whole(receipt)).await;
        committed.unwrap_or_else(|_| Err(CommitError::Io("the commit did not end".into())))
    }

    async fn commit_whole(mut self, receipt: Receipt) -> Result<QueueId, CommitError> {
        let mut content_file = self.file.take();
        let size = content_file.as_ref().map_or(self.buffer.len() as u64, |file| file.octets);
        let received = Arc::new(Received {
            id: self.id,
            received_at: self.queue.now(),
            account: receipt.account,
            application: receipt.application,
            envelope: receipt.envelope,
            size,
        });
        let source = match &mut content_file {
            None => {
                let octets = Bytes::from(std::mem::take(&mut self.buffer));
                let content = Content::new(octets).map_err(|e| CommitError::Io(e.to_string()))?;
                ContentSource::Memory(content)
            }
            Some(content) => {
                let file = content.file.take();
                let directory = self.queue.content_directory();
                blocking(move || {
                    if let Some(file) = file {
                        file.sync_data()?;
                    }
                    super::journal::sync_directory(&directory)
                })
                .await?;
                ContentSource::File { path: content.path.clone(), octets: size }
            }
        };
        let octets = match &source {
            ContentSource::Memory(content) => record::encode_received(&received, true, content.octets()),
            ContentSource::File { .. } => record::encode_received(&received, false, &[]),
        };
        let place = self.queue.journal().append(octets, Durability::Synced).await.inspect_err(|error| {
            tracing::error!(target: "waxseal::queue", queue_id = %self.id, %error, "message not committed");
        })?;
        if let Some(content) = &mut content_file {
            content.kept = true;
        }
        telemetry::received(
            &telemetry::MailEvent {
                queue_id: self.id,
                account: &received.account,
                from: received.envelope.reverse_path(),
                to: received.envelope.forward_paths().len(),
                size,
            },
            received.application.as_ref().map(ApplicationId::as_str),
        );
        self.queue.enter(received, place, source);
        Ok(self.id)
    }
}
