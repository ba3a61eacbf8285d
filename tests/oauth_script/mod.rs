//! A scripted authorization server on loopback, a store in memory, and an account that uses both.

#![allow(clippy::unwrap_used, dead_code, reason = "helpers of several test binaries")]

mod beside;
#[allow(clippy::duplicate_mod, reason = "some test binaries have `support`, too")]
#[path = "../support/events.rs"]
mod events;
pub mod rsa;
#[allow(clippy::duplicate_mod, reason = "some test binaries have `support`, too")]
#[path = "../support/server.rs"]
mod server;

use axum::{Router, body::Bytes, extract::State, http::StatusCode, response::IntoResponse};
use beside::Beside;
use secrecy::{ExposeSecret, SecretString};
use std::{
    collections::{HashMap, VecDeque},
    future::ready,
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, Mutex, atomic::AtomicBool, atomic::Ordering},
    time::{Duration, SystemTime},
};
use url::Url;
use waxseal::{
    account::{
        Account, AccountId, AccountType, Client, ClientProof, Delivery, Grant, Login, OAuthLogin, Pacing,
        SecurityMode, SenderPolicy, Server, SignIn, SignInWay, SigningKey, TokenMechanism,
        token::{AccessToken, Consent, NoToken, TokenSet, TokenState},
    },
    database::{Database, Settings},
    oauth::{Callback, Proof, ProofFuture, Prover, TokenSource, Tokens},
    store::{
        ConsentStore, Kept, Lease, Over, Saved, StoreError, StoreFuture, TokenStore, Version, consents_here,
    },
};

pub type Form = HashMap<String, String>;
/// What happened, in order, at server and store.
pub type Journal = Arc<Mutex<Vec<String>>>;

/// One scripted answer.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub header: (&'static str, &'static str),
    pub body: String,
    pub delay: Duration,
}

pub fn json(status: u16, body: &str) -> Answer {
    Answer { status, header: ("content-type", "application/json"), body: body.into(), delay: Duration::ZERO }
}

