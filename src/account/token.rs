//! What is known of an OAuth account's tokens: states that carry only their own data.

use secrecy::SecretString;
use std::time::{Duration, SystemTime};

/// The tokens of an account, as the store keeps them.
#[derive(Debug, Clone)]
pub struct TokenSet {
    /// What a person agreed to; none where the client has tokens in its own name (RFC 6749 §4.4).
    pub consent: Option<Consent>,
    /// The latest access token, and the instant at which it ends.
    pub access_token: Option<(SecretString, SystemTime)>,
    /// That token is the client's own, and nobody's consent is behind it.
    pub in_its_own_name: bool,
    /// When the tokens were last obtained.
    pub refreshed_at: SystemTime,
}

/// What keeps a person's consent.
#[derive(Debug, Clone)]
pub struct Consent {
    /// The refresh token in force.
    pub refresh_token: SecretString,
    /// The one before, kept until `refresh_token` has worked once.
    pub previous_refresh_token: Option<SecretString>,
    /// When a person agreed, or the first token was brought in.
    pub authorized_at: SystemTime,
    /// When the refresh token in force was obtained.
    pub rotated_at: SystemTime,
    /// When it ends, where the authorization server says.
    pub ends_at: Option<SystemTime>,
}

/// Where an account's tokens stand.
#[derive(Debug, Clone)]
pub enum TokenState {
    /// No grant yet: somebody has to authorize the account.
    Unauthorized,
    /// The access token works until `expires_at`.
    Valid {
        /// When it ends.
        expires_at: SystemTime,
    },
    /// There is a grant but no live access token; the refresher is at it. `trouble` is the last failure, if any.
    Refreshing {
        /// What went wrong last, for the operator.
        trouble: Option<String>,
    },
    /// The authorization server refused the grant: somebody has to authorize the account anew.
    Rejected {
        /// What it said.
        reason: String,
    },
}

/// An access token and its remaining life.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// The token.
    pub secret: SecretString,
    /// When it ends.
    pub expires_at: SystemTime,
}

/// Why there is no access token now. None of these says anything about a message: mail is held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// Nobody has authorized the account yet.
    #[error("the account has no token yet: run `waxseal account authorize {account}`")]
    Unauthorized {
        /// The account's id.
        account: String,
    },
    /// The authorization server refuses the grant.
    #[error(
        "the authorization server refuses the grant ({reason}): run `waxseal account authorize {account}`"
    )]
    Rejected {
        /// The account's id.
        account: String,
        /// What it said.
        reason: String,
    },
    /// The authorization server refuses the client, not the grant: the account's settings are wrong or its secret has
    /// expired. It is asked again, slowly, and at once after a reload.
    #[error("the authorization server refuses the client of account {account} ({reason})")]
    Misconfigured {
        /// The account's id.
        account: String,
        /// What it said.
        reason: String,
    },
    /// The authorization server cannot be reached or answers nonsense; it is asked again by itself.
    #[error("no access token from the authorization server: {reason}; it is asked again by itself")]
    Unavailable {
        /// What went wrong.
        reason: String,
        /// When it is worth asking again.
        retry_after: Duration,
    },
}

/// A token's life where the authorization server does not say (RFC 6749 §5.1 leaves `expires_in` out at will).
const UNSAID_LIFE: Duration = Duration::from_secs(30 * 60);
/// Longer than any provider's; keeps the arithmetic of instants within bounds.
const LONGEST_LIFE: Duration = Duration::from_secs(366 * 24 * 3600);
/// Exchange Online refuses tokens with less than ten minutes left (501 5.5.127).
const MARGIN: Duration = Duration::from_secs(600);
/// An idle account is refreshed this often, so that no grant dies of disuse.
const IDLE: Duration = Duration::from_secs(24 * 3600);
/// A clock set back further than this makes an access token's age unknown.
const CLOCK_SLACK: Duration = Duration::from_secs(300);

/// The life of an access token from the server's `expires_in`.
pub fn life(expires_in: Option<Duration>) -> Duration {
    expires_in.filter(|life| !life.is_zero()).unwrap_or(UNSAID_LIFE).min(LONGEST_LIFE)
}

