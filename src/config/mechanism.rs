//! `mechanism`: how an account's password or access token is handed to the server.

use super::{reader::Reader, tree::Entry};
use crate::account::{AccountType, PasswordMechanism, TokenMechanism};
use std::collections::BTreeMap;

const PASSWORD: [(&str, PasswordMechanism); 4] = [
    ("auto", PasswordMechanism::Auto),
    ("plain", PasswordMechanism::Plain),
    ("login", PasswordMechanism::Login),
    ("cram-md5", PasswordMechanism::CramMd5),
];
const TOKEN: [(&str, TokenMechanism); 3] = [
    ("auto", TokenMechanism::Auto),
    ("xoauth2", TokenMechanism::XOAuth2),
    ("oauthbearer", TokenMechanism::OAuthBearer),
];

/// That of a basic account.
pub(super) fn of_password(table: &BTreeMap<String, Entry>, reader: &mut Reader) -> PasswordMechanism {
    let help = "a basic account logs in with \"plain\", \"login\" or \"cram-md5\"";
    of(AccountType::Basic, table, &PASSWORD, help, reader)
}

/// That of an OAuth account.
pub(super) fn of_token(
    kind: AccountType,
    table: &BTreeMap<String, Entry>,
    reader: &mut Reader,
) -> TokenMechanism {
    let help = "an OAuth account logs in with \"xoauth2\" or \"oauthbearer\", and never with a password";
    of(kind, table, &TOKEN, help, reader)
}

/// The one configured, out of those that go with the account's type.
fn of<M: Copy + Default>(
    kind: AccountType,
    table: &BTreeMap<String, Entry>,
    own: &[(&str, M)],
    help: &str,
    reader: &mut Reader,
) -> M {
    let words: Vec<_> =
        PASSWORD.iter().map(|(word, _)| *word).chain(TOKEN[1..].iter().map(|(w, _)| *w)).collect();
    let Some(entry) = table.get("mechanism") else { return M::default() };
    let Some(found) = reader.word(entry, &words).map(|index| words[index]) else { return M::default() };
    match own.iter().find(|(word, _)| *word == found) {
        Some((_, mechanism)) => *mechanism,
        None => {
            let kind = kind.as_str();
            let problem = format!("found {}, which the type \"{kind}\" cannot use", entry.value.shown());
            reader.error(entry, problem, Some(help.into()));
            M::default()
        }
    }
}
