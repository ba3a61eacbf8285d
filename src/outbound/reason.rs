//! What a trouble is to be counted as. Pure.

use super::{LaneEffect, Outcome, Stage, Trouble};
use crate::{mail::EnhancedCode, meter::Reason};

impl Outcome {
    /// The word for one of this attempt's troubles.
    pub fn reason(&self, trouble: &Trouble) -> Reason {
        let lane = if self.trouble.as_ref() == Some(trouble) { &self.lane } else { &LaneEffect::None };
        if trouble.in_doubt {
            return Reason::InDoubt;
        }
        match &trouble.reply {
            Some(reply) => replied(trouble.stage, reply.code(), lane),
            None => unreplied(trouble.stage, trouble.status),
        }
    }
}

fn replied(stage: Stage, code: u16, lane: &LaneEffect) -> Reason {
    match (stage, lane) {
        (_, LaneEffect::Hold(_)) => Reason::Quota,
        (Stage::StartTls, _) => Reason::Tls,
        (_, LaneEffect::Pause) | (Stage::Auth, _) => Reason::Login,
        _ if matches!(code, 421 | 432) => Reason::Rate,
        (Stage::Banner | Stage::Ehlo, _) => Reason::Greeting,
        (Stage::Connect | Stage::Handshake | Stage::Reset | Stage::Quit, _) => Reason::Connection,
        (_, LaneEffect::BackOff) => Reason::Rate,
        (Stage::Mail, _) => Reason::Sender,
        (Stage::Rcpt, _) => Reason::Recipient,
        (Stage::Data | Stage::Content | Stage::InDoubt, _) => Reason::Content,
    }
}

/// Without a reply the code is ours: that of `failure.rs`, or of what the server can never take.
fn unreplied(stage: Stage, status: EnhancedCode) -> Reason {
    match (stage, status) {
        (Stage::Rcpt, EnhancedCode(5, ..)) => Reason::Recipient,
        (_, EnhancedCode(5, ..)) => Reason::Content,
        (_, EnhancedCode(_, 3, _)) => Reason::Storage,
        (Stage::Auth, EnhancedCode(_, 7, 0)) => Reason::Token,
        (Stage::Auth, EnhancedCode(_, 7, _)) => Reason::Login,
        (_, EnhancedCode(_, 7, _)) => Reason::Tls,
        _ => Reason::Connection,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        account::{AccountType, token::NoToken},
        mail::Reply,
        outbound::{
            Disposition,
            failure::{Cause, Failure},
            report::report,
            transaction::Answer,
        },
    };

    fn outcome(lane: LaneEffect, trouble: Option<Trouble>) -> Outcome {
        let (relay, tls) = (String::new(), String::new());
        Outcome { dispositions: Vec::new(), lane, trouble, relay, tls, dsn_passed_on: false }
    }

    #[test]
    fn what_breaks_a_dialogue_off_has_a_word() {
        let token = NoToken::Unauthorized { account: "a".into() };
        let tls = Cause::Tls { explanation: "it has ended".into(), remedy: String::new() };
        let no_mechanism = Cause::NoMechanism { wanted: "XOAUTH2", offered: "PLAIN".into() };
        let refused = |code, text: &str| Cause::Refused(Reply::received(code, text));
        let token_refused = Cause::TokenRefused { reply: Reply::received(535, "5.7.8 no"), reason: None };
        let cases = [
            (Stage::Connect, Cause::Unreachable("no route".into()), Reason::Connection),
            (Stage::Handshake, Cause::Lost("reset".into()), Reason::Connection),
            (Stage::Auth, Cause::Silent, Reason::Connection),
            (Stage::Banner, Cause::Nonsense, Reason::Connection),
            (Stage::Banner, refused(554, "5.7.1 blocked"), Reason::Greeting),
            (Stage::Banner, refused(421, "4.3.2 busy"), Reason::Rate),
            (Stage::StartTls, refused(454, "4.7.0 no TLS now"), Reason::Tls),
            (Stage::StartTls, Cause::NoStartTls, Reason::Tls),
            (Stage::StartTls, Cause::Injected, Reason::Tls),
            (Stage::Handshake, tls, Reason::Tls),
            (Stage::Auth, no_mechanism, Reason::Login),
            (Stage::Auth, Cause::PlaintextLogin, Reason::Login),
            (Stage::Auth, refused(535, "5.7.8 no"), Reason::Login),
            (Stage::Auth, refused(454, "4.7.0 later"), Reason::Login),
            (Stage::Auth, token_refused, Reason::Login),
            (Stage::Auth, Cause::NoToken(token), Reason::Token),
            (Stage::Content, Cause::Content("gone".into()), Reason::Storage),
        ];
        for (stage, cause, want) in cases {
            let (lane, trouble) = Failure::new(stage, cause).judge(AccountType::Basic);
            assert_eq!(outcome(lane, Some(trouble.clone())).reason(&trouble), want, "{trouble}");
        }
    }

    #[test]
    fn what_a_transaction_is_answered_with_has_a_word() {
        let cases = [
            (Stage::Mail, 550, "5.7.1 not this sender", Reason::Sender),
            (Stage::Mail, 451, "4.3.0 later", Reason::Sender),
            (Stage::Mail, 530, "5.7.57 not authenticated", Reason::Login),
            (Stage::Rcpt, 550, "5.1.1 unknown", Reason::Recipient),
            (Stage::Rcpt, 451, "4.2.0 greylisted", Reason::Recipient),
            (Stage::Rcpt, 550, "5.4.5 daily limit", Reason::Quota),
            (Stage::Rcpt, 450, "4.2.1 slower", Reason::Rate),
            (Stage::Data, 421, "4.3.2 closing", Reason::Rate),
            (Stage::Content, 554, "5.7.1 spam", Reason::Content),
            (Stage::Content, 452, "4.3.1 no room", Reason::Content),
        ];
        for (stage, code, text, want) in cases {
            let answer = Answer::Said(stage, Reply::received(code, text));
            let (dispositions, lane, trouble) = report(vec![answer], AccountType::Google);
            let of = match &dispositions[..] {
                [Disposition::Deferred(trouble) | Disposition::Failed(trouble)] => trouble.clone(),
                _ => trouble.clone().unwrap(),
            };
            assert_eq!(outcome(lane, trouble).reason(&of), want, "{code} {text} at {stage}");
        }
        let answer = Answer::Broke(Failure::new(Stage::InDoubt, Cause::Silent));
        let (_, lane, trouble) = report(vec![answer], AccountType::Basic);
        assert_eq!(outcome(lane, trouble.clone()).reason(&trouble.unwrap()), Reason::InDoubt);
    }
}
