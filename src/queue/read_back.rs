//! Reading a message back from the disk.

use super::{
    Queue,
    entry::Received,
    item::Item,
    journal::Place,
    record::{ContentPlace, Record},
    status::Status,
};
use crate::mail::{Content, ContentSource, QueueId};
use bytes::Bytes;
use std::io;

/// A message as the disk has it.
pub(super) struct ReadBack {
    pub(super) received: Received,
    pub(super) status: Status,
    /// The content part of its record: empty where a file has the content.
    content: Vec<u8>,
    place: ContentPlace,
}

impl ReadBack {
    /// What was received and where it stands, by a reader of records.
    pub(super) fn by(item: &Item, read: impl Fn(Place) -> io::Result<(Record, Vec<u8>)>) -> io::Result<Self> {
        let (Record::Received { received, content: place }, content) = read(item.received)? else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let recipients = received.envelope.forward_paths().len();
        let status = match item.status {
            Place::NONE => Status::fresh(recipients, received.received_at),
            place => match read(place)?.0 {
                Record::Status { status, .. } if status.recipients.len() == recipients => status,
                _ => return Err(io::ErrorKind::InvalidData.into()),
            },
        };
        Ok(Self { received, status, content, place })
    }
}

impl Queue {
    /// What was received and where it stands. Blocks on the disk.
    pub(super) fn read_back(&self, item: &Item) -> io::Result<ReadBack> {
        ReadBack::by(item, |place| self.journal().read(place))
    }

    /// Where the content of a message is, checked. Blocks on the disk.
    pub(super) fn content_of(&self, id: QueueId, message: &mut ReadBack) -> io::Result<ContentSource> {
        if message.place == ContentPlace::Record {
            let content = Content::new(Bytes::from(std::mem::take(&mut message.content)));
            return content.map(ContentSource::Memory).map_err(io::Error::other);
        }
        let path = self.content_path(id);
        let octets = std::fs::metadata(&path)?.len();
        if octets != message.received.size {
            return Err(io::Error::other("the content file has another length than was committed"));
        }
        Ok(ContentSource::File { path, octets })
    }
}

/// Runs work on the disk off the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
