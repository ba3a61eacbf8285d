//! The table of replies, case by case.

use super::*;
use AccountType::{Basic, OAuth2};
use Stage::{Auth, Banner, Content, Data, Ehlo, Mail, Rcpt, StartTls};

#[test]
fn replies_and_what_they_mean() {
    let cases = [
        (Content, "250 2.0.0 OK queued as 7", Basic, Fate::Deliver, Go),
        // Before MAIL only the lane is concerned.
        (Banner, "421 4.7.0 too busy", Basic, Untried, BackOff),
        (Banner, "554 5.7.1 go away", Basic, Untried, BackOff),
        (Ehlo, "550 5.7.1 bad name", Basic, Untried, BackOff),
        (StartTls, "454 4.7.0 TLS not available", Basic, Untried, BackOff),
        (Auth, "454 4.7.0 too many login attempts", Google, Untried, BackOff),
        (Auth, "432 4.3.2 concurrent connections limit exceeded", Microsoft, Untried, BackOff),
        (Auth, "535 5.7.8 bad credentials", Google, Untried, Pause),
        (Auth, "535 5.7.3 Authentication unsuccessful", Microsoft, Untried, Pause),
        (Auth, "535 5.7.139 SmtpClientAuthentication is disabled for the Mailbox", Microsoft, Untried, Pause),
        (Auth, "534 5.7.9 application-specific password required", Google, Untried, Pause),
        (Auth, "504 5.5.4 unrecognized authentication type", Basic, Untried, Pause),
        (Auth, "501 5.5.127 token lifetime", Microsoft, Untried, BackOff),
        (Auth, "550 5.7.30 basic authentication is not supported", Microsoft, Untried, Pause),
        (Auth, "451 4.3.0 later", Basic, Untried, BackOff),
        // About the account, although said in a transaction.
        (Mail, "530 5.7.57 client was not authenticated", Microsoft, Untried, Pause),
        (Mail, "550 5.7.57 client was not authenticated", Microsoft, Untried, Pause),
        (Mail, "530 5.7.0 Must issue a STARTTLS command first", Google, Untried, Pause),
        (Mail, "503 5.5.2 need AUTH first", Basic, Untried, Pause),
        (Content, "550 5.7.30 basic auth retired", Microsoft, Untried, Pause),
        (Content, "550 5.1.8 bad outbound sender", Microsoft, Untried, Pause),
        // Quotas.
        (
            Content,
            "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException",
            Microsoft,
            Untried,
            HOLD,
        ),
        (Rcpt, "550 5.4.5 Daily user sending limit exceeded", Google, Untried, HOLD),
        (Content, "554 5.2.2 mailbox full", Microsoft, Untried, HOLD),
        (Rcpt, "552 5.2.2 mailbox full", Basic, Fail, Go),
        // Busy.
        (Mail, "421 4.3.0 temporary system problem", Google, Defer, BackOff),
        (Content, "432 4.3.2 sender thread limit exceeded", Microsoft, Defer, BackOff),
        (Rcpt, "450 4.2.1 receiving too quickly", Google, Defer, BackOff),
        (Mail, "451 4.7.500 server busy", Microsoft, Defer, BackOff),
        (Content, "454 4.7.0 cannot authenticate now", Google, Defer, BackOff),
        // This message.
        (Content, "554 5.2.252 SendAsDenied; a not allowed to send as b", Microsoft, Fail, Go),
        (Content, "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException", Microsoft, Fail, Go),
        (
            Content,
            "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
            Microsoft,
            Fail,
            Go,
        ),
        (Mail, "552 5.3.4 message size exceeds limit", Basic, Fail, Go),
        (Rcpt, "550 5.1.1 no such user", Basic, Fail, Go),
        (Rcpt, "501 5.1.3 bad address", OAuth2, Fail, Go),
        (Mail, "550 5.1.0 sender rejected", Basic, Fail, Go),
        (Data, "554 5.5.1 no valid recipients", Basic, Fail, Go),
        (Content, "554 5.7.1 spam", Basic, Fail, Go),
        // Temporary unless a rule says otherwise.
        (Rcpt, "450 4.2.0 greylisted", Basic, Defer, Go),
        (Rcpt, "452 4.5.3 too many recipients", Basic, Defer, Go),
        (Rcpt, "552 too many recipients", Basic, Defer, Go),
        (Content, "451 4.3.0 disk trouble", Basic, Defer, Go),
        (Mail, "503 5.5.1 bad sequence", Basic, Defer, Go),
        (Data, "503 5.5.1 bad sequence", Basic, Defer, Go),
        (Data, "250 what", Basic, Defer, Go),
        (Content, "354 what", Basic, Defer, Go),
    ];
    for (stage, line, provider, fate, lane) in cases {
        let (code, text) = line.split_once(' ').unwrap();
        let reply = Reply::received(code.parse().unwrap(), text);
        let verdict = classify(stage, &reply, provider);
        assert_eq!((verdict.fate, verdict.lane), (fate, lane), "{line} at {stage} from {provider:?}");
        assert!(!verdict.explanation.is_empty(), "{line}");
        if fate == Fate::Fail {
            reads_well_to_a_sender(&verdict.explanation, &verdict.remedy);
        }
    }
}

