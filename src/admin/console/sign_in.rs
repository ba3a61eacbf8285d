//! Generate Tokens: out to the provider's page, and back.

use super::{
    entrance::{Visitor, cookie_of},
    frame::{Frame, go, problem, segment, show},
};
use crate::{
    account::{AccountId, SignIn, SignInWay},
    admin::{
        http::{Web, name_of},
        protocol::Consent,
    },
    oauth::{Authorized, Callback},
};
use askama::Template;
use axum::{
    extract::{Extension, Path, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::Response,
};
use std::time::Instant;

/// On the way to the provider. A page, since browsers let no form be answered by another site (`form-action`).
#[derive(Template)]
#[template(path = "sign_in.html")]
struct Out {
    frame: Frame,
    account: String,
    address: String,
    consent: Consent,
    provider: String,
    /// The page goes on by itself.
    at_once: bool,
}

/// The console has to be open at the address that the provider sends browsers back to.
#[derive(Template)]
#[template(path = "elsewhere.html")]
struct Elsewhere {
    frame: Frame,
    account: String,
    url: String,
    place: String,
}

/// What a browser that came back is told.
#[derive(Template)]
#[template(path = "came_back.html")]
struct CameBack {
    frame: Frame,
    text: String,
}

/// The button.
pub(super) async fn begin(
    State(web): State<Web>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    set_out(&web, &visitor, &id, &headers).await
}

/// Sends a browser to the provider of an account.
pub(super) async fn set_out(web: &Web, visitor: &Visitor, id: &str, headers: &HeaderMap) -> Response {
    let address = format!("/accounts/{}", segment(id));
    let Ok(account) = web.service.oauth_account(id) else {
        return go(web, visitor, &address, Err(format!("There is no account {id} with tokens.")));
    };
    let sign_in = account.oauth().and_then(|login| login.sign_in());
    if matches!(sign_in, Some(SignIn { way: SignInWay::Device { .. }, .. })) {
        return match web.service.begin_by_device(&account.id).await {
            Ok(consent) => out(web, visitor, id, address, consent, false),
            Err(why) => go(web, visitor, &address, Err(why)),
        };
    }
    let Some(cookie) = visitor.cookie() else {
        let why = "Tokens are generated in a browser that has logged in, or with waxseal account authorize.";
        return problem(web, visitor, "/accounts", StatusCode::FORBIDDEN, why);
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if let Some(elsewhere) = elsewhere(web, visitor, id, &address, host) {
        return elsewhere;
    }
    match web.service.begin_in_browser(&account.id, cookie).await {
        Ok(consent) => out(web, visitor, id, address, consent, true),
        Err(why) => go(web, visitor, &address, Err(why)),
    }
}

fn out(web: &Web, visitor: &Visitor, id: &str, address: String, consent: Consent, at_once: bool) -> Response {
    let provider = consent.url.parse::<url::Url>().ok();
    let provider = provider.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let frame = Frame::of(web, visitor, "/accounts", "Generate Tokens");
    show(StatusCode::OK, &Out { frame, account: id.to_owned(), address, consent, provider, at_once })
}

/// A cookie stays with the name that it was given under, so a browser that is here by another name than the redirect
/// URI's would come back as a stranger: it gets a link to here by that name.
fn elsewhere(web: &Web, visitor: &Visitor, id: &str, address: &str, host: &str) -> Option<Response> {
    let redirect = web.service.redirect_uri()?;
    let place = redirect.host_str()?.to_owned();
    if name_of(host) == place {
        return None;
    }
    let key = web.service.doors.key(Instant::now())?;
    let base = redirect.as_str().strip_suffix("/oauth/callback")?.to_owned();
    let url = format!("{base}/login?key={key}&to={}", segment(address));
    let frame = Frame::of(web, visitor, "/accounts", "Generate Tokens");
    Some(show(StatusCode::OK, &Elsewhere { frame, account: id.to_owned(), url, place: base }))
}

/// Where providers send browsers back to (RFC 6749 §4.1.2).
pub(in crate::admin) async fn came_back(State(web): State<Web>, headers: HeaderMap, uri: Uri) -> Response {
    let cookie = cookie_of(&headers);
    let finished = match Callback::from_query(uri.query().unwrap_or_default()) {
        Ok(callback) => web.service.finish_in_browser(callback, cookie.as_deref()).await,
        Err(error) => Err(error.to_string()),
    };
    let (status, title, text) = match &finished {
        Ok(Authorized { account, remark, .. }) => {
            let remark = remark.as_ref().map_or_else(String::new, |remark| format!(" But note: {remark}."));
            (StatusCode::OK, "Tokens generated", format!("The account {account} is authorized.{remark}"))
        }
        Err(problem) => {
            (StatusCode::BAD_REQUEST, "Not authorized", format!("{problem}. Nothing was changed."))
        }
    };
    // A browser that has a session here goes back to its page.
    let csrf = cookie.as_ref().and_then(|cookie| web.service.doors.csrf(cookie, Instant::now()));
    if let (Some(cookie), Some(csrf), Ok(Authorized { account, .. })) = (cookie, csrf, &finished) {
        let visitor = Visitor::Browser { cookie, csrf };
        return go(&web, &visitor, &page_of(account), Ok(text));
    }
    show(
        status,
        &CameBack {
            frame: Frame::outside(&web, "", title),
            text: format!("{text} You can close this page."),
        },
    )
}

fn page_of(account: &AccountId) -> String {
    format!("/accounts/{}", segment(account.as_str()))
}
