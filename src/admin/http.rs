//! HTTP on the admin address: health, readiness, metrics, and the OAuth callback.

use super::{
    metrics::MEDIA_TYPE,
    service::{Health, Service},
    token::AdminToken,
};
use crate::oauth::{Authorized, Callback};
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use std::{future::Future, io, net::SocketAddr, sync::Arc, time::SystemTime};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[derive(Clone)]
struct Web {
    service: Arc<Service>,
    health: Health,
    token: AdminToken,
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
        .route("/oauth/callback", get(callback))
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
    let name = |host: &str| host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
    let known = host == web.address.to_string()
        || name(host) == "localhost"
        || (name(host) == web.address.ip().to_string() && !host.contains('['))
        || public.as_ref().and_then(|url| url.host_str()).is_some_and(|public| name(host) == public);
    if !known {
        return (StatusCode::MISDIRECTED_REQUEST, "unknown Host\n").into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (field, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(field, axum::http::HeaderValue::from_static(value));
    }
    response
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

/// Where providers send browsers back to (RFC 6749 §4.1.2).
async fn callback(State(web): State<Web>, uri: Uri) -> Response {
    let result = match Callback::from_query(uri.query().unwrap_or_default()) {
        Ok(callback) => web.service.finish(callback).await,
        Err(error) => Err(error.to_string()),
    };
    match result {
        Ok(Authorized { account, remark, .. }) => {
            let remark = remark.map_or_else(String::new, |remark| format!(" But note: {remark}."));
            let text = format!("The account {account} is authorized.{remark} You can close this page.");
            page(StatusCode::OK, "Tokens generated", &text)
        }
        Err(problem) => {
            page(StatusCode::BAD_REQUEST, "Not authorized", &format!("{problem}. Nothing was changed."))
        }
    }
}

fn page(status: StatusCode, title: &str, text: &str) -> Response {
    let (title, text) = (escape(title), escape(text));
    let body = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title} · waxseal</title>\
         <style>:root{{color-scheme:light dark}}body{{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;\
         margin:4rem auto;padding:0 1rem}}</style><main><h1>{title}</h1><p>{text}</p></main></html>\n"
    );
    (status, Html(body)).into_response()
}

/// Text for HTML: a provider's error text is a stranger's.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_stays_text() {
        assert_eq!(escape("<script>'\"&"), "&lt;script&gt;&#39;&quot;&amp;");
    }
}
