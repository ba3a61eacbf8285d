//! Who may in: by the session of a browser, or by the admin token. A session's forms carry its word (CSRF), and what a
//! form brings is read here, so that no page can forget to look.

use super::{
    fields::Fields,
    frame::{Frame, show},
};
use crate::admin::{doors::SESSION_LASTS, http::Web};
use askama::Template;
use axum::{
    body::to_bytes,
    extract::{Extension, RawQuery, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use std::time::Instant;

/// The cookie of a session.
const COOKIE: &str = "waxseal";
/// Octets that a form may have.
const LARGEST: usize = 256 * 1024;

/// Somebody who has been let in.
#[derive(Clone)]
pub(super) enum Visitor {
    /// A browser, by its cookie; its forms carry the word.
    Browser { cookie: String, csrf: String },
    /// A program, by the admin token in each request.
    Program,
}

impl Visitor {
    /// The word that this visitor's forms carry.
    pub(super) fn csrf(&self) -> &str {
        match self {
            Self::Browser { csrf, .. } => csrf,
            Self::Program => "",
        }
    }

    /// The cookie of the session.
    pub(super) fn cookie(&self) -> Option<&str> {
        match self {
            Self::Browser { cookie, .. } => Some(cookie),
            Self::Program => None,
        }
    }
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    problem: Option<&'static str>,
}

/// The cookie that a browser brings.
pub(super) fn cookie_of(headers: &HeaderMap) -> Option<String> {
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned())
}

/// Lets in whoever has shown who they are, with what their form brought.
pub(super) async fn admit(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let visitor = if authorization.is_some_and(|given| web.token.is_in(given)) {
        Some(Visitor::Program)
    } else {
        let cookie = cookie_of(headers);
        cookie.and_then(|cookie| {
            let csrf = web.service.doors.csrf(&cookie, Instant::now())?;
            Some(Visitor::Browser { cookie, csrf })
        })
    };
    let Some(visitor) = visitor else { return login_form(&web, StatusCode::UNAUTHORIZED, None) };
    let fields = if request.method() == Method::POST {
        if !is_from_here(request.headers()) {
            return forged();
        }
        let body = std::mem::take(request.body_mut());
        let Ok(octets) = to_bytes(body, LARGEST).await else {
            return (StatusCode::PAYLOAD_TOO_LARGE, "the form is too large\n").into_response();
        };
        let fields = Fields::parse(&octets);
        if matches!(&visitor, Visitor::Browser { csrf, .. } if fields.raw("csrf") != csrf) {
            return forged();
        }
        fields
    } else {
        Fields::parse(request.uri().query().unwrap_or_default().as_bytes())
    };
    request.extensions_mut().insert(visitor);
    request.extensions_mut().insert(fields);
    next.run(request).await
}

/// Browsers say from which site a form comes; one from elsewhere is never let through, whatever it brings.
fn is_from_here(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let site = text(header::HeaderName::from_static("sec-fetch-site"));
    if site.is_some_and(|site| site != "same-origin") {
        return false;
    }
    match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, from)| from == host),
        _ => true,
    }
}

fn forged() -> Response {
    let text =
        "this form was not sent by a page of this console, or its session has ended: open the page again\n";
    (StatusCode::FORBIDDEN, text).into_response()
}

fn login_form(web: &Web, status: StatusCode, problem: Option<&'static str>) -> Response {
    let frame = Frame::outside(web, "", "Log in");
    let mut response = show(status, &LoginPage { frame, problem });
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The login page; with a key of `waxseal admin-url`, the login.
pub(super) async fn login_page(State(web): State<Web>, RawQuery(query): RawQuery) -> Response {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    if fields.get("key").is_empty() {
        return login_form(&web, StatusCode::OK, None);
    }
    match web.service.doors.redeem(fields.get("key"), Instant::now()) {
        Some(cookie) => let_in(&web, &cookie, fields.get("to")),
        None => login_form(
            &web,
            StatusCode::FORBIDDEN,
            Some(
                "This link has been used already, or is older than ten minutes: run waxseal admin-url again.",
            ),
        ),
    }
}

/// The login by the admin token.
pub(super) async fn login(State(web): State<Web>, headers: HeaderMap, body: String) -> Response {
    if !is_from_here(&headers) {
        return forged();
    }
    let fields = Fields::parse(body.as_bytes());
    if !web.token.is(fields.get("token")) {
        return login_form(&web, StatusCode::FORBIDDEN, Some("This is not the token in admin.token."));
    }
    match web.service.doors.enter(Instant::now()) {
        Some(cookie) => let_in(&web, &cookie, ""),
        None => login_form(&web, StatusCode::SERVICE_UNAVAILABLE, Some("The system gives no randomness.")),
    }
}

/// Goes on to a page of ours, with the cookie of the new session.
fn let_in(web: &Web, cookie: &str, to: &str) -> Response {
    tracing::info!(target: "waxseal::admin", "console login");
    let to = if to.starts_with('/') && !to.starts_with("//") && !to.contains('\\') { to } else { "/" };
    let mut response = Redirect::to(to).into_response();
    set_cookie(web, &mut response, cookie, SESSION_LASTS.as_secs());
    response
}

fn set_cookie(web: &Web, response: &mut Response, cookie: &str, lasts: u64) {
    let snapshot = web.service.live.get();
    let secure = snapshot.config.admin.as_ref().is_some_and(|admin| admin.public_url.scheme() == "https");
    let secure = if secure { "; Secure" } else { "" };
    // Lax: a strict one would not come along when a provider's page, or a link in a chat, leads back here.
    let cookie = format!("{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Lax; Max-Age={lasts}{secure}");
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
}

/// Ends the session.
pub(super) async fn logout(State(web): State<Web>, Extension(visitor): Extension<Visitor>) -> Response {
    if let Some(cookie) = visitor.cookie() {
        web.service.doors.leave(cookie, Instant::now());
    }
    let mut response = Redirect::to("/login").into_response();
    set_cookie(&web, &mut response, "", 0);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_form_from_elsewhere_is_known() {
        let cases: &[(&[(&'static str, &str)], bool)] = &[
            (&[("host", "localhost:8025")], true),
            (&[("host", "localhost:8025"), ("origin", "http://localhost:8025")], true),
            (&[("host", "localhost:8025"), ("origin", "http://evil.example")], false),
            (&[("host", "localhost:8025"), ("origin", "null")], false),
            (&[("host", "localhost:8025"), ("sec-fetch-site", "cross-site")], false),
            (&[("host", "localhost:8025"), ("sec-fetch-site", "same-site")], false),
            (&[("host", "localhost:8025"), ("sec-fetch-site", "same-origin")], true),
        ];
        for (fields, want) in cases {
            assert_eq!(is_from_here(&headers(fields)), *want, "{fields:?}");
        }
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let found = cookie_of(&headers(&[("cookie", "a=b; waxseal=x-y_z; c=d")]));
        assert_eq!(found.as_deref(), Some("x-y_z"));
        assert_eq!(cookie_of(&headers(&[("cookie", "waxsealed=x")])), None);
    }
}
