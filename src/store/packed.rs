//! An account's tokens, and consents under way, as a store has them: in the record's form, sealed. Pure but for the seal's
//! nonce.

use super::{
    StoreError,
    consents::{BegunConsent, Digest},
    record,
    seal::{self, Key, Unsealable},
};
use crate::account::{AccountId, token::TokenSet};

/// Packs an account's tokens.
pub(super) fn pack(key: &Key, account: &AccountId, tokens: &TokenSet) -> Result<Vec<u8>, StoreError> {
    let plain = record::encode(tokens).map_err(|error| StoreError::Engine(error.to_string()))?;
    seal::seal(key, account.as_str(), &plain).map_err(|reason| StoreError::Engine(reason.into()))
}

/// Opens what [`pack`] made; `wrong_key` is what to say of another key.
pub(super) fn unpack(
    key: &Key,
    account: &AccountId,
    sealed: &[u8],
    wrong_key: impl FnOnce() -> StoreError,
) -> Result<TokenSet, StoreError> {
    let damaged = |reason| StoreError::Damaged { account: account.to_string(), reason };
    let plain = seal::unseal(key, account.as_str(), sealed).map_err(|why| match why {
        Unsealable::WrongKey => wrong_key(),
        Unsealable::Damaged => damaged("the record is damaged"),
        Unsealable::NewerVersion => damaged("a newer waxseal wrote it"),
    })?;
    record::decode(&plain).map_err(|_| damaged("the record has no known form"))
}

/// Where a consent is sealed for: no id of an account has a slash in it, so that nothing moves between the two tables.
fn place_of(state: &Digest) -> String {
    let digits = state.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    format!("consent/{digits}")
}

/// Packs a consent that was begun with this state.
pub(super) fn pack_consent(key: &Key, state: &Digest, begun: &BegunConsent) -> Result<Vec<u8>, StoreError> {
    let plain = record::encode_consent(begun).map_err(|error| StoreError::Engine(error.to_string()))?;
    seal::seal(key, &place_of(state), &plain).map_err(|reason| StoreError::Engine(reason.into()))
}

/// Opens what [`pack_consent`] made; `wrong_key` is what to say of another key.
pub(super) fn unpack_consent(
    key: &Key,
    state: &Digest,
    sealed: &[u8],
    wrong_key: impl FnOnce() -> StoreError,
) -> Result<BegunConsent, StoreError> {
    let damaged = |reason| StoreError::Engine(format!("a sign-in cannot be read: {reason}"));
    let plain = seal::unseal(key, &place_of(state), sealed).map_err(|why| match why {
        Unsealable::WrongKey => wrong_key(),
        Unsealable::Damaged => damaged("the record is damaged"),
        Unsealable::NewerVersion => damaged("a newer waxseal wrote it"),
    })?;
    record::decode_consent(&plain).ok_or_else(|| damaged("the record has no known form"))
}
