//! The console's style, script and mark: in the binary, from nowhere else.

use axum::{
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

const ASSETS: [(&str, &str, &str); 3] = [
    ("console.css", "text/css; charset=utf-8", include_str!("assets/console.css")),
    ("console.js", "text/javascript; charset=utf-8", include_str!("assets/console.js")),
    ("seal.svg", "image/svg+xml", include_str!("assets/seal.svg")),
];

pub(super) async fn asset(Path(name): Path<String>) -> Response {
    match ASSETS.iter().find(|(known, ..)| *known == name) {
        Some((_, media_type, text)) => ([(header::CONTENT_TYPE, *media_type)], *text).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
