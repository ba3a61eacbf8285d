//! Generate Tokens: a person signs in at the provider, and the grant comes back to us.

use super::{
    Callback, Proof, Prover, Tokens,
    answer::TokenTrouble,
    client::{self, Consent, Granted},
    nonce,
    prove::{Verdict, weigh},
    standing::Entry,
    tokens::Shared,
};
use crate::{
    account::{
        Account, AccountId, AccountType, Grant,
        token::{AccessToken, life},
    },
    store::{BegunConsent, Browser, Finisher, StoreError, Taken},
};
use secrecy::SecretString;
use std::{fmt, sync::Arc, time::Duration};
use tokio::{sync::OwnedMutexGuard, time::timeout};
use tracing::warn;
use url::Url;

/// How long a person may take who is waited for.
pub const WAITED_FOR: Duration = Duration::from_secs(15 * 60);
/// How long a link may be on its way to a person on another machine.
pub const BY_LINK: Duration = Duration::from_secs(24 * 3600);
/// How long a login with new tokens may take.
const PROOF: Duration = Duration::from_secs(45);

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
    /// The account's tokens come without a person.
    #[error(
        "nobody signs in for the account {account}: its grant is {grant}; `waxseal account refresh {account}` asks for a token now"
    )]
    NobodySignsIn {
        /// The account's id.
        account: String,
        /// Its grant.
        grant: &'static str,
    },
    /// The account's grant has no page in a browser.
    #[error("the account {0} is authorized by device: `waxseal account authorize {0} --device`")]
    ByDeviceOnly(String),
    /// The account has no device authorization endpoint.
    #[error(
        "no device flow is known for the account {0}: set `device_authorization_endpoint`, or leave out --device"
    )]
    NoDeviceEndpoint(String),
    /// The device flow broke off.
    #[error("the device flow did not work: {0}")]
    Device(TokenTrouble),
    /// Nobody signed in while the code was good.
    #[error("nobody finished the sign-in in time; begin again")]
    TookTooLong,
    /// The system has no randomness to give.
    #[error("the system gives no randomness")]
    NoRandomness,
    /// The state is forged, used up or too old.
    #[error("this sign-in is unknown, already finished or too old: begin again")]
    UnknownState,
    /// It was begun in a browser, and another one came back.
    #[error("this sign-in was begun in another browser, or its session has ended: begin again")]
    AnotherBrowser,
    /// Consents can neither be kept nor looked up.
    #[error("nobody can sign in now: {0}")]
    NotNow(StoreError),
    /// Another node has taken it, and it came to nothing there.
    #[error("another node took this sign-in and did not authorize the account: its log says why")]
    LostElsewhere,
    /// The provider refused, or the person did.
    #[error("the provider refused: {0}")]
    Refused(String),
    /// The code could not be exchanged for tokens.
    #[error("the authorization code was not exchanged for tokens: {0}")]
    Exchange(TokenTrouble),
    /// The provider gave an access token only.
    #[error("the provider gave no refresh token, without which access ends within the hour: {0}")]
    NoRefreshToken(&'static str),
    /// The new tokens do not do what they are for.
    #[error("{0}")]
    Unproved(String),
    /// The tokens cannot be kept.
    #[error("the tokens cannot be kept: {0}")]
    Store(#[from] StoreError),
}

/// An account that has been authorized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorized {
    /// Which.
    pub account: AccountId,
    /// The mail server has taken a login with the new tokens.
    pub proved: bool,
    /// What whoever signed in should know.
    pub remark: Option<String>,
}

impl AuthorizeError {
    /// Whether the consent can still be finished.
    pub fn leaves_it_open(&self) -> bool {
        matches!(self, Self::NotNow(_) | Self::AnotherBrowser)
    }
}

impl Tokens {
    /// Begins a consent for `account`, good for `lasts`; the provider will send the browser to `redirect`. Where several
    /// nodes share their tokens, any of them can finish it.
    ///
    /// # Errors
    /// Where nobody signs in for this account in a browser, or the consent cannot be kept.
    pub async fn begin(
        &self,
        account: &AccountId,
        redirect: &Url,
        lasts: Duration,
    ) -> Result<Authorization, AuthorizeError> {
        self.begin_for(account, redirect, lasts, None).await
    }

    /// As [`Tokens::begin`], for the browser with this cookie alone (RFC 9700 §4.7).
    ///
    /// # Errors
    /// As [`Tokens::begin`].
    pub async fn begin_in_browser(
        &self,
        account: &AccountId,
        redirect: &Url,
        lasts: Duration,
        cookie: &str,
    ) -> Result<Authorization, AuthorizeError> {
        self.begin_for(account, redirect, lasts, Some(Browser::with(cookie))).await
    }

    async fn begin_for(
        &self,
        account: &AccountId,
        redirect: &Url,
        lasts: Duration,
        browser: Option<Browser>,
    ) -> Result<Authorization, AuthorizeError> {
        let unknown = || AuthorizeError::UnknownAccount(account.to_string());
        let entry = self.0.entry(account).ok_or_else(unknown)?;
        let settings = entry.standing().account.clone();
        let login = settings.oauth().ok_or_else(unknown)?;
        if login.sign_in().is_none() {
            let grant = login.grant.as_str();
            return Err(AuthorizeError::NobodySignsIn { account: account.to_string(), grant });
        }
        let state = nonce().ok_or(AuthorizeError::NoRandomness)?;
        let by_device = || AuthorizeError::ByDeviceOnly(account.to_string());
        let Consent { url, verifier } = client::consent(login, redirect, &state).ok_or_else(by_device)?;
        let begun = BegunConsent { account: account.clone(), verifier, redirect: redirect.clone() };
        let kept = self.0.consents.begin(&state, begun, browser, lasts).await;
        kept.map_err(AuthorizeError::NotNow)?;
        Ok(Authorization { url, state, lasts })
    }

