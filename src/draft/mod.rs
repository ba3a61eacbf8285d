//! Accounts before they are configuration: what an importer finds or an operator is asked for, key by key, and how it
//! is written down in TOML. Pure; `toml.rs` and `edit.rs` are where its secrets leave their wrapper, into a file for the
//! daemon alone.

mod edit;
mod names;
mod toml;

pub use edit::{Change, EditError, edit};
pub use names::{id_of, tell_apart};
pub use toml::{Shown, quoted, write};

use crate::account::AccountType;
use secrecy::SecretString;
use std::collections::BTreeMap;

/// A value of an account's key.
#[derive(Debug, Clone)]
pub enum Value {
    /// Text.
    Text(String),
    /// An array of texts; a single one is written without the array.
    Texts(Vec<String>),
    /// A whole number.
    Number(u32),
    /// True or false.
    Flag(bool),
    /// A secret.
    Secret(Secret),
}

/// A secret in one of the configuration's forms.
#[derive(Debug, Clone)]
pub enum Secret {
    /// The secret itself.
    Given(SecretString),
    /// In a file, by its path.
    File(String),
    /// In an environment variable, by its name.
    Variable(String),
    /// A systemd credential, by its name.
    Credential(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<Secret> for Value {
    fn from(secret: Secret) -> Self {
        Self::Secret(secret)
    }
}

/// What an account still lacks before it can send: it is written inactive, with a stand-in that the configuration
/// takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The key that has the stand-in, or is missing.
    pub key: &'static str,
    /// What to write there.
    pub way_out: String,
}

/// An account as its file will have it.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its id, which its file is named for.
    pub id: String,
    /// Its type.
    pub kind: AccountType,
    /// What it lacks.
    pub gaps: Vec<Gap>,
    values: BTreeMap<&'static str, Value>,
}

impl Draft {
    /// An account of which nothing is known but its type.
    pub fn new(id: impl Into<String>, kind: AccountType) -> Self {
        Self { id: id.into(), kind, gaps: Vec::new(), values: BTreeMap::new() }
    }

    /// Sets a key.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.values.insert(key, value.into());
    }

    /// Sets a key where there is a value for it.
    pub fn set_some(&mut self, key: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    /// Takes a key back.
    pub fn unset(&mut self, key: &'static str) {
        self.values.remove(key);
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// The text of a key.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.values.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The texts of a key.
    pub fn texts(&self, key: &str) -> &[String] {
        match self.values.get(key) {
            Some(Value::Texts(texts)) => texts,
            _ => &[],
        }
    }

    /// Whether a flag is set to true.
    pub fn flag(&self, key: &str) -> bool {
        matches!(self.values.get(key), Some(Value::Flag(true)))
    }

    /// Says that `key` is not known, and what to write there.
    pub fn lacks(&mut self, key: &'static str, way_out: impl Into<String>) {
        self.stand_in(key);
        self.gaps.push(Gap { key, way_out: way_out.into() });
    }

    /// Stands something in for a key that the configuration wants at all costs, also of an inactive account.
    pub fn stand_in(&mut self, key: &'static str) {
        let stand_in = match key {
            "authorization_endpoint" | "token_endpoint" => Some("https://fill-in.invalid/"),
            "username" | "password" | "client_id" | "client_secret" | "scope" => Some("FILL-IN"),
            "address" | "tenant" => Some("fill-in.invalid"),
            _ => None,
        };
        self.set_some(key, stand_in);
    }

    /// Whether it can send as it is.
    pub fn is_complete(&self) -> bool {
        self.gaps.is_empty()
    }
}
