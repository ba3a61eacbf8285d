//! Tries a new access token at the account's own mail server, over a connection of its own.

use crate::{
    account::{
        Account, AccountId,
        token::{AccessToken, NoToken},
    },
    config::LiveConfig,
    oauth::{AccessTokenFuture, Proof, ProofFuture, Prover, TokenSource},
    outbound::{LaneEffect, Upstream},
};
use std::sync::Arc;

/// Logs in with tokens that no lane has yet.
pub(super) struct LoginProver {
    pub(super) live: LiveConfig,
}

impl Prover for LoginProver {
    fn prove<'a>(&'a self, account: &'a Account, token: &'a AccessToken) -> ProofFuture<'a> {
        Box::pin(async move {
            let hostname = self.live.get().hostname.clone();
            let source = Arc::new(OneToken(token.clone()));
            let upstream = match Upstream::new(Arc::new(account.clone()), hostname, source) {
                Ok(upstream) => upstream,
                Err(error) => return Proof::Untried(error.to_string()),
            };
            match upstream.probe().await {
                Ok(()) => Proof::Works,
                Err((LaneEffect::Pause, trouble)) if trouble.reply.is_some() => {
                    Proof::Refused(trouble.to_string())
                }
                Err((_, trouble)) => Proof::Untried(trouble.to_string()),
            }
        })
    }
}

/// The token that is to be tried, whoever asks.
struct OneToken(AccessToken);

impl TokenSource for OneToken {
    fn access_token<'a>(&'a self, _: &'a AccountId) -> AccessTokenFuture<'a> {
        let token: Result<_, NoToken> = Ok(self.0.clone());
        Box::pin(std::future::ready(token))
    }

    fn refused(&self, _: &AccountId, _: &AccessToken) {}
}
