//! The token store damaged under a real daemon: it starts, takes the tokens from the snapshot, says so, and mail leaves
//! without anybody signing in again. Where the snapshot is damaged too, mail is held, and the pieces are kept.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};
use support::{
    House, Provider,
    client::{message, submit},
};
use waxseal::sandbox::SandboxOptions;

const SENDER: &str = "app@example.com";

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Cut,
    Emptied,
    /// Octets here and there, by this seed.
    Flipped(u64),
    Foreign,
    Removed,
}

impl Damage {
    fn inflict(self, path: &Path) {
        let octets = fs::read(path).unwrap();
        match self {
            Self::Cut => fs::write(path, &octets[..octets.len() / 2]).unwrap(),
            Self::Emptied => fs::write(path, b"").unwrap(),
            Self::Flipped(seed) => {
                let (mut octets, mut random) = (octets, fastrand::Rng::with_seed(seed));
                for _ in 0..octets.len().min(16) {
                    let at = random.usize(..octets.len());
                    octets[at] ^= random.u8(1..);
                }
                fs::write(path, octets).unwrap();
            }
            Self::Foreign => fs::write(path, "this was something else once\n".repeat(400)).unwrap(),
            Self::Removed => fs::remove_file(path).unwrap(),
        }
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// An authorized account whose daemon has stopped; the access token has ended meanwhile, so that only the refresh token
/// helps.
fn scene() -> (Provider, House) {
    let options = SandboxOptions { auto_approve: true, rotate: true, ..SandboxOptions::default() };
    let provider = Provider::start(options);
    let house = House::beside(&provider);
    house.configure(&house.oauth(&provider, "support", "example.com"));
    let mut daemon = house.serve();
    house.authorize("support");
    // A second generation of tokens, so that an older one would show.
    house.cli(&["account", "refresh", "support"]).ok();
    daemon.signal(rustix::process::Signal::TERM);
    assert!(daemon.wait().success());
    provider.grants().revoke_access_tokens();
    (provider, house)
}

/// The mail leaves with the grant of before.
#[track_caller]
fn still_sends(provider: &Provider, house: &House, what: &str) {
    let before = provider.received().len();
    let _daemon = house.serve();
    submit(house.smtp, SENDER, &message(what)).unwrap();
    provider.arrivals(before + 1);
    house.queue_empties();
    assert_eq!(house.account("support")["state"], "ready", "{what}");
}

#[test]
fn every_file_of_the_store_damaged_in_every_way_costs_nothing_and_is_told() {
    let (provider, house) = scene();
    let tokens = house.state().join("tokens");
    let names: Vec<_> =
        files(&tokens).iter().map(|path| path.strip_prefix(&tokens).unwrap().to_owned()).collect();
    let mut told = 0;
    let damages = [
        Damage::Cut,
        Damage::Emptied,
        Damage::Flipped(1),
        Damage::Flipped(2),
        Damage::Flipped(3),
        Damage::Flipped(4),
        Damage::Foreign,
        Damage::Removed,
    ];
    for name in &names {
        for damage in damages {
            let path = tokens.join(name);
            // sled names its own snapshots anew from run to run.
            let Some(path) = [path]
                .into_iter()
                .find(|path| path.exists())
                .or_else(|| files(&tokens).into_iter().find(|path| path.to_string_lossy().contains("snap")))
            else {
                continue;
            };
            damage.inflict(&path);
            let what = format!("{} {damage:?}", name.display());
            let log = house.log().len();
            still_sends(&provider, &house, &what);
            let log = house.log()[log..].to_owned();
            assert!(!log.contains("refresh token refused"), "{what}\n{log}");
            // sled heals some of it by itself; what it cannot is set aside and told.
            if log.contains("the token store was damaged") {
                told += 1;
                assert!(log.contains("tokens restored from the snapshot"), "{what}\n{log}");
                assert!(house.state().join("quarantine").exists(), "{what}");
            }
            provider.grants().revoke_access_tokens();
        }
    }
    println!(
        "{names:?}: {} files, each in {} ways; restored and told {told} times",
        names.len(),
        damages.len()
    );
    assert!(told > 0);
}

#[test]
fn a_store_that_is_gone_altogether_comes_back_from_the_snapshot() {
    let (provider, house) = scene();
    fs::remove_dir_all(house.state().join("tokens")).unwrap();
    still_sends(&provider, &house, "gone");
    house.log_line(&["tokens restored from the snapshot"]);
}

/// The files in `quarantine/`, with these octets among them.
#[track_caller]
fn is_kept(house: &House, pieces: &[u8], what: &str) {
    let kept = files(&house.state().join("quarantine"));
    assert!(kept.iter().any(|path| fs::read(path).unwrap() == pieces), "{what}: {kept:?}");
}

#[test]
fn a_damaged_snapshot_alone_is_told_kept_and_written_anew() {
    for damage in [Damage::Cut, Damage::Emptied, Damage::Flipped(5), Damage::Flipped(6), Damage::Foreign] {
        let (provider, house) = scene();
        let snapshot = house.state().join("tokens.snapshot");
        damage.inflict(&snapshot);
        let pieces = fs::read(&snapshot).unwrap();
        still_sends(&provider, &house, &format!("{damage:?}"));
        house.log_line(&["the token snapshot is damaged"]);
        is_kept(&house, &pieces, &format!("{damage:?}"));
        // What it holds now stands in for the store again.
        fs::remove_dir_all(house.state().join("tokens")).unwrap();
        provider.grants().revoke_access_tokens();
        still_sends(&provider, &house, &format!("{damage:?}, then the store"));
    }
}

#[test]
fn a_snapshot_that_is_gone_is_written_anew() {
    let (provider, house) = scene();
    fs::remove_file(house.state().join("tokens.snapshot")).unwrap();
    still_sends(&provider, &house, "no snapshot");
    fs::remove_dir_all(house.state().join("tokens")).unwrap();
    provider.grants().revoke_access_tokens();
    still_sends(&provider, &house, "no snapshot, then no store");
}

#[test]
fn with_both_damaged_the_daemon_starts_holds_the_mail_and_keeps_the_pieces() {
    let both = ["conf", "db"];
    for of_snapshot in [Damage::Cut, Damage::Emptied, Damage::Flipped(7), Damage::Foreign] {
        both_damaged(&both, Some(Damage::Foreign), of_snapshot);
    }
    for of_store in [Some(Damage::Cut), Some(Damage::Emptied), Some(Damage::Flipped(8)), None] {
        both_damaged(&both, of_store, Damage::Cut);
    }
    // sled opens these, and cuts off what it cannot read.
    for of_store in [Damage::Cut, Damage::Emptied, Damage::Flipped(9), Damage::Foreign] {
        both_damaged(&["db"], Some(of_store), Damage::Cut);
    }
}

/// These files of the store damaged so, or without a damage all of them gone, and the snapshot damaged.
fn both_damaged(names: &[&str], of_store: Option<Damage>, of_snapshot: Damage) {
    let what = format!("{names:?} {of_store:?}, snapshot {of_snapshot:?}");
    let (provider, house) = scene();
    let (tokens, snapshot) = (house.state().join("tokens"), house.state().join("tokens.snapshot"));
    let mut pieces = Vec::new();
    match of_store {
        Some(damage) => {
            for path in names.iter().map(|name| tokens.join(name)) {
                damage.inflict(&path);
                pieces.push(fs::read(path).unwrap());
            }
        }
        None => fs::remove_dir_all(&tokens).unwrap(),
    }
    of_snapshot.inflict(&snapshot);
    pieces.push(fs::read(&snapshot).unwrap());
    let asked = provider.grants().token_requests();
    let _daemon = house.serve();
    submit(house.smtp, SENDER, &message("held")).unwrap();
    house.message_becomes("held");
    assert_eq!(provider.grants().token_requests(), asked, "{what}");

    // Told in the log, by alert, in the list of accounts and on the status page.
    house.log_line(&["the token snapshot is damaged"]);
    house.log_line(&["account_needs_authorization"]);
    let account = house.account("support");
    assert_eq!(account["state"], "needs_authorization", "{what}");
    let cure = "waxseal account authorize support";
    assert!(account["remedy"].as_str().is_some_and(|remedy| remedy.contains(cure)), "{what}: {account}");
    let warnings = house.json(&["status"])["warnings"].to_string();
    assert!(warnings.contains(cure), "{what}: {warnings}");
    assert!(!house.log().contains("tokens restored from the snapshot"), "{what}: {}", house.log());

    house.authorize("support");
    provider.arrivals(1);
    // Nor are the pieces gone once there are new tokens.
    pieces.iter().filter(|pieces| !pieces.is_empty()).for_each(|pieces| is_kept(&house, pieces, &what));
}
