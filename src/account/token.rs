//! What is known of an OAuth account's tokens: states that carry only their own data.

use secrecy::SecretString;
use std::time::{Duration, SystemTime};

/// The tokens of a grant, as the store keeps them.
#[derive(Debug, Clone)]
pub struct TokenSet {
    /// The refresh token in force.
    pub refresh_token: SecretString,
    /// The one before, kept until `refresh_token` has worked once.
    pub previous_refresh_token: Option<SecretString>,
    /// The latest access token, and the instant at which it ends.
    pub access_token: Option<(SecretString, SystemTime)>,
    /// When a person agreed, or the first token was brought in.
    pub authorized_at: SystemTime,
    /// When the tokens were last obtained.
    pub refreshed_at: SystemTime,
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
    /// The authorization server cannot be reached or answers nonsense; it is asked again by itself.
    #[error("no access token from the authorization server: {reason}; it is asked again by itself")]
    Unavailable {
        /// What went wrong.
        reason: String,
        /// When it is worth asking again.
        retry_after: Duration,
    },
}
