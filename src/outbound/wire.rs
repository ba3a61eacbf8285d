//! The octet stream of a connection: commands out in flights, replies in one by one.

use super::{
    Stage,
    failure::{Cause, Failure},
    replies::first_reply,
};
use crate::mail::Reply;
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

/// Where the dialogue can be watched, at trace level and without credentials.
pub(super) const WIRE_LOG: &str = "waxseal::outbound::wire";

/// The connection underneath.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A stream with a buffer each way, both kept for the connection's life.
pub(super) struct Wire {
    stream: Stream,
    input: Vec<u8>,
    taken: usize,
    out: Vec<u8>,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, input: Vec::with_capacity(2048), taken: 0, out: Vec::with_capacity(2048) }
    }

    /// `TLSv1.3 TLS13_AES_128_GCM_SHA256`, or `none`.
    pub(super) fn tls(&self) -> String {
        let Stream::Tls(stream) = &self.stream else { return "none".to_owned() };
        let session = stream.get_ref().1;
        match (session.protocol_version(), session.negotiated_cipher_suite()) {
            (Some(version), Some(suite)) => {
                format!("{version:?} {:?}", suite.suite()).replacen("v1_", "v1.", 1)
            }
            _ => "TLS".to_owned(),
        }
    }

    /// Ends the connection as TLS wants it, with a close_notify.
    pub(super) async fn shut_down(&mut self) {
        let _ = timeout(Stage::Quit.timeout(), self.stream.shutdown()).await;
    }

    /// The stream again, and whether octets of the peer were left unread.
    pub(super) fn into_stream(self) -> (Stream, bool) {
        let unread = self.taken < self.input.len();
        (self.stream, unread)
    }

    /// Adds a command to the flight.
    pub(super) fn push(&mut self, command: &str) {
        tracing::trace!(target: WIRE_LOG, "C: {command}");
        self.out.extend_from_slice(command.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// The flight, for content.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Sends the flight in one write.
    pub(super) async fn flush(&mut self, stage: Stage) -> Result<(), Failure> {
        let written = timeout(stage.timeout(), async {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await
        })
        .await;
        self.out.clear();
        settle(stage, written)
    }

    /// Sends octets that no log and no buffer of ours may keep; `shown` goes to the log in their place.
    pub(super) async fn send_secret(
        &mut self,
        stage: Stage,
        octets: &[u8],
        shown: &str,
    ) -> Result<(), Failure> {
        tracing::trace!(target: WIRE_LOG, "C: {shown}");
        let written = timeout(stage.timeout(), async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        })
        .await;
        settle(stage, written)
    }

    /// Sends one command and takes its reply.
    pub(super) async fn command(&mut self, stage: Stage, command: &str) -> Result<Reply, Failure> {
        self.in_step(stage)?;
        self.push(command);
        self.flush(stage).await?;
        self.reply(stage).await
    }

    /// Takes the next reply.
    pub(super) async fn reply(&mut self, stage: Stage) -> Result<Reply, Failure> {
        self.raw_reply(stage).await.map(|(reply, _)| reply)
    }

    /// Takes the next reply, with the octets that it came in.
    pub(super) async fn raw_reply(&mut self, stage: Stage) -> Result<(Reply, Vec<u8>), Failure> {
        match timeout(stage.timeout(), self.next_reply(stage == Stage::Ehlo)).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(cause)) => Err(Failure::new(stage, cause)),
            Err(_) => Err(Failure::new(stage, Cause::Silent)),
        }
    }

    async fn next_reply(&mut self, keep_octets: bool) -> Result<(Reply, Vec<u8>), Cause> {
        loop {
            match first_reply(&self.input[self.taken..]) {
                Err(_) => return Err(Cause::Nonsense),
                Ok(Some((reply, length))) => {
                    tracing::trace!(target: WIRE_LOG, "S: {reply}");
                    let octets = if keep_octets {
                        self.input[self.taken..self.taken + length].to_vec()
                    } else {
                        Vec::new()
                    };
                    self.taken += length;
                    if self.taken == self.input.len() {
                        self.input.clear();
                        self.taken = 0;
                    }
                    return Ok((reply, octets));
                }
                Ok(None) => match self.stream.read_buf(&mut self.input).await {
                    Ok(0) => return Err(Cause::Lost("the server closed it".to_owned())),
                    Ok(_) => {}
                    Err(error) => return Err(Cause::Lost(error.to_string())),
                },
            }
        }
    }

    /// Nothing may be left of earlier replies when the next command goes out: a server that said more than it was
    /// asked would have each reply taken for the next one's.
    pub(super) fn in_step(&self, stage: Stage) -> Result<(), Failure> {
        if self.taken < self.input.len() { Err(Failure::new(stage, Cause::Nonsense)) } else { Ok(()) }
    }

    /// Whether the peer has said something that has not been taken. Does not wait.
    pub(super) async fn has_spoken(&mut self) -> bool {
        let mut octets = [0; 512];
        let mut buffer = ReadBuf::new(&mut octets);
        let stream = &mut self.stream;
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_read(cx, &mut buffer).is_ready())).await;
        self.input.extend_from_slice(buffer.filled());
        self.taken < self.input.len()
    }

    /// Whether the peer has neither closed an idle connection nor sent anything on it.
    pub(super) async fn is_quiet(&mut self) -> bool {
        if self.taken < self.input.len() {
            return false;
        }
        let mut octets = [0; 1];
        poll_fn(|cx| {
            let mut buffer = ReadBuf::new(&mut octets);
            Poll::Ready(Pin::new(&mut self.stream).poll_read(cx, &mut buffer).is_pending())
        })
        .await
    }
}

fn settle(stage: Stage, written: Result<io::Result<()>, tokio::time::error::Elapsed>) -> Result<(), Failure> {
    match written {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure::new(stage, Cause::Lost(error.to_string()))),
        Err(_) => Err(Failure::new(stage, Cause::Silent)),
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, octets),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, octets),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        net::TcpListener,
        time::{Instant, pause},
    };

    async fn pair() -> (Wire, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
        (Wire::new(Stream::Plain(ours.unwrap())), theirs.unwrap().0)
    }

    #[tokio::test]
    async fn every_stage_waits_as_long_as_its_timeout_and_no_longer() {
        let (mut wire, _peer) = pair().await;
        pause();
        for stage in [Stage::Banner, Stage::Ehlo, Stage::Auth, Stage::Mail, Stage::Data, Stage::InDoubt] {
            let start = Instant::now();
            assert_eq!(wire.reply(stage).await, Err(Failure::new(stage, Cause::Silent)));
            assert_eq!(start.elapsed().as_secs(), stage.timeout().as_secs(), "{stage}");
        }
    }

    #[tokio::test]
    async fn replies_that_come_together_are_taken_one_by_one() {
        let (mut wire, mut peer) = pair().await;
        peer.write_all(b"250 2.1.0 one\r\n250 2.1.5 two\r\n35").await.unwrap();
        assert_eq!(wire.reply(Stage::Mail).await.unwrap().to_string(), "250 2.1.0 one");
        assert!(!wire.is_quiet().await);
        assert_eq!(wire.reply(Stage::Rcpt).await.unwrap().to_string(), "250 2.1.5 two");
        peer.write_all(b"4 go\r\n").await.unwrap();
        assert_eq!(wire.reply(Stage::Data).await.unwrap().code(), 354);
        assert!(wire.is_quiet().await);
    }
}
