//! A refusal in words that its sender understands: what the mail server's enhanced code says, and what to do. Pure.
//!
//! Used once it is settled that a reply fails the message; decides nothing.

use super::Stage;
use crate::mail::{EnhancedCode, Reply};

/// Subject and detail of an enhanced code (RFC 3463 §3), sentence, remedy.
type Row = (u16, u16, &'static str, &'static str);

const RECIPIENT: &[Row] = &[
    (
        1,
        1,
        "there is no such mailbox",
        "check the address for a mistake, or ask the recipient for the right one",
    ),
    (1, 2, "the domain of the address takes no mail", "check the part behind the @ for a mistake"),
    (1, 3, "the mail server does not take this for an address", "check the address for a mistake"),
    (1, 6, "the mailbox has moved", "ask the recipient for the new address"),
    (1, 10, "the domain of the address takes no mail", "check the part behind the @ for a mistake"),
    (2, 1, "the mailbox is switched off and takes no mail", "reach the recipient in another way"),
    (
        2,
        2,
        "the recipient's mailbox is full",
        "send the mail again once there is room, or reach the recipient in another way",
    ),
    (
        4,
        4,
        "no mail server is known for the domain of the address",
        "check the part behind the @ for a mistake",
    ),
    (
        7,
        1,
        "the mail server does not allow mail to this recipient from here",
        "the recipient's side, or your administrator, can say what is allowed",
    ),
];

const MESSAGE: &[Row] = &[
    (2, 3, "the message is too large for the mail server", "send it in parts, or with smaller attachments"),
    (3, 4, "the message is too large for the mail server", "send it in parts, or with smaller attachments"),
    (
        6,
        0,
        "the mail server could not read the message",
        "the application that wrote it has to be corrected; show its makers the reply",
    ),
    (
        7,
        1,
        "the mail server refused the message: it was taken for unwanted mail, or is against a rule",
        "change what the reply complains of, or ask your administrator to have it allowed",
    ),
];

/// The sentence and the remedy for a permanent refusal at this stage of a transaction.
pub(super) fn refusal(stage: Stage, reply: &Reply) -> (&'static str, &'static str) {
    let (rows, sentence, remedy) = match stage {
        Stage::Mail => (
            &[][..],
            "the mail server does not take mail from this sender address",
            "send from another address, or have this one allowed at the provider",
        ),
        Stage::Rcpt => (
            RECIPIENT,
            "the mail server refused the recipient",
            "check the address for a mistake; what the mail server said may tell more",
        ),
        _ => (
            MESSAGE,
            "the mail server refused the message",
            "what the mail server said may tell what has to change",
        ),
    };
    let known = |code: EnhancedCode| rows.iter().find(|row| (row.0, row.1) == (code.1, code.2));
    reply.enhanced().and_then(known).map_or((sentence, remedy), |row| (row.2, row.3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_enhanced_code_finds_the_sentence_and_the_stage_has_one_for_all_others() {
        let cases = [
            (Stage::Rcpt, "5.1.1 unknown", "there is no such mailbox"),
            (Stage::Rcpt, "5.2.2 over quota", "the recipient's mailbox is full"),
            (Stage::Rcpt, "5.9.9 what", "the mail server refused the recipient"),
            (Stage::Rcpt, "no code", "the mail server refused the recipient"),
            (Stage::Mail, "5.1.1 unknown", "the mail server does not take mail from this sender address"),
            (Stage::Content, "5.3.4 big", "the message is too large for the mail server"),
            (Stage::Data, "5.5.1 no recipients", "the mail server refused the message"),
        ];
        for (stage, text, sentence) in cases {
            assert_eq!(refusal(stage, &Reply::received(550, text)).0, sentence, "{text} at {stage}");
        }
    }
}
