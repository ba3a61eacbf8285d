//! The rules of `ARCHITECTURE.md` that a machine can hold: who imports whom, what pure modules may not name, which
//! crate is named where, where secrets leave their wrapper, what is not in the dependency tree.
//!
//! The sources are read as tokens, comments, literals and `#[cfg(test)]` items left out. Tests may break the rules.
#![allow(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// From the top down. Nothing imports upward, nor another module of its own floor.
const FLOORS: [&[&str]; 10] = [
    &["main"],
    &["cli"],
    &["app", "sendmail"],
    &["inbound", "admin", "alert"],
    &["queue"],
    &["outbound"],
    &["oauth", "import", "learn"],
    &["config", "store", "history", "spool", "draft"],
    &["smtp", "account"],
    &["mail", "telemetry", "failpoint", "meter", "database"],
];

/// What the floors forbid and is right all the same.
const EXCEPTIONS: [(&str, &str, &str); 2] = [
    (
        "telemetry",
        "mail",
        "mail events carry queue ids and reverse-paths, which are values of the ground floor",
    ),
    ("telemetry", "account", "mail events carry the account's id; account imports nothing but mail"),
];

/// What the floors allow and is wrong all the same.
const FORBIDDEN: [(&str, &str, &str); 29] = [
    ("inbound", "outbound", "the queue joins them"),
    ("inbound", "oauth", "a client's doings never reach a grant"),
    ("inbound", "store", "a client's doings never reach a grant"),
    ("inbound", "database", "mail is taken whether there is a database or not"),
    ("admin", "store", "tokens are asked of oauth"),
    ("alert", "oauth", "how accounts stand comes as facts, so that no secret can get into an alert"),
    ("alert", "store", "how accounts stand comes as facts, so that no secret can get into an alert"),
    ("alert", "outbound", "alert mail goes through the queue, like all mail"),
    ("cli", "store", "tokens are asked of the daemon, which alone may open its store"),
    ("cli", "queue", "the queue is asked of the daemon, which alone may open it"),
    ("queue", "oauth", "whether a token is to be had is the outbound side's business"),
    ("queue", "store", "messages are in the journal, tokens in the store, and neither knows the other"),
    ("outbound", "store", "tokens come through oauth::TokenSource"),
    ("outbound", "config", "an Upstream is made from values of account"),
    ("oauth", "config", "accounts come as values of account"),
    ("mail", "telemetry", "pure: what is logged is decided above"),
    ("inbound", "history", "the queue tells what became of a message"),
    ("outbound", "history", "the queue tells what became of a message"),
    ("oauth", "history", "no grant has a history, and no history a grant"),
    ("sendmail", "admin", "any user runs it: it is a client of the listener, and of nothing else"),
    ("sendmail", "inbound", "it is a client of the listener, over a socket"),
    ("sendmail", "queue", "any user runs it, and the queue is the daemon's"),
    ("sendmail", "oauth", "any user runs it, and no user is to be near a token"),
    ("sendmail", "store", "any user runs it, and no user is to be near a token"),
    ("sendmail", "history", "any user runs it, and the history is the daemon's"),
    (
        "import",
        "config",
        "an importer drafts accounts; what of them is right the configuration says, once they are written",
    ),
    ("learn", "config", "what is right of what it writes the configuration says, once it is loaded"),
    ("outbound", "spool", "mail that comes in is the inbound side's business"),
    ("queue", "spool", "mail that comes in is the inbound side's business"),
];

/// The sandbox stands beside the house: a provider in a box.
const SANDBOX_USERS: [&str; 1] = ["cli"];

