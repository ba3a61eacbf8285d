//! What must hold of every place where octets are read that somebody else wrote, tried a bounded number of times with the
//! same inputs each time: the committed ones of each fuzz target, and chance ones of its dictionary's words. The
//! properties are those of `fuzz/`, which looks for octets where they do not hold.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]
#![allow(clippy::print_stdout, reason = "where a property does not hold, the input is told")]

#[path = "../fuzz/src/lib.rs"]
mod properties;

use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestRunner},
};
use std::{fs, path::PathBuf};

/// Inputs of chance for each.
const CASES: u32 = 2000;
/// Words in one.
const WORDS: usize = 24;

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

fn hold(target: &str, property: fn(&[u8])) {
    let committed: Vec<_> =
        fs::read_dir(folder("corpus").join(target)).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(!committed.is_empty());
    for path in committed {
        println!("{}", path.display());
        property(&fs::read(path).unwrap());
    }
    let config = Config {
        cases: CASES,
        rng_seed: RngSeed::Fixed(0x7761_7873_6561_6c00),
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&input(words(target)), |octets| {
            property(&octets);
            Ok(())
        })
        .unwrap();
}

/// An octet that steers, words, and an octet or a few that are none.
fn input(words: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        8 => proptest::sample::select(words),
        2 => proptest::collection::vec(any::<u8>(), 1..4),
    ];
    (any::<u8>(), proptest::collection::vec(word, 0..WORDS)).prop_map(|(first, words)| {
        let mut octets = vec![first];
        octets.extend(words.concat());
        octets
    })
}

/// The words of a dictionary of libFuzzer: one a line in quotes, `\xHH`, `\\` and `\"` in it.
fn words(target: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(folder("dictionaries").join(format!("{target}.dict"))).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| word(line).unwrap_or_else(|| panic!("no word: {line}"))).collect()
}

fn word(line: &str) -> Option<Vec<u8>> {
    let mut rest = line.strip_prefix('"')?.strip_suffix('"')?.as_bytes();
    let mut word = Vec::new();
    while let [octet, behind @ ..] = rest {
        (word, rest) = match (octet, behind) {
            (b'\\', [b'x', a, b, behind @ ..]) => {
                let digits = [*a, *b];
                word.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                (word, behind)
            }
            (b'\\', [escaped @ (b'\\' | b'"'), behind @ ..]) => {
                word.push(*escaped);
                (word, behind)
            }
            (b'\\' | b'"', _) => return None,
            (octet, behind) => {
                word.push(*octet);
                (word, behind)
            }
        };
    }
    Some(word)
}

#[test]
fn auth() {
    hold("auth", properties::auth::holds);
}

#[test]
fn bdat() {
    hold("bdat", properties::bdat::holds);
}

#[test]
fn command() {
    hold("command", properties::command::holds);
}

#[test]
fn data() {
    hold("data", properties::data::holds);
}

#[test]
fn header() {
    hold("header", properties::header::holds);
}

#[test]
fn journal() {
    hold("journal", properties::journal::holds);
}

#[test]
fn record() {
    hold("record", properties::record::holds);
}

#[test]
fn reply() {
    hold("reply", properties::reply::holds);
}
