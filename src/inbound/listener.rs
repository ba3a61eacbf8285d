//! Connections in (step 1 of the path).

use super::{
    Client, Gate, Peer,
    flood::Flood,
    serve,
    socket::{Socket, Stream},
};
use crate::{
    config::{Limits, ListenAddress, ListenerSettings},
    mail::Reply,
    meter::{Meter, unix_millis},
    smtp::{Encryption, Seen, replies},
};
use std::{
    collections::HashMap,
    io::{self, Write},
    net::{Shutdown, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{either::Either, sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

/// How long accepting pauses when the system has no file descriptors or memory left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long sessions have to end after a shutdown; longer than any session gives itself.
const DRAIN: Duration = Duration::from_secs(10);

/// A fatal alert of TLS, `access_denied` (RFC 8446 §6): what a client hears in place of a reply where it expects a
/// handshake. It is one record in the clear, so that a refused client costs no handshake.
const ACCESS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];

/// The places there are for connections: one for all listeners.
#[derive(Debug, Clone)]
pub struct Admission {
    places: Arc<Semaphore>,
    clients: Arc<Mutex<HashMap<Client, usize>>>,
    per_client: usize,
}

/// A place taken; dropped, it is free again.
#[derive(Debug)]
struct Place {
    _permit: OwnedSemaphorePermit,
    clients: Arc<Mutex<HashMap<Client, usize>>>,
    client: Client,
}

impl Admission {
    /// `connections` places, `connections_per_client` of them for one client: one address, or one user of this host.
    pub fn new(limits: &Limits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
            clients: Arc::default(),
            per_client: limits.connections_per_client,
        }
    }

    fn enter(&self, client: Client) -> Option<Place> {
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
    socket: Socket,
}

impl Listener {
    /// Binds a TCP address, or a Unix socket: its file is open to all users of this host, replaces one that a dead
    /// daemon left behind, and is removed in the end. A socket that systemd passes comes through [`Self::from_tcp`] or
    /// [`Self::from_unix`] instead.
    ///
    /// # Errors
    /// The system's; or what is in the way of the socket file.
    pub async fn bind(address: &ListenAddress) -> io::Result<Self> {
        Ok(Self { socket: Socket::bind(address).await? })
    }

    /// Takes over a TCP socket that is bound already.
    ///
    /// # Errors
    /// The system's.
    pub fn from_tcp(socket: std::net::TcpListener) -> io::Result<Self> {
        Ok(Self { socket: Socket::tcp(socket)? })
    }

    /// Takes over a Unix socket that is bound already. Its file is left alone.
    ///
    /// # Errors
    /// The system's.
    pub fn from_unix(socket: std::os::unix::net::UnixListener) -> io::Result<Self> {
        Ok(Self { socket: Socket::unix(socket)? })
    }

    /// The TCP address bound, with the port that the system chose for port 0; `None` for a Unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves clients until `shutdown`, then waits for the sessions to end. `index` is this listener's in the
    /// configuration; what holds on it is asked of `gate` for each client anew.
    pub async fn run<G: Gate>(
        self,
        gate: Arc<G>,
        index: usize,
        name: Arc<str>,
        admission: Admission,
        shutdown: CancellationToken,
    ) {
        let sessions = TaskTracker::new();
        let mut flood = Flood::new(Instant::now());
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                accepted = self.socket.accept() => accepted,
            };
            let (stream, client) = match accepted {
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
            let Some(settings) = gate.listener(index) else { continue };
            let peer = Peer { client, listener: index, listener_name: Arc::clone(&name), settings };
            let place = match admit(client, &peer.settings, &admission) {
                Ok(place) => place,
                Err((reason, reply)) => {
                    gate.meter().rejected(&name, reason, unix_millis());
                    note_refusal(&mut flood, &name, client, reason);
                    gate.observe(&peer, &Seen::Refused(&reply));
                    turn_away(stream, peer.settings.tls.encryption(), &reply);
                    continue;
                }
            };
            debug!(target: "waxseal::inbound", listener = %name, %client, "connected");
            // Boxed, since a future that another one awaits by value lies in its memory twice.
            let session = Box::pin(serve(stream, Arc::clone(&gate), peer, shutdown.clone()));
            let connected = Connected::begin(gate.meter().clone(), Arc::clone(&name));
            sessions.spawn(async move {
                session.await;
                drop((place, connected));
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

/// Counts a client for as long as it is connected.
struct Connected(Meter, Arc<str>);

impl Connected {
    fn begin(meter: Meter, listener: Arc<str>) -> Self {
        meter.connected(&listener);
        Self(meter, listener)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.disconnected(&self.1);
    }
}

fn note_refusal(flood: &mut Flood, listener: &str, client: Client, reason: &'static str) {
    if let Some(untold) = flood.refused(Instant::now()) {
        info!(target: "waxseal::inbound", %listener, %client, reason, untold, "client refused");
    }
}

/// Takes a place for a client that the listener is there for; else the word for logs, and the refusal.
fn admit(
    client: Client,
    settings: &ListenerSettings,
    admission: &Admission,
) -> Result<Place, (&'static str, Reply)> {
    if !client.may_submit(settings) {
        return Err(("client", replies::client_refused()));
    }
    admission.enter(client).ok_or_else(|| ("connections", replies::too_many_connections()))
}

/// Says why and closes, without waiting for anything: a fresh socket's buffer has room for one reply.
fn turn_away(stream: Stream, encryption: Encryption, reply: &Reply) {
    let mut octets = Vec::new();
    match encryption {
        Encryption::Implicit => octets.extend_from_slice(&ACCESS_DENIED),
        _ => reply.write_to(&mut octets),
    }
    // A client that does not hear it sees the close.
    let _ = match stream {
        Either::Left(stream) => stream.into_std().and_then(|mut stream| {
            stream.write_all(&octets)?;
            stream.shutdown(Shutdown::Write)
        }),
        Either::Right(stream) => stream.into_std().and_then(|mut stream| {
            stream.write_all(&octets)?;
            stream.shutdown(Shutdown::Write)
        }),
    };
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
