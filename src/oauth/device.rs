//! The device flow (RFC 8628): a person types a code on a device of their own, and we ask until they have.

use super::{
    Prover, Tokens,
    answer::{TokenTrouble, clean, error_of, judge, read, seconds},
    authorize::{AuthorizeError, Authorized},
    client::{Granted, granted_by},
};
use crate::account::{Account, AccountId, Client, Grant, OAuthLogin};
use secrecy::SecretString;
use serde_json::Value;
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use tracing::warn;

/// Between requests, where the server does not say (§3.2).
const INTERVAL: Duration = Duration::from_secs(5);
/// What a `slow_down` adds, for good (§3.5).
const SLOWER: Duration = Duration::from_secs(5);
/// A server that is away is asked less and less often, down to this.
const SLOWEST: Duration = Duration::from_secs(60);
/// A code lives as long as the server says, within these bounds.
const LONGEST: Duration = Duration::from_secs(3600);

/// A sign-in by device that was begun.
pub struct DeviceSignIn {
    /// Where the person goes.
    pub verification_uri: String,
    /// The same with the code in it, where the server gives that.
    pub complete_uri: Option<String>,
    /// What they type there.
    pub user_code: String,
    /// How long they may take.
    pub lasts: Duration,
    account: AccountId,
    device_code: SecretString,
    interval: Duration,
    ends: Instant,
}

/// The codes are worth a grant while they last.
impl fmt::Debug for DeviceSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceSignIn").field("lasts", &self.lasts).finish_non_exhaustive()
    }
}

/// What the token endpoint says while we ask (RFC 8628 §3.5).
#[derive(Debug)]
pub(super) enum Poll {
    Granted(Box<Granted>),
    Pending,
    SlowDown,
    /// The person said no.
    Declined(String),
    /// The code is too old.
    Expired,
    Trouble(TokenTrouble),
}

impl Tokens {
    /// Begins a sign-in by device: asks the provider for a code.
    pub async fn begin_device(&self, account: &AccountId) -> Result<DeviceSignIn, AuthorizeError> {
        let settings = self.account(account)?;
        let (login, client) = signing_in(&settings)?;
        let no_endpoint = || AuthorizeError::NoDeviceEndpoint(account.to_string());
        let endpoint =
            login.sign_in().and_then(|sign_in| sign_in.device_endpoint()).ok_or_else(no_endpoint)?;
        let asked = self.0.client.device_code(login, client, endpoint).await;
        let body = asked.map_err(AuthorizeError::Device)?;
        let nonsense =
            || AuthorizeError::Device(TokenTrouble::unavailable("the answer lacks a code or an address"));
        begun(account, &body, Instant::now()).ok_or_else(nonsense)
    }

    /// Asks until the person has signed in, has declined, or the code has run out; then as [`Tokens::finish`].
    pub async fn finish_device(
        &self,
        begun: DeviceSignIn,
        prover: Arc<dyn Prover>,
    ) -> Result<Authorized, AuthorizeError> {
        let account = begun.account.clone();
        self.ask_until_agreed(begun, prover).await.inspect_err(|error| {
            warn!(account = %account, %error, "account not authorized");
        })
    }

    async fn ask_until_agreed(
        &self,
        begun: DeviceSignIn,
        prover: Arc<dyn Prover>,
    ) -> Result<Authorized, AuthorizeError> {
        let mut interval = begun.interval;
        loop {
            sleep(interval).await;
            if Instant::now() >= begun.ends {
                return Err(AuthorizeError::TookTooLong);
            }
            let entry = self.0.entry(&begun.account);
            let entry = entry.ok_or_else(|| AuthorizeError::UnknownAccount(begun.account.to_string()))?;
            // Our only request for this account, as everywhere.
            let flight = entry.flight.clone().lock_owned().await;
            let settings = self.account(&begun.account)?;
            let (login, client) = signing_in(&settings)?;
            match self.0.client.device_token(login, client, &begun.device_code).await {
                Poll::Granted(granted) => {
                    let shared = self.0.clone();
                    return shared.accept_anyway(entry, settings, *granted, prover, flight).await;
                }
                Poll::Pending => {}
                Poll::SlowDown => interval += SLOWER,
                Poll::Declined(reason) => return Err(AuthorizeError::Refused(reason)),
                Poll::Expired => return Err(AuthorizeError::TookTooLong),
                Poll::Trouble(TokenTrouble::Unavailable { retry_after, .. }) => {
                    interval = (interval * 2).min(SLOWEST).max(retry_after.unwrap_or_default());
                }
                Poll::Trouble(trouble) => return Err(AuthorizeError::Device(trouble)),
            }
        }
    }

