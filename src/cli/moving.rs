//! `waxseal account export` and `import`: grants to and from another host.

use super::{
    client::ask_once,
    output::{complain, say},
    terminal,
};
use crate::admin::protocol::{ArrivalView, ParcelView, Passphrase, Request};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};
use zeroize::Zeroizing;

const USAGE: u8 = 2;

pub(super) fn export(
    config: Option<&Path>,
    ids: Vec<String>,
    to: &Path,
    passphrase_file: Option<PathBuf>,
) -> ExitCode {
    if to.exists() {
        return failed(&format!("{} is there already: name another file", to.display()));
    }
    let passphrase = match passphrase(passphrase_file, true) {
        Ok(passphrase) => passphrase,
        Err(code) => return code,
    };
    let value = match ask_once(config, &Request::AccountExport { ids, passphrase }) {
        Ok(value) => value,
        Err(code) => return code,
    };
    let Ok(ParcelView { parcel, accounts }) = serde_json::from_value(value) else {
        return failed("the daemon's answer is of another version");
    };
    if let Err(error) = write(to, &parcel) {
        return failed(&format!("{} cannot be written: {error}", to.display()));
    }
    say(&format!("{}: the tokens of {}, sealed to the passphrase.", to.display(), accounts.join(", ")));
    say("Stop this daemon before the other one starts with them: two that refresh one token may lose it.");
    ExitCode::SUCCESS
}

pub(super) fn import(
    config: Option<&Path>,
    file: &Path,
    passphrase_file: Option<PathBuf>,
    replace: bool,
) -> ExitCode {
    let parcel = match fs::read_to_string(file) {
        Ok(parcel) => parcel,
        Err(error) => return failed(&format!("{} cannot be read: {error}", file.display())),
    };
    let passphrase = match passphrase(passphrase_file, false) {
        Ok(passphrase) => passphrase,
        Err(code) => return code,
    };
    let value = match ask_once(config, &Request::AccountImport { parcel, passphrase, replace }) {
        Ok(value) => value,
        Err(code) => return code,
    };
    let Ok(arrivals) = serde_json::from_value::<Vec<ArrivalView>>(value) else {
        return failed("the daemon's answer is of another version");
    };
    let mut all = true;
    for ArrivalView { account, refused } in arrivals {
        match refused {
            None => say(&format!("{account}: tokens taken")),
            Some(reason) => {
                all = false;
                complain(&format!("{account}: not taken: {reason}"));
            }
        }
    }
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// From its file, else asked for; twice, where a slip would seal the tokens for good.
fn passphrase(file: Option<PathBuf>, twice: bool) -> Result<Passphrase, ExitCode> {
    let text = match &file {
        Some(path) => fs::read_to_string(path).map(Zeroizing::new).map_err(|error| {
            failed(&format!("the passphrase in {} cannot be read: {error}", path.display()))
        })?,
        None if !terminal::is_attended() => {
            complain("there is no terminal to ask for the passphrase: name a file, --passphrase-file FILE");
            return Err(ExitCode::from(USAGE));
        }
        None => {
            let ask = |question| terminal::ask_secret(question).map_err(|error| failed(&error.to_string()));
            let text = ask("Passphrase")?;
            if twice && *ask("Once more")? != *text {
                return Err(failed("the two are not the same"));
            }
            text
        }
    };
    let passphrase = Passphrase::new(text.trim_end_matches(['\n', '\r']));
    if passphrase.is_empty() { Err(failed("the passphrase is empty")) } else { Ok(passphrase) }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

fn failed(message: &str) -> ExitCode {
    complain(message);
    ExitCode::FAILURE
}
