//! What a token endpoint's answer means (RFC 6749 §5): one pure table.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{fmt, time::Duration};

/// Characters of a server's text that are kept.
const LONGEST_TEXT: usize = 400;

/// Why a token request yielded nothing: sorted by who has to act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenTrouble {
    /// The grant is dead; a person has to sign in again.
    #[error("{reason}")]
    Rejected {
        /// The server's words.
        reason: String,
    },
    /// The client's registration or the configuration is wrong. The grant is kept and asked again, slowly.
    #[error("{reason}")]
    Operator {
        /// The server's words.
        reason: String,
    },
    /// Nothing is known of the grant; ask again later.
    #[error("{reason}")]
    Unavailable {
        /// What happened.
        reason: String,
        /// The server's Retry-After.
        retry_after: Option<Duration>,
    },
}

impl TokenTrouble {
    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), retry_after: None }
    }
}

/// What a good answer may have beyond RFC 6749 §5.1.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Extra {
    /// Who signed in (OpenID Connect Core §2).
    pub(super) id_token: Option<String>,
    /// The refresh token's own life in seconds, as Google gives it to applications in testing.
    pub(super) refresh_token_expires_in: Option<u64>,
}

impl fmt::Debug for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extra").finish_non_exhaustive()
    }
}

/// Judges an answer of the token endpoint, or of another one whose good answers have the field `wanted`. A good one comes
/// back as JSON that any parser of RFC 6749 §5.1 takes. `secrets` are kept out of the reason, should the server repeat
/// them.
pub(super) fn judge(
    status: u16,
    retry_after: Option<&str>,
    body: &[u8],
    wanted: &str,
    secrets: &[&str],
) -> Result<Vec<u8>, TokenTrouble> {
    let retry_after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    let json = serde_json::from_slice::<Value>(body).ok().filter(Value::is_object);
    let field = |name| json.as_ref().and_then(|json| json.get(name)).and_then(Value::as_str);
    let error = field("error");
    if let (200, None, Some(json)) = (status, error, &json)
        && field(wanted).is_some_and(|token| !token.is_empty())
    {
        return Ok(normal(json));
    }
    let said = match (error, field("error_description")) {
        (Some(error), Some(description)) => format!("{error}: {description}"),
        (Some(error), None) => error.to_owned(),
        (None, _) if status == 200 => format!("the answer has no {}", wanted.replace('_', " ")),
        (None, _) if (300..400).contains(&status) => {
            format!("HTTP {status}: the token endpoint redirects; its URL is wrong or a portal is in the way")
        }
        (None, _) => format!("HTTP {status} without an OAuth error"),
    };
    let reason = clean(&said, secrets);
    Err(match (status, error) {
        (408 | 425 | 429 | 500.., _) => TokenTrouble::Unavailable { reason, retry_after },
        (_, None | Some("server_error" | "temporarily_unavailable" | "slow_down")) => {
            TokenTrouble::Unavailable { reason, retry_after }
        }
        (_, Some("invalid_grant" | "interaction_required" | "login_required" | "consent_required")) => {
            TokenTrouble::Rejected { reason }
        }
        (_, Some(_)) => TokenTrouble::Operator { reason },
    })
}

/// A judged answer in any type that has its fields.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

/// The OAuth error in an answer, if it has one.
pub(super) fn error_of(body: &[u8]) -> Option<String> {
    let json = serde_json::from_slice::<Value>(body).ok()?;
    json.get("error")?.as_str().map(str::to_owned)
}

/// Whole seconds, also where they are written as a string; a fraction is cut.
pub(super) fn seconds(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().map(|seconds| seconds as u64)),
        _ => None,
    }
}

