//! The sandbox's authorization server (RFC 6749, RFC 7636): plain HTTP on loopback, and its page for consent.

use super::{device, provider::Shared, token_endpoint, tokens::Code};
use axum::{
    Router,
    extract::{Query, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use std::{collections::HashMap, sync::Arc};
use tokio::net::TcpListener;
use url::{Url, form_urlencoded};

/// A query's or a form's fields.
pub(super) type Parameters = HashMap<String, String>;

/// Serves until it is aborted.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let router = Router::new()
        .route("/authorize", get(authorize))
        .route("/device", get(device::decide).post(device::begin))
        .route("/token", post(token_endpoint::token))
        .with_state(shared);
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

/// An error as RFC 6749 §5.2 has it.
pub(super) fn refuse(status: StatusCode, error: &str, description: &str) -> Response {
    json(status, &serde_json::json!({ "error": error, "error_description": description }))
}

/// An answer that nobody may keep.
pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, value.to_string()).into_response()
}
