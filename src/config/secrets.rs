//! Secrets in their four forms, read once, at load.

use super::{
    reader::Reader,
    tree::{Entry, Value},
};
use crate::account::LocalPassword;
use secrecy::SecretString;
use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, path::Path};
use zeroize::Zeroizing;

/// Reads secrets and remembers, for `waxseal check`, where each came from.
pub(super) struct Secrets<'a> {
    env: &'a BTreeMap<String, String>,
    /// By account id and key.
    pub(super) origins: BTreeMap<(String, &'static str), String>,
    /// Local users' passwords, by user id.
    pub(super) password_origins: BTreeMap<String, String>,
}

impl<'a> Secrets<'a> {
    /// Secrets of the form `{ env = NAME }` come from `env`.
    pub(super) fn new(env: &'a BTreeMap<String, String>) -> Self {
        Self { env, origins: BTreeMap::new(), password_origins: BTreeMap::new() }
    }

    /// The secret under `key` of an account's table; what is wrong with it goes to the reader.
    pub(super) fn read(
        &mut self,
        account: &str,
        table: &BTreeMap<String, Entry>,
        key: &'static str,
        reader: &mut Reader,
    ) -> Option<SecretString> {
        let entry = table.get(key)?;
        let (text, origin) = self.text(entry, reader)?;
        self.origins.insert((account.to_owned(), key), origin);
        Some(SecretString::from(text.as_str()))
    }

    /// The secret under `entry` of a section that is there once.
    pub(super) fn single(&self, entry: &Entry, reader: &mut Reader) -> Option<SecretString> {
        let (text, _) = self.text(entry, reader)?;
        Some(SecretString::from(text.as_str()))
    }

    /// The password under `entry` of a local user, or its hash.
    pub(super) fn local_password(
        &mut self,
        user: &str,
        entry: &Entry,
        reader: &mut Reader,
    ) -> Option<LocalPassword> {
        let (text, origin) = self.text(entry, reader)?;
        let password = match LocalPassword::parse(&text) {
            Ok(password) => password,
            Err(error) => {
                let help = "make it anew, for example with `argon2 SALT -id -e` (Debian's package argon2)";
                reader.error_at_key(entry, error.to_string(), Some(help.into()));
                return None;
            }
        };
        let hashed = if password.is_hashed() { ", an argon2 hash" } else { "" };
        // The password may begin so itself.
        if !password.is_hashed() && text.starts_with('$') && text.matches('$').count() > 2 {
            reader.warn(
                entry,
                "this looks like a hash, is none of argon2, and is taken for the password itself",
            );
        }
        self.password_origins.insert(user.to_owned(), format!("{origin}{hashed}"));
        Some(password)
    }

    /// The text of a secret, never empty, and where it came from; what is wrong with it goes to the reader.
    fn text(&self, entry: &Entry, reader: &mut Reader) -> Option<(Zeroizing<String>, String)> {
        match self.fetch(entry, reader) {
            Ok((text, origin)) => {
                let text = Zeroizing::new(strip_newline(&text).to_owned());
                if text.is_empty() {
                    let origin = if origin == "set" { String::new() } else { format!(" ({origin})") };
                    reader.error_at_key(entry, format!("the secret is empty{origin}"), None);
                    return None;
                }
                if let Some(path) = origin.strip_prefix("file ").filter(|path| readable_by_all(path)) {
                    reader.warn(entry, &format!("every user of this host may read {path}: chmod o-r it"));
                }
                Some((text, origin))
            }
            Err((problem, help)) => {
                reader.error_at_key(entry, problem, help.map(str::to_owned));
                None
            }
        }
    }

    fn fetch(&self, entry: &Entry, reader: &Reader) -> Result<(Zeroizing<String>, String), Problem> {
        let (form, name) = match &entry.value {
            Value::Text(text) => return Ok((text.clone().into(), "set".into())),
            Value::Table(forms) => match forms.iter().next() {
                Some((form, Entry { value: Value::Text(name), .. })) => (form.as_str(), name.as_str()),
                _ => return Err(("the secret has no form".into(), None)),
            },
            _ => return Err(("the secret is no text".into(), None)),
        };
        match form {
            "env" => self
                .env
                .get(name)
                .map(|text| (text.clone().into(), format!("variable {name}")))
                .ok_or_else(|| (format!("the environment variable `{name}` is not set"), None)),
            "credential" => {
                let directory = self.env.get("CREDENTIALS_DIRECTORY").ok_or_else(|| -> Problem {
                    let help = "systemd sets it for units with LoadCredential= or SetCredential=";
                    (format!("no credential `{name}`: $CREDENTIALS_DIRECTORY is not set"), Some(help))
                })?;
                if name.contains('/') {
                    return Err((format!("`{name}` is no credential name"), None));
                }
                let text = read_file(&Path::new(directory).join(name))
                    .map_err(|error| (format!("the credential `{name}` cannot be read: {error}"), None))?;
                Ok((text, format!("credential {name}")))
            }
            _ => {
                let path = reader.resolve(entry, name);
                let text = read_file(&path).map_err(|error| {
                    (format!("the secret file {} cannot be read: {error}", path.display()), None)
                })?;
                Ok((text, format!("file {}", path.display())))
            }
        }
    }
}

type Problem = (String, Option<&'static str>);

fn read_file(path: &Path) -> Result<Zeroizing<String>, String> {
    std::fs::read_to_string(path).map(Into::into).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "it does not exist".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        std::io::ErrorKind::IsADirectory => "it is a directory".into(),
        std::io::ErrorKind::InvalidData => "it is not UTF-8 text".into(),
        _ => error.to_string(),
    })
}

pub(super) fn readable_by_all(path: impl AsRef<Path>) -> bool {
    std::fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o004 != 0)
}

/// Editors and `echo` end a file with a newline that is no part of the secret.
fn strip_newline(text: &str) -> &str {
    text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(text)
}
