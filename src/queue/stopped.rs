//! The queue of a daemon that is stopped, as operators see it. Read from its files alone; nothing is written.

use super::{
    inspect::{InspectError, unchanged},
    journal,
    operator::{Indexed, Listed, OperatorError, ids_of},
    read_back::ReadBack,
    recovery::Found,
    state::State,
};
use crate::{account::AccountId, mail::QueueId};
use std::path::Path;

/// [`super::Queue::list`] for the queue in a directory that no daemon has. What stops the accounts is not known then.
/// Takes no lock. Blocks on the disk.
///
/// # Errors
/// Where it cannot be read, a later waxseal has written to it, or a daemon has started meanwhile.
pub fn list_stopped(
    directory: &Path,
    account: Option<&AccountId>,
    most: usize,
) -> Result<Vec<Listed>, InspectError> {
    unchanged(directory, |journal| {
        let state = index(journal)?;
        let ids = ids_of(&state, account).take(most);
        Ok(ids.filter_map(|id| show(journal, &state, id).ok()).collect())
    })
}

/// [`super::Queue::show`] for the queue in a directory that no daemon has, likewise.
///
/// # Errors
/// As [`list_stopped`]; inside that, where there is no such message.
pub fn show_stopped(directory: &Path, id: QueueId) -> Result<Result<Listed, OperatorError>, InspectError> {
    unchanged(directory, |journal| Ok(show(journal, &index(journal)?, id)))
}

fn index(journal: &Path) -> Result<State, InspectError> {
    let mut found = Found::default();
    journal::scan_readonly(journal, |record, place| found.take(record, place))?;
    found.enqueue();
    Ok(found.state)
}

fn show(journal: &Path, state: &State, id: QueueId) -> Result<Listed, OperatorError> {
    let indexed = Indexed::of(state, id)?.without_lane();
    let read = ReadBack::by(&indexed.item, |place| journal::read(journal, place));
    Ok(indexed.with(read))
}
