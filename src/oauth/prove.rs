//! Whether tokens just obtained open the mailbox, and what follows from that.

use crate::account::{Account, token::AccessToken};
use std::{future::Future, pin::Pin};

/// The future of [`Prover::prove`].
pub type ProofFuture<'a> = Pin<Box<dyn Future<Output = Proof> + Send + 'a>>;

/// Tries a new access token where it is meant for, before it takes the place of another.
pub trait Prover: Send + Sync + 'static {
    /// Logs in with this token.
    fn prove<'a>(&'a self, account: &'a Account, token: &'a AccessToken) -> ProofFuture<'a>;
}

/// What a login with a new token came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The mail server takes it.
    Works,
    /// The mail server refuses it, for this reason.
    Refused(String),
    /// It could not be tried, for this reason.
    Untried(String),
}

/// What is to be done with new tokens.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They are kept; perhaps with a remark for whoever signed in.
    Keep(Option<String>),
    /// They are let go, for this reason, and what was there before stays.
    LetGo(String),
}

/// Weighs a proof. `username` is who logs in, `signed_in` who signed in as far as the provider says; `has_another` that
/// there is a grant which is not known to be dead.
pub(super) fn weigh(proof: Proof, username: &str, signed_in: &[String], has_another: bool) -> Verdict {
    let is_other = !signed_in.is_empty() && !signed_in.iter().any(|name| name.eq_ignore_ascii_case(username));
    let other = signed_in.first().filter(|_| is_other);
    match (proof, other, has_another) {
        // A delegate may send for a shared mailbox: the server's word counts for more than the name.
        (Proof::Works, Some(other), _) => Verdict::Keep(Some(format!(
            "{other} signed in, and the mail server lets that log in as {username}"
        ))),
        (Proof::Works, None, _) => Verdict::Keep(None),
        (Proof::Refused(reason), Some(other), _) => Verdict::LetGo(format!(
            "{other} signed in, but the account logs in as {username}, and the mail server refuses that ({reason}): sign in as {username}"
        )),
        (Proof::Refused(reason), None, true) => {
            Verdict::LetGo(format!("the mail server refuses a login with the new tokens ({reason})"))
        }
        (Proof::Refused(reason), None, false) => Verdict::Keep(Some(format!(
            "the tokens are kept, but the mail server refuses to be logged in to with them ({reason})"
        ))),
        (Proof::Untried(reason), _, true) => Verdict::LetGo(format!(
            "the new tokens could not be tried at the mail server ({reason}): begin again"
        )),
        (Proof::Untried(reason), other, false) => {
            let other = other.map_or_else(String::new, |other| format!("{other} signed in; "));
            Verdict::Keep(Some(format!("{other}the tokens are kept untried, for {reason}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let refused = || Proof::Refused("535 no".into());
        let untried = || Proof::Untried("no connection".into());
        let (me, other) = (vec!["ME@example.com".to_owned()], vec!["other@example.com".to_owned()]);
        for (proof, signed_in, has_another, kept, words) in [
            (Proof::Works, &vec![], true, true, ""),
            (Proof::Works, &me, true, true, ""),
            (Proof::Works, &other, true, true, "other@example.com signed in"),
            (refused(), &me, true, false, "535 no"),
            (refused(), &me, false, true, "535 no"),
            (refused(), &other, true, false, "sign in as me@example.com"),
            (refused(), &other, false, false, "sign in as me@example.com"),
            (untried(), &me, true, false, "begin again"),
            (untried(), &vec![], false, true, "untried"),
            (untried(), &other, false, true, "other@example.com signed in"),
        ] {
            let case = format!("{proof:?} {signed_in:?} {has_another}");
            match weigh(proof, "me@example.com", signed_in, has_another) {
                Verdict::Keep(remark) => {
                    assert!(kept, "{case}");
                    assert!(remark.as_deref().unwrap_or_default().contains(words), "{case}");
                    assert_eq!(remark.is_none(), words.is_empty(), "{case}");
                }
                Verdict::LetGo(reason) => assert!(!kept && reason.contains(words), "{case}: {reason}"),
            }
        }
    }
}
