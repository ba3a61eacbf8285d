//! What ends a dialogue without a reply that settles it, in an operator's words. Pure.

use super::{LaneEffect, Stage, Trouble, classify::classify};
use crate::{
    account::{AccountType, token::NoToken},
    mail::Reply,
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
            Cause::Tls { explanation, remedy } => {
                return (LaneEffect::BackOff, trouble(explanation.clone(), remedy));
            }
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
            Cause::NoToken(why) => return no_token(why),
            Cause::Content(why) => (
                LaneEffect::None,
                format!("the queued content cannot be read: {why}"),
                "check the disk under state_dir",
            ),
        };
        (lane, trouble(explanation, remedy))
    }
}

/// A trouble without a reply.
pub(super) fn trouble(explanation: String, remedy: &str) -> Trouble {
    Trouble { reply: None, explanation, remedy: remedy.to_owned(), in_doubt: false }
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
    (lane, Trouble { reply: Some(reply.clone()), explanation, remedy: verdict.remedy, in_doubt: false })
}

fn no_token(why: &NoToken) -> (LaneEffect, Trouble) {
    match why {
        NoToken::Unauthorized { account } => (
            LaneEffect::Pause,
            trouble(
                "the account has no token yet".to_owned(),
                &format!("run `waxseal account authorize {account}`"),
            ),
        ),
        NoToken::Rejected { account, reason } => (
            LaneEffect::Pause,
            trouble(
                format!("the authorization server refuses the grant: {reason}"),
                &format!("run `waxseal account authorize {account}`"),
            ),
        ),
        NoToken::Misconfigured { account, reason } => (
            LaneEffect::Pause,
            trouble(
                format!("the authorization server refuses the client: {reason}"),
                &format!(
                    "correct client_id, client_secret, tenant or scope of account {account}, or renew the secret at \
                     the provider; then reload"
                ),
            ),
        ),
        // The authorization server being away says nothing about a message either, however long it lasts.
        NoToken::Unavailable { reason, .. } => (
            LaneEffect::Pause,
            trouble(
                format!("no access token from the authorization server: {reason}"),
                "it is asked again by itself",
            ),
        ),
    }
}
