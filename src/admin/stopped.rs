//! What can be asked of a daemon that is stopped: its files answer. Nothing is written, and no lock is taken.

use super::{
    protocol::{Answer, Request},
    service::{FAILED, TEMPORARY, UNAVAILABLE, done, failed},
    verify::{come_so_far, verify_view},
    views::message,
};
use crate::{
    account::AccountId,
    mail::QueueId,
    queue::{self, InspectError},
};
use std::path::Path;

/// Answers a request to look at the queue as the daemon would, from its state directory. `progress` takes what comes
/// before the last answer. Blocks on the disk.
pub fn answer_stopped(state_dir: &Path, request: &Request, progress: &mut dyn FnMut(Answer)) -> Answer {
    let directory = state_dir.join("queue");
    let looked = match request {
        Request::QueueList { account, most } => {
            let account = account.as_deref().map(AccountId::new);
            queue::list_stopped(&directory, account.as_ref(), *most)
                .map(|listed| done(listed.iter().map(message).collect::<Vec<_>>()))
        }
        Request::QueueShow { id } => match id.parse::<QueueId>() {
            Err(error) => return failed(FAILED, format!("{id}: {error}")),
            Ok(id) => queue::show_stopped(&directory, id).map(|shown| match shown {
                Ok(listed) => done(message(&listed)),
                Err(error) => failed(FAILED, error.to_string()),
            }),
        },
        Request::QueueVerify => {
            let mut tell = |come| {
                if let Ok(answer) = come_so_far(come) {
                    progress(answer);
                }
            };
            queue::verify_stopped(&directory, &mut tell).map(|report| done(verify_view(&report)))
        }
        _ => return failed(UNAVAILABLE, "only a running daemon can do that"),
    };
    looked.unwrap_or_else(|error| {
        let code = if matches!(error, InspectError::Changed) { TEMPORARY } else { UNAVAILABLE };
        failed(code, format!("{}: {error}", state_dir.display()))
    })
}
