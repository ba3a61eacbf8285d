//! Octets from a client that nobody has used yet.

use std::{future::poll_fn, io, mem::MaybeUninit, pin::Pin, task::ready};
use tokio::io::{AsyncRead, ReadBuf};

/// What is read at once. Of hundreds of clients that wait for the disk each holds so much, twice.
const READ: usize = 16 * 1024;

/// A read buffer that is there only while something is in it: a session that waits has none.
#[derive(Debug, Default)]
pub(super) struct Input {
    octets: Vec<u8>,
    used: usize,
}

impl Input {
    pub(super) fn octets(&self) -> &[u8] {
        &self.octets[self.used..]
    }

    pub(super) fn consume(&mut self, octets: usize) {
        self.used = (self.used + octets).min(self.octets.len());
        if self.used == self.octets.len() {
            *self = Self::default();
        }
    }

    /// Reads what is there, behind what has not been consumed, which is to be less than a command line may be. 0 is
    /// the end of the stream. Nothing is lost when cancelled.
    pub(super) async fn read<R: AsyncRead + Unpin>(&mut self, stream: &mut R) -> io::Result<usize> {
        poll_fn(|context| {
            let mut space = [const { MaybeUninit::<u8>::uninit() }; READ];
            let mut read = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut read))?;
            self.octets.drain(..self.used);
            self.used = 0;
            self.octets.extend_from_slice(read.filled());
            Ok(read.filled().len()).into()
        })
        .await
    }
}
