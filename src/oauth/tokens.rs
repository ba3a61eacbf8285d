//! The tokens of every OAuth account: given out from memory, refreshed one flight at a time.

use super::{
    AccessTokenFuture, TokenSource,
    client::{TokenClient, same},
    renew::Eagerness,
    standing::{Asked, Entry},
};
use crate::{
    account::{
        Account, AccountId,
        forecast::{Forecast, forecast},
        token::{AccessToken, NoToken, TokenState},
    },
    store::{ConsentStore, Kept, StoreError, TokenStore},
};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};
use tokio::{
    sync::{Notify, broadcast},
    time::Instant,
};
use tracing::{error, warn};

/// Tells the time of day. Waits are tokio's.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Gives out access tokens, keeps grants alive and takes new ones. Clones share everything.
#[derive(Clone)]
pub struct Tokens(pub(super) Arc<Shared>);

/// For listings: where an account's grant stands.
#[derive(Debug, Clone)]
pub struct GrantStatus {
    /// Its state.
    pub state: TokenState,
    /// When a person agreed, or the first token was brought in.
    pub authorized_at: Option<SystemTime>,
    /// When tokens were last obtained.
    pub refreshed_at: Option<SystemTime>,
    /// When the refresh token in force was obtained.
    pub rotated_at: Option<SystemTime>,
    /// When the grant will end, as far as that can be told ahead.
    pub forecast: Option<Forecast>,
    /// When the access token ends, dead or alive.
    pub expires_at: Option<SystemTime>,
    /// The last failure, where none of the requests since has succeeded.
    pub trouble: Option<String>,
    /// What token requests came to, since the start.
    pub asked: Asked,
}

pub(super) struct Shared {
    pub(super) store: Arc<dyn TokenStore>,
    pub(super) client: TokenClient,
    /// Consents under way.
    pub(super) consents: Arc<dyn ConsentStore>,
    /// Wakes the refresher after a change of accounts.
    pub(super) wake: Notify,
    entries: RwLock<HashMap<AccountId, Arc<Entry>>>,
    changed: broadcast::Sender<AccountId>,
    clock: Clock,
}

impl Tokens {
    /// Takes the tokens that the store has for these accounts. Reads the store; sends nothing.
    pub async fn new(store: Arc<dyn TokenStore>, accounts: &[Account]) -> Self {
        Self::with_clock(store, accounts, Arc::new(SystemTime::now)).await
    }

    /// As [`Tokens::new`], with a clock of one's own.
    pub async fn with_clock(store: Arc<dyn TokenStore>, accounts: &[Account], clock: Clock) -> Self {
        let tokens = Self(Arc::new(Shared {
            consents: store.consents(),
            store,
            client: TokenClient::new(clock.clone()),
            wake: Notify::new(),
            entries: RwLock::default(),
            changed: broadcast::channel(256).0,
            clock,
        }));
        tokens.reconfigure(accounts).await;
        tokens
    }

    /// Takes a new set of accounts. Grants of accounts that stay are kept, and asked again at once where they had
    /// trouble; accounts that go keep theirs in the store.
    pub async fn reconfigure(&self, accounts: &[Account]) {
        let shared = &self.0;
        let mut new = Vec::new();
        {
            let mut entries = shared.entries.write().unwrap_or_else(PoisonError::into_inner);
            let mut before = std::mem::take(&mut *entries);
            for account in accounts.iter().filter(|account| account.oauth().is_some()) {
                let entry = match before.remove(&account.id) {
                    Some(entry) => {
                        let mut standing = entry.standing();
                        standing.account = Arc::new(account.clone());
                        standing.works();
                        drop(standing);
                        entry
                    }
                    None => {
                        let entry = Arc::new(Entry::new(account.clone()));
                        new.push(entry.clone());
                        entry
                    }
                };
                entries.insert(account.id.clone(), entry);
            }
        }
        for entry in new {
            let _flight = entry.flight.lock().await;
            // Read again at the next refresh, so that a failing disk is not taken for a missing grant.
            if let Err(error) = shared.load(&entry).await {
                error!(account = %entry.id, %error, "the account's tokens cannot be read");
                entry.standing().trouble = Some(error.to_string());
                if error.is_away() {
                    // It would be waited for once an account.
                    break;
                }
            }
        }
        shared.wake.notify_one();
    }

    /// Where an account's tokens stand. Accounts without OAuth, and unknown ones, are `Unauthorized`.
    pub fn state(&self, account: &AccountId) -> TokenState {
        self.status(account).map_or(TokenState::Unauthorized, |status| status.state)
    }

