//! The server's side of TLS: the handshake (RFC 3207, RFC 8314).

use super::input::Input;
use crate::config::ServerTls;
use rustls::{
    CommonState,
    server::{Accepted, Acceptor},
};
use std::{io, sync::Arc};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_rustls::{StartHandshake, server::TlsStream};

/// Why there is no TLS connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoTls {
    /// The client went.
    #[error("the client closed the connection")]
    Gone,
    /// The client was too slow.
    #[error("the handshake did not end in time")]
    TimedOut,
    /// The two cannot agree, or what came makes no sense.
    #[error("{0}")]
    Failed(String),
}

/// Does the handshake. `input` is what has been read of it already. The other half of the result is TLS version and
/// cipher.
pub(super) async fn accept<S>(
    mut stream: S,
    input: Input,
    tls: &ServerTls,
) -> Result<(TlsStream<S>, Arc<str>), NoTls>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let accepted = hello(&mut stream, input).await?;
    let handshake = StartHandshake::from_parts(accepted, stream).into_stream(tls.settings());
    let stream = handshake.await.map_err(failed)?;
    let cipher = describe(stream.get_ref().1).into();
    Ok((stream, cipher))
}

/// Takes the ClientHello.
async fn hello<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    mut input: Input,
) -> Result<Accepted, NoTls> {
    let mut acceptor = Acceptor::default();
    loop {
        while !input.octets().is_empty() {
            let taken = acceptor.read_tls(&mut input.octets()).map_err(failed)?;
            input.consume(taken);
            match acceptor.accept() {
                // A client that waits for nothing sends no more than its ClientHello.
                Ok(Some(_)) if !input.octets().is_empty() => {
                    return Err(NoTls::Failed("octets behind the ClientHello".into()));
                }
                Ok(Some(accepted)) => return Ok(accepted),
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut octets = Vec::new();
                    // Writing to a Vec cannot fail.
                    let _ = alert.write_all(&mut octets);
                    let _ = stream.write_all(&octets).await;
                    return Err(NoTls::Failed(error.to_string()));
                }
            }
        }
        if input.read(stream).await.map_err(failed)? == 0 {
            return Err(NoTls::Gone);
        }
    }
}

fn failed(error: io::Error) -> NoTls {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            NoTls::Gone
        }
        _ => NoTls::Failed(error.to_string()),
    }
}

/// `TLSv1.3 with cipher TLS_AES_256_GCM_SHA384`, in the names of IANA.
fn describe(session: &CommonState) -> String {
    let version = session.protocol_version().map_or_else(String::new, |version| format!("{version:?}"));
    let suite =
        session.negotiated_cipher_suite().map_or_else(String::new, |suite| format!("{:?}", suite.suite()));
    format!("{} with cipher {}", version.replacen('_', ".", 1), suite.replacen("TLS13_", "TLS_", 1))
}
