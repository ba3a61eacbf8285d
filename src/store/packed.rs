//! An account's tokens as a store has them: in the record's form, sealed. Pure but for the seal's nonce.

use super::{
    StoreError, record,
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
