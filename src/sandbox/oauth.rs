//! The sandbox's authorization server (RFC 6749, RFC 7636): plain HTTP on loopback.

use super::{provider::Shared, tokens::Code};
use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use std::{collections::HashMap, sync::Arc};
use tokio::net::TcpListener;
use url::{Url, form_urlencoded};

type Parameters = HashMap<String, String>;

/// Serves until it is aborted.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let router =
        Router::new().route("/authorize", get(authorize)).route("/token", post(token)).with_state(shared);
    let _ = axum::serve(listener, router).await;
}

/// Shows the consent page; approved, it sends the browser back with a code.
async fn authorize(State(shared): State<Arc<Shared>>, Query(parameters): Query<Parameters>) -> Response {
    let get = |name: &str| parameters.get(name).map_or("", String::as_str);
    let redirect_uri = get("redirect_uri");
    let registered = shared.options.redirect_uri.as_deref();
    let known = match (registered, Url::parse(redirect_uri)) {
        (Some(registered), Ok(_)) => registered == redirect_uri,
        (None, Ok(url)) => matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")),
        (_, Err(_)) => false,
    };
    if get("client_id") != shared.options.client_id || !known {
        return (StatusCode::BAD_REQUEST, "unknown client_id or redirect_uri").into_response();
    }
    let answer = if get("response_type") != "code" {
        vec![("error", "unsupported_response_type".to_owned())]
    } else if get("code_challenge_method") != "S256" || get("code_challenge").is_empty() {
        vec![
            ("error", "invalid_request".to_owned()),
            ("error_description", "PKCE S256 is required".to_owned()),
        ]
    } else if get("decision") == "deny" {
        vec![("error", "access_denied".to_owned())]
    } else if get("decision") == "approve" || shared.options.auto_approve {
        let code = Code {
            challenge: get("code_challenge").to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            client_id: get("client_id").to_owned(),
        };
        vec![("code", shared.grants.add_code(code))]
    } else {
        return Html(page(&shared, &parameters)).into_response();
    };
    let Ok(mut location) = Url::parse(redirect_uri) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    location.query_pairs_mut().extend_pairs(answer);
    if let Some(state) = parameters.get("state") {
        location.query_pairs_mut().append_pair("state", state);
    }
    (StatusCode::FOUND, [(header::LOCATION, location.to_string())]).into_response()
}

/// A page with two links; everything in them is percent-encoded, so nothing can break out of the markup.
fn page(shared: &Shared, parameters: &Parameters) -> String {
    let link = |decision: &str| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters.iter().filter(|(name, _)| *name != "decision"));
        query.append_pair("decision", decision);
        query.finish().replace('&', "&amp;")
    };
    let user = shared.options.username.replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<!doctype html><meta charset=\"utf-8\"><title>Sandbox provider</title>\
         <h1>Sandbox provider</h1><p>waxseal asks to send mail as <b>{user}</b>.</p>\
         <p><a id=\"approve\" href=\"/authorize?{}\">Approve</a> \
         <a id=\"deny\" href=\"/authorize?{}\">Deny</a></p>",
        link("approve"),
        link("deny")
    )
}

async fn token(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let (broken, invalid_grant) = shared.grants.count_request();
    if broken {
        return (StatusCode::INTERNAL_SERVER_ERROR, Html("<h1>500</h1> out of order")).into_response();
    }
    let parameters: Parameters = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let get = |name: &str| parameters.get(name).map_or("", String::as_str);
    if !client_is_known(&shared, &headers, &parameters) {
        return refuse(StatusCode::UNAUTHORIZED, "invalid_client", "client id or secret is wrong");
    }
    if invalid_grant {
        return refuse(StatusCode::BAD_REQUEST, "invalid_grant", "the grant has been withdrawn");
    }
    let rotate = shared.options.rotate;
    let refresh = match get("grant_type") {
        "authorization_code" => {
            let redeemed = shared.grants.take_code(get("code")).is_some_and(|code| {
                let digest = ring::digest::digest(&ring::digest::SHA256, get("code_verifier").as_bytes());
                code.challenge == URL_SAFE_NO_PAD.encode(digest)
                    && code.redirect_uri == get("redirect_uri")
                    && code.client_id == shared.options.client_id
            });
            if !redeemed {
                return refuse(StatusCode::BAD_REQUEST, "invalid_grant", "the code is not good");
            }
            Some(shared.grants.issue_refresh_token())
        }
        "refresh_token" => {
            if !shared
                .grants
                .use_refresh_token(get("refresh_token"), rotate.then_some(shared.options.rotation_grace))
            {
                return refuse(StatusCode::BAD_REQUEST, "invalid_grant", "the refresh token is not good");
            }
            rotate.then(|| shared.grants.issue_refresh_token())
        }
        // Without a secret anybody could say that it is this client (RFC 6749 §4.4).
        "client_credentials" if shared.options.client_secret.is_none() => {
            return refuse(StatusCode::BAD_REQUEST, "unauthorized_client", "the client has no secret");
        }
        "client_credentials" => None,
        _ => return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type", ""),
    };
    let mut answer = serde_json::json!({
        "access_token": shared.grants.issue_access_token(shared.options.expires_in),
        "token_type": "Bearer",
        "expires_in": shared.options.expires_in.as_secs(),
    });
    if let Some(refresh) = refresh {
        answer["refresh_token"] = refresh.into();
    }
    json(StatusCode::OK, &answer)
}

/// `client_secret_basic` or `client_secret_post` (RFC 6749 §2.3.1).
fn client_is_known(shared: &Shared, headers: &HeaderMap, parameters: &Parameters) -> bool {
    let basic = headers.get(header::AUTHORIZATION).and_then(|value| {
        let pair = STANDARD.decode(value.to_str().ok()?.strip_prefix("Basic ")?).ok()?;
        let pair = String::from_utf8(pair).ok()?;
        let (id, secret) = pair.split_once(':')?;
        let plain = |text: &str| {
            // Both halves are form-encoded before they are joined.
            let decoded = form_urlencoded::parse(text.as_bytes()).next();
            decoded.map(|(name, _)| name.into_owned()).unwrap_or_default()
        };
        Some((plain(id), Some(plain(secret))))
    });
    let (id, secret) = basic.unwrap_or_else(|| {
        let id = parameters.get("client_id").cloned().unwrap_or_default();
        (id, parameters.get("client_secret").cloned())
    });
    id == shared.options.client_id
        && shared.options.client_secret.as_ref().is_none_or(|wanted| secret.as_ref() == Some(wanted))
}

fn refuse(status: StatusCode, error: &str, description: &str) -> Response {
    json(status, &serde_json::json!({ "error": error, "error_description": description }))
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, value.to_string()).into_response()
}
