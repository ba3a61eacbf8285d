//! Who signed in, where the provider says so in an ID token (OpenID Connect Core §2). It came straight from the token
//! endpoint over TLS, which stands for its signature (§3.1.3.7, item 6). Pure.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

/// Claims that may hold the mailbox, the most telling one first.
const CLAIMS: [&str; 4] = ["email", "preferred_username", "upn", "unique_name"];

/// The names of the person who signed in; empty where the token does not tell.
pub(super) fn names(id_token: &str) -> Vec<String> {
    let payload = id_token.split('.').nth(1).map(|part| part.trim_end_matches('='));
    let octets = payload.and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims = octets.and_then(|octets| serde_json::from_slice::<Value>(&octets).ok());
    let claim = |name: &&str| claims.as_ref()?.get(*name)?.as_str().filter(|name| name.contains('@'));
    let mut names: Vec<String> =
        CLAIMS.iter().filter_map(claim).map(|name| super::answer::clean(name, &[])).collect();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        for (claims, expected) in [
            (r#"{"email":"a@example.com","upn":"b@example.com"}"#, &["a@example.com", "b@example.com"][..]),
            (r#"{"email":"a@example.com","preferred_username":"a@example.com"}"#, &["a@example.com"]),
            (r#"{"preferred_username":"DOMAIN\\a","email":7}"#, &[]),
            ("[]", &[]),
            ("nonsense", &[]),
        ] {
            let token = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
            assert_eq!(names(&token), expected, "{claims}");
        }
        assert!(names("").is_empty() && names("a.%.c").is_empty());
    }
}
