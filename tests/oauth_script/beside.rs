//! A store in a runtime of its own: a test's clock may stand still, and the database is waited for all the same.

use std::{future::Future, sync::Arc, time::Duration};
use tokio::runtime::{Handle, Runtime};
use waxseal::{
    account::{AccountId, token::TokenSet},
    store::{
        BegunConsent, Browser, ConsentStore, Finisher, Kept, Lease, Over, Saved, StoreError, StoreFuture,
        Taken, TokenStore, Version,
    },
};

pub struct Beside {
    store: Arc<dyn TokenStore>,
    handle: Handle,
}

impl Beside {
    /// What `open` makes, in its own runtime, which lasts as long as the process.
    pub fn new(open: impl Future<Output = Arc<dyn TokenStore>> + Send + 'static) -> Self {
        let opened = std::thread::spawn(|| {
            let runtime = Runtime::new().unwrap();
            let store = runtime.block_on(open);
            let handle = runtime.handle().clone();
            std::mem::forget(runtime);
            Self { store, handle }
        });
        opened.join().unwrap()
    }
}

/// Runs a piece of work there. A paused clock stands still meanwhile, for a thread waits.
fn there<'a, T: Send + 'static>(
    handle: &Handle,
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> StoreFuture<'a, T> {
    let handle = handle.clone();
    Box::pin(async move { tokio::task::spawn_blocking(move || handle.block_on(work)).await.unwrap() })
}

/// A lease that is given back where it was taken.
struct Held(Option<Box<dyn Send + Sync>>, Handle);

impl Drop for Held {
    fn drop(&mut self) {
        let _there = self.1.enter();
        drop(self.0.take());
    }
}

impl TokenStore for Beside {
    fn load<'a>(&'a self, account: &'a AccountId) -> StoreFuture<'a, Kept> {
        let (store, account) = (self.store.clone(), account.clone());
        there(&self.handle, async move { store.load(&account).await })
    }

    fn save<'a>(
        &'a self,
        account: &'a AccountId,
        tokens: &'a TokenSet,
        over: Over,
    ) -> StoreFuture<'a, Saved> {
        let (store, account, tokens) = (self.store.clone(), account.clone(), tokens.clone());
        there(&self.handle, async move { store.save(&account, &tokens, over).await })
    }

    fn forget<'a>(&'a self, account: &'a AccountId) -> StoreFuture<'a, Version> {
        let (store, account) = (self.store.clone(), account.clone());
        there(&self.handle, async move { store.forget(&account).await })
    }

    fn list(&self) -> StoreFuture<'_, Vec<AccountId>> {
        let store = self.store.clone();
        there(&self.handle, async move { store.list().await })
    }

    fn lease<'a>(&'a self, account: &'a AccountId) -> StoreFuture<'a, Lease> {
        let (store, account, handle) = (self.store.clone(), account.clone(), self.handle.clone());
        there(&self.handle, async move {
            Ok(match store.lease(&account).await? {
                Lease::Ours { held, there } => {
                    Lease::Ours { held: Box::new(Held(Some(held), handle)), there }
                }
                Lease::Anothers => Lease::Anothers,
            })
        })
    }

    fn consents(&self) -> Arc<dyn ConsentStore> {
        Arc::new(Consents { consents: self.store.consents(), handle: self.handle.clone() })
    }
}

struct Consents {
    consents: Arc<dyn ConsentStore>,
    handle: Handle,
}

impl ConsentStore for Consents {
    fn begin<'a>(
        &'a self,
        state: &'a str,
        begun: BegunConsent,
        browser: Option<Browser>,
        lasts: Duration,
    ) -> StoreFuture<'a, ()> {
        let (consents, state) = (self.consents.clone(), state.to_owned());
        there(&self.handle, async move { consents.begin(&state, begun, browser, lasts).await })
    }

    fn take<'a>(&'a self, state: &'a str, by: Finisher) -> StoreFuture<'a, Taken> {
        let (consents, state) = (self.consents.clone(), state.to_owned());
        there(&self.handle, async move { consents.take(&state, by).await })
    }

    fn is_open<'a>(&'a self, state: &'a str) -> StoreFuture<'a, bool> {
        let (consents, state) = (self.consents.clone(), state.to_owned());
        there(&self.handle, async move { consents.is_open(&state).await })
    }
}
