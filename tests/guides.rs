//! What the documents tell people to write and to type is what the program takes: every TOML block is loaded by the real
//! loader, and every `waxseal` line of a shell block is held against the real command line.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

use clap::Parser as _;
use std::{fs, path::PathBuf};
use waxseal::{cli::Arguments, config};

/// README and everything below `docs/`, but for the decisions.
fn documents() -> Vec<(String, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![root.join("README.md")];
    for folder in ["docs", "docs/guides"] {
        let entries = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        paths.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    let read = |path: PathBuf| (path.display().to_string(), fs::read_to_string(&path).unwrap());
    paths.into_iter().map(read).collect()
}

/// The fenced blocks of a language, with their line.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let (mut found, mut open): (Vec<(usize, String)>, Option<bool>) = (Vec::new(), None);
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), open) {
            (Some(word), None) => {
                open = Some(word == language);
                if word == language {
                    found.push((number + 1, String::new()));
                }
            }
            (Some(_), Some(_)) => open = None,
            (None, Some(true)) => found.last_mut().unwrap().1.push_str(&format!("{line}\n")),
            (None, _) => {}
        }
    }
    found
}

/// A block on its own: files that it names are there, a fragment of an account gets one around it, and what it takes from
/// the environment is set.
fn load(block: &str) -> Result<(), String> {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name).display().to_string();
    let key = rcgen::generate_simple_self_signed(vec!["relay.example.com".to_owned()]).unwrap();
    fs::write(place("pair.pem"), key.cert.pem() + &key.signing_key.serialize_pem()).unwrap();
    fs::write(place("secret"), "something\n").unwrap();
    fs::write(place("service.json"), service_account(&key.signing_key.serialize_pem())).unwrap();
    let mut text = block.to_owned();
    for name in quoted(block) {
        let stands = match name.rsplit('.').next() {
            Some("pem" | "key" | "crt") => place("pair.pem"),
            Some("json") => place("service.json"),
            Some("secret") => place("secret"),
            _ if name.starts_with("/run/secrets/") => place("secret"),
            _ if name == "/usr/local/bin/page-me" => "/bin/sh".to_owned(),
            _ => continue,
        };
        text = text.replace(&format!("\"{name}\""), &format!("\"{stands}\""));
    }
    let is_fragment = !text.lines().any(|line| line.trim_start().starts_with('['));
    if is_fragment && text.contains("client_certificate") {
        text = format!(
            "[account.x]\ntype = \"microsoft\"\ndomain = \"example.com\"\nusername = \"x@example.com\"\nclient_id = \"x\"\n{text}"
        );
    }
    let main = directory.path().join("waxseal.toml");
    fs::write(&main, &text).unwrap();
    let env = ["SUPPORT_SECRET"].map(|name| (name.to_owned(), "something".to_owned()));
    config::load(Some(&main), env.into_iter()).map(drop).map_err(|errors| errors.to_string())
}

/// A service account's key file, with a key that is one.
fn service_account(key: &str) -> String {
    let json = serde_json::json!({
        "type": "service_account", "client_email": "x@example.iam.gserviceaccount.com", "private_key": key,
        "private_key_id": "1", "token_uri": "https://oauth2.googleapis.com/token",
    });
    json.to_string()
}

fn quoted(text: &str) -> Vec<String> {
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_toml_block_is_a_configuration() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for (path, text) in documents() {
        for (line, block) in blocks(&text, "toml") {
            seen += 1;
            if let Err(error) = load(&block) {
                wrong.push(format!("{path}:{line}: {error}"));
            }
        }
    }
    assert!(seen >= 10, "{seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(load("[account.x]\ntype = \"basics\"\n").is_err(), "a wrong one is told");
}

#[test]
fn every_command_line_is_one() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for (path, text) in documents() {
        for (line, block) in blocks(&text, "sh") {
            let joined = block.replace("\\\n", " ");
            for typed in joined.lines().flat_map(commands) {
                seen += 1;
                if let Err(error) = Arguments::try_parse_from(&typed) {
                    wrong.push(format!(
                        "{path}:{line}: {}: {}",
                        typed.join(" "),
                        error.to_string().lines().next().unwrap_or("")
                    ));
                }
            }
        }
    }
    assert!(seen > 30, "{seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(Arguments::try_parse_from(["waxseal", "acount"]).is_err(), "a wrong one is told");
}

/// The calls of waxseal in a line of a shell block, as their words.
fn commands(line: &str) -> Vec<Vec<String>> {
    let line = line.split(" #").next().unwrap_or_default();
    let parts = line.split("&&").flat_map(|part| part.split('|')).flat_map(|part| part.split(';'));
    parts.filter_map(|part| call(part.split(['<', '>']).next()?)).collect()
}

/// A command's words from `waxseal` on, where that is what runs: by its name or a path, as root, in a container.
fn call(command: &str) -> Option<Vec<String>> {
    let cleaned = command.split_whitespace().map(|word| word.trim_matches(['\'', '"', '[', ']']).to_owned());
    let words: Vec<String> = cleaned.filter(|word| !word.is_empty() && word != "…").collect();
    let mut words = words.strip_prefix(&["sudo".to_owned()]).unwrap_or(&words);
    if let [engine, verb, rest @ ..] = words
        && ["docker", "podman"].contains(&engine.as_str())
        && verb == "exec"
    {
        // Its options, which take no arguments in what we write, and the container.
        let options = rest.iter().take_while(|word| word.starts_with('-')).count();
        words = rest.get(options + 1..)?;
    }
    let program = words.first()?;
    (program == "waxseal" || program.ends_with("/waxseal")).then(|| words.to_vec())
}

#[test]
fn calls_are_found_wherever_they_stand() {
    let found = |line: &str| commands(line).into_iter().map(|words| words.join(" ")).collect::<Vec<_>>();
    assert_eq!(found("sudo waxseal check   # what it means"), ["waxseal check"]);
    assert_eq!(
        found("sudo /tmp/w/usr/bin/waxseal status | head; waxseal check > x"),
        ["/tmp/w/usr/bin/waxseal status", "waxseal check"]
    );
    assert_eq!(found("podman exec -it relay waxseal queue list"), ["waxseal queue list"]);
    for other in
        ["sudo systemctl reload waxseal", "sudo apt install ./waxseal_*.deb && true", "docker logs waxseal"]
    {
        assert!(found(other).is_empty(), "{other}");
    }
}
