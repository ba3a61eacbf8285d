//! What is known of one account's grant. No I/O; time is an argument.

use super::answer::TokenTrouble;
use crate::account::{
    Account, AccountId, OAuthLogin,
    token::{AccessToken, NoToken, TokenSet, TokenState, backoff},
};
use crate::store::{Kept, Version};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// Forced refreshes are at least so far apart: a mail server that refuses every token must not hammer the
/// authorization server.
const BETWEEN_FORCED: Duration = Duration::from_secs(60);

/// An account, its grant, and the right to refresh it.
pub(super) struct Entry {
    pub(super) id: AccountId,
    /// Held by whoever talks to the token endpoint for this account; fair.
    pub(super) flight: Arc<tokio::sync::Mutex<()>>,
    /// Spreads refreshes, from 0 to 1.
    pub(super) jitter: f64,
    standing: Mutex<Standing>,
}

/// The grant's standing.
pub(super) struct Standing {
    pub(super) account: Arc<Account>,
    /// False while the store could not be read.
    pub(super) loaded: bool,
    pub(super) tokens: Option<TokenSet>,
    /// Which ones those are that the tokens in memory came from.
    pub(super) version: Version,
    /// The tokens in memory are newer than the store's.
    pub(super) unsaved: bool,
    /// The server's last word on this grant.
    pub(super) rejected: Option<String>,
    /// The last failure that was not final.
    pub(super) trouble: Option<String>,
    /// That failure is the operator's to mend.
    misconfigured: bool,
    /// What the log was told last, until a grant works again.
    told: Option<String>,
    failures: u32,
    not_before: Option<Instant>,
    forced_at: Option<Instant>,
    /// What token requests came to, since the start.
    pub(super) asked: Asked,
}

/// What token requests came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// A token came.
    pub granted: u64,
    /// The grant was refused.
    pub rejected: u64,
    /// The client was refused.
    pub misconfigured: u64,
    /// No answer that says anything.
    pub unavailable: u64,
}

impl Entry {
    pub(super) fn new(account: Account) -> Self {
        Self {
            id: account.id.clone(),
            flight: Arc::default(),
            jitter: fastrand::f64(),
            standing: Mutex::new(Standing {
                account: Arc::new(account),
                loaded: false,
                tokens: None,
                version: Version::default(),
                unsaved: false,
                rejected: None,
                trouble: None,
                misconfigured: false,
                told: None,
                failures: 0,
                not_before: None,
                forced_at: None,
                asked: Asked::default(),
            }),
        }
    }

    /// Never held across an await.
    pub(super) fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    pub(super) fn login(&self) -> Option<&OAuthLogin> {
        self.account.oauth()
    }

    /// An access token from memory, or the reason why asking now would be wrong; `None`: ask.
    pub(super) fn answer(&self, now: SystemTime, instant: Instant) -> Option<Result<AccessToken, NoToken>> {
        // A rotated token that is not on disk yet is not used; what is asked for then is the disk.
        if !self.unsaved
            && let Some(token) = self.usable(now)
        {
            return Some(Ok(token));
        }
        if let Some(reason) = &self.rejected {
            return Some(Err(NoToken::Rejected {
                account: self.account.id.to_string(),
                reason: reason.clone(),
            }));
        }
        if self.loaded && !self.has_grant() {
            return Some(Err(self.unauthorized()));
        }
        self.wait(instant).map(|retry_after| {
            let reason = self.trouble.clone().unwrap_or_else(|| "refreshing".into());
            Err(self.no_token(reason, retry_after))
        })
    }

    /// The access token, while it may be given out.
    pub(super) fn usable(&self, now: SystemTime) -> Option<AccessToken> {
        self.fitting()?.usable(now)
    }

    /// The tokens, where their access token is one of the grant that is configured: the operator may have set another.
    fn fitting(&self) -> Option<&TokenSet> {
        let in_its_own_name = self.login().is_some_and(|login| login.sign_in().is_none());
        self.tokens.as_ref().filter(|tokens| tokens.in_its_own_name == in_its_own_name)
    }

    fn no_token(&self, reason: String, retry_after: Duration) -> NoToken {
        if self.misconfigured {
            NoToken::Misconfigured { account: self.account.id.to_string(), reason }
        } else {
            NoToken::Unavailable { reason, retry_after }
        }
    }

    pub(super) fn unauthorized(&self) -> NoToken {
        NoToken::Unauthorized { account: self.account.id.to_string() }
    }

    pub(super) fn has_grant(&self) -> bool {
        let consent = self.tokens.as_ref().and_then(|tokens| tokens.consent.as_ref());
        self.login().is_some_and(|login| match login.sign_in() {
            Some(sign_in) => consent.is_some() || sign_in.first_refresh_token.is_some(),
            // The client itself is the grant.
            None => true,
        })
    }