/// No I/O, no clock, no chance: all of these are arguments. A folder stands for all of its files.
const PURE: [&str; 66] = [
    "mail/",
    "smtp/",
    "account/",
    "draft/",
    "admin/console/fields.rs",
    "admin/console/form.rs",
    "admin/console/form/",
    "admin/console/plot.rs",
    "admin/queue/parts.rs",
    "admin/trace.rs",
    "cli/manual/",
    "import/",
    "learn/",
    "meter/day.rs",
    "meter/histogram.rs",
    "meter/reason.rs",
    "queue/count.rs",
    "queue/course.rs",
    "alert/facts.rs",
    "alert/notice.rs",
    "alert/watch.rs",
    "history/event.rs",
    "history/joined.rs",
    "history/ledger.rs",
    "history/query.rs",
    "queue/entry.rs",
    "queue/schedule.rs",
    "queue/status.rs",
    "queue/sorted.rs",
    "queue/lane/brake.rs",
    "queue/lane/mod.rs",
    "queue/lane/share.rs",
    "queue/lane/waiting.rs",
    "queue/lane/wish.rs",
    "queue/mirror/pending.rs",
    "store/packed.rs",
    "queue/pace/mod.rs",
    "queue/pace/daily.rs",
    "queue/pace/learned.rs",
    "queue/pace/rate.rs",
    "queue/record.rs",
    "queue/record/status.rs",
    "queue/record/wreck.rs",
    "queue/state.rs",
    "queue/told.rs",
    "queue/verify.rs",
    "queue/verify/",
    "sendmail/addresses.rs",
    "sendmail/aliases.rs",
    "sendmail/compose.rs",
    "sendmail/dialogue.rs",
    "sendmail/exit.rs",
    "sendmail/header.rs",
    "sendmail/input.rs",
    "sendmail/options.rs",
    "sendmail/recipients.rs",
    "spool/format.rs",
    "outbound/classify.rs",
    "outbound/wording.rs",
    "outbound/encode.rs",
    "outbound/reason.rs",
    "outbound/stage.rs",
    "outbound/replies.rs",
    "store/seal.rs",
    "store/parcel.rs",
    "store/record.rs",
];

/// What pure modules do not name, wherever it stands in a path.
const IMPURE_PATHS: [&[&str]; 18] = [
    &["tokio"],
    &["tokio_util"],
    &["std", "fs"],
    &["std", "env"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "os"],
    &["TcpStream"],
    &["TcpListener"],
    &["UdpSocket"],
    &["ToSocketAddrs"],
    &["SystemTime", "now"],
    &["Instant", "now"],
    &["rustix"],
    &["reqwest"],
    &["tracing"],
    &["fastrand"],
    &["getrandom"],
];
const IMPURE_WORDS: [&str; 2] = ["async", "await"];
/// A seal needs a nonce that nobody can choose.
const PURE_EXCEPTIONS: [(&str, &str); 1] = [("store/seal.rs", "getrandom")];

/// Crates that are sound in one role (`docs/decisions/`) and named in the one file that keeps them to it.
const ONE_FILE: [(&str, &str); 8] = [
    ("argon2", "account/user.rs"),
    ("samotop_core", "inbound/adapter.rs"),
    ("mail_send", "outbound/connect.rs"),
    ("sled", "store/sled.rs"),
    ("oauth2", "oauth/client.rs"),
    ("figment", "config/load.rs"),
    ("toml_edit", "draft/edit.rs"),
    ("chacha20poly1305", "store/seal.rs"),
];

/// Where secrets leave their wrapper.
const EXITS: [(&str, &str); 9] = [
    ("account/user.rs", "a local user's password held against what a client gives"),
    ("database/settings.rs", "the URL of the nodes' database, on its way to the driver"),
    ("draft/edit.rs", "an account's file with a key changed, for the file that the daemon will read it from"),
    ("draft/toml.rs", "an account written down, for the file that the daemon will read it from"),
    ("outbound/auth/mod.rs", "an access token, on its way to the two mechanisms that carry one"),
    ("outbound/auth/password.rs", "the mechanisms that prove a password"),
    ("oauth/client.rs", "the form that goes to a token endpoint"),
    ("store/parcel.rs", "the passphrase that seals tokens on their way to another host"),
    ("store/record.rs", "the octets that seal.rs encrypts"),
];

/// serde stays at the rim: what is written to disk, to the control socket, or comes from a stranger.
const RIM: [&str; 25] = [
    "admin/control.rs",
    "admin/protocol.rs",
    "admin/protocol/",
    "admin/queue/",
    "admin/service.rs",
    "alert/book.rs",
    "alert/command.rs",
    "cli/",
    "config/",
    "history/event.rs",
    "history/search.rs",
    "import/postfix/token.rs",
    "meter/kept.rs",
    "oauth/answer.rs",
    "oauth/device.rs",
    "oauth/id_token.rs",
    "oauth/jwt.rs",
    "outbound/auth/bearer.rs",
    "queue/pace/",
    "queue/record/",
    "queue/record.rs",
    "sandbox/",
    "spool/format.rs",
    "store/parcel.rs",
    "store/record.rs",
];

