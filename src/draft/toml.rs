//! An account as TOML, its keys in the order of the documentation.

use super::{Draft, Secret, Value};
use secrecy::ExposeSecret as _;
use std::fmt::Write as _;
use zeroize::Zeroizing;

/// Whether secrets are written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// For the account's file.
    InFull,
    /// For a screen: `"[hidden]"` stands for them.
    Hidden,
}

/// Keys in the order of `config/waxseal.toml`; `active` and `type` are written before them.
const ORDER: [&str; 31] = [
    "name",
    "description",
    "application",
    "domains",
    "senders",
    "default",
    "address",
    "port",
    "security",
    "allow_plaintext_authentication",
    "certificate_validation",
    "ca_file",
    "username",
    "use_authentication",
    "password",
    "client_id",
    "client_secret",
    "client_certificate",
    "client_key",
    "authorization_endpoint",
    "token_endpoint",
    "device_authorization_endpoint",
    "scope",
    "tenant",
    "cloud",
    "grant",
    "service_account_file",
    "refresh_token",
    "mechanism",
    "sender",
    "delivery",
];

/// The account's file: a table with what is known, and a comment for each thing that is missing. `origin` is said in
/// its first line.
pub fn write(draft: &Draft, origin: &str, shown: Shown) -> Zeroizing<String> {
    // Room enough that growing leaves no copies of a secret behind.
    let mut out = Zeroizing::new(String::with_capacity(16 * 1024));
    let _ = writeln!(out, "# {}\n[account.{}]", one_line(origin), draft.id);
    if !draft.is_complete() {
        out.push_str("# Inactive until these are filled in and `active` is taken out:\n");
        for gap in &draft.gaps {
            let _ = writeln!(out, "#   {}: {}", gap.key, one_line(&gap.way_out));
        }
        out.push_str("active = false\n");
    }
    let _ = writeln!(out, "type = \"{}\"", draft.kind.as_str());
    for key in ORDER {
        match draft.get(key) {
            // One domain reads best as `domain`.
            Some(Value::Texts(texts)) if key == "domains" && texts.len() == 1 => {
                let _ = writeln!(out, "domain = {}", quoted(&texts[0]).as_str());
            }
            Some(Value::Texts(texts)) if texts.is_empty() => {}
            Some(value) => {
                let _ = writeln!(out, "{key} = {}", rendered(value, shown).as_str());
            }
            None => {}
        }
    }
    out
}

/// Comments end with their line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn rendered(value: &Value, shown: Shown) -> Zeroizing<String> {
    match value {
        Value::Text(text) => quoted(text),
        Value::Texts(texts) => {
            let items: Vec<_> = texts.iter().map(|text| quoted(text).to_string()).collect();
            format!("[{}]", items.join(", ")).into()
        }
        Value::Number(number) => number.to_string().into(),
        Value::Flag(flag) => flag.to_string().into(),
        Value::Secret(Secret::Given(_)) if shown == Shown::Hidden => quoted("[hidden]"),
        Value::Secret(Secret::Given(secret)) => quoted(secret.expose_secret()),
        Value::Secret(Secret::File(path)) => format!("{{ file = {} }}", quoted(path).as_str()).into(),
        Value::Secret(Secret::Variable(name)) => format!("{{ env = {} }}", quoted(name).as_str()).into(),
        Value::Secret(Secret::Credential(name)) => {
            format!("{{ credential = {} }}", quoted(name).as_str()).into()
        }
    }
}

/// A TOML basic string: whatever is in the text, it is one line and reads back the same.
pub fn quoted(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len() * 6 + 2));
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::AccountType;
    use proptest::prelude::*;

    #[test]
    fn keys_come_in_order_and_secrets_show_only_in_the_file() {
        let mut draft = Draft::new("a", AccountType::Basic);
        draft.set("password", Secret::Given("hunter\"2".into()));
        draft.set("username", "u");
        draft.set("port", 25);
        draft.set("domains", vec!["example.com".to_owned()]);
        draft.set("senders", vec!["a@b.example".to_owned(), "c@d.example".to_owned()]);
        draft.set("default", true);
        let file = write(&draft, "made\nby hand", Shown::InFull);
        let wanted = "# made by hand\n[account.a]\ntype = \"basic\"\ndomain = \"example.com\"\n\
                      senders = [\"a@b.example\", \"c@d.example\"]\ndefault = true\nport = 25\nusername = \"u\"\n\
                      password = \"hunter\\\"2\"\n";
        assert_eq!(file.as_str(), wanted);
        let hidden = write(&draft, "", Shown::Hidden);
        assert!(!hidden.contains("hunter") && hidden.contains("password = \"[hidden]\"\n"));
        assert!(!format!("{draft:?}").contains("hunter"));
    }

    #[test]
    fn what_is_missing_makes_it_inactive_and_is_said() {
        let mut draft = Draft::new("a", AccountType::Basic);
        draft.lacks("password", "the password of u");
        let file = write(&draft, "x", Shown::InFull);
        assert!(file.contains("#   password: the password of u\nactive = false\n"), "{}", file.as_str());
        assert!(file.contains("password = \"FILL-IN\"\n"));
    }

    proptest! {
        #![proptest_config(crate::smoke())]

        #[test]
        fn whatever_a_text_is_it_reads_back(text in any::<String>()) {
            let mut draft = Draft::new("a", AccountType::Basic);
            draft.set("password", Secret::Given(text.clone().into()));
            draft.set("name", text.clone());
            let file = write(&draft, &text, Shown::InFull);
            let read: toml::Table = file.parse().unwrap();
            prop_assert_eq!(read["account"]["a"]["password"].as_str(), Some(text.as_str()));
            prop_assert_eq!(read["account"]["a"]["name"].as_str(), Some(text.as_str()));
        }
    }
}
