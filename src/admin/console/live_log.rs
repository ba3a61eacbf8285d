//! The tail of the log. With JavaScript it goes on by itself: it asks for the lines behind the last one that it has.

use super::{
    entrance::Visitor,
    fields::Fields,
    frame::{Frame, show},
};
use crate::{
    admin::http::Web,
    mail::Timestamp,
    telemetry::{LogLine, recent},
};
use askama::Template;
use axum::{
    extract::{Extension, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use std::fmt::Write as _;

/// Lines on a page.
const SHOWN: usize = 300;
/// Carries the number of the last line there is.
const LAST: &str = "x-last-line";

#[derive(Template)]
#[template(path = "log.html")]
struct LogPage {
    frame: Frame,
    last: u64,
    text: String,
}

pub(super) async fn page(State(web): State<Web>, Extension(visitor): Extension<Visitor>) -> Response {
    let all = recent(0);
    let tail = &all[all.len().saturating_sub(SHOWN)..];
    let last = tail.last().map_or(0, |line| line.number);
    show(StatusCode::OK, &LogPage { frame: Frame::of(&web, &visitor, "/log", "Log"), last, text: text(tail) })
}

/// The lines behind number `after`, as plain text.
pub(super) async fn lines(Extension(fields): Extension<Fields>) -> Response {
    let after = fields.get("after").parse().unwrap_or(0);
    let lines = recent(after);
    let last = lines.last().map_or(after, |line| line.number).to_string();
    let media_type = (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned());
    ([media_type, (header::HeaderName::from_static(LAST), last)], text(&lines)).into_response()
}

/// Each line with its time, unless it has one itself.
fn text(lines: &[LogLine]) -> String {
    let mut out = String::new();
    for LogLine { at, text, .. } in lines {
        let dated = text.starts_with("20") && text.get(10..11) == Some("T");
        let _ = match dated || text.starts_with('{') {
            true => writeln!(out, "{text}"),
            false => writeln!(out, "{} {text}", Timestamp::new(*at).precise()),
        };
    }
    out
}