/// How much life an access token must have left to be given out: ten minutes, or a third of a short life.
pub fn margin(life: Duration) -> Duration {
    if life < 2 * MARGIN { life / 3 } else { MARGIN }
}

/// The wait after so many failures in a row: 30 s doubling to 15 min. `jitter`, from 0 to 1, takes up to a quarter
/// off; what the server asked for by Retry-After is the least, up to a day.
pub fn backoff(failures: u32, jitter: f64, retry_after: Option<Duration>) -> Duration {
    let wait = Duration::from_secs(30 << failures.saturating_sub(1).min(5)).min(Duration::from_secs(900));
    let wait = wait.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 4.0);
    wait.max(retry_after.unwrap_or_default().min(IDLE))
}

impl TokenSet {
    /// The access token, while it may be given out.
    pub fn usable(&self, now: SystemTime) -> Option<AccessToken> {
        let (secret, expires_at) = self.access_token.as_ref()?;
        let life = expires_at.duration_since(self.refreshed_at).unwrap_or_default();
        // A clock that was set back would keep a dead token alive.
        let clock_is_sane = self.refreshed_at <= now + CLOCK_SLACK;
        let left = expires_at.duration_since(now).unwrap_or_default();
        (clock_is_sane && left > margin(life))
            .then(|| AccessToken { secret: secret.clone(), expires_at: *expires_at })
    }

    /// When the background refresher takes this grant up: before callers would have to wait, spread by `jitter`
    /// from 0 to 1, and at least every 24 hours.
    pub fn renew_at(&self, jitter: f64) -> SystemTime {
        let Some((_, expires_at)) = &self.access_token else { return self.refreshed_at };
        let margin = margin(expires_at.duration_since(self.refreshed_at).unwrap_or_default());
        let lead = margin + margin.mul_f64(0.2 + 0.3 * jitter.clamp(0.0, 1.0));
        let before_end = expires_at.checked_sub(lead).unwrap_or(self.refreshed_at);
        before_end.min(self.refreshed_at + IDLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(life: u64) -> TokenSet {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        TokenSet {
            consent: None,
            access_token: Some(("a".into(), start + Duration::from_secs(life))),
            in_its_own_name: true,
            refreshed_at: start,
        }
    }

    #[test]
    fn a_token_is_given_out_with_ten_minutes_left_or_a_third_of_a_short_life() {
        let at = |life, age| {
            let tokens = tokens(life);
            tokens.usable(tokens.refreshed_at + Duration::from_secs(age)).is_some()
        };
        assert!(at(3600, 2999) && !at(3600, 3000));
        assert!(at(300, 199) && !at(300, 200));
        assert!(!at(3600, 100_000));
    }

    #[test]
    fn a_clock_set_back_makes_the_token_unusable_and_due() {
        let tokens = tokens(3600);
        assert!(tokens.usable(tokens.refreshed_at - Duration::from_secs(299)).is_some());
        assert!(tokens.usable(tokens.refreshed_at - Duration::from_secs(301)).is_none());
    }

    #[test]
    fn the_refresher_is_ahead_of_callers_and_idle_grants_are_used_daily() {
        for jitter in [0.0, 1.0] {
            for life in [30, 3600, 100_000_000] {
                let tokens = tokens(life);
                let due = tokens.renew_at(jitter);
                assert!(tokens.usable(due).is_some() && due > tokens.refreshed_at);
                assert!(due <= tokens.refreshed_at + IDLE);
            }
        }
    }

    #[test]
    fn waits_double_to_a_quarter_of_an_hour_and_heed_the_server() {
        let wait = |failures| backoff(failures, 0.0, None).as_secs();
        assert_eq!([wait(1), wait(2), wait(5), wait(6), wait(99)], [30, 60, 480, 900, 900]);
        assert_eq!(backoff(1, 1.0, None), Duration::from_millis(22_500));
        assert_eq!(backoff(1, 0.0, Some(Duration::from_secs(1200))).as_secs(), 1200);
    }

    #[test]
    fn an_unsaid_or_absurd_life_is_bounded() {
        assert_eq!(life(None), life(Some(Duration::ZERO)));
        assert_eq!(life(Some(Duration::from_secs(u64::MAX))), LONGEST_LIFE);
    }
}
