//! All policy about replies in one table: (stage, code, enhanced code, provider) to fate, effect on the lane,
//! sentence and remedy. Pure.
//!
//! A reply's class alone misleads: quotas come as 554, a disabled mailbox as 535. What no rule names is
//! temporary, but for the last rules, which let a 5xx about the message fail it.

use super::{LaneEffect, Stage, wording};
use crate::{
    account::AccountType,
    mail::{Reply, ReplyClass},
};
use std::time::Duration;

/// What a reply means for the recipients that it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The provider has the message.
    Deliver,
    /// Try again on the schedule.
    Defer,
    /// This recipient will not get it.
    Fail,
    /// The reply is about the account: the message has not been tried.
    Untried,
}

/// The judgement on a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What becomes of the recipients.
    pub fate: Fate,
    /// What becomes of the lane.
    pub lane: LaneEffect,
    /// One plain sentence.
    pub explanation: String,
    /// What to do about it; empty where there is nothing to do but wait.
    pub remedy: String,
}

/// Where a rule holds.
#[derive(Clone, Copy)]
enum At {
    Anywhere,
    /// AUTH.
    Login,
    /// MAIL to the final dot.
    Transaction,
    Only(Stage),
}

struct Rule {
    at: At,
    /// 0 is any.
    code: u16,
    /// Subject and detail of the enhanced code; `u16::MAX` is any detail.
    enhanced: Option<(u16, u16)>,
    provider: Option<AccountType>,
    /// A word in the text, in lower case.
    word: &'static str,
    fate: Fate,
    lane: LaneEffect,
    explanation: &'static str,
    remedy: &'static str,
}

const ANY: u16 = u16::MAX;
const HOUR: Duration = Duration::from_secs(3600);
const HOLD: LaneEffect = LaneEffect::Hold(HOUR);
use AccountType::{Google, Microsoft};
use At::{Anywhere, Login, Only, Transaction};
use Fate::{Defer, Fail, Untried};
use LaneEffect::{BackOff, None as Go, Pause};

macro_rules! rules {
    ($($at:expr, $code:expr, $enhanced:expr, $provider:expr, $word:literal => $fate:expr, $lane:expr,
        $explanation:literal, $remedy:literal;)*) => {
        &[$(Rule {
            at: $at, code: $code, enhanced: $enhanced, provider: $provider, word: $word,
            fate: $fate, lane: $lane, explanation: $explanation, remedy: $remedy,
        }),*]
    };
}

