//! An account whose smarthost is the sandbox, in this process, and its mail.
#![allow(dead_code, reason = "every test binary takes what it needs")]
#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use bytes::Bytes;
use secrecy::ExposeSecret;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};
use waxseal::{
    account::{
        Account, AccountId, AccountType, Client, ClientProof, Delivery, Grant, Login, OAuthLogin, Pacing,
        PasswordMechanism, SecurityMode, SenderPolicy, Server, SignIn, SignInWay, TokenMechanism,
        token::{AccessToken, NoToken},
    },
    mail::{BodyType, Content, ContentSource, ForwardPath, QueueId, ReversePath},
    oauth::{AccessTokenFuture, TokenSource},
    outbound::{Attempt, Upstream},
    sandbox::{SandboxOptions, SandboxProvider, SandboxSecurity},
};

/// Hands out a list of tokens one after the other; the last one again and again.
#[derive(Default)]
pub struct Tokens {
    pub list: Mutex<Vec<String>>,
    pub none: Option<NoToken>,
    pub refused: AtomicUsize,
}

impl Tokens {
    pub fn list(tokens: &[&str]) -> Arc<Self> {
        Arc::new(Self {
            list: Mutex::new(tokens.iter().map(|token| (*token).to_owned()).collect()),
            ..Self::default()
        })
    }

    pub fn refusals(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }
}

impl TokenSource for Tokens {
    fn access_token<'a>(&'a self, _account: &'a AccountId) -> AccessTokenFuture<'a> {
        Box::pin(async move {
            match (&self.none, self.list.lock().unwrap().first()) {
                (Some(none), _) => Err(none.clone()),
                (None, token) => Ok(AccessToken {
                    secret: token.cloned().unwrap_or_default().into(),
                    expires_at: SystemTime::now() + Duration::from_secs(3600),
                }),
            }
        })
    }

    fn refused(&self, _account: &AccountId, token: &AccessToken) {
        self.refused.fetch_add(1, Ordering::SeqCst);
        let mut list = self.list.lock().unwrap();
        if list.len() > 1 && list[0] == token.secret.expose_secret() {
            list.remove(0);
        }
    }
}

/// A sandbox, and an account that fits it.
pub struct Bench {
    pub sandbox: SandboxProvider,
    pub account: Account,
    pub directory: tempfile::TempDir,
}

impl Bench {
    pub async fn start(options: SandboxOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sandbox = SandboxProvider::start(options).await.unwrap();
        let ca_file = directory.path().join("ca.pem");
        sandbox.write_ca(&ca_file).unwrap();
        let options = sandbox.options();
        let account = Account {
            id: AccountId::new("support"),
            name: "support".to_owned(),
            description: String::new(),
            active: true,
            application: None,
            kind: AccountType::Basic,
            domains: Vec::new(),
            senders: Vec::new(),
            default: true,
            server: Server {
                host: "127.0.0.1".to_owned(),
                port: sandbox.smtp_address().port(),
                security: match options.security {
                    SandboxSecurity::None => SecurityMode::None,
                    SandboxSecurity::StartTls => SecurityMode::StartTls,
                    SandboxSecurity::Tls => SecurityMode::Tls,
                },
                allow_plaintext_authentication: false,
                certificate_validation: true,
                ca_file: Some(ca_file),
            },
            login: Login::Password {
                username: options.username.clone(),
                password: options.password.clone().into(),
                mechanism: PasswordMechanism::Auto,
            },
            sender: SenderPolicy::Keep,
            pacing: Pacing {
                max_connections: 3,
                rate_limit: None,
                daily_recipients: None,
                max_recipients_per_message: None,
            },
            delivery: Delivery::Queue,
        };
        Self { sandbox, account, directory }
    }

    pub async fn ordinary() -> Self {
        Self::start(SandboxOptions::default()).await
    }

    pub fn with_oauth(mut self, kind: AccountType) -> Self {
        let options = self.sandbox.options();
        self.account.kind = kind;
        self.account.login = Login::OAuth(Box::new(OAuthLogin {
            username: options.username.clone(),
            mechanism: TokenMechanism::Auto,
            token_endpoint: self.sandbox.token_endpoint().parse().unwrap(),
            scope: String::new(),
            grant: Grant::SignIn(
                Client { id: options.client_id.clone(), proof: ClientProof::Nothing },
                SignIn {
                    way: SignInWay::Browser {
                        endpoint: self.sandbox.authorization_endpoint().parse().unwrap(),
                        parameters: Vec::new(),
                        device_endpoint: None,
                    },
                    first_refresh_token: None,
                },
            ),
        }));
        self
    }

    /// As [`Bench::with_oauth`], with one mechanism.
    pub fn with_oauth_by(self, mechanism: TokenMechanism) -> Self {
        let mut bench = self.with_oauth(AccountType::OAuth2);
        if let Login::OAuth(oauth) = &mut bench.account.login {
            oauth.mechanism = mechanism;
        }
        bench
    }

    pub fn upstream(&self) -> Upstream {
        self.upstream_with(Tokens::list(&[]))
    }

    pub fn upstream_with(&self, tokens: Arc<Tokens>) -> Upstream {
        Upstream::new(Arc::new(self.account.clone()), "relay.example".into(), tokens).unwrap()
    }
}

pub fn message(octets: &[u8]) -> Attempt {
    to(&["a@example.org"], octets)
}

pub fn to(recipients: &[&str], octets: &[u8]) -> Attempt {
    Attempt {
        queue_id: QueueId::new(1, 1),
        reverse_path: ReversePath::parse("support@example.com").unwrap(),
        recipients: recipients.iter().map(|r| ForwardPath::parse(r).unwrap()).collect(),
        body: BodyType::SevenBit,
        smtputf8: false,
        dsn: None,
        content: ContentSource::Memory(Content::new(Bytes::copy_from_slice(octets)).unwrap()).into(),
    }
}
