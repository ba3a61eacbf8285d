//! One account's refresh, from the first look at the store to the token on disk. Runs as a task of its own under
//! the account's flight lock, so that a caller that gives up cannot lose a rotated token.

use super::{
    answer::TokenTrouble,
    client::{Granted, same},
    standing::Entry,
    tokens::Shared,
    turn::Turn,
};
use crate::{
    account::{
        AccountType, Grant, OAuthLogin, SignIn,
        token::{AccessToken, Consent, NoToken, TokenSet, life},
    },
    store::{Kept, Over, Saved, StoreError},
};
use secrecy::SecretString;
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// Whose tokens are kept, after one's own were to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Ours,
    Anothers,
}

/// How eager a refresh is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Eagerness {
    /// A caller wants a token: one from memory will do.
    IfNeeded,
    /// The refresher: ahead of the end, but not within a back-off.
    Ahead,
    /// The operator: at once, whatever went before.
    Now,
}

impl Shared {
    /// Gets an access token; the flight lock is held by the caller.
    pub(super) async fn renew(&self, entry: &Entry, eagerness: Eagerness) -> Result<AccessToken, NoToken> {
        self.load(entry).await.map_err(|error| self.failed(entry, store_trouble(&error)))?;
        if let Some(answer) = self.enough(entry, eagerness) {
            return answer;
        }
        let turn = self.turn(entry, eagerness).await;
        let _held = match turn.map_err(|error| self.failed(entry, store_trouble(&error)))? {
            Turn::Ours(held) => held,
            Turn::Anothers(answer) => return answer,
        };
        if entry.standing().unsaved {
            self.save(entry).await.map_err(|error| self.failed(entry, store_trouble(&error)))?;
            let usable = entry.standing().usable(self.now());
            if let Some(token) = usable.filter(|_| eagerness != Eagerness::Now) {
                return Ok(self.available(entry, token));
            }
        }
        self.ask(entry).await
    }

    /// The answer from what is known already; `None`: ask.
    pub(super) fn enough(&self, entry: &Entry, eagerness: Eagerness) -> Option<Result<AccessToken, NoToken>> {
        let standing = entry.standing();
        let (now, instant) = (self.now(), Instant::now());
        match eagerness {
            // Those who waited for the lock mostly find it done.
            Eagerness::IfNeeded => standing.answer(now, instant),
            Eagerness::Ahead => match standing.due(now, instant, entry.jitter) {
                Some(wait) if wait.is_zero() => None,
                _ => standing.answer(now, instant),
            },
            Eagerness::Now => (!standing.has_grant()).then(|| Err(standing.unauthorized())),
        }
    }

    /// Asks with every refresh token that may work, the one in force first.
    async fn ask(&self, entry: &Entry) -> Result<AccessToken, NoToken> {
        let account = entry.standing().account.clone();
        let Some(login) = account.oauth() else { return Err(entry.standing().unauthorized()) };
        let Grant::SignIn(client, sign_in) = &login.grant else {
            return self.ask_in_its_own_name(entry, login).await;
        };
        let mut tried: Vec<SecretString> = Vec::new();
        let mut rejection = None;
        while let Some(token) = self.candidate(entry, sign_in, &tried).await {
            match self.client.refresh(login, client, &token, account.kind == AccountType::Microsoft).await {
                Ok(granted) => return self.adopt(entry, &token, granted).await,
                Err(trouble @ TokenTrouble::Rejected { .. }) => {
                    info!(account = %entry.id, reason = %trouble, known = tried.len() + 1, "refresh token refused");
                    // The first is about the token in force, and says most.
                    rejection.get_or_insert(trouble);
                    tried.push(token);
                }
                Err(trouble) => return Err(self.failed(entry, trouble)),
            }
        }
        Err(match rejection {
            Some(rejection) => self.failed(entry, rejection),
            None => entry.standing().unauthorized(),
        })
    }