/// A clause that a capital and a full stop make a sentence, without a word that only an operator knows.
fn reads_well_to_a_sender(explanation: &str, remedy: &str) {
    for clause in [explanation, remedy] {
        let plain = clause.starts_with(|c: char| c.is_ascii_lowercase())
            && !clause.ends_with('.')
            && !clause.contains(['`', '_', '"']);
        assert!(plain, "{clause:?}");
    }
}

#[test]
fn whatever_fails_a_message_reads_well_to_its_sender() {
    for rule in RULES.iter().filter(|rule| rule.fate == Fail) {
        reads_well_to_a_sender(rule.explanation, rule.remedy);
    }
    for stage in [Mail, Rcpt, Data, Content] {
        for subject in 0..8 {
            for detail in 0..12 {
                let reply = Reply::new(550, crate::mail::EnhancedCode(5, subject, detail), "no");
                let (explanation, remedy) = wording::refusal(stage, &reply);
                reads_well_to_a_sender(explanation, remedy);
            }
        }
    }
}

#[test]
fn whatever_holds_or_pauses_a_lane_has_a_remedy() {
    for rule in RULES {
        if matches!(rule.lane, Pause | LaneEffect::Hold(_)) {
            assert!(!rule.remedy.is_empty(), "{}", rule.explanation);
        }
    }
}

/// Every rule as a line of `docs/troubleshooting.md`.
fn document() -> String {
    let mut text = String::new();
    for rule in RULES {
        let mut sign = Vec::new();
        if rule.code > 0 {
            sign.push(rule.code.to_string());
        }
        if let Some((subject, detail)) = rule.enhanced {
            let detail = if detail == ANY { "*".to_owned() } else { detail.to_string() };
            sign.push(format!("x.{subject}.{detail}"));
        }
        let word = if rule.word.is_empty() { String::new() } else { format!(" “{}”", rule.word) };
        let provider = rule.provider.map_or_else(|| "any".to_owned(), |kind| kind.as_str().to_owned());
        let at = match rule.at {
            Anywhere => "anywhere".to_owned(),
            Login => "AUTH".to_owned(),
            Transaction => "a transaction".to_owned(),
            Only(stage) => stage.to_string(),
        };
        let fate = match (&rule.lane, rule.fate) {
            (Pause, _) => "the account's mail is held",
            (LaneEffect::Hold(_), _) => "the account's mail is held for an hour or more",
            (BackOff, _) => "slower, and again",
            (_, Fail) => "these recipients fail",
            _ => "again on the schedule",
        };
        let cure = if rule.remedy.is_empty() { "wait" } else { rule.remedy };
        text.push_str(&format!(
            "| {}{word} | {at} | {provider} | {} | {cure} | {fate} |\n",
            sign.join(" "),
            rule.explanation
        ));
    }
    text
}

#[test]
fn the_document_has_every_rule() {
    let text = std::fs::read_to_string("docs/troubleshooting.md").unwrap();
    assert!(text.contains(&document()), "docs/troubleshooting.md should have\n{}", document());
}
