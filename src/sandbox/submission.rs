//! The sandbox's SMTP port: connections accepted, secured, and handed to sessions.

use super::{
    Point, SandboxSecurity,
    provider::Shared,
    session::{End, Session},
};
use std::{
    io,
    sync::{Arc, atomic::Ordering},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::server::TlsStream;

/// What a session runs on.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin {
    /// The connection underneath.
    fn tcp(&self) -> &TcpStream;
}

impl Transport for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Transport for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Serves until it is aborted; its sessions end with it.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut sessions = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let number = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
        let open = shared.open.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most_open.fetch_max(open, Ordering::SeqCst);
        let shared = shared.clone();
        sessions.spawn(async move {
            // A broken connection is the client's business.
            let _ = session(stream, shared.clone(), number).await;
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
        while sessions.try_join_next().is_some() {}
    }
}

async fn session(stream: TcpStream, shared: Arc<Shared>, number: usize) -> io::Result<()> {
    if shared.options.security == SandboxSecurity::Tls {
        return secured(stream, shared, number, true).await;
    }
    let mut session = Session::new(BufReader::new(stream), shared.clone(), number, "none".to_owned());
    session.greet().await?;
    match session.converse().await? {
        End::Closed => Ok(()),
        End::StartTls => {
            let fault = shared.faults.strike(&Point::StartTls);
            if let Some(fault) = fault
                && !session.suffer(fault).await?
            {
                return Ok(());
            }
            let mut stream = session.into_stream();
            let injected = if shared.faults.injects() { "250 injected\r\n" } else { "" };
            stream.write_all(format!("220 2.0.0 go ahead\r\n{injected}").as_bytes()).await?;
            secured(stream.into_inner(), shared, number, false).await
        }
    }
}

async fn secured(stream: TcpStream, shared: Arc<Shared>, number: usize, greet: bool) -> io::Result<()> {
    let mut session = Session::new(BufReader::new(stream), shared.clone(), number, "none".to_owned());
    if let Some(fault) = shared.faults.strike(&Point::Handshake)
        && !session.suffer(fault).await?
    {
        return Ok(());
    }
    let stream = shared.acceptor.accept(session.into_stream().into_inner()).await?;
    let version = stream.get_ref().1.protocol_version();
    let tls = version.map_or_else(String::new, |version| format!("{version:?}").replace('_', "."));
    let mut session = Session::new(BufReader::new(stream), shared, number, tls);
    if greet {
        session.greet().await?;
    }
    session.converse().await?;
    session.into_stream().shutdown().await
}
