//! HTTP on the admin address: health, readiness, metrics, the OAuth callback, and the console.

use super::{
    console,
    metrics::MEDIA_TYPE,
    service::{Health, Service},
    token::AdminToken,
};
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use std::{future::Future, io, net::SocketAddr, sync::Arc, time::SystemTime};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What all of it is made of.
#[derive(Clone)]
pub(super) struct Web {
    pub(super) service: Arc<Service>,
    pub(super) health: Health,
    pub(super) token: AdminToken,
    address: SocketAddr,
}

/// Serves HTTP on a listener that is bound already, until `stop`.
///
/// # Errors
/// Where the listener cannot be used.
pub fn serve_http(
    listener: TcpListener,
    service: Arc<Service>,
    health: Health,
    token: AdminToken,
    stop: CancellationToken,
) -> io::Result<impl Future<Output = ()> + Send + use<>> {
    let address = listener.local_addr()?;
    let web = Web { service, health, token, address };
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/oauth/callback", get(console::came_back))
        .merge(console::routes(&web))
        .layer(middleware::from_fn_with_state(web.clone(), guard))
        .with_state(web);
    Ok(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(target: "waxseal::admin", %error, "admin HTTP ended");
        }
    })
}

/// Host has to be the listening address, localhost or `public_url`'s: a name that an attacker made to resolve to
/// loopback (DNS rebinding) gets nothing, not even from health.
async fn guard(State(web): State<Web>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let public = web.service.live.get().config.admin.as_ref().map(|admin| admin.public_url.clone());
    let known = host == web.address.to_string()
        || name_of(host) == "localhost"
        || (name_of(host) == web.address.ip().to_string() && !host.contains('['))
        || public.as_ref().and_then(|url| url.host_str()).is_some_and(|public| name_of(host) == public);
    if !known {
        return (StatusCode::MISDIRECTED_REQUEST, "unknown Host\n").into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (field, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
             form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not "no-referrer": browsers would then send forms of ours with the origin "null".
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(field, axum::http::HeaderValue::from_static(value));
    }
    response
}

/// The name in a Host field, without its port.
pub(super) fn name_of(host: &str) -> String {
    host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase()
}

async fn ready(State(web): State<Web>) -> Response {
    let reasons = (web.health)();
    if reasons.is_empty() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", reasons.join("\n"))).into_response()
    }
}

/// For whoever has the admin token.
async fn metrics(State(web): State<Web>, headers: HeaderMap) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !web.token.is_in(given) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        let text = "the token in state_dir/admin.token is asked for: Authorization: Bearer TOKEN\n";
        return (StatusCode::UNAUTHORIZED, challenge, text).into_response();
    }
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], web.service.metrics(SystemTime::now())).into_response()
}
