//! Generate Tokens as operators ask for it: by a browser that comes back, by a pasted URL, by a link for another
//! machine, by device.

use super::{
    protocol::{Answer, Consent},
    service::{self, CONFIGURATION, FAILED, Service, TEMPORARY, done, failed},
};
use crate::{
    account::{AccountId, SignIn, SignInWay},
    oauth::{AuthorizeError, Authorized, BY_LINK, Callback, DeviceSignIn, WAITED_FOR},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};
use url::{Host, Url};

/// Where a callback comes back to while `[admin]` is off: nobody listens there, the URL is pasted.
const DEFAULT_PUBLIC_URL: &str = "http://localhost:8025/";

/// Between two looks at whether this node is done with a consent itself.
const LOOK: Duration = Duration::from_secs(1);

type Tell = oneshot::Sender<Result<Authorized, String>>;

/// Who waits for a consent, by its state.
#[derive(Default)]
pub(super) struct Waiting(Mutex<HashMap<String, Waiter>>);

struct Waiter {
    tell: Tell,
    /// Browsers and pasted addresses that this node is finishing it with.
    at_it: usize,
}

impl Waiting {
    fn add(&self, state: String, tell: Tell) {
        self.lock().insert(state, Waiter { tell, at_it: 0 });
    }

    fn take(&self, state: &str) -> Option<Tell> {
        self.lock().remove(state).map(|waiter| waiter.tell)
    }

    /// This node is finishing it, until the answer is dropped.
    fn begin<'a>(&'a self, state: &'a str) -> AtIt<'a> {
        self.lock().get_mut(state).into_iter().for_each(|waiter| waiter.at_it += 1);
        AtIt { waiting: self, state }
    }

    fn is_idle(&self, state: &str) -> bool {
        self.lock().get(state).is_some_and(|waiter| waiter.at_it == 0)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Waiter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct AtIt<'a> {
    waiting: &'a Waiting,
    state: &'a str,
}

impl Drop for AtIt<'_> {
    fn drop(&mut self) {
        let mut waiting = self.waiting.lock();
        waiting
            .get_mut(self.state)
            .into_iter()
            .for_each(|waiter| waiter.at_it = waiter.at_it.saturating_sub(1));
    }
}

/// A consent that is waited for. It is withdrawn with its end, however that comes.
struct Awaited<'a> {
    service: &'a Service,
    state: String,
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.service.waiting.take(&self.state);
        let (tokens, state) = (self.service.tokens.clone(), std::mem::take(&mut self.state));
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { tokens.abandon(&state).await });
        }
    }
}

impl Service {
    /// Finishes a consent whose browser came back with this cookie, or with none, and tells whoever began it.
    ///
    /// # Errors
    /// A sentence for the person.
    pub async fn finish_in_browser(
        &self,
        callback: Callback,
        cookie: Option<&str>,
    ) -> Result<Authorized, String> {
        let state = callback.state.clone();
        self.finish(&state, self.tokens.finish_in_browser(callback, cookie, self.prover.clone())).await
    }

    async fn finish(
        &self,
        state: &str,
        finishing: impl Future<Output = Result<Authorized, AuthorizeError>>,
    ) -> Result<Authorized, String> {
        let _at_it = self.waiting.begin(state);
        let finished = finishing.await;
        // Of two that come with one address at once, the one that finds it taken has nothing to tell.
        let tells_nothing =
            |error: &AuthorizeError| error.leaves_it_open() || matches!(error, AuthorizeError::UnknownState);
        let is_over = !finished.as_ref().is_err_and(tells_nothing);
        let result = finished.map_err(|error| error.to_string());
        if is_over && let Some(tell) = self.waiting.take(state) {
            let _ = tell.send(result.clone());
        }
        result
    }