/// Some servers write `expires_in` as a string or leave out `token_type`; both are taken. Keycloak says
/// `refresh_expires_in`, with 0 for a token that does not end.
fn normal(json: &Value) -> Vec<u8> {
    let mut json = json.clone();
    if let Value::Object(fields) = &mut json {
        if let Some(life) = fields.get("refresh_expires_in").and_then(seconds).filter(|life| *life > 0) {
            fields.entry("refresh_token_expires_in").or_insert(life.into());
        }
        for name in ["expires_in", "refresh_token_expires_in"] {
            match fields.get(name).and_then(seconds) {
                Some(seconds) => fields.insert(name.into(), Value::from(seconds)),
                None => fields.remove(name),
            };
        }
        let typed = fields.get("token_type").is_some_and(Value::is_string);
        if !typed {
            fields.insert("token_type".into(), Value::from("Bearer"));
        }
        for optional in ["refresh_token", "scope", "id_token"] {
            if fields.get(optional).is_some_and(|value| value.as_str().is_none_or(str::is_empty)) {
                fields.remove(optional);
            }
        }
    }
    json.to_string().into_bytes()
}

/// A server's text, fit for a log line: secrets and control characters out, length bounded.
pub(super) fn clean(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() > 3) {
        text = text.replace(secret, "[redacted]");
    }
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(LONGEST_TEXT).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, body: &str) -> &'static str {
        match judge(status, None, body.as_bytes(), "access_token", &[]) {
            Ok(_) => "granted",
            Err(TokenTrouble::Rejected { .. }) => "rejected",
            Err(TokenTrouble::Operator { .. }) => "operator",
            Err(TokenTrouble::Unavailable { .. }) => "unavailable",
        }
    }

    #[test]
    fn the_table() {
        let good = r#"{"access_token":"a"}"#;
        for (status, body, expected) in [
            (200, good, "granted"),
            (200, r#"{"access_token":""}"#, "unavailable"),
            (200, "<html>portal</html>", "unavailable"),
            (200, "", "unavailable"),
            (200, "[1]", "unavailable"),
            (200, r#"{"error":"bad_verification_code"}"#, "operator"),
            (400, r#"{"error":"invalid_grant"}"#, "rejected"),
            (400, r#"{"error":"interaction_required"}"#, "rejected"),
            (401, r#"{"error":"invalid_client"}"#, "operator"),
            (400, r#"{"error":"unauthorized_client"}"#, "operator"),
            (400, r#"{"error":"invalid_scope"}"#, "operator"),
            (400, r#"{"error":"temporarily_unavailable"}"#, "unavailable"),
            (400, "nonsense", "unavailable"),
            (404, "<html>", "unavailable"),
            (302, good, "unavailable"),
            (408, "", "unavailable"),
            (429, r#"{"error":"invalid_grant"}"#, "unavailable"),
            (500, r#"{"error":"invalid_grant"}"#, "unavailable"),
            (503, "", "unavailable"),
        ] {
            assert_eq!(kind(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn the_reason_keeps_the_providers_code_and_no_secret() {
        let body =
            r#"{"error":"invalid_grant","error_description":"AADSTS70008: expired\r\nTrace canary-1 ."}"#;
        let trouble = judge(400, None, body.as_bytes(), "access_token", &["canary-1"]).unwrap_err();
        assert_eq!(trouble.to_string(), "invalid_grant: AADSTS70008: expired  Trace [redacted] .");
        assert!(clean(&"x".repeat(9999), &[]).len() == LONGEST_TEXT);
    }

    #[test]
    fn retry_after_is_seconds() {
        let trouble = judge(503, Some(" 120 "), b"", "access_token", &[]).unwrap_err();
        let TokenTrouble::Unavailable { retry_after, .. } = trouble else { panic!("{trouble:?}") };
        assert_eq!(retry_after, Some(Duration::from_secs(120)));
    }

    #[test]
    fn sloppy_answers_are_put_in_order() {
        let body =
            br#"{"access_token":"a","expires_in":"3599","refresh_token":null,"refresh_expires_in":7.5}"#;
        let fields: Value =
            serde_json::from_slice(&judge(200, None, body, "access_token", &[]).unwrap()).unwrap();
        assert_eq!(fields["expires_in"], 3599);
        assert_eq!(fields["refresh_token_expires_in"], 7);
        assert_eq!(fields["token_type"], "Bearer");
        assert!(fields.get("refresh_token").is_none());
    }
}
