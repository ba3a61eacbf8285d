//! Wrong configuration files and the real binary: the exact message, exit 78, nothing bound, nothing made.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use std::{fs, io::Read, net::TcpStream, path::PathBuf, process::Stdio};
use support::{House, Running, run, until, waxseal};

/// `EX_CONFIG` of sysexits.h.
const EX_CONFIG: i32 = 78;

fn wrong_files() -> Vec<PathBuf> {
    let all = fs::read_dir("tests/config/bad").unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = all.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    files
}

#[test]
fn every_wrong_file_ends_serve_and_check_with_its_exact_message_and_78() {
    let files = wrong_files();
    assert!(files.len() >= 30, "{}", files.len());
    for file in &files {
        let want = fs::read_to_string(file.with_extension("txt")).unwrap();
        for command in ["serve", "check"] {
            let scratch = tempfile::tempdir().unwrap();
            let state = scratch.path().join("state");
            let ran = run(waxseal().env("STATE_DIRECTORY", &state).args([command, "--config"]).arg(file));
            let what = format!("{command} {}", file.display());
            assert_eq!((ran.code, ran.stderr.as_str()), (EX_CONFIG, want.as_str()), "{what}");
            assert_eq!(ran.stdout, "", "{what}");
            assert!(!state.exists(), "{what} made its state directory");
        }
    }
    println!("{} wrong files, each with its exact message and exit 78, from serve and check", files.len());
}

#[test]
fn a_good_listener_before_a_wrong_account_is_never_bound() {
    let house = House::new();
    house.configure("[account.a]\ntype = \"basic\"\ndomian = \"example.com\"\n");
    let child = waxseal().args(["serve", "--config"]).arg(house.config()).stderr(Stdio::piped()).spawn();
    let mut child = Running(child.unwrap());
    let mut looks = 0;
    let status = until("the end of it", || {
        for address in [house.smtp, house.admin] {
            assert!(TcpStream::connect(address).is_err(), "{address} is listened on");
        }
        looks += 1;
        child.0.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(EX_CONFIG));
    assert!(TcpStream::connect(house.smtp).is_err());
    assert!(!house.state().exists());
    let mut said = String::new();
    child.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("waxseal.toml:") && said.contains("did you mean `domain`?"), "{said}");
    println!("looked {looks} times, never bound");
}

#[test]
fn with_the_account_put_right_the_same_file_does_bind() {
    let house = House::new();
    house.configure(
        "[account.a]\ntype = \"basic\"\ndomain = \"example.com\"\naddress = \"127.0.0.1\"\nport = 9\n\
         use_authentication = false\n",
    );
    let _daemon = house.serve();
    TcpStream::connect(house.smtp).unwrap();
    assert!(house.state().exists());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let ran = run(waxseal().args(["serve", "--config", "/nowhere/waxseal.toml"]));
    assert_eq!(ran.code, EX_CONFIG);
    assert!(ran.stderr.starts_with("/nowhere/waxseal.toml: error: "), "{}", ran.stderr);
}

#[test]
fn an_unknown_variable_of_ours_is_an_error_too() {
    let house = House::new();
    house.configure("");
    let ran = run(waxseal().env("WAXSEAL_HOSTNAM", "x").args(["serve", "--config"]).arg(house.config()));
    assert_eq!(ran.code, EX_CONFIG);
    assert!(ran.stderr.contains("WAXSEAL_HOSTNAM") && ran.stderr.contains("`hostname`"), "{}", ran.stderr);
    assert!(!house.state().exists());
}