    /// The address that providers send browsers back to.
    pub fn redirect_uri(&self) -> Option<Url> {
        let snapshot = self.live.get();
        let base = match &snapshot.config.admin {
            Some(admin) => admin.public_url.clone(),
            None => DEFAULT_PUBLIC_URL.parse().ok()?,
        };
        let path = format!("{}/oauth/callback", base.path().trim_end_matches('/'));
        let mut url = base;
        url.set_path(&path);
        Some(url)
    }

    /// Begins a consent, for the browser with this cookie or for any; the other half is what tells of its end.
    async fn begin(
        &self,
        id: &str,
        lasts: Duration,
        cookie: Option<&str>,
    ) -> Result<(Consent, String), Answer> {
        let account = self.oauth_account(id)?;
        let redirect = self.redirect_uri().ok_or_else(|| failed(FAILED, "public_url is no base URL"))?;
        let begun = match cookie {
            Some(cookie) => self.tokens.begin_in_browser(&account.id, &redirect, lasts, cookie).await,
            None => self.tokens.begin(&account.id, &redirect, lasts).await,
        };
        let begun = begun.map_err(refused)?;
        let consent = Consent {
            url: begun.url.to_string(),
            redirect_uri: redirect.to_string(),
            user_code: None,
            lasts: begun.lasts.as_secs(),
        };
        Ok((consent, begun.state))
    }

    /// Waits until a person has signed in: by device where that is wished or the account's grant, else in a browser.
    pub(super) async fn authorize(&self, id: &str, device: bool, progress: &mpsc::Sender<Answer>) -> Answer {
        let account = match self.oauth_account(id) {
            Ok(account) => account,
            Err(answer) => return answer,
        };
        let sign_in = account.oauth().and_then(|login| login.sign_in());
        if device || matches!(sign_in, Some(SignIn { way: SignInWay::Device { .. }, .. })) {
            return self.authorize_by_device(&account.id, progress).await;
        }
        let (consent, state) = match self.begin(id, WAITED_FOR, None).await {
            Ok(begun) => begun,
            Err(answer) => return answer,
        };
        let (tell, told) = oneshot::channel();
        self.waiting.add(state.clone(), tell);
        let elsewhere = self.finished_elsewhere(&account.id, &state);
        let _awaited = Awaited { service: self, state: state.clone() };
        if let Err(answer) = show(&consent, progress).await {
            return answer;
        }
        let took_too_long = || failed(TEMPORARY, AuthorizeError::TookTooLong.to_string());
        tokio::select! {
            told = told => match told {
                Ok(Ok(authorized)) => self.authorized(authorized),
                Ok(Err(problem)) => failed(FAILED, problem),
                Err(_) => took_too_long(),
            },
            finished = elsewhere => match finished {
                Ok(authorized) => self.authorized(authorized),
                Err(error) => refused(error),
            },
            () = tokio::time::sleep(Duration::from_secs(consent.lasts)) => took_too_long(),
            () = progress.closed() => nobody_waits(),
        }
    }

    /// Waits until another node has finished the consent that was begun here with this state.
    fn finished_elsewhere(
        &self,
        account: &AccountId,
        state: &str,
    ) -> impl Future<Output = Result<Authorized, AuthorizeError>> {
        let finished = self.tokens.finished_elsewhere(account, state);
        let (account, state) = (account.clone(), state.to_owned());
        async move {
            finished.await?;
            // Where this node is at it itself, that tells more.
            while !self.waiting.is_idle(&state) {
                tokio::time::sleep(LOOK).await;
            }
            let remark =
                Some("another node finished this sign-in; what it has to remark is in its log".to_owned());
            Ok(Authorized { account, proved: false, remark })
        }
    }

    /// Begins a consent in the browser of the console with this cookie, which alone may come back with it.
    pub(super) async fn begin_in_browser(
        &self,
        account: &AccountId,
        cookie: &str,
    ) -> Result<Consent, String> {
        let begun = self.begin(account.as_str(), WAITED_FOR, Some(cookie)).await;
        begun.map(|(consent, _)| consent).map_err(sentence)
    }