/// The first rule that fits decides.
static RULES: &[Rule] = rules! {
    // Busy servers.
    Anywhere, 421, None, None, "" => Defer, BackOff,
        "the server is busy or closing, and will take mail later", "";
    Anywhere, 0, Some((3, 2)), Some(Microsoft), "concurrent" => Defer, BackOff,
        "too many connections to this mailbox at once", "lower the account's `max_connections`; Exchange Online allows 3";
    Anywhere, 432, None, None, "" => Defer, BackOff,
        "too many submissions from this mailbox at once", "lower the account's `max_connections`; Exchange Online allows 3";

    // Who we are. The account's mail is held; no message is the worse for it.
    Login, 535, Some((7, 139)), None, "smtpclientauthentication is disabled" => Untried, Pause,
        "SMTP AUTH is disabled for this mailbox or tenant; OAuth needs it too",
        "enable it: Set-CASMailbox -Identity MAILBOX -SmtpClientAuthenticationDisabled $false, and see https://aka.ms/smtp_auth_disabled";
    Login, 535, Some((7, 139)), None, "basic authentication is disabled" => Untried, Pause,
        "the provider no longer takes passwords for this mailbox", "use an account of type \"microsoft\" (OAuth 2.0)";
    Anywhere, 0, Some((7, 139)), None, "" => Untried, Pause,
        "the login is forbidden by a policy of the tenant, or SMTP AUTH is disabled for the mailbox",
        "enable SMTP AUTH for the mailbox (Set-CASMailbox -SmtpClientAuthenticationDisabled $false) and check security defaults and Conditional Access";
    Anywhere, 0, Some((7, 30)), None, "" => Untried, Pause,
        "the provider no longer takes passwords", "use an account of type \"microsoft\" (OAuth 2.0)";
    Anywhere, 0, Some((7, 57)), None, "" => Untried, Pause,
        "the server wants a login before it takes mail", "check the account's `username`, its authorization, and that `use_authentication` is on";
    Login, 501, Some((5, 127)), None, "" => Untried, BackOff,
        "the server refuses an access token that is near its end", "";
    Login, 535, Some((7, 3)), Some(Microsoft), "" => Untried, Pause,
        "the login was refused: wrong user, or a token without the right to send for this mailbox",
        "check `username`, authorize the account anew, and that the app has SMTP.Send; for app-only access, New-ServicePrincipal with the Enterprise Application's object id and Add-MailboxPermission";
    Login, 534, Some((7, 9)), Some(Google), "" => Untried, Pause,
        "Google wants an application-specific password here", "use an account of type \"google\", or an app password";
    Login, 534, None, Some(Google), "" => Untried, Pause,
        "Google wants a person to sign in with a browser first", "sign in as the mailbox in a browser, then run `waxseal account test`";
    Login, 535, None, Some(Google), "" => Untried, Pause,
        "Google refused the login", "check `username`, and authorize the account anew; the scope must be https://mail.google.com/";
    Login, 535, None, None, "" => Untried, Pause,
        "the server refused the login", "check `username` and the password, or authorize the account anew";
    Login, 534, None, None, "" => Untried, Pause,
        "the server wants a stronger login", "check `mechanism`, and the mailbox's settings at the provider";
    Login, 538, None, None, "" => Untried, Pause,
        "the server wants an encrypted connection for this login", "set `security` to \"starttls\" or \"tls\"";
    Login, 454, None, None, "" => Untried, BackOff,
        "the server cannot check logins right now", "";
    Anywhere, 530, None, None, "starttls" => Untried, Pause,
        "the server wants STARTTLS first", "set `security` to \"starttls\"";
    Anywhere, 530, None, None, "" => Untried, Pause,
        "the server wants a login before it takes mail", "check the account's `type`, `username` and credentials";
    Transaction, 535, None, None, "" => Untried, Pause,
        "the server no longer accepts this login", "check `username` and the credentials, or authorize the account anew";
    Transaction, 534, None, None, "" => Untried, Pause,
        "the server no longer accepts this login", "check the mailbox's settings at the provider";
    Transaction, 538, None, None, "" => Untried, Pause,
        "the server wants an encrypted connection", "set `security` to \"starttls\" or \"tls\"";
    Transaction, 503, None, None, "auth" => Untried, Pause,
        "the server wants a login before it takes mail", "check the account's `type`, `username` and credentials";
    Transaction, 550, Some((1, 8)), Some(Microsoft), "" => Untried, Pause,
        "Microsoft has blocked this mailbox from sending because of suspected spam",
        "have an administrator take it off the Restricted entities page of the Defender portal";

    // Quotas: a 5xx that time heals.
    Transaction, 554, Some((2, 0)), None, "quotaexceeded" => Untried, HOLD,
        "the mailbox has used up its recipients of these 24 hours", "mail goes on by itself; lower `rate_limit` if this happens often";
    Transaction, 550, Some((4, 5)), None, "" => Untried, HOLD,
        "the mailbox has used up its mail of the day", "mail goes on by itself within 24 hours";
    Transaction, 0, Some((7, 705)), Some(Microsoft), "" => Untried, HOLD,
        "the tenant has sent more than it may", "see the Defender portal; mail goes on by itself when the limit is lifted";
    Transaction, 0, Some((7, 708)), Some(Microsoft), "" => Untried, HOLD,
        "Exchange Online takes no mail from this address range for this tenant", "ask Microsoft's support about 5.7.708";
    Only(Stage::Content), 554, Some((2, 2)), None, "" => Untried, HOLD,
        "the sending mailbox is full, so that no copy can go to its Sent Items", "make room in the mailbox";

    // The sender of this message. These fail it, so that its sender reads them.
    Transaction, 0, Some((7, 60)), None, "" => Fail, Go,
        "the account that the mail went through may not send from this sender address",
        "send from the account's own address, or have Send As granted on the sender's mailbox";
    Transaction, 0, Some((2, 252)), None, "" => Fail, Go,
        "the account that the mail went through may not send as the address in From",
        "put the account's own address in From, or have Send As granted on the mailbox of that address";
    Transaction, 0, None, None, "sendasdenied" => Fail, Go,
        "the account that the mail went through may not send as the address in From",
        "put the account's own address in From, or have Send As granted on the mailbox of that address";
    Transaction, 552, Some((3, 4)), None, "" => Fail, Go,
        "the message is too large for the provider",
        "send it in parts or with smaller attachments, or have the limit raised at the provider";
    Transaction, 552, Some((2, 3)), None, "" => Fail, Go,
        "the message is too large for the provider",
        "send it in parts or with smaller attachments, or have the limit raised at the provider";

    // Temporary refusals of the whole account.
    Transaction, 450, Some((2, 1)), None, "" => Defer, BackOff,
        "the provider wants this mail more slowly", "lower the account's `rate_limit`";
    Transaction, 451, Some((7, ANY)), None, "" => Defer, BackOff,
        "the provider refuses mail for now by policy", "";
    Transaction, 454, None, None, "" => Defer, BackOff,
        "the server cannot check logins right now", "";
    Transaction, 452, Some((5, 3)), None, "" => Defer, Go,
        "too many recipients for one message", "lower `max_recipients_per_message`";
    Only(Stage::Rcpt), 552, None, None, "too many" => Defer, Go,
        "too many recipients for one message", "lower `max_recipients_per_message`";

    // Misunderstandings: a fresh connection may cure them.
    Transaction, 500, None, None, "" => Defer, Go, "the server did not understand the command", "";
    Transaction, 502, None, None, "" => Defer, Go, "the server does not know the command", "";
    Transaction, 503, None, None, "" => Defer, Go, "the server lost track of the dialogue", "";
};

