//! The sandbox as a whole: its ports, its tasks, what one may ask of it.

use super::{Faults, Grants, Received, SandboxOptions, certificates, oauth, received::Messages, submission};
use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

/// What the tasks of a sandbox share.
pub(super) struct Shared {
    pub(super) options: SandboxOptions,
    pub(super) faults: Faults,
    pub(super) grants: Grants,
    pub(super) messages: Messages,
    pub(super) connections: AtomicUsize,
    pub(super) open: AtomicUsize,
    pub(super) most_open: AtomicUsize,
    pub(super) acceptor: TlsAcceptor,
}

/// A mail provider on loopback. It ends when it is dropped.
pub struct SandboxProvider {
    shared: Arc<Shared>,
    smtp: SocketAddr,
    http: SocketAddr,
    ca_pem: String,
    tasks: Vec<JoinHandle<()>>,
}

impl SandboxProvider {
    /// Starts it on two ports of 127.0.0.1.
    ///
    /// # Errors
    /// No port could be bound, or no certificate made.
    pub async fn start(options: SandboxOptions) -> io::Result<Self> {
        let (config, ca_pem) = certificates::make(&options)?;
        let smtp = TcpListener::bind(("127.0.0.1", options.smtp_port)).await?;
        let http = TcpListener::bind(("127.0.0.1", options.http_port)).await?;
        let (smtp_address, http_address) = (smtp.local_addr()?, http.local_addr()?);
        let shared = Arc::new(Shared {
            messages: Messages::new(options.directory.clone()),
            options,
            faults: Faults::default(),
            grants: Grants::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            acceptor: TlsAcceptor::from(config),
        });
        let tasks = vec![
            tokio::spawn(submission::serve(smtp, shared.clone())),
            tokio::spawn(oauth::serve(http, shared.clone())),
        ];
        Ok(Self { shared, smtp: smtp_address, http: http_address, ca_pem, tasks })
    }

    /// Where SMTP submission listens.
    pub fn smtp_address(&self) -> SocketAddr {
        self.smtp
    }

    /// The authorization endpoint.
    pub fn authorization_endpoint(&self) -> String {
        format!("http://{}/authorize", self.http)
    }

    /// The token endpoint.
    pub fn token_endpoint(&self) -> String {
        format!("http://{}/token", self.http)
    }

    /// The device authorization endpoint.
    pub fn device_authorization_endpoint(&self) -> String {
        format!("http://{}/device", self.http)
    }

    /// The certificate of the sandbox's authority, as PEM: what belongs into an account's `ca_file`.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Writes [`Self::ca_pem`] to a file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_ca(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, &self.ca_pem)
    }

    /// What the sandbox was made to be.
    pub fn options(&self) -> &SandboxOptions {
        &self.shared.options
    }

    /// What it does wrong.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Its grants and tokens.
    pub fn grants(&self) -> &Grants {
        &self.shared.grants
    }

    /// SMTP connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The most SMTP connections that were open at once.
    pub fn most_open(&self) -> usize {
        self.shared.most_open.load(Ordering::SeqCst)
    }

    /// The messages so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.messages.all()
    }

    /// The messages since the last call, which are forgotten here: a provider that runs for hours keeps none.
    pub fn take_received(&self) -> Vec<Received> {
        self.shared.messages.take()
    }

    /// Waits until `count` messages have arrived, and gives all.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        self.shared.messages.wait_for(count).await
    }
}

impl Drop for SandboxProvider {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
