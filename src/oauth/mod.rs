//! OAuth 2.0: grants, tokens and their refreshing.

mod answer;
mod authorize;
mod callback;
mod client;
mod http;
pub mod refresher;
mod renew;
mod standing;
mod tokens;

pub use authorize::{Authorization, AuthorizeError};
pub use callback::{Callback, CallbackError};
pub use tokens::{Clock, GrantStatus, Tokens};

use crate::account::{
    AccountId,
    token::{AccessToken, NoToken},
};
use std::{future::Future, pin::Pin};

/// The future of [`TokenSource::access_token`].
pub type AccessTokenFuture<'a> = Pin<Box<dyn Future<Output = Result<AccessToken, NoToken>> + Send + 'a>>;

/// Who gives out access tokens to connections.
pub trait TokenSource: Send + Sync + 'static {
    /// An access token with life left, or why there is none. Single-flight: callers share one refresh.
    fn access_token<'a>(&'a self, account: &'a AccountId) -> AccessTokenFuture<'a>;

    /// The mail server refused this access token. It is not given out again; the grant stays.
    fn refused(&self, account: &AccountId, token: &AccessToken);
}
