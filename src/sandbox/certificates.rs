//! A certificate authority of the sandbox's own, and the server's certificate from it.

use super::SandboxOptions;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use std::{io, sync::Arc};

/// The server's TLS settings, and the authority's certificate as PEM.
pub(super) fn make(options: &SandboxOptions) -> io::Result<(Arc<ServerConfig>, String)> {
    let mut authority = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "waxseal sandbox authority");
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let root = authority.self_signed(&key).map_err(io::Error::other)?;
    let issuer = Issuer::new(authority, key);

    let mut server = CertificateParams::new(options.certificate_names.clone()).map_err(io::Error::other)?;
    server.distinguished_name.push(DnType::CommonName, "waxseal sandbox");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    if options.certificate_expired {
        server.not_before = date_time_ymd(2020, 1, 1);
        server.not_after = date_time_ymd(2020, 2, 1);
    }
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let leaf = server.signed_by(&key, &issuer).map_err(io::Error::other)?;

    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .map_err(io::Error::other)?;
    Ok((Arc::new(config), root.pem()))
}
