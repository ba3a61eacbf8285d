//! What operators and programs ask of the running daemon: the control socket and HTTP, over one service.

mod authorize;
mod console;
mod control;
mod doors;
pub mod examination;
mod http;
mod metrics;
mod moving;
mod nodes;
pub mod protocol;
mod queue;
mod reloads;
mod service;
mod stopped;
mod token;
pub mod trace;
mod verify;
mod views;

pub use control::{ControlError, serve_control};
pub use http::serve_http;
pub use queue::answer_others;
pub use reloads::{Refusal, Reload};
pub use service::{Health, Service, UpstreamOf};
pub use stopped::answer_stopped;
pub use token::AdminToken;