/// Threads that we start, and why tokio's do not do.
const THREADS: [(&str, &str); 4] = [
    ("cli/account.rs", "waits for an address pasted into standard input, which cannot be called off"),
    ("history/mod.rs", "the one writer of the history, which waits for the disk in mail's place"),
    ("queue/journal/writer.rs", "the one writer of the journal, which waits for the disk all day"),
    ("sendmail/bridge.rs", "passes on standard input, which cannot be called off"),
];

/// Crates that are not to come into the tree, not even unused, and why.
const BANNED: [(&str, &str); 7] = [
    ("aws-lc-rs", "one cryptography provider: ring. With two, rustls' default builders panic"),
    ("aws-lc-sys", "one cryptography provider: ring"),
    ("openssl", "rustls alone speaks TLS"),
    ("openssl-sys", "rustls alone speaks TLS"),
    ("native-tls", "rustls alone speaks TLS"),
    ("async-std", "tokio is the runtime; samotop comes without its driver"),
    ("samotop-parser", "refuses what ordinary clients say"),
];

/// Lines that a file may have.
const LONGEST: usize = 450;

// ---- reading sources -----------------------------------------------------------------------------------------------

/// One source file: its path below `src` and its tokens.
struct Source {
    name: String,
    lines: usize,
    tokens: Vec<String>,
}

impl Source {
    /// The top-level module that the file belongs to.
    fn module(&self) -> &str {
        self.name.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// How many modules deep the file's own module is.
    fn depth(&self) -> usize {
        let parts = self.name.split('/').count();
        if self.name.ends_with("/mod.rs") { parts - 1 } else { parts }
    }

    /// Every path, with the groups of `use` spread out. Submodules that hide a crate's name count as `self::`.
    fn paths(&self) -> Vec<Vec<String>> {
        let own: BTreeSet<&str> =
            self.tokens.windows(2).filter(|pair| pair[0] == "mod").map(|pair| pair[1].as_str()).collect();
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let global = self.tokens[at] == "::" && !follows_a_path(&self.tokens, at);
            if global || starts_a_path(&self.tokens[at]) {
                let mut paths = Vec::new();
                at = spread(&self.tokens, at + usize::from(global), &mut Vec::new(), &mut paths);
                for mut path in paths {
                    if !global && own.contains(path[0].as_str()) {
                        path.insert(0, "self".into());
                    }
                    found.push(path);
                }
            } else {
                at += 1;
            }
        }
        found
    }

    /// The top-level modules of the crate that the file names, its own left out.
    fn imports(&self) -> BTreeSet<String> {
        let below = |path: &Vec<String>| {
            let supers = path.iter().take_while(|part| *part == "super").count();
            match path[0].as_str() {
                "crate" | "waxseal" => path.get(1).cloned(),
                _ if supers > 0 && supers >= self.depth() => path.get(supers).cloned(),
                _ => None,
            }
        };
        self.paths().iter().filter_map(below).filter(|module| module != self.module()).collect()
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// A word after which a path may come is not part of it.
fn starts_a_path(token: &str) -> bool {
    let keywords = ["use", "in", "return", "match", "else", "mut", "as", "for", "dyn", "impl", "if", "while"];
    is_word(token) && !keywords.contains(&token)
}

fn follows_a_path(tokens: &[String], at: usize) -> bool {
    at > 0 && (starts_a_path(&tokens[at - 1]) || tokens[at - 1] == ">")
}

/// Reads a path, or a tree of `use`, that starts at `at`; where it ends.
fn spread(tokens: &[String], mut at: usize, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let before = prefix.len();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at = spread(tokens, at, prefix, found).max(at + 1);
                    while tokens.get(at).is_some_and(|token| token != "," && token != "}") {
                        at += 1;
                    }
                    at += usize::from(tokens.get(at).is_some_and(|token| token == ","));
                }
                prefix.truncate(before);
                return at + 1;
            }
            Some(word) if is_word(word) => prefix.push(word.to_owned()),
            _ => break,
        }
        at += 1;
        if tokens.get(at).is_none_or(|token| token != "::") {
            break;
        }
        at += 1;
    }
    if prefix.len() > before {
        found.push(prefix.clone());
    }
    prefix.truncate(before);
    at
}

