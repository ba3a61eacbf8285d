//! CLI.

pub mod check;
pub mod route;
