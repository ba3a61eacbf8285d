//! Keys that sign assertions.

use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use std::{fs, path::Path};

/// A key pair made for this test alone: PEM of key and certificate, and the public key as an uncompressed point.
pub struct Keys {
    pub key: String,
    pub certificate: String,
    pub public: Vec<u8>,
}

impl Keys {
    pub fn new() -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["client.example".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&pair).unwrap().pem();
        let der = pair.serialize_der();
        let signing =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &SystemRandom::new()).unwrap();
        Self { key: pair.serialize_pem(), certificate, public: signing.public_key().as_ref().to_vec() }
    }

    /// A service account's key file as Google writes it.
    pub fn write_service_account(&self, path: &Path) {
        let file = serde_json::json!({
            "type": "service_account",
            "client_email": "robot@project.example",
            "private_key_id": "k1",
            "private_key": self.key,
        });
        fs::write(path, file.to_string()).unwrap();
    }

    /// Certificate and key in one file.
    pub fn write_pair(&self, path: &Path) {
        fs::write(path, format!("{}{}", self.certificate, self.key)).unwrap();
    }
}