/// The tokens of a source: words, `::` and single signs; no comments, no literals.
fn tokens(text: &str) -> Vec<String> {
    let c: Vec<char> = text.chars().collect();
    let (mut out, mut i) = (Vec::new(), 0);
    let at = |i: usize| c.get(i).copied().unwrap_or('\0');
    while i < c.len() {
        match c[i] {
            '/' if at(i + 1) == '/' => {
                while i < c.len() && c[i] != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut deep = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (deep, i) = (deep + 1, i + 2),
                        ('*', '/') => (deep, i) = (deep - 1, i + 2),
                        _ => i += 1,
                    }
                    if deep == 0 || i >= c.len() {
                        break;
                    }
                }
            }
            '"' => i = after_string(&c, i),
            '\'' if at(i + 1) == '\\' || at(i + 2) == '\'' => {
                i += 2 + usize::from(at(i + 1) == '\\');
                while i < c.len() && c[i] != '\'' {
                    i += 1;
                }
                i += 1;
            }
            ':' if at(i + 1) == ':' => {
                out.push("::".into());
                i += 2;
            }
            first if first.is_alphanumeric() || first == '_' => {
                let start = i;
                while at(i).is_alphanumeric() || at(i) == '_' {
                    i += 1;
                }
                let word: String = c[start..i].iter().collect();
                let hashes = c[i..].iter().take_while(|sign| **sign == '#').count();
                let raw = word.ends_with('r') && word.len() <= 2 && at(i + hashes) == '"';
                if raw {
                    i = after_raw_string(&c, i + hashes + 1, hashes);
                } else {
                    out.push(word);
                }
            }
            sign => {
                if !sign.is_whitespace() {
                    out.push(sign.into());
                }
                i += 1;
            }
        }
    }
    out
}

fn after_string(c: &[char], mut i: usize) -> usize {
    i += 1;
    while i < c.len() && c[i] != '"' {
        i += 1 + usize::from(c[i] == '\\');
    }
    i + 1
}

fn after_raw_string(c: &[char], mut i: usize, hashes: usize) -> usize {
    while i < c.len()
        && !(c[i] == '"' && c[i + 1..].iter().take(hashes).filter(|s| **s == '#').count() == hashes)
    {
        i += 1;
    }
    i + 1 + hashes
}

/// Leaves out every item that stands under `#[cfg(test)]`.
fn without_tests(tokens: Vec<String>) -> Vec<String> {
    let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut out, mut i) = (Vec::new(), 0);
    while i < tokens.len() {
        if tokens[i..].iter().map(String::as_str).take(mark.len()).eq(mark) {
            i = after_item(&tokens, i + mark.len());
        } else {
            out.push(tokens[i].clone());
            i += 1;
        }
    }
    out
}

