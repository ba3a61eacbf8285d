//! The paces of all lanes on disk: `queue/pace.json`. Written about a second after a change, so a crash forgets at
//! most that much of what was sent.

use super::Pace;
use crate::{account::AccountId, queue::journal};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

const NAME: &str = "pace.json";

/// What is written: the lanes whose pace is not the fresh one.
pub(in crate::queue) fn to_text<'a>(paces: impl Iterator<Item = (&'a AccountId, &'a Pace)>) -> String {
    let fresh = Pace::default();
    let paces: BTreeMap<&str, &Pace> =
        paces.filter(|(_, pace)| **pace != fresh).map(|(account, pace)| (account.as_str(), pace)).collect();
    // Numbers, strings and maps with text for keys always serialize.
    serde_json::to_string(&paces).unwrap_or_default()
}

/// Replaces the file: it has the old text or the new one, whenever the power goes.
pub(in crate::queue) fn write(directory: &Path, text: &str) -> io::Result<()> {
    let temporary = directory.join("pace.json.new");
    let mut file = File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    fs::rename(&temporary, directory.join(NAME))?;
    journal::sync_directory(directory)
}

/// What an earlier run left; nothing where it cannot be read, since only restraint is lost with it.
pub(in crate::queue) fn read(directory: &Path) -> Vec<(AccountId, Pace)> {
    let text = match fs::read_to_string(directory.join(NAME)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!(target: "waxseal::queue", %error, "pace.json cannot be read; counts begin anew");
            return Vec::new();
        }
    };
    match serde_json::from_str::<BTreeMap<String, Pace>>(&text) {
        Ok(paces) => paces.into_iter().map(|(account, pace)| (AccountId::new(&account), pace)).collect(),
        Err(error) => {
            tracing::warn!(target: "waxseal::queue", %error, "pace.json cannot be read; counts begin anew");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{Pacing, Rate};
    use std::time::Duration;

    #[test]
    fn what_was_used_up_and_learned_survives() {
        let directory = tempfile::tempdir().unwrap();
        let rate_limit = Some(Rate { count: 1, per: Duration::from_secs(60) });
        let pacing = Pacing {
            max_connections: 4,
            rate_limit,
            daily_recipients: Some(10),
            max_recipients_per_message: None,
        };
        let mut pace = Pace::default();
        pace.start(&pacing, 7_000);
        assert_eq!(pace.reserve(&pacing, 12, 7_000), 10);
        pace.slow_down(&pacing, true, 7_000);
        let (support, idle) = (AccountId::new("support"), AccountId::new("idle"));
        let text = to_text([(&support, &pace), (&idle, &Pace::default())].into_iter());
        write(directory.path(), &text).unwrap();
        let mut read = read(directory.path());
        assert_eq!(read, [(support, pace)]);
        assert_eq!(read[0].1.ask(&pacing, 8_000), Err(67_000));
        assert_eq!(read[0].1.connections(&pacing), 2);
    }

    #[test]
    fn a_damaged_file_costs_only_what_it_held() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read(directory.path()).is_empty());
        fs::write(directory.path().join(NAME), b"{\"support\":").unwrap();
        assert!(read(directory.path()).is_empty());
    }
}
