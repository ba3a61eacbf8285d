//! A consent that was begun at this node and is finished at another one: whoever waits here learns of it by what comes of
//! it, the account's new grant.

use super::{AuthorizeError, Tokens};
use crate::account::AccountId;
use std::{
    future::pending,
    time::{Duration, UNIX_EPOCH},
};
use tokio::time::{Instant, sleep};

/// Between two looks, where nothing is heard.
const LOOK: Duration = Duration::from_secs(3);
/// A consent that another node has taken is given this long: longer than an exchange and a proof may last.
const LONGEST: Duration = Duration::from_secs(120);

impl Tokens {
    /// Waits until another node has finished the consent for `account` that was begun here with this state. Without other
    /// nodes it waits for ever. What there was before is what there is at the call.
    ///
    /// # Errors
    /// Where another node has taken it, and nothing came of that.
    pub fn finished_elsewhere(
        &self,
        account: &AccountId,
        state: &str,
    ) -> impl Future<Output = Result<(), AuthorizeError>> + Send + use<> {
        let (tokens, account, state) = (self.clone(), account.clone(), state.to_owned());
        let (mut before, mut changed) = (tokens.granted_at(&account), tokens.subscribe());
        let is_shared = tokens.0.store.changes().is_some();
        async move {
            if !is_shared {
                return pending().await;
            }
            let mut taken_at = None;
            // What others have kept and this node has not heard of yet was there before.
            let mut pause = Duration::ZERO;
            loop {
                tokio::select! {
                    _ = changed.recv() => {}
                    () = sleep(pause) => tokens.look_at(&account).await,
                }
                pause = LOOK;
                let now = tokens.granted_at(&account);
                // While the database is away nothing is known of it.
                let Ok(is_open) = tokens.0.consents.is_open(&state).await else { continue };
                if is_open {
                    // Another consent for this account: not the one that is waited for.
                    before = now;
                } else if now.is_some() && now != before {
                    return Ok(());
                } else if *taken_at.get_or_insert_with(Instant::now) + LONGEST < Instant::now() {
                    return Err(AuthorizeError::LostElsewhere);
                }
            }
        }
    }

    /// When a person agreed, in milliseconds, which is what a store keeps.
    fn granted_at(&self, account: &AccountId) -> Option<u128> {
        let at = self.status(account)?.authorized_at?;
        Some(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis())
    }
}