/// Where the item that starts at `i` ends: behind its `;` or its block.
fn after_item(tokens: &[String], mut i: usize) -> usize {
    let mut deep = 0;
    while i < tokens.len() {
        let token = tokens[i].as_str();
        i += 1;
        match token {
            "{" | "(" | "[" => deep += 1,
            "}" | ")" | "]" => {
                deep -= 1;
                if deep == 0 && token == "}" {
                    break;
                }
            }
            ";" if deep == 0 => break,
            _ => {}
        }
    }
    i
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All sources but those of unit tests.
fn sources() -> Vec<Source> {
    fn visit(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut files = Vec::new();
    visit(&root().join("src"), &mut files);
    files.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap().to_owned();
        Source { name, lines: text.lines().count(), tokens: without_tests(tokens(&text)) }
    };
    let sources: Vec<Source> = files.into_iter().map(read).collect();
    assert!(sources.len() > 80, "only {} sources found", sources.len());
    sources.into_iter().filter(|s| !s.name.ends_with("_tests.rs") && !s.name.ends_with("/tests.rs")).collect()
}

/// Fails with every breach, one a line.
fn none(breaches: Vec<String>) {
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

/// Whether `name` is one of these files, or below one of these folders.
fn among(name: &str, places: &[&str]) -> bool {
    places.iter().any(|place| name == *place || place.ends_with('/') && name.starts_with(place))
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Who imports whom, with the files that do.
fn imports(sources: &[Source]) -> BTreeMap<(String, String), Vec<&str>> {
    let mut all: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for source in sources.iter().filter(|source| source.name != "lib.rs") {
        for import in source.imports() {
            all.entry((source.module().to_owned(), import)).or_default().push(&source.name);
        }
    }
    all
}

// ---- the rules -----------------------------------------------------------------------------------------------------

#[test]
fn every_module_has_a_floor() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let declared: BTreeSet<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let known: BTreeSet<&str> =
        FLOORS.concat().into_iter().chain(["sandbox"]).filter(|m| *m != "main").collect();
    assert_eq!(declared, known);
}

#[test]
fn nothing_imports_upward_or_sideways() {
    let sources = sources();
    let imports = imports(&sources);
    let mut breaches = Vec::new();
    for ((from, to), files) in imports.iter().filter(|((from, to), _)| from != "sandbox" && to != "sandbox") {
        let excused = EXCEPTIONS.iter().any(|(a, b, _)| a == from && b == to);
        match (floor(from), floor(to)) {
            (Some(above), Some(below)) if above < below || excused => {}
            (Some(_), Some(_)) => {
                breaches.push(format!("{from} imports {to}, which does not lie below it: {files:?}"))
            }
            _ => breaches.push(format!("{from} imports {to}, and one of them has no floor: {files:?}")),
        }
    }
    for (from, to, _) in EXCEPTIONS {
        if !imports.contains_key(&(from.to_owned(), to.to_owned())) {
            breaches.push(format!("{from} does not import {to} any more: take the exception away"));
        }
    }
    none(breaches);
}

#[test]
fn what_must_not_know_each_other_does_not() {
    let sources = sources();
    let imports = imports(&sources);
    let met = FORBIDDEN.iter().filter_map(|(from, to, reason)| {
        let files = imports.get(&((*from).to_owned(), (*to).to_owned()))?;
        Some(format!("{from} imports {to} in {files:?}; {reason}"))
    });
    none(met.collect());
}

#[test]
fn the_sandbox_stands_beside_the_house() {
    let sources = sources();
    let imports = imports(&sources);
    let breach = |((from, to), files): (&(String, String), &Vec<&str>)| match (from.as_str(), to.as_str()) {
        ("sandbox", to) => Some(format!("the sandbox imports {to}: {files:?}")),
        (from, "sandbox") if !SANDBOX_USERS.contains(&from) => {
            Some(format!("{from} imports the sandbox: {files:?}"))
        }
        _ => None,
    };
    none(imports.iter().filter_map(breach).collect());
}

#[test]
fn pure_modules_name_no_io_no_clock_and_no_chance() {
    let sources = sources();
    let mut breaches = Vec::new();
    for place in PURE {
        assert!(sources.iter().any(|source| among(&source.name, &[place])), "no source is {place}");
    }
    for source in sources.iter().filter(|source| among(&source.name, &PURE)) {
        let excused = |name: &str| PURE_EXCEPTIONS.contains(&(source.name.as_str(), name));
        for path in source.paths() {
            let met =
                |impure: &&&[&str]| path.windows(impure.len()).any(|part| part.iter().eq(impure.iter()));
            if let Some(impure) = IMPURE_PATHS.iter().filter(|impure| !excused(impure[0])).find(met) {
                breaches.push(format!("{} names {}", source.name, impure.join("::")));
            }
        }
        for word in IMPURE_WORDS.iter().filter(|word| source.tokens.iter().any(|token| token == *word)) {
            breaches.push(format!("{} says {word}", source.name));
        }
    }
    none(breaches);
}

#[test]
fn crates_with_a_role_are_named_in_one_file() {
    let sources = sources();
    let mut breaches = Vec::new();
    for (name, home) in ONE_FILE {
        let named = |source: &&Source| source.paths().iter().any(|path| path[0] == name);
        let files: Vec<&str> = sources.iter().filter(named).map(|source| source.name.as_str()).collect();
        if files != [home] {
            breaches.push(format!("{name} belongs to {home} and is named in {files:?}"));
        }
    }
    none(breaches);
}

#[test]
fn secrets_leave_their_wrapper_at_known_places() {
    let exposes = |source: &&Source| {
        source
            .tokens
            .iter()
            .any(|token| ["expose_secret", "expose_secret_mut", "ExposeSecret"].contains(&&**token))
    };
    let sources = sources();
    let found: BTreeSet<&str> = sources.iter().filter(exposes).map(|source| source.name.as_str()).collect();
    let known: BTreeSet<&str> = EXITS.iter().map(|(file, _)| *file).collect();
    assert_eq!(found, known);
}

#[test]
fn serde_stays_at_the_rim() {
    let inside = |source: &&Source| {
        let named = source.paths().iter().any(|path| path[0] == "serde" || path[0] == "serde_json");
        named && !among(&source.name, &RIM)
    };
    let sources = sources();
    for place in RIM {
        assert!(sources.iter().any(|source| among(&source.name, &[place])), "no source is {place}");
    }
    none(sources.iter().filter(inside).map(|source| format!("{} names serde", source.name)).collect());
}

#[test]
fn threads_are_started_for_a_reason_and_one_writes_the_journal() {
    let starts = |path: &Vec<String>| {
        let part = |name: &str| path.iter().any(|part| part == name);
        part("thread") && (part("spawn") || part("Builder"))
    };
    let sources = sources();
    let found = sources.iter().filter(|source| source.paths().iter().any(starts));
    let found: Vec<&str> = found.map(|source| source.name.as_str()).collect();
    assert_eq!(found, THREADS.map(|(file, _)| file));
}

#[test]
fn the_dependency_tree_has_one_tls_and_one_runtime() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let names: Vec<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    let mut breaches = Vec::new();
    for (banned, reason) in BANNED {
        if names.contains(&banned) {
            breaches.push(format!("{banned} is in the tree; {reason}"));
        }
    }
    for single in ["ring", "rustls", "tokio", "smtp-proto"] {
        let count = names.iter().filter(|name| **name == single).count();
        if count != 1 {
            breaches.push(format!("{single} is in the tree {count} times"));
        }
    }
    none(breaches);
}

#[test]
fn files_can_be_read_in_one_sitting() {
    let sources = sources();
    let long = sources.iter().filter(|source| source.lines > LONGEST);
    none(
        long.map(|source| format!("{} has {} lines; {LONGEST} are allowed", source.name, source.lines))
            .collect(),
    );
}

/// `src/….rs`, `tests/….rs` and `tests/….rs::test_name` in the documents have to be there.
#[test]
fn the_documents_name_what_exists() {
    let mut documents = vec![root().join("ARCHITECTURE.md"), root().join("README.md")];
    for folder in ["docs", "docs/decisions"] {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        documents.extend(
            entries.map(|entry| entry.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "md")),
        );
    }
    let mut breaches = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        let name = document.strip_prefix(root()).unwrap().display().to_string();
        for quoted in text.split('`').skip(1).step_by(2) {
            let (file, test) =
                quoted.split_once("::").map_or((quoted, None), |(file, test)| (file, Some(test)));
            let known = ["src/", "tests/", "config/", "systemd/", "docs/"]
                .iter()
                .any(|place| file.starts_with(place));
            if !known || file.contains(['*', '{', ' ', '…', 'N']) {
                continue;
            }
            match (fs::read_to_string(root().join(file)), test) {
                (Ok(source), Some(test)) if !source.contains(&format!("fn {test}(")) => {
                    breaches.push(format!("{name}: {file} has no {test}"));
                }
                (Err(_), _) if !root().join(file).exists() => {
                    breaches.push(format!("{name}: there is no {file}"))
                }
                _ => {}
            }
        }
    }
    none(breaches);
}

