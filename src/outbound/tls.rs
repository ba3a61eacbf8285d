//! TLS towards the smarthost: whom to trust, and what a failed handshake means (RFC 8314, RFC 9325).

use super::failure::Cause;
use crate::account::Server;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use rustls_platform_verifier::Verifier;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

/// Why an account's connections cannot be set up at all. The configuration has to change.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// `ca_file` cannot be used.
    #[error("ca_file {path}: {reason}", path = path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system has no trusted roots, and the account brings none.
    #[error("no trusted certificate authorities: {0}; install ca-certificates or set ca_file")]
    Roots(rustls::Error),
    /// The server's name can stand in no certificate.
    #[error("{0:?} is neither a host name nor an IP address")]
    ServerName(String),
}

/// The TLS settings of an account; connections share them, and with them the session cache.
pub(super) fn client_config(server: &Server) -> Result<Arc<ClientConfig>, UpstreamError> {
    let name = bare_host(&server.host);
    ServerName::try_from(name).map_err(|_| UpstreamError::ServerName(server.host.clone()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = if !server.certificate_validation {
        Arc::new(NoValidation(provider.clone()))
    } else if let Some(path) = &server.ca_file {
        let roots = read_roots(path)?;
        Arc::new(
            Verifier::new_with_extra_roots(roots, provider.clone())
                .map_err(|error| UpstreamError::CaFile { path: path.clone(), reason: error.to_string() })?,
        )
    } else {
        platform_verifier(&provider)?
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(UpstreamError::Roots)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The host without the brackets of an IPv6 literal.
pub(super) fn bare_host(host: &str) -> &str {
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
}

/// The system's roots take memory and time to load, so accounts share them.
fn platform_verifier(provider: &Arc<CryptoProvider>) -> Result<Arc<Verifier>, UpstreamError> {
    static SHARED: OnceLock<Arc<Verifier>> = OnceLock::new();
    if let Some(verifier) = SHARED.get() {
        return Ok(verifier.clone());
    }
    let verifier = Arc::new(Verifier::new(provider.clone()).map_err(UpstreamError::Roots)?);
    Ok(SHARED.get_or_init(|| verifier).clone())
}

fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, UpstreamError> {
    let failed = |reason: String| UpstreamError::CaFile { path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let roots: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| failed(error.to_string()))?;
    if roots.is_empty() {
        return Err(failed("there is no PEM certificate in it".to_owned()));
    }
    Ok(roots)
}

/// Says in plain words why the handshake failed.
pub(super) fn explain(error: &rustls::Error, host: &str) -> Cause {
    let ca = "if the server is yours, put the certificate of its authority in a PEM file and set `ca_file`";
    let (explanation, remedy) = match error {
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
                format!("the certificate of {host} has expired"),
                "the server's operator has to renew it; check this host's clock too",
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                (format!("the certificate of {host} is not valid yet"), "check this host's clock")
            }
            // A bad signature: an authority of the same name with another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                (format!("the certificate of {host} is from an authority that this host does not trust"), ca)
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
                format!("the certificate of the server is for another name than {host}"),
                "set `address` to the name in the certificate",
            ),
            CertificateError::Revoked => {
                (format!("the certificate of {host} has been revoked"), "ask the server's operator")
            }
            // webpki calls a self-signed authority that serves as the server's own certificate by this name.
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                (format!("the certificate of {host} is an authority's and not a server's"), ca)
            }
            other => (format!("the certificate of {host} is not valid: {other}"), ca),
        },
        rustls::Error::InvalidMessage(_) => (
            format!("{host} does not speak TLS here"),
            "check that `security` fits the port: 465 is tls, 587 is starttls",
        ),
        rustls::Error::PeerIncompatible(_) | rustls::Error::AlertReceived(_) => (
            format!("{host} and waxseal have no TLS settings in common: {error}"),
            "the server has to speak TLS 1.2 or 1.3",
        ),
        other => (format!("the TLS handshake with {host} failed: {other}"), ""),
    };
    Cause::Tls { explanation, remedy: remedy.to_owned() }
}

/// `certificate_validation = false`: any certificate will do; signatures are still checked.
#[derive(Debug)]
struct NoValidation(Arc<CryptoProvider>);

impl ServerCertVerifier for NoValidation {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