    /// As [`Tokens::state`], with the dates; `None` for an account without OAuth.
    pub fn status(&self, account: &AccountId) -> Option<GrantStatus> {
        let entry = self.0.entry(account)?;
        let standing = entry.standing();
        let tokens = standing.tokens.as_ref();
        let sign_in = standing.login().and_then(|login| login.sign_in());
        let consent = sign_in.and_then(|_| tokens?.consent.as_ref());
        Some(GrantStatus {
            state: standing.state(self.0.now()),
            authorized_at: consent.map(|consent| consent.authorized_at),
            rotated_at: consent.map(|consent| consent.rotated_at),
            forecast: forecast(&standing.account, tokens),
            asked: standing.asked,
            refreshed_at: tokens.map(|tokens| tokens.refreshed_at),
            expires_at: tokens.and_then(|tokens| tokens.access_token.as_ref()).map(|(_, ends)| *ends),
            trouble: standing.rejected.clone().or_else(|| standing.trouble.clone()),
        })
    }

    /// Sends the id of each account whose tokens became available, or were rejected or forgotten. A receiver that
    /// lags should look at every account.
    pub fn subscribe(&self) -> broadcast::Receiver<AccountId> {
        self.0.changed.subscribe()
    }

    /// Refreshes at once, back-off or rejection notwithstanding.
    pub async fn refresh_now(&self, account: &AccountId) -> Result<AccessToken, NoToken> {
        self.fly(account, Eagerness::Now).await
    }

    /// Lets the next caller ask the authorization server at once, whatever back-off is under way: an operator says that
    /// the trouble is over.
    pub fn ask_again(&self, account: &AccountId) {
        if let Some(entry) = self.0.entry(account) {
            entry.standing().ask_again();
        }
    }

    /// Drops the account's tokens from memory and store.
    pub async fn forget(&self, account: &AccountId) -> Result<(), StoreError> {
        let entry = self.0.entry(account);
        let flight = match &entry {
            Some(entry) => Some(entry.flight.clone().lock_owned().await),
            None => None,
        };
        let version = self.0.store.forget(account).await?;
        if let Some(entry) = entry {
            let mut standing = entry.standing();
            standing.put(Kept { tokens: None, version });
            standing.loaded = true;
            standing.works();
        }
        drop(flight);
        self.0.signal(account);
        Ok(())
    }

    /// Waits for requests that are under way, so that no rotated token is lost when the daemon stops.
    pub async fn settle(&self) {
        for entry in self.0.entries() {
            drop(entry.flight.clone().lock_owned().await);
        }
    }

    pub(super) async fn fly(
        &self,
        account: &AccountId,
        eagerness: Eagerness,
    ) -> Result<AccessToken, NoToken> {
        let unauthorized = || NoToken::Unauthorized { account: account.to_string() };
        let entry = self.0.entry(account).ok_or_else(unauthorized)?;
        if eagerness == Eagerness::IfNeeded
            && let Some(answer) = entry.standing().answer(self.0.now(), Instant::now())
        {
            return answer;
        }
        let shared = self.0.clone();
        let flight = tokio::spawn(async move {
            let _flight = entry.flight.clone().lock_owned().await;
            shared.renew(&entry, eagerness).await
        });
        flight.await.unwrap_or_else(|_| {
            let reason = "the refresh was broken off".into();
            Err(NoToken::Unavailable { reason, retry_after: std::time::Duration::from_secs(30) })
        })
    }
}

impl TokenSource for Tokens {
    fn access_token<'a>(&'a self, account: &'a AccountId) -> AccessTokenFuture<'a> {
        Box::pin(self.fly(account, Eagerness::IfNeeded))
    }

    fn refused(&self, account: &AccountId, token: &AccessToken) {
        let Some(entry) = self.0.entry(account) else { return };
        let mut standing = entry.standing();
        let current = standing.tokens.as_ref().and_then(|tokens| tokens.access_token.as_ref());
        if current.is_some_and(|(secret, _)| same(secret, &token.secret)) {
            warn!(account = %account, "the mail server refused the access token");
            standing.refused(Instant::now());
        }
    }
}

impl Shared {
    pub(super) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    pub(super) fn entry(&self, account: &AccountId) -> Option<Arc<Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(account).cloned()
    }

    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn signal(&self, account: &AccountId) {
        // Nobody may be listening.
        let _ = self.changed.send(account.clone());
        self.wake.notify_one();
    }
}
