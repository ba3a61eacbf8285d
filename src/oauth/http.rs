//! HTTP to token endpoints: TLS verified by the platform, no redirects, everything bounded.

use super::answer::TokenTrouble;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use url::{Host, Url};

const CONNECT: Duration = Duration::from_secs(10);
const TOTAL: Duration = Duration::from_secs(30);
const LARGEST_ANSWER: usize = 64 << 10;

/// Makes clients when they are needed. Token requests are rare, so nothing is kept between them: an idle daemon
/// holds neither connections nor the platform's root certificates.
#[derive(Debug, Default)]
pub(super) struct Http {
    /// For the world: https, and the environment's proxy (HTTPS_PROXY, NO_PROXY).
    world: Mutex<Weak<reqwest::Client>>,
    /// For plain http on loopback, which no proxy could reach.
    loopback: Mutex<Weak<reqwest::Client>>,
}

/// An answer, read whole.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Http {
    /// The client for this endpoint.
    pub(super) fn client(&self, endpoint: &Url) -> Result<Arc<reqwest::Client>, TokenTrouble> {
        let plain = match endpoint.scheme() {
            "https" => false,
            "http" if is_loopback(endpoint) => true,
            _ => {
                let reason = "the token endpoint must be https, or http on loopback".into();
                return Err(TokenTrouble::Operator { reason });
            }
        };
        let slot = if plain { &self.loopback } else { &self.world };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = slot.upgrade() {
            return Ok(client);
        }
        let client = build(plain).map(Arc::new).map_err(|error| {
            TokenTrouble::unavailable(format!("no HTTP client: {}", innermost(error.as_ref())))
        })?;
        *slot = Arc::downgrade(&client);
        Ok(client)
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

fn build(plain: bool) -> Result<reqwest::Client, Box<dyn Error>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let tls = if plain {
        tls.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
    } else {
        tls.with_platform_verifier()?.with_no_client_auth()
    };
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(!plain)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT)
        .timeout(TOTAL)
        .pool_max_idle_per_host(0)
        .user_agent(concat!("waxseal/", env!("CARGO_PKG_VERSION")));
    Ok(if plain { client.no_proxy() } else { client }.build()?)
}

/// Sends a request and reads its answer within the bounds.
pub(super) async fn send(
    client: &reqwest::Client,
    request: reqwest::Request,
) -> Result<Answer, TokenTrouble> {
    let host = request.url().host_str().unwrap_or_default().to_owned();
    let failed = |error: reqwest::Error| TokenTrouble::unavailable(describe(&host, &error));
    let mut response = client.execute(request).await.map_err(failed)?;
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let retry_after = retry_after.map(str::to_owned);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(TokenTrouble::unavailable(format!("{host} answers with more than 64 KiB")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status().as_u16(), retry_after, body })
}

fn describe(host: &str, error: &reqwest::Error) -> String {
    if error.is_timeout() {
        format!("{host} does not answer in time")
    } else if error.is_connect() {
        format!("no connection to {host}: {}", innermost(error))
    } else {
        format!("the request to {host} failed: {}", innermost(error))
    }
}

/// The first cause says most; reqwest's own words only repeat the URL.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
