//! What `--version` says, and how `build.rs` comes by it.
#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

#[allow(dead_code, reason = "it is cargo that runs the rest")]
#[path = "../build.rs"]
mod build;

use std::process::Command;

fn said(words: &[&str]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_waxseal")).args(words).output().unwrap();
    assert!(done.status.success(), "{words:?}: {done:?}");
    String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn every_name_of_the_program_says_the_same_version() {
    let version = said(&["--version"]);
    let number = concat!("waxseal ", env!("CARGO_PKG_VERSION"));
    assert!(version == number || version.starts_with(&format!("{number} (")), "{version}");
    assert_eq!(said(&["sendmail", "--version"]), version);
}

#[test]
fn what_is_known_of_the_source_is_in_brackets() {
    let hash = "e4ca1fb205aa4b1c9d8f3e2a1b0c9d8e7f6a5b4c";
    for (commit, date, wanted) in [
        (None, None, "0.1.0"),
        (Some(hash), Some(1_795_651_200), "0.1.0 (e4ca1fb205, 2026-11-26)"),
        (Some("e4ca1fb205+"), Some(1_795_651_199), "0.1.0 (e4ca1fb205+, 2026-11-25)"),
        (Some("debian-sid-build"), None, "0.1.0 (debian-sid-build)"),
        (Some("e4ca"), None, "0.1.0 (e4ca)"),
        (None, Some(0), "0.1.0 (1970-01-01)"),
    ] {
        assert_eq!(build::version("0.1.0", commit, date), wanted);
    }
}

#[test]
fn days_of_leap_years_and_ends_of_years_are_right() {
    for (seconds, wanted) in [
        (951_782_400, "2000-02-29"),
        (951_868_800, "2000-03-01"),
        (1_735_689_599, "2024-12-31"),
        (1_735_689_600, "2025-01-01"),
        (4_107_542_400, "2100-03-01"),
        (4_107_542_399, "2100-02-28"),
        (-1, "1969-12-31"),
    ] {
        assert_eq!(build::day(seconds), wanted, "{seconds}");
    }
}
