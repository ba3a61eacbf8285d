//! What ends a dialogue without a reply that settles it, in an operator's words. Pure.

use super::{LaneEffect, Stage, Trouble, classify::classify};
use crate::{
    account::{AccountType, token::NoToken},
    mail::{EnhancedCode, Reply},
    oauth::{Explained, explain},
};

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// The server said no.
    Refused(Reply),
    /// XOAUTH2 was refused; `reason` is out of the JSON of the challenge.
    TokenRefused { reply: Reply, reason: Option<String> },
    /// The name does not resolve, or no address takes connections.
    Unreachable(String),
    /// The connection ended.
    Lost(String),
    /// No answer in time.
    Silent,
    /// What came is no SMTP.
    Nonsense,
    /// STARTTLS is demanded and not offered.
    NoStartTls,
    /// Octets came in the clear after the reply to STARTTLS.
    Injected,
    /// The certificate or the handshake is not good.
    Tls { explanation: String, remedy: String },
    /// The server offers no mechanism that this account may use.
    NoMechanism { wanted: &'static str, offered: String },
    /// Logging in would show the credentials to the network.
    PlaintextLogin,
    /// There is no access token.
    NoToken(NoToken),
    /// The content is not to be had from our own disk.
    Content(String),
}

/// A cause, and where it struck.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) stage: Stage,
    pub(super) cause: Cause,
}

impl Failure {
    pub(super) fn new(stage: Stage, cause: Cause) -> Self {
        Self { stage, cause }
    }

    /// What it means for the account's lane, and what to tell people.
    pub(super) fn judge(&self, provider: AccountType) -> (LaneEffect, Trouble) {
        let stage = self.stage;
        let (lane, explanation, remedy) = match &self.cause {
            Cause::Refused(reply) => return refused(stage, reply, None, provider),
            Cause::TokenRefused { reply, reason } => {
                return refused(stage, reply, reason.as_deref(), provider);
            }
            Cause::Unreachable(why) => (
                LaneEffect::BackOff,
                format!("the server cannot be reached: {why}"),
                "check the address and port, the name server and the firewall",
            ),
            Cause::Lost(why) => {
                (LaneEffect::BackOff, format!("the connection was lost at {stage}: {why}"), "")
            }
            Cause::Silent => (
                LaneEffect::BackOff,
                format!("no answer at {stage} within {} s", stage.timeout().as_secs()),
                if stage == Stage::Banner {
                    "check that `security` fits the port: 465 speaks TLS from the first octet, 587 STARTTLS"
                } else {
                    ""
                },
            ),
            Cause::Nonsense => (
                LaneEffect::BackOff,
                format!("what the server sent at {stage} is not SMTP"),
                "check the port, and that `security` fits it: 465 is tls, 587 is starttls",
            ),
            Cause::NoStartTls => (
                LaneEffect::BackOff,
                "the server offers no STARTTLS, and nothing is sent in the clear".to_owned(),
                "set `security` to \"tls\" if the port speaks TLS at once (465); \
                 if this network strips STARTTLS, find out who does it",
            ),
            Cause::Injected => (
                LaneEffect::BackOff,
                "octets came in the clear after the reply to STARTTLS; the connection was closed".to_owned(),
                "somebody on the way may be tampering with the connection",
            ),
            Cause::Tls { explanation, remedy } => (LaneEffect::BackOff, explanation.clone(), remedy.as_str()),
            Cause::NoMechanism { wanted, offered } => (
                LaneEffect::Pause,
                format!("the server does not offer {wanted}; it offers {offered}"),
                "check the address and port, and the account's `type` and `mechanism`",
            ),
            Cause::PlaintextLogin => (
                LaneEffect::Pause,
                "logging in over an unprotected connection would show the credentials to the network"
                    .to_owned(),
                "set `security` to \"starttls\" or \"tls\", or allow_plaintext_authentication = true",
            ),
            Cause::NoToken(why) => {
                let (explanation, remedy) = no_token(why);
                return (LaneEffect::Pause, self.trouble(explanation, &remedy));
            }
            Cause::Content(why) => (
                LaneEffect::None,
                format!("the queued content cannot be read: {why}"),
                "check the disk under state_dir",
            ),
        };
        (lane, self.trouble(explanation, remedy))
    }

