//! The upstream of every active account, made anew at each reload.

use crate::{
    account::AccountId,
    config::Snapshot,
    mail::Mailbox,
    oauth::{TokenSource, Tokens},
    outbound::Upstream,
    queue::{Carrier, Desk, Outlet, Queue},
};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::task::JoinSet;

/// How long servers may take to answer QUIT at a shutdown.
pub(super) const GOODBYE: Duration = Duration::from_secs(5);

/// Upstreams by account.
pub(super) struct Upstreams {
    queue: Queue,
    tokens: Tokens,
    by_account: RwLock<HashMap<AccountId, Result<Arc<Upstream>, String>>>,
}

impl Upstreams {
    pub(super) fn new(queue: Queue, tokens: Tokens) -> Self {
        Self { queue, tokens, by_account: RwLock::default() }
    }

    /// Makes upstreams for the active accounts and lets the queue run. An account whose upstream cannot be made keeps
    /// its mail, and the log says why.
    pub(super) fn configure(&self, snapshot: &Arc<Snapshot>) {
        let tokens: Arc<dyn TokenSource> = Arc::new(self.tokens.clone());
        let before = self.by_account.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut by_account = HashMap::new();
        let mut outlets = Vec::new();
        for account in snapshot.config.accounts.iter().filter(|account| account.active) {
            match Upstream::new(Arc::new(account.clone()), snapshot.hostname.clone(), tokens.clone()) {
                Ok(upstream) => {
                    let upstream = match before.get(&account.id) {
                        Some(Ok(before)) => upstream.in_place_of(before),
                        _ => upstream,
                    };
                    let upstream = Arc::new(upstream);
                    let carrier: Arc<dyn Carrier> = upstream.clone();
                    outlets.push(Outlet {
                        account: account.id.clone(),
                        pacing: account.pacing,
                        delivery: account.delivery,
                        address: account.username().and_then(|name| Mailbox::parse(name).ok()),
                        carrier,
                    });
                    by_account.insert(account.id.clone(), Ok(upstream));
                }
                Err(error) => {
                    tracing::error!(
                        target: "waxseal::account",
                        account = %account.id, %error,
                        "account cannot send; its mail is kept"
                    );
                    by_account.insert(account.id.clone(), Err(error.to_string()));
                }
            }
        }
        let before = std::mem::replace(
            &mut *self.by_account.write().unwrap_or_else(PoisonError::into_inner),
            by_account,
        );
        let routes = snapshot.clone();
        self.queue.set_desk(Desk {
            hostname: snapshot.hostname.clone(),
            route: Arc::new(move |sender| routes.route(None, sender).ok()),
        });
        self.queue.configure(outlets);
        // Nobody is given these any more; who has one still brings its transaction to an end.
        for upstream in before.into_values().flatten() {
            tokio::spawn(async move { upstream.retire().await });
        }
    }

    /// The upstream of an account; `Err` says why an active one has none, `None` is an inactive one.
    pub(super) fn get(&self, account: &AccountId) -> Option<Result<Arc<Upstream>, String>> {
        self.by_account.read().unwrap_or_else(PoisonError::into_inner).get(account).cloned()
    }

    /// Takes leave of all idle connections, of all accounts at once and not for long.
    pub(super) async fn close_idle(&self) {
        let upstreams: Vec<_> =
            self.by_account.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let mut goodbyes = JoinSet::new();
        for upstream in upstreams.into_iter().flatten() {
            goodbyes.spawn(async move { upstream.close_idle().await });
        }
        let _ = tokio::time::timeout(GOODBYE, goodbyes.join_all()).await;
    }
}
