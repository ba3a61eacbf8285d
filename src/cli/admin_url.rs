//! `waxseal admin-url`: a link that logs a browser in.

use super::{
    client::ask_once,
    output::{complain, say},
};
use crate::admin::protocol::Request;
use std::{path::Path, process::ExitCode};

pub(super) fn admin_url(config: Option<&Path>) -> ExitCode {
    match ask_once(config, &Request::AdminUrl) {
        Ok(value) => match value.as_str() {
            Some(url) => {
                say(url);
                ExitCode::SUCCESS
            }
            None => {
                complain("the daemon's answer is of another version");
                ExitCode::FAILURE
            }
        },
        Err(code) => code,
    }
}
