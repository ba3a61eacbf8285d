//! What all importers owe: whatever a file has in it, there is an answer, and a draft that the writer takes.

use super::*;
use crate::draft::{Shown, write};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Files in memory.
#[derive(Default)]
pub(crate) struct Shelf(BTreeMap<PathBuf, String>);

impl Shelf {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect())
    }
}

impl Files for Shelf {
    fn read(&self, path: &Path) -> Result<Zeroizing<String>, String> {
        self.0
            .get(path)
            .map(|text| Zeroizing::new(text.clone()))
            .ok_or_else(|| "it does not exist".to_owned())
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.0.keys().any(|file| file != path && file.starts_with(path))
    }

    fn home(&self) -> Option<PathBuf> {
        Some("/home/u".into())
    }
}

/// What comes of some files: each account's TOML without its first comment, and `FILE:LINE NAME` of what was left out.
pub(crate) fn outcome(tool: Tool, paths: &[&str], files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    let imported = tool.import(&paths, &Shelf::new(files)).unwrap_or_else(|error| panic!("{error}"));
    let toml = |found: &Found| {
        let text = write(&found.draft, "", Shown::InFull).to_string();
        text.trim_start_matches("# \n").to_owned()
    };
    let accounts = imported.accounts.iter().map(toml).collect();
    let notes = imported.accounts.iter().flat_map(|found| &found.left_out).chain(&imported.left_out);
    (accounts, notes.map(|note| format!("{} {}", note.place, note.name)).collect())
}

/// The one account of a file.
pub(crate) fn only(tool: Tool, path: &str, text: &str) -> String {
    let (mut accounts, _) = outcome(tool, &[path], &[(path, text)]);
    assert_eq!(accounts.len(), 1, "{text}");
    accounts.remove(0)
}

const TOOLS: [Tool; 4] = [Tool::Postfix, Tool::Msmtp, Tool::EmailProxy, Tool::Ssmtp];

/// Nothing to see, as long as it ends.
fn import_all(text: &str) {
    let name = ["main.cf", "msmtprc", "emailproxy.config", "ssmtp.conf"];
    for (tool, name) in TOOLS.into_iter().zip(name) {
        let path = format!("/x/{name}");
        let files =
            Shelf::new(&[(&path, text), ("/x/table", text), ("/x/revaliases", text), ("/x/token", text)]);
        if let Ok(imported) = tool.import(&[PathBuf::from(&path)], &files) {
            for found in &imported.accounts {
                let toml = write(&found.draft, &found.place.to_string(), Shown::InFull);
                assert!(toml.parse::<toml::Table>().is_ok(), "{}", toml.as_str());
            }
        }
    }
}

/// Words of all four tools, so that chance gets past the first line.
fn words() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "relayhost = ",
        "smtp_sasl_auth_enable = yes\n",
        "smtp_sasl_password_maps = ",
        "hash:/x/table",
        "inline:{",
        "static:",
        "sender_dependent_relayhost_maps = ",
        "smtp_sender_dependent_authentication = yes\n",
        "xoauth2",
        "smtp_sasl_mechanism_filter = ",
        "[h.example]:587",
        "a@b.example",
        "@b.example ",
        "u:/x/token",
        "u:p",
        "$",
        "${",
        "}",
        "{",
        "\n",
        "\n ",
        "account ",
        "defaults\n",
        "host h.example\n",
        "from ",
        "auth on\n",
        "tls on\n",
        "passwordeval cat ",
        "[SMTP-1]\n",
        "[@",
        "[a@b.example]\n",
        "]\n",
        "server_address = h.example\n",
        "server_port = 1\n",
        "token_url = https://login.microsoftonline.com/",
        "oauth2_flow = device\n",
        "mailhub=",
        "AuthUser=u\n",
        "AuthPass=",
        "=",
        ":",
        "\"",
        "#",
        " ",
        "é",
        "\u{1F600}",
        "client_id = file\n",
        "root:",
        "\"refresh_token\": \"x\"",
        "myorigin = /x/table\n",
        "?",
        ",",
        "\t",
        "\r",
    ]);
    prop::collection::vec(words, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(crate::smoke())]

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        import_all(&text);
    }

    #[test]
    fn arbitrary_octets_never_panic(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        import_all(&String::from_utf8_lossy(&octets));
    }

    #[test]
    fn words_in_any_order_never_panic(text in words()) {
        import_all(&text);
    }
}

#[test]
fn a_note_is_one_line_without_control_characters() {
    let note = LeftOut::new(Place::new(Path::new("a\nb"), 1), "x\u{1b}[2J", "é");
    assert_eq!(note.to_string(), "a\\nb:1 x\\u{1b}[2J: é");
}

#[test]
fn ids_differ() {
    let text = "account a.b\nhost h.example\naccount A-b\nhost h.example\naccount a_b\nhost h.example\n";
    let (accounts, _) = outcome(Tool::Msmtp, &["/rc"], &[("/rc", text)]);
    let ids: Vec<&str> = accounts.iter().filter_map(|toml| toml.lines().next()).collect();
    assert_eq!(ids, ["[account.a-b]", "[account.a-b-2]", "[account.a_b]"]);
}

#[test]
fn a_second_default_can_be_refused() {
    let files = Shelf::new(&[("/s", "mailhub=h.example\n")]);
    let mut imported = Tool::Ssmtp.import(&["/s".into()], &files).unwrap();
    imported.accounts[0].refuse_default();
    let toml = write(&imported.accounts[0].draft, "", Shown::InFull);
    assert!(!toml.contains("default = true\n") && toml.contains("active = false\n"), "{}", toml.as_str());
}
