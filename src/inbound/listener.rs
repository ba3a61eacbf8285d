//! Connections in (step 1 of the path).

use super::{Gate, Peer, flood::Flood, serve};
use crate::{
    config::{Limits, ListenAddress, ListenerSettings},
    mail::Reply,
    smtp::replies,
};
use std::{
    collections::HashMap,
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

/// How long accepting pauses when the system has no file descriptors or memory left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long sessions have to end after a shutdown; longer than any session gives itself.
const DRAIN: Duration = Duration::from_secs(10);

/// The places there are for connections: one for all listeners.
#[derive(Debug, Clone)]
pub struct Admission {
    places: Arc<Semaphore>,
    clients: Arc<Mutex<HashMap<IpAddr, usize>>>,
    per_client: usize,
}

/// A place taken; dropped, it is free again.
#[derive(Debug)]
struct Place {
    _permit: OwnedSemaphorePermit,
    clients: Arc<Mutex<HashMap<IpAddr, usize>>>,
    client: IpAddr,
}

impl Admission {
    /// `connections` places, `connections_per_client` of them for one client address.
    pub fn new(limits: &Limits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
            clients: Arc::default(),
            per_client: limits.connections_per_client,
        }
    }

    fn enter(&self, client: IpAddr) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let count = clients.entry(client).or_default();
        if *count >= self.per_client {
            if *count == 0 {
                clients.remove(&client);
            }
            return None;
        }
        *count += 1;
        Some(Place { _permit: permit, clients: Arc::clone(&self.clients), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = clients.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
}

impl Listener {
    /// Binds a TCP address. A socket that systemd passes comes through [`Listener::from_std`] instead.
    pub async fn bind(address: &ListenAddress) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => Ok(Self { socket: TcpListener::bind(address).await? }),
            ListenAddress::Systemd(_) => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "systemd has to pass this socket"))
            }
        }
    }

    /// Takes over a socket that is bound already.
    pub fn from_std(socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket: TcpListener::from_std(socket)? })
    }

    /// The address bound, with the port that the system chose for port 0.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves clients until `shutdown`, then waits for the sessions to end. `index` is this listener's in the
    /// configuration, `settings` its settings.
    pub async fn run<G: Gate>(
        self,
        gate: Arc<G>,
        index: usize,
        settings: ListenerSettings,
        admission: Admission,
        shutdown: CancellationToken,
    ) {
        let name: Arc<str> = settings.address.to_string().into();
        let sessions = TaskTracker::new();
        let mut flood = Flood::new(Instant::now());
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                accepted = self.socket.accept() => accepted,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // A client that gave up already is no matter; without descriptors, trying on is of no use.
                    if error.kind() != io::ErrorKind::ConnectionAborted {
                        warn!(target: "waxseal::inbound", listener = %name, %error, "cannot accept");
                        sleep(ACCEPT_PAUSE).await;
                    }
                    continue;
                }
            };
            let client = address.ip().to_canonical();
            if !settings.clients.iter().any(|network| network.contains(&client)) {
                note_refusal(&mut flood, &name, client, "client");
                turn_away(stream, &replies::client_refused());
                continue;
            }
            let Some(place) = admission.enter(client) else {
                note_refusal(&mut flood, &name, client, "connections");
                turn_away(stream, &replies::too_many_connections());
                continue;
            };
            // Replies are written whole; waiting for more to send with them only costs time.
            let _ = stream.set_nodelay(true);
            debug!(target: "waxseal::inbound", listener = %name, %client, "connected");
            let peer = Peer { client, listener: index, listener_name: Arc::clone(&name) };
            // Boxed, since a future that another one awaits by value lies in its memory twice.
            let session = Box::pin(serve(stream, Arc::clone(&gate), peer, shutdown.clone()));
            sessions.spawn(async move {
                session.await;
                drop(place);
            });
        }
        // New clients are to find the port closed, not to wait in the backlog.
        drop(self.socket);
        sessions.close();
        if timeout(DRAIN, sessions.wait()).await.is_err() {
            warn!(target: "waxseal::inbound", listener = %name, left = sessions.len(), "sessions did not end");
        }
    }
}

fn note_refusal(flood: &mut Flood, listener: &str, client: IpAddr, reason: &'static str) {
    if let Some(untold) = flood.refused(Instant::now()) {
        info!(target: "waxseal::inbound", listener, %client, reason, untold, "client refused");
    }
}

/// Says why and closes, without waiting for anything: a fresh socket's buffer has room for one reply.
fn turn_away(stream: TcpStream, reply: &Reply) {
    let mut octets = Vec::new();
    reply.write_to(&mut octets);
    if let Ok(mut stream) = stream.into_std() {
        // A client that does not hear it sees the close.
        let _ = stream.write_all(&octets);
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
