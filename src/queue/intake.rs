//! One message on its way onto stable storage (steps 7 and 8 of the path).

use super::{
    Queue,
    disk::{Disk, DiskFile},
    entry::Received,
    journal::{Durability, Place},
    pool::Share,
    read_back::blocking,
    record,
    through::Early,
    to_its_end::ToItsEnd,
    told,
};
use crate::{
    account::{AccountId, ApplicationId},
    failpoint::{self, Point},
    mail::{Content, ContentSource, Envelope, NotCanonical, QueueId, Reply, trace::HeaderScan},
    telemetry,
};
use bytes::Bytes;
use std::{io, path::PathBuf, sync::Arc};

/// Content past this many octets goes to a file of its own.
const INLINE_LIMIT: usize = 256 << 10;
/// What is written to that file at once.
const BLOCK: usize = 128 << 10;
/// Both, where all messages under way take more memory than there is for them.
const CROWDED: usize = 16 << 10;

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

/// What became of a message, for its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commitment {
    /// It is on stable storage.
    Durable(QueueId),
    /// The provider has it for all recipients; this was its reply.
    Relayed(QueueId, Reply),
    /// It is refused with this reply, as a rule the provider's 5yz for all recipients; the client keeps it.
    Refused(Reply),
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
    /// The buffer's part of the memory for messages under way.
    share: Share,
    file: Option<ContentFile>,
    /// A write has failed, so that octets are missing.
    broken: bool,
    /// For the message's own name.
    scan: HeaderScan,
    /// Whether it is a notification of our own.
    notification: bool,
    ahead: Ahead,
}

/// Whether the provider gets the message while it is still being received.
#[derive(Debug)]
enum Ahead {
    /// Nobody has asked for it.
    No,
    /// It was asked for, and for lack of a share cannot be yet.
    Later,
    /// It was asked for, and cannot be.
    Refused,
    /// It does.
    Underway(Early),
}

/// The file of a large content until its message is committed. Dropped before that, it goes.
#[derive(Debug)]
struct ContentFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Option<Box<dyn DiskFile>>,
    octets: u64,
    checksum: crc32fast::Hasher,
    kept: bool,
}

impl ContentFile {
    fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        Self { disk, path, file: None, octets: 0, checksum: crc32fast::Hasher::new(), kept: false }
    }

    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(self.disk.create(&self.path)?),
        };
        file.write_at(self.octets, octets)?;
        self.octets += octets.len() as u64;
        self.checksum.update(octets);
        Ok(())
    }
}

impl Drop for ContentFile {
    fn drop(&mut self) {
        if !self.kept {
            let _ = self.disk.remove(&self.path);
        }
    }
}

impl Intake {
    pub(super) fn new(queue: Queue, id: QueueId) -> Self {
        Self {
            share: Share::new(queue.shared.intakes.clone()),
            queue,
            id,
            buffer: Vec::new(),
            file: None,
            broken: false,
            scan: HeaderScan::default(),
            notification: false,
            ahead: Ahead::No,
        }
    }

    /// The id that the message will have.
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// Takes further canonical octets; past 256 KiB they go to a file of their own, so that memory is unmoved by the
    /// size of a message. Where many messages are under way, they go there sooner, so that it is unmoved by their
    /// number.
    ///
    /// # Errors
    /// Where they cannot be written. The message cannot be committed then.
    pub async fn write(&mut self, octets: &[u8]) -> Result<(), CommitError> {
        self.scan.advance(octets);
        let wanted = self.buffer.len() + octets.len();
        if wanted > self.buffer.capacity() {
            // By as much again, and not past what the buffer may hold in the end.
            let roomy = (self.buffer.capacity() * 2).min(INLINE_LIMIT).max(wanted);
            self.buffer.reserve_exact(roomy - self.buffer.len());
            self.share.set(self.buffer.capacity());
        }
        self.buffer.extend_from_slice(octets);
        let limit = match &self.file {
            _ if self.share.is_crowded() => CROWDED,
            Some(_) => BLOCK,
            None => INLINE_LIMIT,
        };
        if self.buffer.len() > limit { self.spill().await } else { Ok(()) }
    }

