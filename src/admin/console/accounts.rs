//! The list of accounts, and what of their grants can be told ahead.

use super::{
    entrance::Visitor,
    form::{TYPES, type_name},
    frame::{Frame, show, when_some},
};
use crate::{
    account::{Account, AccountType},
    admin::{http::Web, protocol::AccountView},
    mail::Timestamp,
};
use askama::Template;
use axum::{
    extract::{Extension, State},
    http::StatusCode,
    response::Response,
};

#[derive(Template)]
#[template(path = "accounts.html")]
struct Accounts {
    frame: Frame,
    types: Vec<(&'static str, &'static str)>,
    accounts: Vec<AccountView>,
}

pub(super) async fn page(State(web): State<Web>, Extension(visitor): Extension<Visitor>) -> Response {
    let frame = Frame::of(&web, &visitor, "/accounts", "Outbound Email Auth Accounts");
    let types = TYPES.iter().map(|(kind, name)| (kind.as_str(), *name)).collect();
    show(StatusCode::OK, &Accounts { frame, types, accounts: web.service.accounts() })
}

/// What of an account ends, and when.
struct Outlook {
    id: String,
    kind: &'static str,
    state: String,
    authorized: String,
    rotated: String,
    token_ends: String,
    grant_ends: String,
    because: String,
    secret_ends: String,
}

#[derive(Template)]
#[template(path = "forecasts.html")]
struct Forecasts {
    frame: Frame,
    outlooks: Vec<Outlook>,
}

pub(super) async fn forecasts(State(web): State<Web>, Extension(visitor): Extension<Visitor>) -> Response {
    let frame = Frame::of(&web, &visitor, "/forecasts", "Forecasts");
    let snapshot = web.service.live.get();
    let configured = |view: &AccountView| snapshot.config.accounts.iter().find(|a| a.id.as_str() == view.id);
    let views = web.service.accounts();
    let with_tokens = views.into_iter().filter(|view| view.r#type != AccountType::Basic.as_str());
    let mut outlooks: Vec<Outlook> = with_tokens.map(|view| outlook(configured(&view), view)).collect();
    // What ends first comes first; a dash is behind every date.
    outlooks.sort_by(|a, b| a.grant_ends.cmp(&b.grant_ends).then_with(|| a.id.cmp(&b.id)));
    show(StatusCode::OK, &Forecasts { frame, outlooks })
}

fn outlook(account: Option<&Account>, view: AccountView) -> Outlook {
    let secret = account.and_then(Account::oauth).and_then(|login| login.client_secret_expires());
    let day = |day: crate::mail::Day| Timestamp::new(day.start()).to_string().chars().take(10).collect();
    Outlook {
        kind: type_name(&view.r#type),
        state: view.state,
        authorized: when_some(view.authorized_at.as_deref()),
        rotated: when_some(view.rotated_at.as_deref()),
        token_ends: when_some(view.token_expires_at.as_deref()),
        grant_ends: when_some(view.grant_ends_at.as_deref()),
        because: view.grant_ends_because.unwrap_or_default(),
        secret_ends: secret.map_or_else(|| "–".to_owned(), day),
        id: view.id,
    }
}