    /// Whoever began this consent no longer waits for it: a callback with its state changes nothing from now on. Where
    /// that cannot be noted, it ends in its time.
    pub async fn abandon(&self, state: &str) {
        let _ = self.0.consents.take(state, Finisher::Operator).await;
    }

    /// Finishes a consent for somebody who may ask for anything: exchanges the code, proves the tokens, keeps them durably,
    /// and lets mail go. The state is used up whatever the outcome, unless [`AuthorizeError::leaves_it_open`].
    ///
    /// # Errors
    /// Why the account is not authorized.
    pub async fn finish(
        &self,
        callback: Callback,
        prover: Arc<dyn Prover>,
    ) -> Result<Authorized, AuthorizeError> {
        self.finish_by(callback, Finisher::Operator, prover).await
    }

    /// As [`Tokens::finish`], for a browser with this cookie, or with none. One that was begun at the command line is bound
    /// to no browser: who knows the state may finish, and only whoever began it does (`docs/decisions/0005`).
    ///
    /// # Errors
    /// As [`Tokens::finish`].
    pub async fn finish_in_browser(
        &self,
        callback: Callback,
        cookie: Option<&str>,
        prover: Arc<dyn Prover>,
    ) -> Result<Authorized, AuthorizeError> {
        self.finish_by(callback, Finisher::Browser(cookie.map(Browser::with)), prover).await
    }

    async fn finish_by(
        &self,
        callback: Callback,
        by: Finisher,
        prover: Arc<dyn Prover>,
    ) -> Result<Authorized, AuthorizeError> {
        let shared = self.0.clone();
        // A browser that hangs up must not lose the grant half-way.
        let done = tokio::spawn(async move {
            let begun = shared.take(&callback.state, by).await?;
            let code = callback.outcome.map_err(AuthorizeError::Refused)?;
            let account = begun.account.clone();
            shared.complete(begun, code, prover).await.inspect_err(|error| {
                warn!(account = %account, %error, "account not authorized");
            })
        });
        done.await.unwrap_or(Err(AuthorizeError::UnknownState))
    }
}

impl Shared {
    async fn take(&self, state: &str, by: Finisher) -> Result<BegunConsent, AuthorizeError> {
        match self.consents.take(state, by).await.map_err(AuthorizeError::NotNow)? {
            Taken::Begun(begun) => Ok(begun),
            Taken::AnotherBrowsers => Err(AuthorizeError::AnotherBrowser),
            Taken::Unknown => Err(AuthorizeError::UnknownState),
        }
    }

    async fn complete(
        &self,
        begun: BegunConsent,
        code: SecretString,
        prover: Arc<dyn Prover>,
    ) -> Result<Authorized, AuthorizeError> {
        let unknown = || AuthorizeError::UnknownAccount(begun.account.to_string());
        let entry = self.entry(&begun.account).ok_or_else(unknown)?;
        let _flight = entry.flight.clone().lock_owned().await;
        let account = entry.standing().account.clone();
        let login = account.oauth().ok_or_else(unknown)?;
        let Grant::SignIn(client, _) = &login.grant else { return Err(unknown()) };
        let exchanged = self.client.exchange(login, client, &code, &begun.verifier, &begun.redirect).await;
        self.accept(&entry, &account, exchanged.map_err(AuthorizeError::Exchange)?, &*prover).await
    }

    /// As [`Shared::accept`], to its end even where nobody waits any more.
    pub(super) async fn accept_anyway(
        self: Arc<Self>,
        entry: Arc<Entry>,
        account: Arc<Account>,
        granted: Granted,
        prover: Arc<dyn Prover>,
        flight: OwnedMutexGuard<()>,
    ) -> Result<Authorized, AuthorizeError> {
        let accepted = tokio::spawn(async move {
            let _flight = flight;
            self.accept(&entry, &account, granted, &*prover).await
        });
        accepted.await.unwrap_or(Err(AuthorizeError::UnknownState))
    }

    /// Tries what a person agreed to, and keeps it where it is better than what was there.
    async fn accept(
        &self,
        entry: &Entry,
        account: &Arc<Account>,
        mut granted: Granted,
        prover: &dyn Prover,
    ) -> Result<Authorized, AuthorizeError> {
        let Some(refresh_token) = granted.refresh_token.take() else {
            return Err(AuthorizeError::NoRefreshToken(cure(account.kind)));
        };
        let secret = granted.access_token.clone();
        let token = AccessToken { secret, expires_at: self.now() + life(granted.expires_in) };
        let proof = timeout(PROOF, prover.prove(account, &token)).await;
        let proof =
            proof.unwrap_or_else(|_| Proof::Untried("the mail server does not answer in time".into()));
        let proved = proof == Proof::Works;
        let has_another = {
            let standing = entry.standing();
            standing.rejected.is_none()
                && standing.tokens.as_ref().is_some_and(|tokens| tokens.consent.is_some())
        };
        let username = account.username().unwrap_or_default();
        match weigh(proof, username, &granted.signed_in, has_another) {
            Verdict::LetGo(reason) => Err(AuthorizeError::Unproved(reason)),
            Verdict::Keep(remark) => {
                self.install(entry, granted, refresh_token).await?;
                if let Some(remark) = &remark {
                    warn!(account = %account.id, %remark, "account authorized, with a remark");
                }
                Ok(Authorized { account: account.id.clone(), proved, remark })
            }
        }
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
