//! What became of messages.

use super::{
    entrance::Visitor,
    fields::Fields,
    frame::{Frame, problem, show},
};
use crate::admin::{
    http::Web,
    protocol::{Request, TraceView},
};
use askama::Template;
use axum::{
    extract::{Extension, State},
    http::StatusCode,
    response::Response,
};

/// Messages on a page.
const SHOWN: usize = 50;

#[derive(Template)]
#[template(path = "trace.html")]
struct TracePage {
    frame: Frame,
    query: String,
    found: Option<TraceView>,
    /// What that leaves out, in sentences.
    left_out: Vec<String>,
}

pub(super) async fn page(
    State(web): State<Web>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Response {
    let query = fields.get("q").to_owned();
    let (mut found, mut left_out) = (None, Vec::new());
    if !query.is_empty() {
        let request = Request::Trace { query: query.clone(), limit: SHOWN };
        match web.service.ask_queue::<TraceView>(request).await {
            Ok((view, others)) => (found, left_out) = (Some(view), others),
            Err(why) => {
                return problem(&web, &visitor, "/trace", StatusCode::INTERNAL_SERVER_ERROR, why);
            }
        }
    }
    let frame = Frame::of(&web, &visitor, "/trace", "Trace");
    show(StatusCode::OK, &TracePage { frame, query, found, left_out })
}
