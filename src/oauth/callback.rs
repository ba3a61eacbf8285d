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
        let field = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.into_owned())
        };
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
    }

    #[test]
    fn debug_shows_neither_code_nor_state() {
        let text = format!("{:?}", Callback::parse("code=canary-c&state=canary-s").unwrap());
        assert!(!text.contains("canary"), "{text}");
    }
}