pub fn grants(access: &str, refresh: Option<&str>) -> Answer {
    let refresh = refresh.map(|token| format!(r#","refresh_token":"{token}""#)).unwrap_or_default();
    json(200, &format!(r#"{{"access_token":"{access}","token_type":"Bearer","expires_in":3600{refresh}}}"#))
}

pub fn invalid_grant() -> Answer {
    json(400, r#"{"error":"invalid_grant","error_description":"AADSTS700082: expired, canary-refresh"}"#)
}

#[derive(Clone)]
pub struct Provider {
    pub url: Url,
    pub answers: Arc<Mutex<VecDeque<Answer>>>,
    forms: Arc<Mutex<Vec<Form>>>,
    pub journal: Journal,
}

impl Provider {
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        events::record();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Self {
            url: format!("http://{}/token", listener.local_addr().unwrap()).parse().unwrap(),
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            forms: Arc::default(),
            journal: Arc::default(),
        };
        let app = Router::new().fallback(token).with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        provider
    }

    /// One that somebody else serves.
    pub fn at(address: std::net::SocketAddr) -> Self {
        Self {
            url: format!("http://{address}/token").parse().unwrap(),
            answers: Arc::default(),
            forms: Arc::default(),
            journal: Arc::default(),
        }
    }

    pub fn requests(&self) -> Vec<Form> {
        self.forms.lock().unwrap().clone()
    }

    pub fn refresh_tokens(&self) -> Vec<String> {
        self.requests().iter().filter_map(|form| form.get("refresh_token").cloned()).collect()
    }
}

async fn token(State(provider): State<Provider>, body: Bytes) -> impl IntoResponse {
    provider.forms.lock().unwrap().push(url::form_urlencoded::parse(&body).into_owned().collect());
    provider.journal.lock().unwrap().push("asked".into());
    let answer = provider.answers.lock().unwrap().pop_front().unwrap_or_else(|| json(500, "script over"));
    tokio::time::sleep(answer.delay).await;
    let mut response = (StatusCode::from_u16(answer.status).unwrap(), answer.body).into_response();
    response.headers_mut().insert(answer.header.0, answer.header.1.parse().unwrap());
    response
}

/// A store that notes what it is asked to keep, and can fail: in memory, or with PostgreSQL beneath it where
/// `WAXSEAL_TEST_POSTGRES` is a server's URL (`tests/interop/postgres.py`).
#[derive(Default)]
pub struct Memory {
    sets: Mutex<HashMap<AccountId, Kept>>,
    beneath: Option<Arc<dyn TokenStore>>,
    journal: Journal,
    pub full: AtomicBool,
}

impl Memory {
    fn new(journal: Journal) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = server::settings_for(directory.path());
        let beneath = settings.map(|settings| {
            let beside: Arc<dyn TokenStore> = Arc::new(Beside::new(postgresql(settings, directory)));
            beside
        });
        Self { journal, beneath, ..Self::default() }
    }

    /// Puts tokens there behind everybody's back.
    pub async fn put(&self, account: &AccountId, tokens: &TokenSet) {
        match &self.beneath {
            Some(beneath) => drop(beneath.save(account, tokens, Over::Whatever).await.unwrap()),
            None => drop(self.change(account, Some(tokens.clone()), Over::Whatever)),
        }
    }

    fn change(&self, account: &AccountId, tokens: Option<TokenSet>, over: Over) -> Option<Version> {
        let mut sets = self.sets.lock().unwrap();
        let kept = sets.entry(account.clone()).or_default();
        if matches!(over, Over::Version(version) if version != kept.version) {
            return None;
        }
        *kept = Kept { tokens, version: Version(kept.version.0 + 1) };
        Some(kept.version)
    }
}

/// A store in this directory's own database.
async fn postgresql(settings: Settings, directory: tempfile::TempDir) -> Arc<dyn TokenStore> {
    let key = directory.path().join("store.key");
    std::fs::write(&key, [7; 32]).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let database = Database::open(&settings).unwrap();
    waxseal::store::open_shared_with(database, directory.path(), None).unwrap()
}

impl TokenStore for Memory {
    fn load<'a>(&'a self, account: &'a AccountId) -> StoreFuture<'a, Kept> {
        match &self.beneath {
            Some(beneath) => beneath.load(account),
            None => Box::pin(ready(Ok(self.sets.lock().unwrap().get(account).cloned().unwrap_or_default()))),
        }
    }

    fn save<'a>(
        &'a self,
        account: &'a AccountId,
        tokens: &'a TokenSet,
        over: Over,
    ) -> StoreFuture<'a, Saved> {
        if self.full.load(Ordering::SeqCst) {
            return Box::pin(ready(Err(StoreError::Engine("disk full".into()))));
        }
        let shown =
            |token: Option<&SecretString>| token.map_or("-", |token| token.expose_secret()).to_owned();
        let consent = tokens.consent.as_ref();
        let previous = shown(consent.and_then(|consent| consent.previous_refresh_token.as_ref()));
        let line = format!("kept {} {previous}", shown(consent.map(|consent| &consent.refresh_token)));
        self.journal.lock().unwrap().push(line);
        match &self.beneath {
            Some(beneath) => beneath.save(account, tokens, over),
            None => {
                let changed = self.change(account, Some(tokens.clone()), over);
                Box::pin(ready(Ok(changed.map_or(Saved::Overtaken, Saved::Kept))))
            }
        }
    }

    fn forget<'a>(&'a self, account: &'a AccountId) -> StoreFuture<'a, Version> {
        match &self.beneath {
            Some(beneath) => beneath.forget(account),
            None => Box::pin(ready(Ok(self.change(account, None, Over::Whatever).unwrap()))),
        }
    }

    fn list(&self) -> StoreFuture<'_, Vec<AccountId>> {
        match &self.beneath {
            Some(beneath) => beneath.list(),
            None => {
                let sets = self.sets.lock().unwrap();
                let with_tokens = sets.iter().filter(|(_, kept)| kept.tokens.is_some());
                Box::pin(ready(Ok(with_tokens.map(|(account, _)| account.clone()).collect())))
            }
        }
    }

    fn consents(&self) -> Arc<dyn ConsentStore> {
        match &self.beneath {
            Some(beneath) => beneath.consents(),
            None => consents_here(),
        }
    }

    fn lease<'a>(&'a self, account: &'a AccountId) -> StoreFuture<'a, Lease> {
        match &self.beneath {
            Some(beneath) => beneath.lease(account),
            None => Box::pin(ready(Ok(Lease::Ours { held: Box::new(()), there: None }))),
        }
    }
}

pub fn id() -> AccountId {
    AccountId::new("support")
}

/// The client of every account here.
pub fn client() -> Client {
    Client {
        id: "client-1".into(),
        proof: ClientProof::Secret { secret: "canary-secret".into(), expires: None },
    }
}

