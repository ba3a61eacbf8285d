//! The sandbox's token endpoint: every grant that waxseal asks for (RFC 6749 §5, RFC 7523, RFC 8628 §3.4).

use super::{
    assertion,
    oauth::{Parameters, json, refuse},
    provider::Shared,
    tokens::Device,
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use std::sync::Arc;
use url::form_urlencoded;

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const CLIENT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

pub(super) async fn token(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let (broken, invalid_grant) = shared.grants.count_request();
    if broken {
        return (StatusCode::INTERNAL_SERVER_ERROR, Html("<h1>500</h1> out of order")).into_response();
    }
    let parameters: Parameters = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let get = |name: &str| parameters.get(name).map_or("", String::as_str);
    // A service account is its own client.
    if get("grant_type") != JWT_BEARER && !client_is_known(&shared, &headers, &parameters) {
        return refuse(StatusCode::UNAUTHORIZED, "invalid_client", "client id or secret is wrong");
    }
    if invalid_grant {
        return refuse(StatusCode::BAD_REQUEST, "invalid_grant", "the grant has been withdrawn");
    }
    let no_good = |what: &str| refuse(StatusCode::BAD_REQUEST, "invalid_grant", what);
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
                return no_good("the code is not good");
            }
            Some(shared.grants.issue_refresh_token())
        }
        DEVICE_CODE => match shared.grants.take_device(get("device_code")) {
            Device::Unknown => return refuse(StatusCode::BAD_REQUEST, "expired_token", ""),
            Device::Undecided => return refuse(StatusCode::BAD_REQUEST, "authorization_pending", ""),
            Device::Denied => return refuse(StatusCode::BAD_REQUEST, "access_denied", "somebody said no"),
            Device::Approved => Some(shared.grants.issue_refresh_token()),
        },
        "refresh_token" => {
            if !shared
                .grants
                .use_refresh_token(get("refresh_token"), rotate.then_some(shared.options.rotation_grace))
            {
                return no_good("the refresh token is not good");
            }
            rotate.then(|| shared.grants.issue_refresh_token())
        }
        JWT_BEARER => {
            let claims = assertion::claims(&shared, get("assertion"));
            if claims.is_none_or(|claims| claims["sub"] != shared.options.username.as_str()) {
                return no_good("the assertion is not good");
            }
            None
        }
        // Without a proof anybody could say that it is this client (RFC 6749 §4.4).
        "client_credentials" if is_public(&shared) => {
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

fn is_public(shared: &Shared) -> bool {
    shared.options.client_secret.is_none() && shared.options.assertion_key.is_none()
}

/// `client_secret_basic`, `client_secret_post` (RFC 6749 §2.3.1), or `private_key_jwt` (RFC 7523 §2.2).
pub(super) fn client_is_known(shared: &Shared, headers: &HeaderMap, parameters: &Parameters) -> bool {
    let given = |name: &str| parameters.get(name).map_or("", String::as_str);
    if given("client_assertion_type") == CLIENT_ASSERTION {
        return assertion::claims(shared, given("client_assertion"))
            .is_some_and(|claims| claims["sub"] == shared.options.client_id.as_str());
    }
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
        && match &shared.options.client_secret {
            Some(wanted) => secret.as_ref() == Some(wanted),
            // Who is known by a key has to show it.
            None => shared.options.assertion_key.is_none(),
        }
}
