//! Octets from a client that nobody has used yet.

use bytes::{Buf, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What an idle session keeps; a command line fits (`smtp::limits::COMMAND_LINE`).
const SMALL: usize = 4 * 1024;
/// What is read at once of content that comes fast.
const LARGE: usize = 64 * 1024;

/// A read buffer that grows while content fills it and is small again afterwards.
#[derive(Debug)]
pub(super) struct Input {
    buffer: BytesMut,
    size: usize,
}

impl Input {
    pub(super) fn new() -> Self {
        Self { buffer: BytesMut::with_capacity(SMALL), size: SMALL }
    }

    pub(super) fn octets(&self) -> &[u8] {
        &self.buffer
    }

    pub(super) fn consume(&mut self, octets: usize) {
        self.buffer.advance(octets.min(self.buffer.len()));
    }

    /// Reads what is there, a command's worth. 0 is the end of the stream. Nothing is lost when cancelled.
    pub(super) async fn read<R: AsyncRead + Unpin>(&mut self, stream: &mut R) -> io::Result<usize> {
        // All input may be one unfinished line: there is room behind it, since a line over the limit is dropped.
        self.buffer.reserve(SMALL / 2);
        stream.read_buf(&mut self.buffer).await
    }

    /// Reads content; what was read before must be consumed.
    pub(super) async fn read_content<R: AsyncRead + Unpin>(&mut self, stream: &mut R) -> io::Result<usize> {
        self.buffer.reserve(self.size);
        let read = stream.read_buf(&mut self.buffer).await?;
        if read >= self.size {
            self.size = (self.size * 4).min(LARGE);
        }
        Ok(read)
    }

    /// Content is over: gives a grown buffer back.
    pub(super) fn shrink(&mut self) {
        if self.size > SMALL {
            let mut small = BytesMut::with_capacity(SMALL.max(self.buffer.len()));
            small.extend_from_slice(&self.buffer);
            self.buffer = small;
            self.size = SMALL;
        }
    }
}
