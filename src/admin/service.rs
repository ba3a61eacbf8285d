//! What can be asked of the daemon, whoever asks: the control socket today, the console after it.

use super::{
    authorize::Waiting,
    doors::Doors,
    protocol::{Answer, ListenerView, RateView, Request, StatusView, StoreView},
    reloads::{Refusal, Reload, Reloads},
};
use crate::{
    account::{Account, AccountId, Login},
    config::{ListenerSettings, LiveConfig},
    database::Database,
    mail::Timestamp,
    meter::{Sums, unix_millis},
    oauth::{Prover, Tokens},
    outbound::Upstream,
    queue::Queue,
    spool::Spool,
};
use serde::de::DeserializeOwned;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Instant, SystemTime},
};
use tokio::sync::mpsc;

/// Exit codes of sysexits.h and the contract.
pub(super) const FAILED: u8 = 1;
pub(super) const UNAVAILABLE: u8 = 69;
pub(super) const TEMPORARY: u8 = 75;
pub(super) const CONFIGURATION: u8 = 78;

/// Whether mail can come in and be kept, with the reasons where not.
pub type Health = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// The upstream of an account: `Err` says why an active one has none, `None` is an inactive one.
pub type UpstreamOf = Arc<dyn Fn(&AccountId) -> Option<Result<Arc<Upstream>, String>> + Send + Sync>;

/// Everything that operators can ask for.
pub struct Service {
    /// The configuration in force.
    pub live: LiveConfig,
    /// The queue.
    pub queue: Queue,
    /// The tokens.
    pub tokens: Tokens,
    reloads: Reloads,
    /// Upstreams by account.
    pub upstreams: UpstreamOf,
    /// When the daemon started.
    pub started_at: SystemTime,
    /// Tries tokens just obtained.
    pub(super) prover: Arc<dyn Prover>,
    /// Who waits for a consent, by its state.
    pub(super) waiting: Waiting,
    /// Who may in to the console.
    pub(super) doors: Doors,
    /// The main configuration file, where it is not in the default place.
    pub(super) main_file: Option<PathBuf>,
    /// What this node shares with others, where it does.
    pub(super) database: Option<Database>,
    /// One edit of the configuration at a time.
    pub(super) editing: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Service")
    }
}

pub(super) fn failed(exit_code: u8, message: impl Into<String>) -> Answer {
    Answer::Failed { message: message.into(), exit_code }
}

pub(super) fn done(value: impl serde::Serialize) -> Answer {
    match serde_json::to_value(value) {
        Ok(value) => Answer::Done(value),
        Err(error) => failed(FAILED, format!("the answer cannot be written: {error}")),
    }
}

pub(super) fn progress(value: impl serde::Serialize) -> Result<Answer, Answer> {
    let value = serde_json::to_value(value);
    value.map(Answer::Progress).map_err(|error| failed(FAILED, format!("it cannot be written: {error}")))
}

impl Service {
    /// Joins the parts.
    pub fn new(
        live: LiveConfig,
        queue: Queue,
        tokens: Tokens,
        reload: Reload,
        upstreams: UpstreamOf,
        prover: Arc<dyn Prover>,
        main_file: Option<PathBuf>,
    ) -> Self {
        Self {
            live,
            queue,
            tokens,
            reloads: Reloads::new(reload),
            upstreams,
            started_at: SystemTime::now(),
            prover,
            waiting: Waiting::default(),
            doors: Doors::default(),
            main_file,
            database: None,
            editing: tokio::sync::Mutex::default(),
        }
    }

    /// With the database that this node shares with others.
    pub fn sharing(self, database: Option<Database>) -> Self {
        Self { database, ..self }
    }

    /// Re-reads the configuration. What comes of it `status` knows, too, until a later one goes through.
    ///
    /// # Errors
    /// What is wrong with the new one; the old one stays.
    pub async fn reload(&self) -> Result<String, Refusal> {
        self.reloads.reload().await
    }

    /// A sentence about the last reload, where it was refused.
    pub fn refused_reload(&self) -> Option<String> {
        self.reloads.warning()
    }

    /// Asks on behalf of a page, what has no progress: what is `done`, as its view.
    ///
    /// # Errors
    /// The sentence for the operator.
    pub(super) async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, String> {
        let (progress, _unheard) = mpsc::channel(1);
        match self.answer(request, &progress).await {
            Answer::Done(value) => serde_json::from_value(value).map_err(|error| error.to_string()),
            Answer::Failed { message, .. } => Err(message),
            Answer::Progress(_) => Err("the answer has no end".to_owned()),
        }
    }

    /// A link that logs a browser in, once.
    fn admin_url(&self) -> Answer {
        let snapshot = self.live.get();
        let Some(admin) = &snapshot.config.admin else {
            let why = "there is no console, for [admin] address is \"off\": set it to \"127.0.0.1:8025\"";
            return failed(CONFIGURATION, why);
        };
        match self.doors.key(Instant::now()) {
            Some(key) => done(format!("{}/login?key={key}", admin.public_url.as_str().trim_end_matches('/'))),
            None => failed(TEMPORARY, "the system gives no randomness"),
        }
    }