    /// Moves the buffer to the content file.
    async fn spill(&mut self) -> Result<(), CommitError> {
        if self.broken {
            return Err(CommitError::Io("an earlier write of this message failed".into()));
        }
        // Until the write has gone well, and where the caller goes away meanwhile.
        self.broken = true;
        let buffer = std::mem::take(&mut self.buffer);
        let mut content = match self.file.take() {
            Some(content) => content,
            None => ContentFile::new(self.queue.shared.disk.clone(), self.queue.content_path(self.id)),
        };
        let turn = self.share.turn().await;
        let content = blocking(move || {
            content.append(&buffer)?;
            Ok(content)
        })
        .await?;
        drop(turn);
        self.share.set(0);
        self.broken = false;
        if let Ahead::Underway(early) = &self.ahead {
            early.grew(content.octets);
        }
        self.file = Some(content);
        Ok(())
    }

    /// Lets the provider have what is in a file already, while the rest still comes: for large messages of accounts that
    /// deliver `through`, where there is a connection to spare. To be called behind any [`Intake::write`]; it asks once,
    /// and where only a share is missing, waits a moment for it, and then looks again behind every later one.
    pub async fn send_ahead(&mut self, receipt: &Receipt) {
        let (Ahead::No | Ahead::Later, Some(content)) = (&self.ahead, &self.file) else { return };
        let begin = || Early::begin(&self.queue, self.id, receipt, content.path.clone(), content.octets);
        let mut early = begin();
        if early.is_none() && matches!(self.ahead, Ahead::No) {
            self.queue.wait_to_send_ahead(&receipt.account).await;
            early = begin();
        }
        self.ahead = match early {
            Some(early) => Ahead::Underway(early),
            None if self.queue.may_send_ahead_soon(&receipt.account) => Ahead::Later,
            None => Ahead::Refused,
        };
    }

    /// Makes the message durable, or, where its account delivers `through`, offers it to the provider first. After
    /// `Ok` the client is told what it says. Once begun, this runs to its end even where the caller goes away: a
    /// message is never on disk and unknown to the queue.
    pub async fn commit(self, receipt: Receipt) -> Result<Commitment, CommitError> {
        let whole = self.complete(receipt, |octets| Ok(Content::decoded(octets))).await?;
        failpoint::reach(Point::ContentComplete);
        ToItsEnd::new(whole.through_or_queued()).await
    }

    /// As [`Intake::commit`], for a message of our own, which no client waits for: after `Ok` it is on stable storage,
    /// however its account delivers.
    pub async fn commit_to_queue(self, receipt: Receipt) -> Result<QueueId, CommitError> {
        let id = self.id;
        // No decoder has made these octets.
        let whole = self.complete(receipt, Content::new).await?;
        ToItsEnd::new(whole.queued()).await.map(|_| id)
    }

    /// As [`Intake::commit_to_queue`], for a notification of our own.
    pub(super) async fn commit_notification(mut self, receipt: Receipt) -> Result<QueueId, CommitError> {
        self.notification = true;
        self.commit_to_queue(receipt).await
    }

    /// `keep` makes content of octets that are in memory.
    async fn complete(
        mut self,
        receipt: Receipt,
        keep: impl FnOnce(Bytes) -> Result<Content, NotCanonical>,
    ) -> Result<Whole, CommitError> {
        if self.broken || self.file.is_some() && !self.buffer.is_empty() {
            self.spill().await?;
        }
        let file = self.file.take();
        let message_id = self.scan.message_id();
        let size = file.as_ref().map_or(self.buffer.len() as u64, |file| file.octets);
        let received = Received {
            id: self.id,
            received_at: self.queue.now(),
            account: receipt.account,
            application: receipt.application,
            envelope: receipt.envelope,
            size,
            message_id,
            notification: self.notification,
        };
        let source = match &file {
            Some(file) => ContentSource::File { path: file.path.clone(), octets: size },
            None => {
                let content = keep(Bytes::from(std::mem::take(&mut self.buffer)));
                ContentSource::Memory(content.map_err(|error| CommitError::Io(error.to_string()))?)
            }
        };
        let early = match self.ahead {
            Ahead::Underway(early) => Some(early),
            Ahead::No | Ahead::Later | Ahead::Refused => None,
        };
        let (queue, share) = (self.queue, self.share);
        Ok(Whole { queue, received: Arc::new(received), source, file, early, share })
    }
}

