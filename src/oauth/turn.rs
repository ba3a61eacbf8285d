//! Whose turn it is to ask for an account's tokens, where several nodes share them: one asks, the others wait for what it
//! gets.

use super::{
    answer::TokenTrouble,
    renew::Eagerness,
    standing::Entry,
    tokens::{Shared, Tokens},
};
use crate::{
    account::{
        AccountId,
        token::{AccessToken, NoToken},
    },
    database::News,
    store::{Lease, StoreError},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// Between two looks at whether another node is done.
const LOOK: Duration = Duration::from_millis(150);
/// Another node is waited for this long: longer than a token request may last.
const LONGEST: Duration = Duration::from_secs(40);

/// Whose turn it was.
pub(super) enum Turn {
    /// Ask, and hold this until the answer is kept.
    Ours(#[allow(dead_code, reason = "held for its end")] Box<dyn Send + Sync>),
    /// Another node has asked, and this came of it.
    Anothers(Result<AccessToken, NoToken>),
}

impl Shared {
    /// Waits until it is this node's turn, or until another's makes it unnecessary.
    pub(super) async fn turn(&self, entry: &Entry, eagerness: Eagerness) -> Result<Turn, StoreError> {
        let patience = Instant::now() + LONGEST;
        // An operator who asks for new tokens has them, where another node has got them while this one waited.
        let mut eagerness = eagerness;
        loop {
            match self.store.lease(&entry.id).await? {
                Lease::Ours { held, there } => {
                    let news = there.is_some_and(|there| entry.standing().catch_up(there));
                    let enough = if news { self.enough(entry, eagerness) } else { None };
                    let Some(answer) = enough else { return Ok(Turn::Ours(held)) };
                    self.signal(&entry.id);
                    return Ok(Turn::Anothers(answer));
                }
                Lease::Anothers if Instant::now() >= patience => {
                    let trouble = TokenTrouble::unavailable("another node is asking for its tokens");
                    return Ok(Turn::Anothers(Err(self.failed(entry, trouble))));
                }
                Lease::Anothers => {
                    eagerness = Eagerness::IfNeeded;
                    sleep(LOOK).await;
                }
            }
        }
    }

    /// Looks whether another node has changed an account's tokens, and takes them then.
    async fn look(&self, entry: &Entry) {
        let _flight = entry.flight.lock().await;
        if entry.standing().unsaved {
            // What is only in memory is not thrown away before it is this node's turn.
            return;
        }
        // Where it cannot be read the store has told why, and there is another look before any request.
        let Ok(there) = self.store.load(&entry.id).await else { return };
        let news = {
            let mut standing = entry.standing();
            standing.loaded = true;
            standing.catch_up(there)
        };
        if news {
            self.signal(&entry.id);
        }
    }
}

impl Tokens {
    /// Looks at the store at once, where no news can be counted on.
    pub(super) async fn look_at(&self, account: &AccountId) {
        if let Some(entry) = self.0.entry(account) {
            self.0.look(&entry).await;
        }
    }
}

/// Takes what other nodes keep, until `stop`. Ends at once where the store is this host's alone.
pub async fn follow(tokens: Tokens, stop: CancellationToken) {
    let shared = tokens.0;
    let Some(mut changes) = shared.store.changes() else { return };
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => return,
            change = changes.recv() => change,
        };
        let entries = match change {
            Ok(News::Tokens(account)) => shared.entry(&AccountId::new(&account)).into_iter().collect(),
            Ok(News::Asked | News::Answered) => continue,
            Ok(News::Missed) | Err(RecvError::Lagged(_)) => {
                let entries = shared.entries();
                // What went wrong may have been the database, which is back.
                entries.iter().for_each(|entry| entry.standing().ask_again());
                shared.wake.notify_one();
                entries
            }
            Err(RecvError::Closed) => return,
        };
        for entry in entries {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move { shared.look(&entry).await });
        }
    }
}