    /// Answers a request; `progress` takes what comes before the last answer.
    pub async fn answer(&self, request: Request, progress: &mpsc::Sender<Answer>) -> Answer {
        match request {
            Request::AccountList => done(self.accounts()),
            Request::AccountShow { id } => match self.account(&id) {
                Ok(account) => done(self.view(&account)),
                Err(answer) => answer,
            },
            Request::Authorize { id, link: true, .. } => self.authorize_by_link(&id).await,
            Request::Authorize { id, device, .. } => self.authorize(&id, device, progress).await,
            Request::AuthorizePaste { url } => self.authorize_by_paste(&url).await,
            Request::AccountRefresh { id } => match self.oauth_account(&id) {
                Ok(account) => match self.tokens.refresh_now(&account.id).await {
                    Ok(_) => self.shown(&account.id),
                    Err(error) => failed(TEMPORARY, error.to_string()),
                },
                Err(answer) => answer,
            },
            Request::AccountForget { id } => match self.oauth_account(&id) {
                Ok(account) => match self.tokens.forget(&account.id).await {
                    Ok(()) => self.shown(&account.id),
                    Err(error) => failed(FAILED, error.to_string()),
                },
                Err(answer) => answer,
            },
            Request::AccountExport { ids, passphrase } => self.export(&ids, passphrase).await,
            Request::AccountImport { parcel, passphrase, replace } => {
                self.import(parcel, passphrase, replace).await
            }
            Request::AccountTest { id, to } => self.test(&id, to.as_deref(), progress).await,
            Request::Doctor { ids } => self.doctor(&ids, progress).await,
            Request::QueueVerify => self.verify(progress).await,
            Request::QueueList { .. }
            | Request::QueueShow { .. }
            | Request::QueueChange { .. }
            | Request::Trace { .. } => self.of_queue(request, progress).await,
            Request::AdminUrl => self.admin_url(),
            Request::Status => self.status().await,
            Request::Reload => match self.reload().await {
                Ok(sentence) => done(sentence),
                Err(refusal) => failed(CONFIGURATION, refusal.text),
            },
        }
    }

    async fn status(&self) -> Answer {
        let snapshot = self.live.get();
        let mut warnings = snapshot.config.warnings.clone();
        warnings.extend(self.refused_reload());
        let accounts = self.accounts();
        for account in &accounts {
            if let Some(error) = &account.last_error {
                let remedy = account.remedy.as_deref().map(|r| format!(". {r}")).unwrap_or_default();
                warnings.push(format!("account {}: {error}{remedy}", account.id));
            }
        }
        if let Some(trouble) = self.queue.history().trouble() {
            warnings
                .push(format!("the history cannot be written: {trouble}. Mail goes on; look at the disk"));
        }
        let store = self.store().await;
        warnings.extend(store.iter().flat_map(StoreView::warnings));
        let kept_back = self.queue.kept_back();
        if kept_back > 0 {
            warnings.push(format!("{kept_back} failed messages wait to be told of in a digest: their senders have been told of ten others within the hour"));
        }
        let spool = Spool::new(&snapshot.config.spool);
        let aside = spool.count_aside();
        if aside > 0 {
            let place = spool.aside_directory();
            warnings.push(format!(
                "{aside} spooled messages could not be taken and are in {}: the log says why; move them to {} to try again",
                place.display(),
                spool.drop_directory().display()
            ));
        }
        for lane in self.queue.lanes() {
            if let Some(learned) = lane.learned {
                warnings.push(format!(
                    "account {}: its provider has asked for less, so for now {learned}",
                    lane.account
                ));
            }
        }
        done(StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: Timestamp::new(self.started_at).to_string(),
            listeners: snapshot.config.listeners.iter().map(|l| l.address.to_string()).collect(),
            listener_settings: snapshot.config.listeners.iter().map(|l| listener_view(l)).collect(),
            users: snapshot.config.users.all().len(),
            accounts,
            queue: self.queue.counts().into_iter().map(|(state, count)| (state.to_owned(), count)).collect(),
            queue_bytes: self.queue.octets(),
            rates: self.rates(),
            configured_at: Timestamp::new(self.reloads.in_force_since()).to_string(),
            refused_reload: self.reloads.refused(),
            store,
            warnings,
        })
    }

    /// What went through of late.
    fn rates(&self) -> BTreeMap<String, RateView> {
        let now = unix_millis();
        let [five_minutes, hour, day] =
            self.queue.meter().with_day(|day| [5, 60, 1440].map(|m| day.sums(now, m)));
        let rate = |of: fn(&Sums) -> u64| RateView {
            five_minutes: of(&five_minutes),
            hour: of(&hour),
            day: of(&day),
        };
        BTreeMap::from([
            ("received".to_owned(), rate(|sums| sums.received)),
            ("delivered".to_owned(), rate(|sums| sums.delivered)),
            ("deferred".to_owned(), rate(|sums| sums.deferred)),
            ("failed".to_owned(), rate(|sums| sums.failed)),
            ("rejected".to_owned(), rate(|sums| sums.rejected)),
        ])
    }

    pub(super) fn account(&self, id: &str) -> Result<Account, Answer> {
        let snapshot = self.live.get();
        snapshot.account(&AccountId::new(id)).cloned().ok_or_else(|| {
            let known: Vec<&str> = snapshot.config.accounts.iter().map(|a| a.id.as_str()).collect();
            failed(FAILED, format!("there is no account {id}; there are: {}", known.join(", ")))
        })
    }

    pub(super) fn oauth_account(&self, id: &str) -> Result<Account, Answer> {
        let account = self.account(id)?;
        match account.login {
            Login::OAuth(_) => Ok(account),
            _ => Err(failed(
                FAILED,
                format!("account {id} is of type {} and has no tokens", account.kind.as_str()),
            )),
        }
    }

    pub(super) fn shown(&self, id: &AccountId) -> Answer {
        match self.account(id.as_str()) {
            Ok(account) => done(self.view(&account)),
            Err(answer) => answer,
        }
    }
}

fn listener_view(listener: &ListenerSettings) -> ListenerView {
    ListenerView {
        address: listener.address.to_string(),
        tls: listener.tls.word().to_owned(),
        authentication: listener.authentication.word().to_owned(),
        application: listener.application.as_ref().map(ToString::to_string),
        words: listener.in_words(),
    }
}