    /// Asks where nobody signs in. No grant can die there: whatever is refused, it is the client or the service account
    /// that is refused, and its settings are the operator's to mend.
    async fn ask_in_its_own_name(&self, entry: &Entry, login: &OAuthLogin) -> Result<AccessToken, NoToken> {
        let asked = match &login.grant {
            Grant::ClientCredentials(client) => self.client.client_credentials(login, client).await,
            Grant::ServiceAccount(account) => self.client.service_account(login, account).await,
            Grant::SignIn(..) => return Err(entry.standing().unauthorized()),
        };
        let granted = match asked {
            Ok(granted) => granted,
            Err(TokenTrouble::Rejected { reason }) => {
                return Err(self.failed(entry, TokenTrouble::Operator { reason }));
            }
            Err(trouble) => return Err(self.failed(entry, trouble)),
        };
        let now = self.now();
        let token = AccessToken { secret: granted.access_token, expires_at: now + life(granted.expires_in) };
        {
            let mut standing = entry.standing();
            // A consent of before is kept: the operator may come back to it.
            let consent = standing.tokens.take().and_then(|before| before.consent);
            standing.tokens = Some(TokenSet {
                consent,
                access_token: Some((token.secret.clone(), token.expires_at)),
                in_its_own_name: true,
                refreshed_at: now,
            });
        }
        match self.save(entry).await {
            Ok(Whose::Ours) => {}
            Ok(Whose::Anothers) => return self.anothers(entry),
            // A token that is not on disk is asked for again after a restart, and that is all.
            Err(error) => warn!(account = %entry.id, %error, "the access token cannot be kept"),
        }
        info!(account = %entry.id, rotated = false, "token refreshed");
        Ok(self.available(entry, token))
    }

    /// The next refresh token that has not been tried: in force, previous, the store's own, the configuration's.
    async fn candidate(
        &self,
        entry: &Entry,
        sign_in: &SignIn,
        tried: &[SecretString],
    ) -> Option<SecretString> {
        let untried = |token: &SecretString| !tried.iter().any(|known| same(known, token));
        let from = |tokens: Option<&TokenSet>| {
            let consent = tokens?.consent.as_ref()?;
            let known = [Some(&consent.refresh_token), consent.previous_refresh_token.as_ref()];
            known.into_iter().flatten().find(|token| untried(token)).cloned()
        };
        if let Some(token) = from(entry.standing().tokens.as_ref()) {
            return Some(token);
        }
        // Before a grant is declared dead the store is read again.
        if !tried.is_empty()
            && let Ok(there) = self.store.load(&entry.id).await
            && let Some(token) = from(there.tokens.as_ref())
        {
            entry.standing().version = there.version;
            return Some(token);
        }
        sign_in.first_refresh_token.clone().filter(untried)
    }

    /// Takes what the server granted, and puts it on disk before anybody uses it.
    async fn adopt(
        &self,
        entry: &Entry,
        used: &SecretString,
        granted: Granted,
    ) -> Result<AccessToken, NoToken> {
        let now = self.now();
        let ends_at = granted.refresh_token_expires_in.map(|left| now + life(Some(left)));
        let rotated = granted.refresh_token.filter(|new| !same(new, used));
        let is_rotated = rotated.is_some();
        let token = AccessToken { secret: granted.access_token, expires_at: now + life(granted.expires_in) };
        let needs_disk = {
            let mut standing = entry.standing();
            let before = standing.tokens.take();
            // Google keeps its refresh tokens: a full disk does not stop mail then.
            let before = before.and_then(|before| before.consent);
            let known = before.as_ref().is_some_and(|before| same(&before.refresh_token, used));
            standing.tokens = Some(TokenSet {
                consent: Some(Consent {
                    previous_refresh_token: rotated.is_some().then(|| used.clone()),
                    refresh_token: rotated.unwrap_or_else(|| used.clone()),
                    authorized_at: before.as_ref().map_or(now, |before| before.authorized_at),
                    rotated_at: before
                        .as_ref()
                        .filter(|_| !is_rotated)
                        .map_or(now, |before| before.rotated_at),
                    // A rotated token has a life of its own, and one that stays may have its end told anew.
                    ends_at: ends_at.or(before.filter(|_| !is_rotated).and_then(|before| before.ends_at)),
                }),
                access_token: Some((token.secret.clone(), token.expires_at)),
                in_its_own_name: false,
                refreshed_at: now,
            });
            standing.unsaved = true;
            is_rotated || !known
        };
        match self.save(entry).await {
            Ok(Whose::Ours) => {}
            Ok(Whose::Anothers) => return self.anothers(entry),
            Err(error) => {
                warn!(account = %entry.id, %error, "the refreshed tokens cannot be kept");
                if needs_disk {
                    return Err(self.failed(entry, store_trouble(&error)));
                }
                entry.standing().unsaved = false;
            }
        }
        info!(account = %entry.id, rotated = is_rotated, "token refreshed");
        Ok(self.available(entry, token))
    }

