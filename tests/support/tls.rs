//! A certificate for a listener, and clients that trust it and nothing else.
#![allow(dead_code, reason = "every test binary takes what it needs")]

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types::CertificateDer};
use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::io::{AsyncRead, AsyncWrite};

const NAME: &str = "relay.example.com";

/// A self-signed certificate and its key, in files.
pub struct Certificate {
    pub certificate: PathBuf,
    pub private_key: PathBuf,
    der: CertificateDer<'static>,
    /// Where the files are, if that is nowhere else.
    _directory: Option<tempfile::TempDir>,
}

impl Certificate {
    /// In a directory of its own.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let made = Self::write(directory.path(), "relay");
        Self { _directory: Some(directory), ..made }
    }

    /// Writes `NAME.pem` and `NAME.key`.
    pub fn write(directory: &Path, name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let certificate = directory.join(format!("{name}.pem"));
        let private_key = directory.join(format!("{name}.key"));
        fs::write(&certificate, made.cert.pem()).unwrap();
        fs::write(&private_key, made.signing_key.serialize_pem()).unwrap();
        Self { certificate, private_key, der: made.cert.der().clone(), _directory: None }
    }

    fn trusting(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Arc::new(config.with_root_certificates(roots).with_no_client_auth())
    }

    /// A handshake on a stream of tokio.
    pub async fn connect<S>(&self, stream: S) -> io::Result<tokio_rustls::client::TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = NAME.try_into().unwrap();
        tokio_rustls::TlsConnector::from(self.trusting()).connect(name, stream).await
    }

    /// A handshake that blocks.
    pub fn secure<S: Read + Write>(&self, mut stream: S) -> io::Result<StreamOwned<ClientConnection, S>> {
        let mut session = ClientConnection::new(self.trusting(), NAME.try_into().unwrap()).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        Ok(StreamOwned::new(session, stream))
    }
}
