//! OAuth 2.0: grants, tokens and their refreshing.

mod answer;
mod authorize;
mod callback;
mod client;
mod device;
mod elsewhere;
mod explain;
mod http;
mod id_token;
mod jwt;
mod moving;
mod prove;
pub mod refresher;
mod renew;
mod standing;
mod tokens;
pub mod turn;

pub use authorize::{Authorization, AuthorizeError, Authorized, BY_LINK, WAITED_FOR};
pub use callback::{Callback, CallbackError};
pub use device::DeviceSignIn;
pub use explain::{Explained, explain};
pub use moving::{Arrival, MoveError};
pub use prove::{Proof, ProofFuture, Prover};
pub use standing::Asked;
pub use tokens::{Clock, GrantStatus, Tokens};

use crate::account::{
    AccountId,
    token::{AccessToken, NoToken},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
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

/// 256 random bits as text; `None` where the system has none to give.
fn nonce() -> Option<String> {
    let mut octets = [0; 32];
    getrandom::fill(&mut octets).ok()?;
    Some(URL_SAFE_NO_PAD.encode(octets))
}
