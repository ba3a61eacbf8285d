//! Certificates and private keys in PEM files.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject};
use std::{fs, io, path::Path};

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

impl KeyPairError {
    /// What rustls has against a certificate with its key.
    pub(super) fn of_pair(error: rustls::Error, certificate: &Path, private_key: &Path) -> Self {
        let wrong = |key, problem| Self { key, problem, help: None };
        match error {
            rustls::Error::InconsistentKeys(_) => Self {
                key: true,
                problem: format!(
                    "the key in {} does not belong to the certificate in {}",
                    private_key.display(),
                    certificate.display()
                ),
                help: Some("the first certificate of the chain has to be that of the key"),
            },
            rustls::Error::InvalidCertificate(why) => {
                let certificate = certificate.display();
                wrong(false, format!("the first certificate in {certificate} is not valid: {why}"))
            }
            // What rustls says of a key names its kind and no octet of it.
            other => wrong(true, format!("the key in {} cannot be used: {other}", private_key.display())),
        }
    }
}

/// Reads a chain of PEM certificates, the owner's first.
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, KeyPairError> {
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

/// Reads a PEM key: PKCS #8, PKCS #1 or SEC 1.
pub(super) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, KeyPairError> {
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
