//! What all pages have around them, and how they are sent.

use super::entrance::Visitor;
use crate::admin::{doors::Flash, http::Web};
use askama::Template;
use axum::{
    http::StatusCode,
    response::{Html, IntoResponse, Redirect, Response},
};
use std::time::Instant;

/// The frame of a page.
pub(super) struct Frame {
    pub(super) title: String,
    /// The entry of the navigation that the page belongs to.
    pub(super) here: &'static str,
    /// The word that forms carry; empty for whoever has no session.
    pub(super) csrf: String,
    pub(super) flash: Option<Flash>,
    pub(super) hostname: String,
    pub(super) version: &'static str,
}

/// The entries of the navigation: address and name.
pub(super) const PLACES: [(&str, &str); 6] = [
    ("/", "Overview"),
    ("/accounts", "Accounts"),
    ("/queue", "Queue"),
    ("/trace", "Trace"),
    ("/log", "Log"),
    ("/forecasts", "Forecasts"),
];

impl Frame {
    /// For somebody who has logged in.
    pub(super) fn of(web: &Web, visitor: &Visitor, here: &'static str, title: impl Into<String>) -> Self {
        let flash = visitor.cookie().and_then(|cookie| web.service.doors.told(cookie, Instant::now()));
        Self { csrf: visitor.csrf().to_owned(), flash, ..Self::outside(web, here, title) }
    }

    /// For anybody.
    pub(super) fn outside(web: &Web, here: &'static str, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            here,
            csrf: String::new(),
            flash: None,
            hostname: web.service.live.get().hostname.to_string(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    pub(super) fn places(&self) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
        let here = self.here;
        PLACES.into_iter().map(move |(address, name)| (address, name, address == here))
    }
}

/// A page that does not work out, in its frame.
#[derive(Template)]
#[template(path = "problem.html")]
struct Problem {
    frame: Frame,
    problem: String,
}

/// A page as its answer.
pub(super) fn show(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            tracing::error!(target: "waxseal::admin", %error, "a page cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What went wrong, as a page.
pub(super) fn problem(
    web: &Web,
    visitor: &Visitor,
    here: &'static str,
    status: StatusCode,
    problem: impl Into<String>,
) -> Response {
    let frame = Frame::of(web, visitor, here, "That did not work");
    show(status, &Problem { frame, problem: problem.into() })
}

/// Goes to another page, which says how it went.
pub(super) fn go(web: &Web, visitor: &Visitor, to: &str, said: Result<String, String>) -> Response {
    if let Some(cookie) = visitor.cookie() {
        let (bad, text) = match said {
            Ok(text) => (false, text),
            Err(text) => (true, text),
        };
        web.service.doors.tell(cookie, Flash { bad, text }, Instant::now());
    }
    Redirect::to(to).into_response()
}

/// A part of an address.
pub(super) fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A time for people: `2026-11-27 14:56:55 UTC`.
pub(super) fn when(at: &str) -> String {
    at.replacen('T', " ", 1).replace('Z', " UTC")
}

/// A time for people, or a dash.
pub(super) fn when_some(at: Option<&str>) -> String {
    at.map_or_else(|| "–".to_owned(), when)
}

/// A word of the contract for people: `needs_authorization` has blanks.
pub(super) fn words(word: &str) -> String {
    word.replace('_', " ")
}
