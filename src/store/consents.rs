//! Consents that were begun and are not finished yet. Whoever knows the state of one may finish it, once; so what is kept
//! names a state by its digest alone.

use super::StoreFuture;
use crate::account::AccountId;
use ring::digest::{SHA256, digest};
use secrecy::SecretString;
use std::{
    collections::HashMap,
    future::ready,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use url::Url;

/// Consents of one host at once; the oldest makes room.
const MOST: usize = 64;

/// Keeps consents from their beginning to their end: in this process, or for several nodes.
pub trait ConsentStore: Send + Sync + 'static {
    /// Keeps a consent for `lasts`. Where `browser` is given, no other one may finish it.
    fn begin<'a>(
        &'a self,
        state: &'a str,
        begun: BegunConsent,
        browser: Option<Browser>,
        lasts: Duration,
    ) -> StoreFuture<'a, ()>;

    /// Takes a consent, which nobody can take after that. It stays where it is another browser's.
    fn take<'a>(&'a self, state: &'a str, by: Finisher) -> StoreFuture<'a, Taken>;

    /// Whether a consent can still be taken.
    fn is_open<'a>(&'a self, state: &'a str) -> StoreFuture<'a, bool>;
}

/// What has to be known to finish a consent.
pub struct BegunConsent {
    /// The account that it is for.
    pub account: AccountId,
    /// The PKCE verifier (RFC 7636 §4.1).
    pub verifier: SecretString,
    /// Where the provider sends the browser.
    pub redirect: Url,
}

/// A browser, by the digest of the word that it alone has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Browser(pub(super) Digest);

impl Browser {
    /// The browser that has this cookie.
    pub fn with(cookie: &str) -> Self {
        Self(digest_of(cookie))
    }
}

/// Who would finish a consent.
#[derive(Clone, Copy)]
pub enum Finisher {
    /// Somebody who may ask this host for anything.
    Operator,
    /// A browser, if it can be told from others.
    Browser(Option<Browser>),
}

impl Finisher {
    fn may_finish(self, of: Option<Browser>) -> bool {
        match self {
            Self::Operator => true,
            Self::Browser(browser) => of.is_none() || browser == of,
        }
    }
}

/// What became of a consent that was to be taken.
pub enum Taken {
    /// It is the caller's to finish.
    Begun(BegunConsent),
    /// Another browser set out with it.
    AnotherBrowsers,
    /// There is none: it never was, has been taken, or is too old.
    Unknown,
}

pub(super) type Digest = [u8; 32];

pub(super) fn digest_of(secret: &str) -> Digest {
    let mut octets = [0; 32];
    octets.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    octets
}

/// The consents of one process.
#[derive(Default)]
pub(super) struct Here(Mutex<HashMap<Digest, Kept>>);

struct Kept {
    begun: BegunConsent,
    browser: Option<Browser>,
    ends: Instant,
}

impl Here {
    /// Without what has ended.
    fn kept(&self) -> MutexGuard<'_, HashMap<Digest, Kept>> {
        let (mut kept, now) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        kept.retain(|_, one| one.ends > now);
        kept
    }
}

impl ConsentStore for Here {
    fn begin<'a>(
        &'a self,
        state: &'a str,
        begun: BegunConsent,
        browser: Option<Browser>,
        lasts: Duration,
    ) -> StoreFuture<'a, ()> {
        let mut kept = self.kept();
        if kept.len() >= MOST
            && let Some(oldest) = kept.iter().min_by_key(|(_, one)| one.ends).map(|(state, _)| *state)
        {
            kept.remove(&oldest);
        }
        kept.insert(digest_of(state), Kept { begun, browser, ends: Instant::now() + lasts });
        Box::pin(ready(Ok(())))
    }

    fn take<'a>(&'a self, state: &'a str, by: Finisher) -> StoreFuture<'a, Taken> {
        let (mut kept, state) = (self.kept(), digest_of(state));
        let taken = match kept.get(&state) {
            Some(one) if !by.may_finish(one.browser) => Taken::AnotherBrowsers,
            _ => kept.remove(&state).map_or(Taken::Unknown, |one| Taken::Begun(one.begun)),
        };
        Box::pin(ready(Ok(taken)))
    }

    fn is_open<'a>(&'a self, state: &'a str) -> StoreFuture<'a, bool> {
        let is_open = self.kept().contains_key(&digest_of(state));
        Box::pin(ready(Ok(is_open)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_consents_cost_the_oldest() {
        let here = Here::default();
        for number in 0..=MOST {
            let redirect = "http://localhost/".parse().unwrap();
            let begun = BegunConsent { account: AccountId::new("a"), verifier: "v".into(), redirect };
            here.begin(&number.to_string(), begun, None, Duration::from_secs(60)).await.unwrap();
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(!here.is_open("0").await.unwrap());
        assert!(here.is_open("1").await.unwrap() && here.is_open(&MOST.to_string()).await.unwrap());
    }
}
