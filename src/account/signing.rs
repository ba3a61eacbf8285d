//! A private key that signs assertions (RFC 7515). What it is made of never comes out again.

use ring::{
    rand::SecureRandom,
    signature::{self, EcdsaKeyPair, RsaKeyPair},
};
use rustls::pki_types::PrivateKeyDer;
use std::{fmt, sync::Arc};

/// A private key. Clones share it.
#[derive(Clone)]
pub struct SigningKey(Kind);

#[derive(Clone)]
enum Kind {
    Rsa(Arc<RsaKeyPair>),
    P256(Arc<EcdsaKeyPair>),
}

/// How an assertion is signed (RFC 7518 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl SigningAlgorithm {
    /// Its name in a header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
        }
    }
}

/// Why a key is none that signs. No octet of it is in here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// Of another kind, or broken.
    #[error("it is neither an RSA key of 2048 bits or more nor an EC key on P-256")]
    Unusable,
    /// RFC 5915's form, which says too little.
    #[error("it is an EC key in SEC 1 form: `openssl pkcs8 -topk8 -nocrypt -in KEY -out NEW` converts it")]
    Sec1,
}

impl SigningKey {
    /// Takes a key in its DER form.
    ///
    /// # Errors
    /// Where it is of no kind that signs here.
    pub fn from_der(der: &PrivateKeyDer<'_>, random: &dyn SecureRandom) -> Result<Self, SigningKeyError> {
        let rsa = match der {
            PrivateKeyDer::Pkcs8(_) => RsaKeyPair::from_pkcs8(der.secret_der()),
            PrivateKeyDer::Pkcs1(_) => RsaKeyPair::from_der(der.secret_der()),
            PrivateKeyDer::Sec1(_) => return Err(SigningKeyError::Sec1),
            _ => return Err(SigningKeyError::Unusable),
        };
        if let Ok(key) = rsa {
            return Ok(Self(Kind::Rsa(Arc::new(key))));
        }
        let kind = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::from_pkcs8(kind, der.secret_der(), random);
        key.map(|key| Self(Kind::P256(Arc::new(key)))).map_err(|_| SigningKeyError::Unusable)
    }

    /// The algorithm that goes with it; RSA keys have two.
    pub fn algorithm(&self, prefers_pss: bool) -> SigningAlgorithm {
        match (&self.0, prefers_pss) {
            (Kind::P256(_), _) => SigningAlgorithm::Es256,
            (Kind::Rsa(_), true) => SigningAlgorithm::Ps256,
            (Kind::Rsa(_), false) => SigningAlgorithm::Rs256,
        }
    }

    /// Signs. `None` where `random` has nothing to give.
    pub fn sign(&self, prefers_pss: bool, message: &[u8], random: &dyn SecureRandom) -> Option<Vec<u8>> {
        match &self.0 {
            Kind::P256(key) => key.sign(random, message).ok().map(|signature| signature.as_ref().to_vec()),
            Kind::Rsa(key) => {
                let padding: &dyn signature::RsaEncoding =
                    if prefers_pss { &signature::RSA_PSS_SHA256 } else { &signature::RSA_PKCS1_SHA256 };
                let mut octets = vec![0; key.public().modulus_len()];
                key.sign(padding, random, message, &mut octets).ok()?;
                Some(octets)
            }
        }
    }
}

/// Says of which kind it is, and nothing else.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Rsa(key) => write!(f, "SigningKey(RSA, {} bits)", key.public().modulus_len() * 8),
            Kind::P256(_) => f.write_str("SigningKey(EC, P-256)"),
        }
    }
}
