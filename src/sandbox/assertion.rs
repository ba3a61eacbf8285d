//! Assertions that the sandbox takes (RFC 7523): signed by ES256 with the one key that it knows, for its token endpoint,
//! and each one once.

use super::provider::Shared;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a good assertion claims.
pub(super) fn claims(shared: &Shared, assertion: &str) -> Option<Value> {
    let key = shared.options.assertion_key.as_ref()?;
    let (message, signature) = assertion.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(message.as_bytes(), &signature).ok()?;
    let claims = URL_SAFE_NO_PAD.decode(message.split_once('.')?.1).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let in_time = claims["iat"].as_u64()? <= now && now < claims["exp"].as_u64()?;
    let for_us = claims["aud"].as_str()?.ends_with("/token");
    (in_time && for_us && shared.grants.is_new(claims["jti"].as_str()?)).then_some(claims)
}
