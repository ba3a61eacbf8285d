//! A token server that goes away and comes back, for the sandbox's mail server.

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::post};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};
use waxseal::sandbox::SandboxProvider;

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Good,
    /// Nothing listens on its port.
    Unreachable,
    /// 503, a page of HTML.
    Unavailable,
    /// It takes the request, and no answer comes for a minute.
    Slow,
}

/// A token endpoint in the runtime of the test, whose slowness is in simulated time.
pub struct TokenServer {
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
    serving: Option<JoinHandle<()>>,
    endpoint: Arc<Endpoint>,
}

struct Endpoint {
    mode: watch::Receiver<Mode>,
    provider: Arc<SandboxProvider>,
    life: Duration,
    granted: AtomicUsize,
    holding: AtomicUsize,
}

impl TokenServer {
    pub async fn start(provider: Arc<SandboxProvider>, life: Duration) -> Self {
        let (mode, current) = watch::channel(Mode::Good);
        let (granted, holding) = Default::default();
        let endpoint = Arc::new(Endpoint { mode: current, provider, life, granted, holding });
        let mut server = Self { address: ([127, 0, 0, 1], 0).into(), mode, serving: None, endpoint };
        server.becomes(Mode::Good).await;
        server
    }

    pub async fn becomes(&mut self, mode: Mode) {
        self.mode.send_replace(mode);
        if mode == Mode::Unreachable {
            if let Some(serving) = self.serving.take() {
                serving.abort();
                let _ = serving.await;
            }
        } else if self.serving.is_none() {
            let listener = tokio::net::TcpListener::bind(self.address).await.unwrap();
            self.address = listener.local_addr().unwrap();
            let router = Router::new().route("/token", post(token)).with_state(self.endpoint.clone());
            self.serving = Some(tokio::spawn(async move {
                let _ = axum::serve(listener, router).await;
            }));
        }
    }

    /// Tokens handed out so far.
    pub fn granted(&self) -> usize {
        self.endpoint.granted.load(Ordering::Relaxed)
    }

    /// Whether somebody waits for an answer that does not come.
    pub fn holds(&self) -> bool {
        self.endpoint.holding.load(Ordering::Relaxed) > 0
    }
}

async fn token(State(endpoint): State<Arc<Endpoint>>) -> impl IntoResponse {
    let mode = *endpoint.mode.borrow();
    if mode == Mode::Slow {
        let _held = Held::new(&endpoint.holding);
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    if mode != Mode::Good {
        return (StatusCode::SERVICE_UNAVAILABLE, "<h1>503</h1>".to_owned());
    }
    endpoint.granted.fetch_add(1, Ordering::Relaxed);
    // The mail server takes it for a real hour: for the client it ends when it was told that it does.
    let token = endpoint.provider.grants().issue_access_token(Duration::from_secs(3600));
    let life = endpoint.life.as_secs();
    let answer = format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{life}}}"#);
    (StatusCode::OK, answer)
}

/// Counts a request as held until whoever asked has gone.
struct Held<'a>(&'a AtomicUsize);

impl<'a> Held<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