    fn trouble(&self, explanation: String, remedy: &str) -> Trouble {
        trouble(self.stage, self.status(), explanation, remedy)
    }

    /// What it is in the terms of RFC 3463 §3.
    fn status(&self) -> EnhancedCode {
        let (subject, detail) = match &self.cause {
            Cause::Refused(reply) | Cause::TokenRefused { reply, .. } => return status_of(reply),
            Cause::Unreachable(_) => (4, 1),
            Cause::Lost(_) | Cause::Silent => (4, 2),
            Cause::Nonsense => (5, 0),
            Cause::NoStartTls | Cause::NoMechanism { .. } => (7, 4),
            Cause::Tls { .. } => (7, 5),
            Cause::PlaintextLogin => (7, 11),
            Cause::Injected | Cause::NoToken(_) => (7, 0),
            Cause::Content(_) => (3, 0),
        };
        EnhancedCode(4, subject, detail)
    }
}

/// A trouble without a reply.
pub(super) fn trouble(stage: Stage, status: EnhancedCode, explanation: String, remedy: &str) -> Trouble {
    Trouble { stage, status, reply: None, explanation, remedy: remedy.to_owned(), in_doubt: false }
}

/// The enhanced code of a reply, or the one of its class that says no more.
pub(super) fn status_of(reply: &Reply) -> EnhancedCode {
    reply.enhanced().unwrap_or(EnhancedCode((reply.code() / 100) as u8, 0, 0))
}

fn refused(
    stage: Stage,
    reply: &Reply,
    reason: Option<&str>,
    provider: AccountType,
) -> (LaneEffect, Trouble) {
    let verdict = classify(stage, reply, provider);
    let mut explanation = verdict.explanation;
    if let Some(reason) = reason {
        explanation.push_str(&format!(" ({reason})"));
    }
    // Trouble before MAIL says something about the server or the account, so the lane always feels it.
    let lane = if verdict.lane == LaneEffect::None { LaneEffect::BackOff } else { verdict.lane };
    let trouble = Trouble {
        stage,
        status: status_of(reply),
        reply: Some(reply.clone()),
        explanation,
        remedy: verdict.remedy,
        in_doubt: false,
    };
    (lane, trouble)
}

/// Sentence and remedy. The authorization server being away says nothing about a message either, however long it
/// lasts.
fn no_token(why: &NoToken) -> (String, String) {
    match why {
        NoToken::Unauthorized { account } => {
            ("the account has no token yet".to_owned(), format!("run `waxseal account authorize {account}`"))
        }
        NoToken::Rejected { account, reason } => {
            let authorize = format!("run `waxseal account authorize {account}`");
            match explain(reason) {
                Some(Explained { meaning, cure, .. }) => {
                    (format!("{meaning} ({reason})"), format!("{cure}; {authorize}"))
                }
                None => (format!("the authorization server refuses the grant: {reason}"), authorize),
            }
        }
        NoToken::Misconfigured { account, reason } => match explain(reason) {
            Some(Explained { meaning, cure, .. }) => (format!("{meaning} ({reason})"), (*cure).to_owned()),
            None => (
                format!("the authorization server refuses the client: {reason}"),
                format!(
                    "correct client_id, client_secret, tenant or scope of account {account}, or renew the secret at \
                     the provider; then reload"
                ),
            ),
        },
        NoToken::Unavailable { reason, .. } => (
            format!("no access token from the authorization server: {reason}"),
            match explain(reason) {
                Some(explained) => format!("it is asked again by itself; if it lasts: {}", explained.cure),
                None => "it is asked again by itself".to_owned(),
            },
        ),
    }
}
