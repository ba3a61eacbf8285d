//! The sandbox's device authorization endpoint (RFC 8628 §3.1) and the page where a person decides.

use super::{
    oauth::{Parameters, json, refuse},
    provider::Shared,
    token_endpoint::client_is_known,
};
use axum::{
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use std::sync::Arc;
use url::form_urlencoded;

/// Gives out a device code and what a person types.
pub(super) async fn begin(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let parameters: Parameters = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    if !client_is_known(&shared, &headers, &parameters) {
        return refuse(StatusCode::UNAUTHORIZED, "invalid_client", "client id or secret is wrong");
    }
    let (device_code, user_code) = shared.grants.add_device(shared.options.auto_approve);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let page = format!("http://{host}/device");
    let answer = serde_json::json!({
        "device_code": device_code,
        "user_code": user_code,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={user_code}"),
        "expires_in": 600,
        "interval": 1,
    });
    json(StatusCode::OK, &answer)
}

/// Takes a person's `decision` about a `user_code`.
pub(super) async fn decide(
    State(shared): State<Arc<Shared>>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let get = |name: &str| parameters.get(name).map_or("", String::as_str);
    let decision = match get("decision") {
        "approve" => true,
        "deny" => false,
        _ => return "add &decision=approve or &decision=deny\n".into_response(),
    };
    if shared.grants.decide(get("user_code"), decision) {
        "done\n".into_response()
    } else {
        (StatusCode::NOT_FOUND, "no such code\n").into_response()
    }
}
