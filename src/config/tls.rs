//! `tls`, `certificate` and `private_key` of a listener. The files are read here, at each load, so that a wrong one is
//! found at `waxseal check`, and a reload takes over a renewed one or keeps the old.

use super::{
    reader::{Reader, text_of},
    tree::Entry,
};
use crate::smtp::Encryption;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use std::{
    collections::BTreeMap,
    fmt, fs, io,
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
    settings: Arc<ServerConfig>,
}

/// Shows where the certificate is, and nothing of the key.
impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerTls({})", self.certificate.display())
    }
}

/// Which file is wrong, and why. No octet of a key is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct KeyPairError {
    /// Whether it is the key; else the certificate.
    pub key: bool,
    /// What is wrong, with the file's path.
    pub problem: String,
    /// The way out.
    pub help: Option<&'static str>,
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
        let wrong = |key, problem| KeyPairError { key, problem, help: None };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let settings = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(false, error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => KeyPairError {
                    key: true,
                    problem: format!(
                        "the key in {} does not belong to the certificate in {}",
                        private_key.display(),
                        certificate.display()
                    ),
                    help: Some("the first certificate of the chain has to be the server's own"),
                },
                rustls::Error::InvalidCertificate(why) => wrong(
                    false,
                    format!("the first certificate in {} is not valid: {why}", certificate.display()),
                ),
                // What rustls says of a key names its kind and no octet of it.
                other => wrong(true, format!("the key in {} cannot be used: {other}", private_key.display())),
            })?;
        Ok(Self { certificate: certificate.to_owned(), settings: Arc::new(settings) })
    }

    /// The file that the certificate came from.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// What a handshake is done with.
    pub fn settings(&self) -> Arc<ServerConfig> {
        self.settings.clone()
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, KeyPairError> {
    let pem = read(path, false)?;
    let wrong = |what: &str, help| KeyPairError {
        key: false,
        problem: format!("{} {what}", path.display()),
        help: Some(help),
    };
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) if contains(&pem, "PRIVATE KEY-----") => {
            Err(wrong("holds a private key and no certificate", "that is for `private_key`"))
        }
        Ok(_) => Err(wrong("holds no certificate", PEM)),
        Err(_) => Err(wrong("is not valid PEM", PEM)),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, KeyPairError> {
    let pem = read(path, true)?;
    let wrong = |what: &str, help| KeyPairError {
        key: true,
        problem: format!("{} {what}", path.display()),
        help: Some(help),
    };
    let sealed = ["BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"];
    if sealed.iter().any(|mark| contains(&pem, mark)) {
        let help = "nobody is there to type it when the daemon starts: `openssl pkey -in OLD -out NEW` writes the key \
                    without, for the daemon's user alone to read";
        return Err(wrong("is locked with a passphrase", help));
    }
    match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if contains(&pem, "BEGIN CERTIFICATE-----") => {
            Err(wrong("holds a certificate and no private key", "that is for `certificate`"))
        }
        Err(pem::Error::NoItemsFound) => {
            Err(wrong("holds no private key", "a PEM file: `-----BEGIN PRIVATE KEY-----` and so on"))
        }
        Err(_) => Err(wrong("is not valid PEM", "a PEM file: `-----BEGIN PRIVATE KEY-----` and so on")),
    }
}

const PEM: &str = "a PEM file: `-----BEGIN CERTIFICATE-----` and so on, the server's own certificate first";

fn contains(pem: &[u8], mark: &str) -> bool {
    memchr::memmem::find(pem, mark.as_bytes()).is_some()
}

fn read(path: &Path, key: bool) -> Result<zeroize::Zeroizing<Vec<u8>>, KeyPairError> {
    fs::read(path).map(Into::into).map_err(|error| {
        let (why, help) = match error.kind() {
            io::ErrorKind::NotFound => ("it does not exist".to_owned(), None),
            io::ErrorKind::PermissionDenied => (
                "permission denied".to_owned(),
                Some("the daemon's user has to be able to read it, and the directories above it"),
            ),
            _ => (error.to_string(), None),
        };
        KeyPairError { key, problem: format!("{} cannot be read: {why}", path.display()), help }
    })
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