    /// The answer where another node's tokens have been taken.
    pub(super) fn anothers(&self, entry: &Entry) -> Result<AccessToken, NoToken> {
        let usable = entry.standing().usable(self.now());
        match usable {
            Some(token) => {
                entry.standing().works();
                self.signal(&entry.id);
                Ok(token)
            }
            None => Err(self.failed(entry, TokenTrouble::unavailable("another node has changed the tokens"))),
        }
    }

    /// Clears what went before and tells whoever waits for this account.
    pub(super) fn available(&self, entry: &Entry, token: AccessToken) -> AccessToken {
        {
            let mut standing = entry.standing();
            standing.works();
            standing.asked.granted += 1;
        }
        self.signal(&entry.id);
        token
    }

    pub(super) fn failed(&self, entry: &Entry, trouble: TokenTrouble) -> NoToken {
        let (why, news) = entry.standing().failed(trouble, Instant::now());
        match &why {
            // A server that is away for a day is told of once, not at every try.
            _ if !news => debug!(account = %entry.id, reason = %why, "still no access token"),
            NoToken::Unavailable { .. } => info!(account = %entry.id, reason = %why, "no access token"),
            _ => warn!(account = %entry.id, reason = %why, "no access token"),
        }
        if matches!(why, NoToken::Rejected { .. }) {
            self.signal(&entry.id);
        }
        why
    }

    /// Reads the store, where that has not been done yet.
    pub(super) async fn load(&self, entry: &Entry) -> Result<(), StoreError> {
        if entry.standing().loaded {
            return Ok(());
        }
        let there = self.store.load(&entry.id).await?;
        let mut standing = entry.standing();
        standing.loaded = true;
        standing.put(there);
        Ok(())
    }

    /// Puts the tokens in memory where they are kept, in place of those that they were obtained with. Where another node
    /// has put others there meanwhile, those are taken.
    pub(super) async fn save(&self, entry: &Entry) -> Result<Whose, StoreError> {
        let (tokens, version) = {
            let standing = entry.standing();
            (standing.tokens.clone(), standing.version)
        };
        let Some(tokens) = tokens else { return Ok(Whose::Ours) };
        match self.store.save(&entry.id, &tokens, Over::Version(version)).await? {
            Saved::Kept(version) => {
                let mut standing = entry.standing();
                standing.version = version;
                standing.unsaved = false;
                Ok(Whose::Ours)
            }
            Saved::Overtaken => {
                let there = self.store.load(&entry.id).await?;
                info!(account = %entry.id, "another node has put other tokens there meanwhile: those are taken");
                entry.standing().put(there);
                Ok(Whose::Anothers)
            }
        }
    }

    /// Keeps tokens that a person has just agreed to or brought, whatever was there.
    pub(super) async fn keep(&self, entry: &Entry, tokens: TokenSet) -> Result<(), StoreError> {
        let saved = self.store.save(&entry.id, &tokens, Over::Whatever).await?;
        let mut standing = entry.standing();
        if let Saved::Kept(version) = saved {
            standing.put(Kept { tokens: Some(tokens), version });
        }
        standing.loaded = true;
        Ok(())
    }

    /// A person agreed: their grant takes the place of any other once it is on disk.
    pub(super) async fn install(
        &self,
        entry: &Entry,
        granted: Granted,
        refresh_token: SecretString,
    ) -> Result<(), StoreError> {
        let now = self.now();
        let token = AccessToken { secret: granted.access_token, expires_at: now + life(granted.expires_in) };
        let tokens = TokenSet {
            consent: Some(Consent {
                refresh_token,
                previous_refresh_token: None,
                authorized_at: now,
                rotated_at: now,
                ends_at: granted.refresh_token_expires_in.map(|left| now + life(Some(left))),
            }),
            access_token: Some((token.secret.clone(), token.expires_at)),
            in_its_own_name: false,
            refreshed_at: now,
        };
        self.keep(entry, tokens).await?;
        info!(account = %entry.id, "account authorized");
        self.available(entry, token);
        Ok(())
    }
}

pub(super) fn store_trouble(error: &StoreError) -> TokenTrouble {
    TokenTrouble::unavailable(error.to_string())
}