    /// Begins a consent by device, and waits for it in the background: the account's state tells how it went.
    pub(super) async fn begin_by_device(self: &Arc<Self>, account: &AccountId) -> Result<Consent, String> {
        let begun = self.tokens.begin_device(account).await.map_err(|error| error.to_string())?;
        let consent = by_device(&begun);
        let service = self.clone();
        tokio::spawn(async move { service.tokens.finish_device(begun, service.prover.clone()).await });
        Ok(consent)
    }

    /// A link for somebody on another machine, for whom nobody waits here.
    pub(super) async fn authorize_by_link(&self, id: &str) -> Answer {
        let redirect = self.redirect_uri();
        let host = redirect.as_ref().and_then(|url| url.host());
        let only_here = match host {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => true,
        };
        let configuration = &self.live.get().config;
        if only_here || configuration.admin.is_none() {
            return failed(
                CONFIGURATION,
                "a link for another machine comes back to [admin] public_url, which only this host reaches: set it to \
                 the https address under which others reach the console, and register that address with \
                 /oauth/callback at the provider; or use --paste or --device",
            );
        }
        match self.begin(id, BY_LINK, None).await {
            Ok((consent, _)) => done(consent),
            Err(answer) => answer,
        }
    }

    pub(super) async fn authorize_by_paste(&self, url: &str) -> Answer {
        match Callback::parse(url) {
            Ok(callback) => {
                let state = callback.state.clone();
                let finishing = self.tokens.finish(callback, self.prover.clone());
                match self.finish(&state, finishing).await {
                    Ok(authorized) => self.authorized(authorized),
                    Err(problem) => failed(FAILED, problem),
                }
            }
            Err(error) => failed(FAILED, error.to_string()),
        }
    }

    async fn authorize_by_device(&self, account: &AccountId, progress: &mpsc::Sender<Answer>) -> Answer {
        let begun = match self.tokens.begin_device(account).await {
            Ok(begun) => begun,
            Err(error) => return refused(error),
        };
        if let Err(answer) = show(&by_device(&begun), progress).await {
            return answer;
        }
        tokio::select! {
            finished = self.tokens.finish_device(begun, self.prover.clone()) => match finished {
                Ok(authorized) => self.authorized(authorized),
                Err(error) => refused(error),
            },
            () = progress.closed() => nobody_waits(),
        }
    }

    fn authorized(&self, authorized: Authorized) -> Answer {
        match self.oauth_account(authorized.account.as_str()) {
            Ok(account) => {
                let mut view = self.view(&account);
                // The lane hears of it in a moment; its trouble is that of before.
                if authorized.proved && account.active {
                    view.state = "ready".to_owned();
                    (view.last_error, view.remedy) = (None, None);
                }
                view.remark = authorized.remark;
                done(view)
            }
            Err(answer) => answer,
        }
    }
}

fn by_device(begun: &DeviceSignIn) -> Consent {
    Consent {
        url: begun.complete_uri.clone().unwrap_or_else(|| begun.verification_uri.clone()),
        redirect_uri: String::new(),
        user_code: Some(begun.user_code.clone()),
        lasts: begun.lasts.as_secs(),
    }
}

fn sentence(answer: Answer) -> String {
    match answer.into_sentence() {
        Ok(sentence) | Err(sentence) => sentence,
    }
}

async fn show(consent: &Consent, progress: &mpsc::Sender<Answer>) -> Result<(), Answer> {
    progress.send(service::progress(consent)?).await.map_err(|_| nobody_waits())
}

fn nobody_waits() -> Answer {
    failed(FAILED, "nobody waits for the consent")
}

fn refused(error: AuthorizeError) -> Answer {
    let code = match &error {
        AuthorizeError::TookTooLong => TEMPORARY,
        AuthorizeError::NotNow(error) if error.is_away() => TEMPORARY,
        _ => FAILED,
    };
    failed(code, error.to_string())
}
