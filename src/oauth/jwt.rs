//! Signed assertions (RFC 7515, RFC 7523): how a client shows that it holds a key, and how a service account asks for a
//! token. Time and names are arguments; only a padding's salt is left to chance.

use crate::account::{ClientCertificate, ServiceAccount, SigningKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::SecureRandom;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long an assertion is good: long enough for a slow network, too short to be worth stealing.
const LIFE: Duration = Duration::from_secs(300);
/// Servers refuse assertions of the future, and no two clocks agree.
const SLACK: Duration = Duration::from_secs(30);

/// When and by what name an assertion is made.
pub(super) struct Making<'a> {
    pub(super) now: SystemTime,
    /// Unique to it: `jti` (RFC 7519 §4.1.7).
    pub(super) name: &'a str,
    pub(super) random: &'a dyn SecureRandom,
}

/// A client's assertion about itself (RFC 7523 §2.2). `None` where it cannot be signed.
pub(super) fn of_client(
    certificate: &ClientCertificate,
    client_id: &str,
    audience: &str,
    making: &Making<'_>,
) -> Option<SecretString> {
    let header = json!({
        "x5t": URL_SAFE_NO_PAD.encode(certificate.sha1),
        "x5t#S256": URL_SAFE_NO_PAD.encode(certificate.sha256),
    });
    let claims = json!({ "iss": client_id, "sub": client_id, "aud": audience });
    signed(header, claims, &certificate.key, certificate.prefers_pss, making)
}

/// A service account's request to speak for `mailbox` (RFC 7523 §2.1, with Google's `scope`). `None` where it cannot be
/// signed.
pub(super) fn of_service_account(
    account: &ServiceAccount,
    mailbox: &str,
    scope: &str,
    audience: &str,
    making: &Making<'_>,
) -> Option<SecretString> {
    let header = account.key_id.as_ref().map_or(json!({}), |id| json!({ "kid": id }));
    let claims = json!({ "iss": account.issuer, "sub": mailbox, "scope": scope, "aud": audience });
    signed(header, claims, &account.key, false, making)
}

fn signed(
    mut header: Value,
    mut claims: Value,
    key: &SigningKey,
    prefers_pss: bool,
    making: &Making<'_>,
) -> Option<SecretString> {
    let begins = making.now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(SLACK);
    header["alg"] = key.algorithm(prefers_pss).as_str().into();
    header["typ"] = "JWT".into();
    claims["iat"] = begins.as_secs().into();
    claims["nbf"] = begins.as_secs().into();
    claims["exp"] = (begins + LIFE).as_secs().into();
    claims["jti"] = making.name.into();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(&claims));
    let signature = key.sign(prefers_pss, message.as_bytes(), making.random)?;
    Some(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)).into())
}
