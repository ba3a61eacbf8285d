//! Tokens on their way to another host, sealed as in the store, under a key that PBKDF2-HMAC-SHA256 (RFC 8018 §5.2) derives
//! from a passphrase. A parcel is JSON; everything but the salt is ciphertext. The salt is an argument.

use super::{
    record,
    seal::{self, Key, Unsealable},
};
use crate::account::{AccountId, token::TokenSet};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::pbkdf2;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// Says what it is, and in which form.
const KIND: &str = "waxseal tokens 1";
/// As OWASP's Password Storage Cheat Sheet has it for this function, 2023.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(600_000).unwrap();

/// The tokens of one account, and whose they are: of use to no other client, at no other server.
#[derive(Debug, Clone)]
pub struct Moving {
    /// The account's id.
    pub account: AccountId,
    /// Its client identifier.
    pub client_id: String,
    /// Its token endpoint.
    pub token_endpoint: String,
    /// Its tokens.
    pub tokens: TokenSet,
}

/// Why a parcel does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParcelError {
    /// It is something else.
    #[error("this is no file of `waxseal account export`, or only a part of one")]
    Foreign,
    /// The seal is of another passphrase.
    #[error("the passphrase is another one")]
    Passphrase,
    /// The seal is broken.
    #[error("the file has been changed")]
    Broken,
    /// A later waxseal sealed it.
    #[error("the file is of a later waxseal")]
    Later,
    /// It cannot be written.
    #[error("the tokens cannot be written")]
    Unwritable,
}

#[derive(Serialize, Deserialize)]
struct Form {
    kind: String,
    salt: String,
    sealed: String,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    account: String,
    client_id: String,
    token_endpoint: String,
    /// As the store has it, in base64.
    tokens: Wiped,
}

/// Text that is wiped.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Wiped(String);

impl Drop for Wiped {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// Seals tokens. `salt` has never been used before.
pub fn seal(moving: &[Moving], passphrase: &SecretString, salt: [u8; 16]) -> Result<String, ParcelError> {
    let entry = |moving: &Moving| {
        let octets = record::encode(&moving.tokens).map_err(|_| ParcelError::Unwritable)?;
        Ok(Entry {
            account: moving.account.to_string(),
            client_id: moving.client_id.clone(),
            token_endpoint: moving.token_endpoint.clone(),
            tokens: Wiped(STANDARD.encode(&*octets)),
        })
    };
    let entries = moving.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let plain = Zeroizing::new(serde_json::to_vec(&entries).map_err(|_| ParcelError::Unwritable)?);
    let sealed = seal::seal(&key(passphrase, &salt), KIND, &plain).map_err(|_| ParcelError::Unwritable)?;
    let form = Form { kind: KIND.to_owned(), salt: STANDARD.encode(salt), sealed: STANDARD.encode(sealed) };
    serde_json::to_string_pretty(&form).map_err(|_| ParcelError::Unwritable)
}

/// Opens what [`seal`] made.
pub fn open(text: &str, passphrase: &SecretString) -> Result<Vec<Moving>, ParcelError> {
    let form: Form = serde_json::from_str(text).map_err(|_| ParcelError::Foreign)?;
    let octets = |text: &str| STANDARD.decode(text).map_err(|_| ParcelError::Foreign);
    if form.kind != KIND {
        return Err(ParcelError::Foreign);
    }
    let (salt, sealed) = (octets(&form.salt)?, octets(&form.sealed)?);
    let plain = seal::unseal(&key(passphrase, &salt), KIND, &sealed).map_err(|error| match error {
        Unsealable::WrongKey => ParcelError::Passphrase,
        Unsealable::Damaged => ParcelError::Broken,
        Unsealable::NewerVersion => ParcelError::Later,
    })?;
    let entries: Vec<Entry> = serde_json::from_slice(&plain).map_err(|_| ParcelError::Foreign)?;
    let moving = |entry: &Entry| {
        let octets = Zeroizing::new(octets(&entry.tokens.0)?);
        Ok(Moving {
            account: AccountId::new(&entry.account),
            client_id: entry.client_id.clone(),
            token_endpoint: entry.token_endpoint.clone(),
            tokens: record::decode(&octets).map_err(|_| ParcelError::Foreign)?,
        })
    };
    entries.iter().map(moving).collect()
}

fn key(passphrase: &SecretString, salt: &[u8]) -> Key {
    let mut key = Zeroizing::new([0; 32]);
    let passphrase = passphrase.expose_secret().as_bytes();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, salt, passphrase, key.as_mut_slice());
    Key::new(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::token::Consent;
    use std::time::SystemTime;

    fn moving() -> Moving {
        let at = SystemTime::UNIX_EPOCH;
        let consent = Consent {
            refresh_token: "canary-refresh".into(),
            previous_refresh_token: None,
            authorized_at: at,
            rotated_at: at,
            ends_at: None,
        };
        Moving {
            account: AccountId::new("support"),
            client_id: "client".into(),
            token_endpoint: "https://login.example.com/token".into(),
            tokens: TokenSet {
                consent: Some(consent),
                access_token: None,
                in_its_own_name: false,
                refreshed_at: at,
            },
        }
    }

    #[test]
    fn a_parcel_opens_with_its_passphrase_alone() {
        let passphrase = SecretString::from("correct horse");
        let text = seal(&[moving()], &passphrase, [1; 16]).unwrap();
        assert!(!text.contains("canary") && !text.contains(&STANDARD.encode("canary-refresh")[..12]));
        let opened = open(&text, &passphrase).unwrap();
        let consent = opened[0].tokens.consent.as_ref().unwrap();
        assert_eq!(consent.refresh_token.expose_secret(), "canary-refresh");
        assert_eq!((opened[0].account.as_str(), opened[0].client_id.as_str()), ("support", "client"));
        assert_eq!(open(&text, &"another".into()).unwrap_err(), ParcelError::Passphrase);
        let changed = text.replace("waxseal tokens 1", "waxseal tokens 2");
        assert_eq!(open(&changed, &passphrase).unwrap_err(), ParcelError::Foreign);
        let mut form: Form = serde_json::from_str(&text).unwrap();
        form.sealed.replace_range(40..41, if form.sealed.as_bytes()[40] == b'A' { "B" } else { "A" });
        let broken = serde_json::to_string(&form).unwrap();
        assert_eq!(open(&broken, &passphrase).unwrap_err(), ParcelError::Broken);
        for part in ["", "{}", &text[..text.len() / 2]] {
            assert_eq!(open(part, &passphrase).unwrap_err(), ParcelError::Foreign);
        }
    }
}