    /// Takes what is kept.
    pub(super) fn put(&mut self, there: Kept) {
        self.tokens = there.tokens;
        self.version = there.version;
        self.unsaved = false;
    }

    /// Takes what another node has kept, where it is not known yet; then nothing that went before counts.
    pub(super) fn catch_up(&mut self, there: Kept) -> bool {
        let news = there.version != self.version;
        if news {
            self.put(there);
            self.works();
        }
        news
    }

    /// What is left of the back-off.
    pub(super) fn wait(&self, instant: Instant) -> Option<Duration> {
        let left = self.not_before?.saturating_duration_since(instant);
        (!left.is_zero()).then_some(left)
    }

    /// Whether the refresher should take it up; else the time until then.
    pub(super) fn due(&self, now: SystemTime, instant: Instant, jitter: f64) -> Option<Duration> {
        if self.rejected.is_some() || self.loaded && !self.has_grant() {
            return None;
        }
        if let Some(wait) = self.wait(instant) {
            return Some(wait);
        }
        match &self.tokens {
            Some(tokens) if !self.unsaved && self.usable(now).is_some() => {
                Some(tokens.renew_at(jitter).duration_since(now).unwrap_or_default())
            }
            _ => Some(Duration::ZERO),
        }
    }

    /// Notes a failure; gives the answer for whoever waits, and whether it is news.
    pub(super) fn failed(&mut self, trouble: TokenTrouble, instant: Instant) -> (NoToken, bool) {
        let why = self.judged(trouble, instant);
        let told = self.told.replace(match &why {
            // The wait changes from time to time, the reason does not.
            NoToken::Unavailable { reason, .. } => reason.clone(),
            why => why.to_string(),
        });
        let news = told != self.told;
        (why, news)
    }

    fn judged(&mut self, trouble: TokenTrouble, instant: Instant) -> NoToken {
        self.failures = self.failures.saturating_add(1);
        match &trouble {
            TokenTrouble::Rejected { .. } => self.asked.rejected += 1,
            TokenTrouble::Operator { .. } => self.asked.misconfigured += 1,
            TokenTrouble::Unavailable { .. } => self.asked.unavailable += 1,
        }
        self.misconfigured = matches!(trouble, TokenTrouble::Operator { .. });
        let (reason, wait) = match trouble {
            TokenTrouble::Rejected { reason } => {
                self.rejected = Some(reason.clone());
                self.trouble = None;
                return NoToken::Rejected { account: self.account.id.to_string(), reason };
            }
            TokenTrouble::Operator { reason } => {
                // Slowly: only a change of settings cures it, and that starts afresh.
                (reason, backoff(u32::MAX, fastrand::f64(), None))
            }
            TokenTrouble::Unavailable { reason, retry_after } => {
                (reason, backoff(self.failures, fastrand::f64(), retry_after))
            }
        };
        self.trouble = Some(reason.clone());
        self.not_before = Some(instant + wait);
        self.no_token(reason, wait)
    }

    /// A grant works: nothing that went before counts.
    pub(super) fn works(&mut self) {
        self.rejected = None;
        self.told = None;
        self.pardon();
    }

    /// The back-off is over; what went wrong last is still what is known.
    pub(super) fn ask_again(&mut self) {
        self.failures = 0;
        self.not_before = None;
    }

    /// Ask again at once, as if nothing had gone wrong.
    pub(super) fn pardon(&mut self) {
        self.trouble = None;
        self.misconfigured = false;
        self.failures = 0;
        self.not_before = None;
    }

    /// The mail server refused the access token in force: it is dropped, and a new one may be asked for once a
    /// minute.
    pub(super) fn refused(&mut self, instant: Instant) {
        if let Some(tokens) = &mut self.tokens {
            tokens.access_token = None;
        }
        match self.forced_at.map(|at| at + BETWEEN_FORCED) {
            Some(next) if next > instant => {
                self.trouble = Some("the mail server refuses tokens just obtained".into());
                self.not_before = Some(self.not_before.map_or(next, |before| before.max(next)));
            }
            _ => self.forced_at = Some(instant),
        }
    }

    pub(super) fn state(&self, now: SystemTime) -> TokenState {
        if let Some(reason) = &self.rejected {
            return TokenState::Rejected { reason: reason.clone() };
        }
        if self.loaded && !self.has_grant() {
            return TokenState::Unauthorized;
        }
        match self.fitting().and_then(|tokens| tokens.access_token.as_ref()) {
            Some((_, expires_at)) if *expires_at > now => TokenState::Valid { expires_at: *expires_at },
            _ => TokenState::Refreshing { trouble: self.trouble.clone() },
        }
    }
}