/// A message that is complete and not yet durable. Dropped, it leaves nothing behind.
pub(super) struct Whole {
    pub(super) queue: Queue,
    pub(super) received: Arc<Received>,
    pub(super) source: ContentSource,
    file: Option<ContentFile>,
    pub(super) early: Option<Early>,
    /// What a content in memory takes of what there is.
    share: Share,
}

impl Whole {
    /// Step 8: the message is on stable storage when this returns `Ok`, and where its record lies.
    pub(super) async fn make_durable(mut self) -> Result<Place, CommitError> {
        if let Some(mut file) = self.file.as_mut().and_then(|content| content.file.take()) {
            let (disk, directory) = (self.queue.shared.disk.clone(), self.queue.content_directory());
            failpoint::reach(Point::ContentWritten);
            let _turn = self.share.turn().await;
            blocking(move || {
                file.sync()?;
                disk.sync_directory(&directory)
            })
            .await?;
            failpoint::reach(Point::ContentSynced);
        }
        let octets = match (&self.file, &self.source) {
            (Some(file), _) => {
                record::encode_received_in_file(&self.received, file.checksum.clone().finalize()).into()
            }
            (None, ContentSource::Memory(content)) => {
                let octets = record::encode_received(&self.received, content.octets());
                // A small content is there twice until the record is written.
                self.share.set(content.octets().len() + octets.head.len());
                octets
            }
            (None, ContentSource::File { .. }) => {
                return Err(CommitError::Io("a content file was not kept".into()));
            }
        };
        // From here on the journal may name the file, whatever it answers.
        if let Some(content) = &mut self.file {
            content.kept = true;
        }
        let telling = self.queue.history().prepare(&[told::received(&self.received)]);
        let appended = self.append(octets).await;
        let place = appended.inspect_err(|error| {
            let queue_id = self.received.id;
            tracing::error!(target: "waxseal::queue", %queue_id, %error, "message not committed");
            if let Some(content) = &self.file {
                self.queue.journal().remove_file(content.path.clone());
            }
        })?;
        telling.tell();
        self.tell();
        Ok(place)
    }

    /// Appends its receipt, as durable as it has to be: by this host's disk, or by its copy where several nodes share the
    /// queue.
    async fn append(&self, octets: record::Octets) -> io::Result<Place> {
        let journal = self.queue.journal();
        let Some(mirror) = self.queue.mirror() else {
            return journal.append(octets, Durability::Synced).await;
        };
        let receipt = [&octets.head[..], &octets.content[..]].concat();
        let (durability, file) = (mirror.durability(), self.file.as_ref().map(|file| file.path.clone()));
        let place = journal.append(octets, durability).await?;
        self.queue.promise(mirror, self.received.id, receipt, file, durability).await?;
        Ok(place)
    }

    /// Makes the message durable and lets it into its lane.
    pub(super) async fn queued(self) -> Result<Commitment, CommitError> {
        let (queue, received, source) = (self.queue.clone(), self.received.clone(), self.source.clone());
        let place = self.make_durable().await?;
        let id = received.id;
        queue.enter(received, place, source);
        Ok(Commitment::Durable(id))
    }

    /// Whether its content is in a file of its own.
    pub(super) fn in_file(&self) -> bool {
        self.file.is_some()
    }

    /// The event of its receipt.
    pub(super) fn tell(&self) {
        let received = &self.received;
        telemetry::received(
            &telemetry::MailEvent {
                queue_id: received.id,
                account: &received.account,
                from: received.envelope.reverse_path(),
                to: received.envelope.forward_paths().len(),
                size: received.size,
            },
            received.application.as_ref().map(ApplicationId::as_str),
        );
    }
}
