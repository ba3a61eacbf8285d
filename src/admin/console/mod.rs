//! The console: pages for people, at the admin address. A page asks the service what the command line asks it, so that
//! both say the same; what a page cannot do without JavaScript it does not do.

mod account;
mod accounts;
mod assets;
mod entrance;
mod fields;
mod form;
mod frame;
mod live_log;
mod overview;
mod plot;
mod queue;
mod save;
mod sign_in;
mod trace;

pub(super) use sign_in::came_back;

use super::http::Web;
use axum::{
    Router, middleware,
    routing::{get, post},
};

/// Everything that asks for a login, and the login itself.
pub(super) fn routes(web: &Web) -> Router<Web> {
    let inside = Router::new()
        .route("/", get(overview::page))
        .route("/accounts", get(accounts::page))
        .route("/accounts/new", get(account::new_page).post(account::create))
        .route("/accounts/{id}", get(account::page).post(account::change))
        .route("/accounts/{id}/tokens", post(sign_in::begin))
        .route("/accounts/{id}/test", post(account::test))
        .route("/accounts/{id}/refresh", post(account::refresh))
        .route("/accounts/{id}/forget", post(account::forget))
        .route("/forecasts", get(accounts::forecasts))
        .route("/queue", get(queue::page).post(queue::change))
        .route("/queue/{id}", get(queue::message))
        .route("/trace", get(trace::page))
        .route("/log", get(live_log::page))
        .route("/log/lines", get(live_log::lines))
        .route("/reload", post(overview::reload))
        .route("/logout", post(entrance::logout))
        .layer(middleware::from_fn_with_state(web.clone(), entrance::admit));
    Router::new()
        .route("/login", get(entrance::login_page).post(entrance::login))
        .route("/assets/{name}", get(assets::asset))
        .merge(inside)
}
