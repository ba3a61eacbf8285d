//! What comes back from the provider's consent page (RFC 6749 §4.1.2). Pure.

use super::answer::clean;
use secrecy::SecretString;
use std::fmt;
use url::{Url, form_urlencoded};

/// The redirect's parameters.
#[derive(Clone)]
pub struct Callback {
    /// The one-time state that [`super::Tokens::begin`] gave out.
    pub state: String,
    /// The authorization code, or the provider's refusal.
    pub outcome: Result<SecretString, String>,
}

// The state is worth a grant while it lasts.
impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

/// Why a redirect cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// No `state`.
    #[error("there is no `state` in it: paste the whole address that the browser ended at")]
    NoState,
    /// Neither `code` nor `error`.
    #[error("there is no `code` in it: paste the whole address that the browser ended at")]
    NoCode,
    /// A parameter comes twice, which RFC 6749 §3.1 forbids: nobody knows which one is meant.
    #[error("`{0}` is in it more than once, as no provider sends it")]
    Twice(&'static str),
}

impl Callback {
    /// Reads a redirected URL as pasted, or only its query.
    pub fn parse(text: &str) -> Result<Self, CallbackError> {
        let text = text.trim().trim_matches(['"', '\'', '<', '>']);
        match Url::parse(text) {
            Ok(url) => Self::from_query(url.query().unwrap_or_default()),
            Err(_) => Self::from_query(text.rsplit_once('?').map_or(text, |(_, query)| query)),
        }
    }

    /// Reads the query of a redirect, without its question mark.
    pub fn from_query(query: &str) -> Result<Self, CallbackError> {
        let query = query.split('#').next().unwrap_or_default();
        let of = |name: &'static str| {
            form_urlencoded::parse(query.as_bytes())
                .filter(move |(key, value)| key == name && !value.is_empty())
        };
        if let Some(name) = ["state", "code", "error"].into_iter().find(|name| of(name).nth(1).is_some()) {
            return Err(CallbackError::Twice(name));
        }
        let field = |name| of(name).next().map(|(_, value)| value.into_owned());
        let state = field("state").ok_or(CallbackError::NoState)?;
        let outcome = match (field("error"), field("code")) {
            (Some(error), _) => Err(match field("error_description") {
                Some(description) => clean(&format!("{error}: {description}"), &[&state]),
                None => clean(&error, &[&state]),
            }),
            (None, Some(code)) => Ok(SecretString::from(code)),
            (None, None) => return Err(CallbackError::NoCode),
        };
        Ok(Self { state, outcome })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn a_pasted_address_or_its_query_will_do() {
        for text in [
            "http://localhost:8025/oauth/callback?code=4%2F0A&state=s%2B1&scope=x",
            " 'http://localhost:8025/oauth/callback?state=s%2B1&code=4/0A#'\n",
            "/oauth/callback?code=4/0A&state=s%2B1",
            "code=4/0A&state=s%2B1",
        ] {
            let callback = Callback::parse(text).unwrap();
            assert_eq!(callback.state, "s+1");
            assert_eq!(callback.outcome.unwrap().expose_secret(), "4/0A");
        }
    }

    #[test]
    fn a_refusal_says_why_and_nonsense_is_told_apart() {
        let callback = Callback::parse("error=access_denied&error_description=no%0Away&state=s").unwrap();
        assert_eq!(callback.outcome.unwrap_err(), "access_denied: no way");
        assert_eq!(Callback::parse("code=1").unwrap_err(), CallbackError::NoState);
        assert_eq!(Callback::parse("state=1").unwrap_err(), CallbackError::NoCode);
        assert_eq!(Callback::parse("").unwrap_err(), CallbackError::NoState);
        for (twice, name) in [
            ("code=1&state=s&code=2", "code"),
            ("state=s&code=1&state=t", "state"),
            ("error=a&error=b&state=s", "error"),
        ] {
            assert_eq!(Callback::parse(twice).unwrap_err(), CallbackError::Twice(name));
        }
        assert!(Callback::parse("code=&code=1&state=s").is_ok(), "what is empty is as if left out");
    }

    #[test]
    fn debug_shows_neither_code_nor_state() {
        let text = format!("{:?}", Callback::parse("code=canary-c&state=canary-s").unwrap());
        assert!(!text.contains("canary"), "{text}");
    }
}
