//! Sealing at rest: XChaCha20-Poly1305 under the store's key, with what it is for (an account's id, or a consent) as
//! associated data, so that a value moved to another place does not open. Pure but for the random nonce.
//!
//! Layout: `wxs` and a version octet, 8 octets naming the key, 24 of nonce, the ciphertext with its tag, and a
//! CRC-32 of all before it. The checksum tells a damaged disk from a wrong key.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

const MAGIC: &[u8; 4] = b"wxs\x01";
const KEY_NAME: usize = 8;
const NONCE: usize = 24;
const CHECKSUM: usize = 4;
const HEAD: usize = MAGIC.len() + KEY_NAME + NONCE;

/// The store's key.
pub(super) struct Key {
    octets: Zeroizing<[u8; 32]>,
    name: [u8; KEY_NAME],
}

impl Key {
    pub(super) fn new(octets: Zeroizing<[u8; 32]>) -> Self {
        // The name only has to differ between keys and to say nothing about them: a keyed hash of a constant.
        let hmac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, octets.as_slice());
        let tag = ring::hmac::sign(&hmac, b"waxseal store key name");
        let mut name = [0; KEY_NAME];
        name.copy_from_slice(&tag.as_ref()[..KEY_NAME]);
        Self { octets, name }
    }

    /// Names it, and says nothing about it.
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.octets.as_slice().into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key([redacted])")
    }
}

/// Why a sealed value does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unsealable {
    #[error("damaged")]
    Damaged,
    #[error("sealed by a newer waxseal")]
    NewerVersion,
    #[error("sealed with another key")]
    WrongKey,
}

/// Seals `plain` for `place`. Fails only where the system has no randomness to give.
pub(super) fn seal(key: &Key, place: &str, plain: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce).map_err(|_| "the system gives no randomness")?;
    let payload = Payload { msg: plain, aad: place.as_bytes() };
    let secret = key
        .cipher()
        .encrypt(XNonce::from_slice(&nonce), payload)
        .map_err(|_| "the tokens are too long to seal")?;
    let mut sealed = Vec::with_capacity(HEAD + secret.len() + CHECKSUM);
    sealed.extend_from_slice(MAGIC);
    sealed.extend_from_slice(&key.name);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&secret);
    sealed.extend_from_slice(&crc32fast::hash(&sealed).to_le_bytes());
    nonce.zeroize();
    Ok(sealed)
}

/// Opens what [`seal`] made.
pub(super) fn unseal(key: &Key, place: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
    let (body, checksum) = sealed.split_last_chunk::<CHECKSUM>().ok_or(Unsealable::Damaged)?;
    if body.len() < HEAD || crc32fast::hash(body).to_le_bytes() != *checksum || body[..3] != MAGIC[..3] {
        return Err(Unsealable::Damaged);
    }
    if body[3] != MAGIC[3] {
        return Err(Unsealable::NewerVersion);
    }
    let (head, secret) = body.split_at(HEAD);
    if head[MAGIC.len()..][..KEY_NAME] != key.name {
        return Err(Unsealable::WrongKey);
    }
    let nonce = XNonce::from_slice(&head[MAGIC.len() + KEY_NAME..]);
    let payload = Payload { msg: secret, aad: place.as_bytes() };
    key.cipher().decrypt(nonce, payload).map(Zeroizing::new).map_err(|_| Unsealable::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(octet: u8) -> Key {
        Key::new(Zeroizing::new([octet; 32]))
    }

    #[test]
    fn what_is_sealed_opens_for_the_same_account_only() {
        let sealed = seal(&key(1), "a", b"canary-token").unwrap();
        assert_eq!(unseal(&key(1), "a", &sealed).unwrap().as_slice(), b"canary-token");
        assert_eq!(unseal(&key(1), "b", &sealed), Err(Unsealable::Damaged));
        assert!(!sealed.windows(6).any(|w| w == b"canary"));
        assert_ne!(sealed, seal(&key(1), "a", b"canary-token").unwrap());
    }

    #[test]
    fn another_key_is_told_from_damage() {
        let sealed = seal(&key(1), "a", b"x").unwrap();
        assert_eq!(unseal(&key(2), "a", &sealed), Err(Unsealable::WrongKey));
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 0x10;
            assert_eq!(unseal(&key(1), "a", &flipped), Err(Unsealable::Damaged), "octet {at}");
            assert_eq!(unseal(&key(1), "a", &sealed[..at]), Err(Unsealable::Damaged), "cut at {at}");
        }
    }

    #[test]
    fn a_key_does_not_show_itself() {
        assert_eq!(format!("{:?}", key(7)), "Key([redacted])");
    }
}
