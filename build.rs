//! Names the source that a binary was built from: `waxseal --version` says `0.1.0 (e4ca1fb205, 2026-11-25)`.
//!
//! The commit is `WAXSEAL_COMMIT`, for a tarball or package, else what git says of this folder; `+` behind it means that
//! files were changed since. The date is `SOURCE_DATE_EPOCH`, else the commit's. The clock is never asked, so that one
//! source gives one binary. In a debug build git is not asked either: every commit would have everything built anew.
#![allow(clippy::print_stdout, reason = "this is how cargo is told")]

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// What goes into the binary.
const SOURCES: [&str; 6] = ["build.rs", "Cargo.toml", "Cargo.lock", "askama.toml", "config", "src"];
const COMMIT: &str = "WAXSEAL_COMMIT";
const EPOCH: &str = "SOURCE_DATE_EPOCH";
const LENGTH: usize = 10;

fn main() {
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    for path in SOURCES {
        println!("cargo:rerun-if-changed={path}");
    }
    for name in [COMMIT, EPOCH] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let given =
        |name: &str| env::var(name).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let asked = if env::var("PROFILE").as_deref() == Ok("release") { asked_of_git(&folder) } else { None };
    let (mut commit, mut date) = asked.unzip();
    if let Some(named) = given(COMMIT) {
        // The date of another commit would be wrong.
        (commit, date) = (Some(named), None);
    }
    date = given(EPOCH).and_then(|seconds| seconds.parse().ok()).or(date);
    println!(
        "cargo:rustc-env=WAXSEAL_VERSION={}",
        version(env!("CARGO_PKG_VERSION"), commit.as_deref(), date)
    );
}

/// The commit and its date, where this folder is the top of a work tree of git. A folder within another project's has
/// nothing to do with that one's commits.
fn asked_of_git(folder: &Path) -> Option<(String, i64)> {
    let top = git(folder, &["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != folder.canonicalize().ok()? {
        return None;
    }
    // Written at every commit and checkout; without it (a clone without reflog) HEAD has to do.
    for name in ["logs/HEAD", "HEAD"] {
        if let Some(path) = git(folder, &["rev-parse", "--git-path", name])
            && folder.join(&path).exists()
        {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    let said = git(folder, &["show", "--no-patch", "--format=%H %ct", "HEAD"])?;
    let (hash, seconds) = said.split_once(' ')?;
    let changed = git(folder, &[&["status", "--porcelain", "--"], &SOURCES[..]].concat())?;
    let mark = if changed.is_empty() { "" } else { "+" };
    Some((format!("{}{mark}", hash.get(..LENGTH)?), seconds.parse().ok()?))
}

fn git(folder: &Path, words: &[&str]) -> Option<String> {
    let done = Command::new("git").current_dir(folder).args(words).output().ok()?;
    let said = String::from_utf8(done.stdout).ok()?;
    done.status.success().then(|| said.trim().to_owned())
}

/// `0.1.0 (COMMIT, DAY)`, as far as these are known.
pub fn version(number: &str, commit: Option<&str>, date: Option<i64>) -> String {
    // A whole hash is longer than anybody reads.
    let short = |commit: &str| match commit.get(..LENGTH) {
        Some(front) if commit.chars().all(|c| c.is_ascii_hexdigit()) => front.to_owned(),
        _ => commit.to_owned(),
    };
    let known: Vec<String> = commit.map(short).into_iter().chain(date.map(day)).collect();
    if known.is_empty() { number.to_owned() } else { format!("{number} ({})", known.join(", ")) }
}

/// The day in UTC of a Unix time: days counted from 1 March of year 0, in eras of 400 years.
pub fn day(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400) + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{:02}", of_year - (153 * from_march + 2) / 5 + 1)
}