    fn account(&self, account: &AccountId) -> Result<Arc<Account>, AuthorizeError> {
        let entry =
            self.0.entry(account).ok_or_else(|| AuthorizeError::UnknownAccount(account.to_string()))?;
        Ok(entry.standing().account.clone())
    }
}

fn signing_in(account: &Account) -> Result<(&OAuthLogin, &Client), AuthorizeError> {
    let login = account.oauth().ok_or_else(|| AuthorizeError::UnknownAccount(account.id.to_string()))?;
    match &login.grant {
        Grant::SignIn(client, _) => Ok((login, client)),
        grant => {
            Err(AuthorizeError::NobodySignsIn { account: account.id.to_string(), grant: grant.as_str() })
        }
    }
}

/// Reads the answer of a device authorization endpoint (RFC 8628 §3.2). Google says `verification_url`.
fn begun(account: &AccountId, body: &[u8], now: Instant) -> Option<DeviceSignIn> {
    let json = read::<Value>(body)?;
    let text = |name: &str| json.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let time = |name: &str| json.get(name).and_then(seconds).map(Duration::from_secs);
    let shown = |text: &str| clean(text, &[]);
    let lasts =
        time("expires_in").filter(|life| !life.is_zero()).unwrap_or(Duration::from_secs(900)).min(LONGEST);
    Some(DeviceSignIn {
        verification_uri: shown(text("verification_uri").or_else(|| text("verification_url"))?),
        complete_uri: text("verification_uri_complete").map(shown),
        user_code: shown(text("user_code")?),
        lasts,
        account: account.clone(),
        device_code: text("device_code")?.into(),
        interval: time("interval").unwrap_or(INTERVAL).clamp(Duration::from_secs(1), SLOWEST),
        ends: now + lasts,
    })
}

/// What an answer of the token endpoint means here. The error counts before the status: Google says 428 and 403.
pub(super) fn judged(status: u16, retry_after: Option<&str>, body: &[u8], device_code: &str) -> Poll {
    let error = error_of(body);
    let trouble = match judge(status, retry_after, body, "access_token", &[device_code]) {
        Ok(body) => {
            return granted_by(&body).map_or_else(Poll::Trouble, |granted| Poll::Granted(Box::new(granted)));
        }
        Err(trouble) => trouble,
    };
    match error.as_deref() {
        Some("authorization_pending") => Poll::Pending,
        Some("slow_down") => Poll::SlowDown,
        // The second is Microsoft's.
        Some("access_denied" | "authorization_declined") => Poll::Declined(trouble.to_string()),
        Some("expired_token") => Poll::Expired,
        _ => Poll::Trouble(trouble),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_while_asking() {
        for (status, body, expected) in [
            (200, r#"{"access_token":"a","refresh_token":"r"}"#, "Granted"),
            (400, r#"{"error":"authorization_pending"}"#, "Pending"),
            (428, r#"{"error":"authorization_pending"}"#, "Pending"),
            (400, r#"{"error":"slow_down"}"#, "SlowDown"),
            (403, r#"{"error":"slow_down"}"#, "SlowDown"),
            (400, r#"{"error":"access_denied"}"#, "Declined"),
            (400, r#"{"error":"authorization_declined"}"#, "Declined"),
            (400, r#"{"error":"expired_token"}"#, "Expired"),
            (400, r#"{"error":"invalid_client"}"#, "Trouble(Operator"),
            (400, r#"{"error":"invalid_grant"}"#, "Trouble(Rejected"),
            (503, "<html>", "Trouble(Unavailable"),
            (200, "<html>", "Trouble(Unavailable"),
        ] {
            let poll = format!("{:?}", judged(status, None, body.as_bytes(), "canary"));
            assert!(poll.starts_with(expected), "{status} {body}: {poll}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_answer_is_read_with_its_defaults_and_bounds() {
        let read = |body: &str| begun(&AccountId::new("a"), body.as_bytes(), Instant::now());
        let full = r#"{"device_code":"d","user_code":"AB-12","verification_uri":"https://x/","verification_uri_complete":"https://x/?c","expires_in":"600","interval":2}"#;
        let sign_in = read(full).unwrap();
        assert_eq!((sign_in.lasts.as_secs(), sign_in.interval.as_secs()), (600, 2));
        assert_eq!(sign_in.complete_uri.as_deref(), Some("https://x/?c"));
        assert!(!format!("{sign_in:?}").contains("AB-12"));
        let sparse =
            r#"{"device_code":"d","user_code":"c","verification_url":"https://g/","expires_in":99999999}"#;
        let sign_in = read(sparse).unwrap();
        assert_eq!((sign_in.lasts, sign_in.interval), (LONGEST, INTERVAL));
        assert!(read(r#"{"device_code":"d","user_code":"c"}"#).is_none());
        assert!(read("[]").is_none());
    }
}