/// What a reply other than the one hoped for means; also says what a good final reply means.
pub fn classify(stage: Stage, reply: &Reply, provider: AccountType) -> Verdict {
    if stage == Stage::Content && reply.class() == ReplyClass::Completed {
        return verdict(Fate::Deliver, Go, "delivered".to_owned(), "");
    }
    if let Some(rule) = RULES.iter().find(|rule| rule.fits(stage, reply, provider)) {
        let fate = if stage.in_transaction() { rule.fate } else { Untried };
        return verdict(fate, rule.lane.clone(), rule.explanation.to_owned(), rule.remedy);
    }
    let permanent = reply.class() == ReplyClass::Permanent;
    match stage {
        Stage::Auth if permanent => verdict(
            Untried,
            Pause,
            "the server refused the login".to_owned(),
            "check the account's `type`, `mechanism` and credentials",
        ),
        Stage::Banner if permanent => verdict(
            Untried,
            BackOff,
            "the server takes no connections from here".to_owned(),
            "check with the provider whether this host's address is blocked",
        ),
        _ if !stage.in_transaction() => verdict(Untried, BackOff, format!("the server refused {stage}"), ""),
        // At DATA, 550, 552 and 554 are verdicts on the message or its recipients, given late.
        Stage::Mail | Stage::Rcpt | Stage::Content if permanent => refused(stage, reply),
        Stage::Data if permanent && matches!(reply.code(), 550 | 552 | 554) => refused(stage, reply),
        _ => verdict(Defer, Go, format!("the server put the message off at {stage}"), ""),
    }
}

impl Rule {
    fn fits(&self, stage: Stage, reply: &Reply, provider: AccountType) -> bool {
        let at = match self.at {
            Anywhere => true,
            Login => stage == Stage::Auth,
            Transaction => stage.in_transaction(),
            Only(only) => stage == only,
        };
        let enhanced = self.enhanced.is_none_or(|(subject, detail)| {
            reply.enhanced().is_some_and(|e| e.1 == subject && (detail == ANY || e.2 == detail))
        });
        at && (self.code == 0 || self.code == reply.code())
            && enhanced
            && self.provider.is_none_or(|only| only == provider)
            && (self.word.is_empty() || reply.text().to_lowercase().contains(self.word))
    }
}

fn refused(stage: Stage, reply: &Reply) -> Verdict {
    let (explanation, remedy) = wording::refusal(stage, reply);
    verdict(Fail, Go, explanation.to_owned(), remedy)
}

fn verdict(fate: Fate, lane: LaneEffect, explanation: String, remedy: &str) -> Verdict {
    Verdict { fate, lane, explanation, remedy: remedy.to_owned() }
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