pub fn account(provider: &Provider, first: Option<&str>) -> Account {
    Account {
        id: id(),
        name: "Support".into(),
        description: String::new(),
        active: true,
        application: None,
        kind: AccountType::Google,
        domains: Vec::new(),
        senders: Vec::new(),
        default: true,
        server: Server {
            host: "localhost".into(),
            port: 587,
            security: SecurityMode::StartTls,
            allow_plaintext_authentication: false,
            certificate_validation: true,
            ca_file: None,
        },
        login: Login::OAuth(Box::new(OAuthLogin {
            username: "support@example.com".into(),
            mechanism: TokenMechanism::Auto,
            token_endpoint: provider.url.clone(),
            scope: "https://mail.google.com/ offline_access".into(),
            grant: Grant::SignIn(
                client(),
                SignIn {
                    way: SignInWay::Browser {
                        endpoint: provider.url.join("/authorize").unwrap(),
                        parameters: vec![("access_type", "offline".into())],
                        device_endpoint: None,
                    },
                    first_refresh_token: first.map(SecretString::from),
                },
            ),
        })),
        sender: SenderPolicy::Keep,
        pacing: Pacing {
            max_connections: 1,
            rate_limit: None,
            daily_recipients: None,
            max_recipients_per_message: None,
        },
        delivery: Delivery::Queue,
    }
}

pub fn stale(refresh: &str, previous: Option<&str>) -> TokenSet {
    let long_ago = SystemTime::now() - Duration::from_secs(7200);
    TokenSet {
        consent: Some(Consent {
            refresh_token: refresh.into(),
            previous_refresh_token: previous.map(SecretString::from),
            authorized_at: long_ago,
            rotated_at: long_ago,
            ends_at: None,
        }),
        access_token: None,
        in_its_own_name: false,
        refreshed_at: long_ago,
    }
}

pub struct Bench {
    pub provider: Provider,
    pub store: Arc<Memory>,
    pub tokens: Tokens,
}

impl Bench {
    /// The account with this grant in the store, against this script.
    pub async fn new(stored: Option<TokenSet>, answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::with_first(stored, None, answers).await
    }

    pub async fn with_first(
        stored: Option<TokenSet>,
        first: Option<&str>,
        answers: impl IntoIterator<Item = Answer>,
    ) -> Self {
        let provider = Provider::start(answers).await;
        let store = Arc::new(Memory::new(provider.journal.clone()));
        if let Some(stored) = stored {
            store.put(&id(), &stored).await;
        }
        let tokens = Tokens::new(store.clone(), &[account(&provider, first)]).await;
        Self { provider, store, tokens }
    }

    pub async fn get(&self) -> Result<AccessToken, NoToken> {
        self.tokens.access_token(&id()).await
    }

    pub async fn got(&self) -> String {
        self.get().await.unwrap().secret.expose_secret().to_owned()
    }

    pub fn journal(&self) -> Vec<String> {
        self.provider.journal.lock().unwrap().clone()
    }

    pub fn state(&self) -> TokenState {
        self.tokens.state(&id())
    }
}

pub fn callback(state: &str, code: &str) -> Callback {
    Callback::from_query(&format!("code={code}&state={state}")).unwrap()
}

pub fn redirect() -> Url {
    "http://localhost:8025/oauth/callback".parse().unwrap()
}

/// The same account, whose client has tokens in its own name.
pub fn in_its_own_name(provider: &Provider) -> Account {
    let mut account = account(provider, None);
    if let Login::OAuth(login) = &mut account.login {
        login.grant = Grant::ClientCredentials(client());
        login.scope = "https://outlook.example/.default".into();
    }
    account
}

impl Bench {
    /// The account whose client has tokens in its own name, with this in the store.
    pub async fn unattended(stored: Option<TokenSet>, answers: impl IntoIterator<Item = Answer>) -> Self {
        let mut bench = Self::new(stored, answers).await;
        bench.restart(&in_its_own_name(&bench.provider)).await;
        bench
    }

    pub async fn restart(&mut self, account: &Account) {
        self.tokens = Tokens::new(self.store.clone(), std::slice::from_ref(account)).await;
    }
}

/// A mail server that says this of every token.
pub struct Says(pub Proof);

impl Prover for Says {
    fn prove<'a>(&'a self, _: &'a Account, _: &'a AccessToken) -> ProofFuture<'a> {
        Box::pin(std::future::ready(self.0.clone()))
    }
}

/// One that takes every token.
pub fn willing() -> Arc<dyn Prover> {
    Arc::new(Says(Proof::Works))
}

/// One that does not.
pub fn unwilling() -> Arc<dyn Prover> {
    Arc::new(Says(Proof::Refused("535 5.7.3 no".into())))
}

/// An RSA key that signs assertions.
pub fn rsa_key() -> SigningKey {
    SigningKey::from_der(&rsa::rsa(), &ring::rand::SystemRandom::new()).unwrap()
}
