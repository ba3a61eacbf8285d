//! `tls`, `certificate` and `private_key` of a listener. The files are read here, at each load, so that a wrong one is
//! found at `waxseal check`, and a reload takes over a renewed one or keeps the old.

use super::{
    pem::{KeyPairError, read_chain, read_key},
    reader::{Reader, text_of},
    tree::Entry,
};
use crate::smtp::Encryption;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

type Tree = BTreeMap<String, Entry>;

/// How a listener is secured, with what that takes.
#[derive(Debug, Clone, Default)]
pub enum ListenerTls {
    /// Not at all.
    #[default]
    None,
    /// STARTTLS is offered.
    Offered(ServerTls),
    /// Nothing but STARTTLS gets anywhere.
    Required(ServerTls),
    /// TLS from the first octet.
    Implicit(ServerTls),
}

impl ListenerTls {
    /// The mode alone.
    pub fn encryption(&self) -> Encryption {
        match self {
            Self::None => Encryption::None,
            Self::Offered(_) => Encryption::Offered,
            Self::Required(_) => Encryption::Required,
            Self::Implicit(_) => Encryption::Implicit,
        }
    }

    /// The mode as the configuration writes it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Offered(_) => "starttls",
            Self::Required(_) => "required",
            Self::Implicit(_) => "implicit",
        }
    }

    /// The certificate and its key, where there is TLS at all.
    pub fn server(&self) -> Option<&ServerTls> {
        match self {
            Self::None => None,
            Self::Offered(server) | Self::Required(server) | Self::Implicit(server) => Some(server),
        }
    }
}

/// A certificate with its private key, ready for handshakes: TLS 1.2 and 1.3. Clones share it, and with it the
/// sessions that clients may resume.
#[derive(Clone)]
pub struct ServerTls {
    certificate: PathBuf,
    private_key: PathBuf,
    settings: Arc<ServerConfig>,
}

/// Shows where the certificate is, and nothing of the key.
impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerTls({})", self.certificate.display())
    }
}

impl ServerTls {
    /// Reads a chain of PEM certificates, the server's own first, and a PEM key: PKCS #8, PKCS #1 or SEC 1. Both may
    /// be in one file.
    ///
    /// # Errors
    /// What is wrong, at most one thing of each file.
    pub fn read(certificate: &Path, private_key: &Path) -> Result<Self, Vec<KeyPairError>> {
        let (chain, key) = match (read_chain(certificate), read_key(private_key)) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => return Err(chain.err().into_iter().chain(key.err()).collect()),
        };
        Self::new(certificate, private_key, chain, key).map_err(|error| vec![error])
    }

    fn new(
        certificate: &Path,
        private_key: &Path,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, KeyPairError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let settings = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| KeyPairError::of_pair(error, certificate, private_key))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| KeyPairError::of_pair(error, certificate, private_key))?;
        let (certificate, private_key) = (certificate.to_owned(), private_key.to_owned());
        Ok(Self { certificate, private_key, settings: Arc::new(settings) })
    }

    /// The file that the certificate came from.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// The file that its key came from.
    pub fn private_key(&self) -> &Path {
        &self.private_key
    }

    /// What a handshake is done with.
    pub fn settings(&self) -> Arc<ServerConfig> {
        self.settings.clone()
    }
}

/// `tls` with its files; what is wrong with them goes to the reader.
pub(super) fn listener_tls(item: &Entry, table: &Tree, reader: &mut Reader) -> ListenerTls {
    let mode =
        table.get("tls").and_then(|entry| reader.word(entry, &["none", "starttls", "required", "implicit"]));
    let files = ["certificate", "private_key"].map(|key| table.get(key));
    if matches!(mode, None | Some(0)) {
        if let (None, Some(entry)) = (table.get("tls"), files[0].or(files[1])) {
            let help = "say `tls = \"starttls\"`, \"required\" or \"implicit\"";
            let problem = "this listener has no `tls` that would use it".to_owned();
            reader.error_at_key(entry, problem, Some(help.into()));
        }
        return ListenerTls::None;
    }
    let mut paths = ["certificate", "private_key"].into_iter().zip(files).map(|(key, entry)| {
        let Some(entry) = entry else {
            let what =
                if key == "certificate" { "a PEM chain" } else { "its PEM key, maybe in the same file" };
            let problem = format!("this listener has TLS and no `{key}` ({what})");
            reader.error(table.get("tls").unwrap_or(item), problem, None);
            return None;
        };
        Some((entry, reader.resolve(entry, text_of(entry)?)))
    });
    let (Some(certificate), Some(key)) = (paths.next().flatten(), paths.next().flatten()) else {
        return ListenerTls::None;
    };
    let server = match ServerTls::read(&certificate.1, &key.1) {
        Ok(server) => server,
        Err(errors) => {
            for error in errors {
                let entry = if error.key { key.0 } else { certificate.0 };
                reader.error(entry, error.problem, error.help.map(str::to_owned));
            }
            return ListenerTls::None;
        }
    };
    if super::secrets::readable_by_all(&key.1) {
        let warning = format!("every user of this host may read {}: chmod o-r it", key.1.display());
        reader.warn(key.0, &warning);
    }
    match mode {
        Some(1) => ListenerTls::Offered(server),
        Some(2) => ListenerTls::Required(server),
        _ => ListenerTls::Implicit(server),
    }
}
