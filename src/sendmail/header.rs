//! The header section of a message that a local program wrote: who is addressed in it, and what of it is not to be sent
//! (RFC 5322 §3.6). Pure.

use super::addresses::{self, NoAddress};
use crate::mail::header::{Field, fields};

/// Fields in which addresses stand.
const ADDRESSED: [&str; 9] =
    ["From", "Sender", "Reply-To", "To", "Cc", "Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc"];

/// The section as others are to see it: without its `Bcc` and `Resent-Bcc` fields (RFC 5322 §3.6.3), and with a domain
/// to every name of this host, which nobody elsewhere could answer to (RFC 6409 §8).
pub fn for_others(section: &[u8], domain: &str) -> Vec<u8> {
    let mut kept = Vec::with_capacity(section.len());
    for field in fields(section).filter(|field| !field.is("Bcc") && !field.is("Resent-Bcc")) {
        if ADDRESSED.iter().any(|name| field.is(name)) {
            kept.extend_from_slice(&field.octets[..field.octets.len() - field.body.len()]);
            kept.extend(addresses::completed(field.body, domain));
        } else {
            kept.extend_from_slice(field.octets);
        }
    }
    kept
}

/// The recipients that a header section names: of `To`, `Cc` and `Bcc`; where it has been resent, of the latest
/// `Resent-To`, `Resent-Cc` and `Resent-Bcc` instead (RFC 5322 §3.6.6).
pub fn recipients(section: &[u8]) -> Vec<Result<String, NoAddress>> {
    let resent = latest_resent_block(section);
    let mut found = Vec::new();
    match resent.is_empty() {
        false => {
            let names = ["Resent-To", "Resent-Cc", "Resent-Bcc"];
            for field in resent.iter().filter(|field| names.iter().any(|name| field.is(name))) {
                found.extend(addresses::parse(field.body));
            }
        }
        true => {
            for field in fields(section).filter(|field| ["To", "Cc", "Bcc"].iter().any(|name| field.is(name)))
            {
                found.extend(addresses::parse(field.body));
            }
        }
    }
    found
}

/// Every resending puts a block of its own in front. Whoever was in an earlier one has had the message: the second
/// `Resent-Date`, `Resent-From` or `Resent-Message-ID`, of which a block has one each, begins it.
fn latest_resent_block(section: &[u8]) -> Vec<Field<'_>> {
    const ONCE: [&str; 3] = ["Resent-Date", "Resent-From", "Resent-Message-ID"];
    let resent = |field: &Field<'_>| field.name.len() > 7 && field.name[..7].eq_ignore_ascii_case(b"Resent-");
    let mut block: Vec<Field<'_>> = Vec::new();
    for field in fields(section).filter(resent) {
        let again = ONCE.iter().any(|name| field.is(name) && block.iter().any(|earlier| earlier.is(name)));
        if again {
            break;
        }
        block.push(field);
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::header::has;

    fn crlf(text: &str) -> Vec<u8> {
        text.replace('\n', "\r\n").into_bytes()
    }

    #[test]
    fn who_is_addressed() {
        let cases: &[(&str, &[&str])] = &[
            ("To: a@b\nCc: c@d\nBcc: e@f\nFrom: x@y\nReply-To: z@y\n", &["a@b", "c@d", "e@f"]),
            ("TO : a@b,\n\tc@d\nbcc:\n e@f\n", &["a@b", "c@d", "e@f"]),
            ("To: a@b\nTo: c@d\n", &["a@b", "c@d"]),
            ("To:\nSubject: To: a@b\n", &[]),
            ("To: a@b\nResent-To: c@d\nResent-Bcc: e@f\n", &["c@d", "e@f"]),
            ("To: a@b\nResent-From: me@x\n", &[]),
            (
                "Resent-Date: 2\nResent-From: me@x\nResent-To: new@x\nReceived: y\nResent-Date: 1\nResent-To: old@x\n\
                 Resent-From: it@x\nTo: a@b\n",
                &["new@x"],
            ),
            (
                "Resent-To: a@b\nResent-Date: 2\nResent-Cc: c@d\nResent-Date: 1\nResent-To: old@x\n",
                &["a@b", "c@d"],
            ),
            ("X-To: a@b\nTo-Do: c@d\n", &[]),
        ];
        for (section, wanted) in cases {
            let found: Vec<_> = recipients(&crlf(section)).into_iter().map(Result::unwrap).collect();
            assert_eq!(found, *wanted, "{section:?}");
        }
    }

    #[test]
    fn bcc_goes_with_all_its_lines() {
        let section = crlf(
            "To: a@b\nBcc: c@d,\n\te@f,\n g@h\nSubject: Bcc: kept\nBCC : i@j\nResent-bcc: k@l\nX-Bcc: m@n\n",
        );
        assert_eq!(for_others(&section, "x"), crlf("To: a@b\nSubject: Bcc: kept\nX-Bcc: m@n\n"));
        assert!(has(&section, "bcc") && !has(&section, "cc"));
        assert_eq!(for_others(b"", "x"), b"");
    }

    #[test]
    fn names_of_this_host_get_its_domain() {
        let section =
            crlf("From: root (Cron Daemon)\nTO : a@b,\n\tops\nSubject: root\nX-To: root\nReply-To:\n");
        let wanted =
            crlf("From: root@x (Cron Daemon)\nTO : a@b,\n\tops@x\nSubject: root\nX-To: root\nReply-To:\n");
        assert_eq!(for_others(&section, "x"), wanted);
    }
}
