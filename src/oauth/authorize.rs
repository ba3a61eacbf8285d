//! Generate Tokens: a person signs in at the provider, and the grant comes back to us.

use super::{
    Callback, Tokens,
    answer::TokenTrouble,
    client::{self, Consent},
    tokens::Shared,
};
use crate::{
    account::{AccountId, AccountType},
    store::StoreError,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use std::{collections::HashMap, fmt, sync::PoisonError, time::Duration};
use tokio::time::Instant;
use tracing::warn;
use url::Url;

/// How long a person may take.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// Consents under way at once; the oldest makes room.
const MOST: usize = 64;

/// A consent that was begun. The URL goes to the person's browser.
#[derive(Clone)]
pub struct Authorization {
    /// The provider's page.
    pub url: Url,
    /// The one-time state within it, by which [`Tokens::finish`] knows it again.
    pub state: String,
    /// How long it can be finished.
    pub lasts: Duration,
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization").field("lasts", &self.lasts).finish_non_exhaustive()
    }
}

/// Why an account is not authorized. A grant that it had before is as it was.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizeError {
    /// No such OAuth account.
    #[error("there is no OAuth account {0}")]
    UnknownAccount(String),
    /// The account's client has tokens in its own name.
    #[error(
        "nobody signs in for the account {0}: its grant is client_credentials; `waxseal account refresh {0}` asks for a token now"
    )]
    NobodySignsIn(String),
    /// The system has no randomness to give.
    #[error("the system gives no randomness")]
    NoRandomness,
    /// The state is forged, used up or too old.
    #[error("this sign-in is unknown, already finished or older than 15 minutes: begin again")]
    UnknownState,
    /// The provider refused, or the person did.
    #[error("the provider refused: {0}")]
    Refused(String),
    /// The code could not be exchanged for tokens.
    #[error("the authorization code was not exchanged for tokens: {0}")]
    Exchange(TokenTrouble),
    /// The provider gave an access token only.
    #[error("the provider gave no refresh token, without which access ends within the hour: {0}")]
    NoRefreshToken(&'static str),
    /// The tokens cannot be kept.
    #[error("the tokens cannot be kept: {0}")]
    Store(#[from] StoreError),
}

/// Consents under way, by state.
#[derive(Default)]
pub(super) struct Pending(HashMap<String, Begun>);

struct Begun {
    account: AccountId,
    verifier: SecretString,
    redirect: Url,
    ends: Instant,
}

impl Pending {
    fn add(&mut self, state: String, begun: Begun, now: Instant) {
        self.0.retain(|_, begun| begun.ends > now);
        if self.0.len() >= MOST
            && let Some(oldest) = self.0.iter().min_by_key(|(_, begun)| begun.ends).map(|(s, _)| s.clone())
        {
            self.0.remove(&oldest);
        }
        self.0.insert(state, begun);
    }

    fn take(&mut self, state: &str, now: Instant) -> Option<Begun> {
        self.0.remove(state).filter(|begun| begun.ends > now)
    }
}

impl Tokens {
    /// Begins a consent for `account`; the provider will send the browser to `redirect`.
    pub fn begin(&self, account: &AccountId, redirect: &Url) -> Result<Authorization, AuthorizeError> {
        let unknown = || AuthorizeError::UnknownAccount(account.to_string());
        let entry = self.0.entry(account).ok_or_else(unknown)?;
        let settings = entry.standing().account.clone();
        let login = settings.oauth().ok_or_else(unknown)?;
        let sign_in = login.sign_in().ok_or_else(|| AuthorizeError::NobodySignsIn(account.to_string()))?;
        let state = nonce()?;
        let Consent { url, verifier } = client::consent(login, sign_in, redirect, &state);
        let now = Instant::now();
        let begun =
            Begun { account: account.clone(), verifier, redirect: redirect.clone(), ends: now + PATIENCE };
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner).add(state.clone(), begun, now);
        Ok(Authorization { url, state, lasts: PATIENCE })
    }

    /// Whoever began this consent no longer waits for it: a callback with its state changes nothing from now on.
    pub fn abandon(&self, state: &str) {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner).take(state, Instant::now());
    }

    /// Finishes a consent: exchanges the code, keeps the tokens durably, and lets mail go. The state is used up
    /// whatever the outcome. No browser is bound to it:
    /// who knows the state may finish, and only whoever began it does (`docs/decisions/0005`).
    pub async fn finish(&self, callback: Callback) -> Result<AccountId, AuthorizeError> {
        let begun = {
            let mut pending = self.0.pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.take(&callback.state, Instant::now()).ok_or(AuthorizeError::UnknownState)?
        };
        let code = callback.outcome.map_err(AuthorizeError::Refused)?;
        let account = begun.account.clone();
        let shared = self.0.clone();
        // A browser that hangs up must not lose the grant half-way.
        let done = tokio::spawn(async move { shared.complete(begun, code).await }).await;
        done.unwrap_or(Err(AuthorizeError::UnknownState)).inspect_err(|error| {
            warn!(account = %account, %error, "account not authorized");
        })?;
        Ok(account)
    }
}

impl Shared {
    async fn complete(&self, begun: Begun, code: SecretString) -> Result<(), AuthorizeError> {
        let unknown = || AuthorizeError::UnknownAccount(begun.account.to_string());
        let entry = self.entry(&begun.account).ok_or_else(unknown)?;
        let _flight = entry.flight.clone().lock_owned().await;
        let account = entry.standing().account.clone();
        let login = account.oauth().ok_or_else(unknown)?;
        let exchanged = self.client.exchange(login, &code, &begun.verifier, &begun.redirect).await;
        let mut granted = exchanged.map_err(AuthorizeError::Exchange)?;
        let Some(refresh_token) = granted.refresh_token.take() else {
            return Err(AuthorizeError::NoRefreshToken(cure(account.kind)));
        };
        Ok(self.install(&entry, &account, granted, refresh_token).await?)
    }
}

fn cure(kind: AccountType) -> &'static str {
    match kind {
        AccountType::Google => {
            "Google gives one with access_type=offline and prompt=consent, and only to clients of type Web or \
             Desktop; remove the application's access at https://myaccount.google.com/connections and begin again"
        }
        AccountType::Microsoft => "the scope must have offline_access in it",
        AccountType::OAuth2 | AccountType::Basic => {
            "most providers want offline_access in the scope, or refresh tokens allowed for the client"
        }
    }
}

/// 256 random bits.
fn nonce() -> Result<String, AuthorizeError> {
    let mut octets = [0; 32];
    getrandom::fill(&mut octets).map_err(|_| AuthorizeError::NoRandomness)?;
    Ok(URL_SAFE_NO_PAD.encode(octets))
}