/// The first cell of each row in `docs/log-events.md` quotes events as the sources write them, up to a `…`.
#[test]
fn every_documented_event_is_in_the_sources() {
    fn visit(directory: &Path, text: &mut String) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { visit(&path, text) } else { text.push_str(&fs::read_to_string(path).unwrap()) }
        }
    }
    let mut sources = String::new();
    visit(&root().join("src"), &mut sources);
    let document = fs::read_to_string(root().join("docs/log-events.md")).unwrap();
    let cells = document.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let events: Vec<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(events.len() > 40, "only {} events found", events.len());
    let missing =
        events.iter().filter(|event| !sources.contains(event.split('…').next().unwrap_or_default()));
    none(missing.map(|event| format!("no source says {event:?}")).collect());
}

/// The other way round: what the sources say, the document explains. The text of an event is the last literal in its
/// macro; it counts up to the first thing that varies.
#[test]
fn every_event_in_the_sources_is_documented() {
    fn visit(directory: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { visit(&path, files) } else { files.push(path) }
        }
    }
    /// The literals of a macro's arguments, and where the arguments end.
    fn literals(text: &str) -> Vec<String> {
        let (mut found, mut depth, mut characters) = (Vec::new(), 1, text.chars());
        while let Some(character) = characters.next() {
            match character {
                '(' => depth += 1,
                ')' => depth -= 1,
                '"' => {
                    let mut literal = String::new();
                    while let Some(character) = characters.next().filter(|character| *character != '"') {
                        literal.push(character);
                        if character == '\\' {
                            literal.extend(characters.next());
                        }
                    }
                    found.push(literal);
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        found
    }
    let document = fs::read_to_string(root().join("docs/log-events.md")).unwrap();
    let (mut files, mut seen, mut breaches) = (Vec::new(), 0, Vec::new());
    visit(&root().join("src"), &mut files);
    let is_ours = |path: &&PathBuf| {
        let name = path.display().to_string();
        name.ends_with(".rs") && !name.ends_with("_tests.rs") && !name.contains("/src/sandbox/")
    };
    for path in files.iter().filter(is_ours) {
        let text = fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for level in ["error", "warn", "info", "debug", "trace"] {
            for (at, call) in text.match_indices(&format!("{level}!(")) {
                if text[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
                    continue;
                }
                let Some(event) = literals(&text[at + call.len()..]).pop() else { continue };
                let fixed = event.split('{').next().unwrap_or_default();
                if fixed.is_empty() || event == "waxseal" {
                    continue;
                }
                seen += 1;
                if !document.contains(&format!("`{fixed}")) {
                    breaches.push(format!("{}: {event:?} is not in docs/log-events.md", path.display()));
                }
            }
        }
    }
    assert!(seen > 60, "only {seen} events found");
    none(breaches);
}

// ---- the reader itself ---------------------------------------------------------------------------------------------

#[test]
fn the_reader_sees_what_is_there_and_nothing_else() {
    let text = r##"
        // crate::comment
        /* crate::block /* crate::nested */ */
        use crate::{mail::{self, Reply}, queue as q, account::AccountId};
        use super::super::outbound;
        use ::sled::Db;
        const S: &str = "crate::string \" crate::more"; const R: &str = r#"crate::raw " "#;
        fn f<'a>(c: char) -> &'a str { match c { '"' => crate::config::X, '\'' => "", _ => tokio::spawn::<u8>() } }
        #[cfg(test)]
        #[path = "x.rs"]
        mod tests;
        #[cfg(test)]
        mod more { use crate::inbound::Y; fn g() { let _ = [1; 2]; } }
        fn h() { Instant::now(); crate::store::open() }
    "##;
    let source = Source { name: "oauth/x.rs".into(), lines: 0, tokens: without_tests(tokens(text)) };
    let wanted = ["account", "config", "mail", "outbound", "queue", "store"];
    assert_eq!(source.imports().iter().map(String::as_str).collect::<Vec<_>>(), wanted);
    let roots: BTreeSet<String> = source.paths().into_iter().map(|path| path[0].clone()).collect();
    assert!(["sled", "tokio", "Instant"].iter().all(|root| roots.contains(*root)), "{roots:?}");
    assert!(source.paths().contains(&vec!["crate".into(), "mail".into(), "Reply".into()]));
}
