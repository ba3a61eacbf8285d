//! Who is told of what.

use super::{Kind, MARK, header};
use crate::mail::{Notify, ReversePath};

/// Whether anybody may be told of what becomes of a message with this reverse-path and this header section (octets
/// from the first of the content on).
///
/// Never where the reverse-path is null: such a message is a notification itself, or wants none (RFC 5321 §4.5.5). Nor
/// where it is a notification of ours that went out from the account's own address because its provider refuses the
/// null reverse-path; it is known by [`MARK`] together with an Auto-Submitted other than `no`.
///
/// Other automatic mail is told of: RFC 3834 §2 keeps responders from answering it, but a notification is no response
/// to what the mail says, and RFC 5321 §6.1 owes one to every reverse-path there is. [`is_automatic`] says where the
/// voluntary ones are left out.
pub fn is_notifiable(reverse_path: &ReversePath, content: &[u8]) -> bool {
    let section = header::section(content);
    let ours = header::raw(section, MARK).is_some() && auto_submitted(section);
    reverse_path.mailbox().is_some() && !ours
}

/// Whether a message was written by a program for nobody to answer: Auto-Submitted other than `no` (RFC 3834 §5), a
/// list's (RFC 2919) or bulk mail's fields, or a report (RFC 6522). Nobody waits for its delivery, so that warnings of
/// delays, which are up to us, have no reader.
pub fn is_automatic(content: &[u8]) -> bool {
    let section = header::section(content);
    let value = |name| header::text(section, name, 200).unwrap_or_default().to_ascii_lowercase();
    auto_submitted(section)
        || header::raw(section, "List-Id").is_some()
        || matches!(value("Precedence").as_str(), "bulk" | "junk" | "list")
        || value("Content-Type").starts_with("multipart/report")
}

/// Whether the sender of a message wants to hear of this (RFC 3461 §4.1, §5.2). Without NOTIFY, failures are told, and
/// delays unless the message `is_automatic`. That a message was relayed is told where SUCCESS was asked for, and only
/// by who handed it to a server without DSN: the caller knows.
pub fn is_wanted(kind: Kind, notify: Option<Notify>, is_automatic: bool) -> bool {
    match (kind, notify) {
        (Kind::Failed, None) => true,
        (Kind::Delayed, None) => !is_automatic,
        (Kind::Relayed, None) => false,
        (Kind::Failed, Some(notify)) => notify.failure,
        (Kind::Delayed, Some(notify)) => notify.delay,
        (Kind::Relayed, Some(notify)) => notify.success,
    }
}

fn auto_submitted(section: &[u8]) -> bool {
    let value = header::text(section, "Auto-Submitted", 100);
    // Parameters may follow the keyword.
    let keyword = value.as_deref().and_then(|value| value.split([';', ' ', '(']).next());
    keyword.is_some_and(|keyword| !keyword.eq_ignore_ascii_case("no"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_never_told_of() {
        let somebody = ReversePath::parse("a@example.com").unwrap();
        let ours = "X-Waxseal-Notification: 1N85GP5PM0000\r\nAuto-Submitted: auto-replied\r\n\r\n";
        let cases = [
            (ReversePath::Null, "Subject: x\r\n\r\n", false),
            (somebody.clone(), "Subject: x\r\n\r\n", true),
            (somebody.clone(), "", true),
            (somebody.clone(), ours, false),
            (somebody.clone(), "X-Waxseal-Notification: x\r\n\r\n", true),
            (somebody.clone(), "X-Waxseal-Notification: x\r\nAuto-Submitted: no\r\n\r\n", true),
            (somebody.clone(), "Auto-Submitted: auto-generated\r\n\r\n", true),
            (somebody.clone(), "Precedence: bulk\r\n\r\n", true),
            (somebody, "Subject: x\r\n\r\nX-Waxseal-Notification: x\r\nAuto-Submitted: y\r\n", true),
        ];
        for (from, content, told) in cases {
            assert_eq!(is_notifiable(&from, content.as_bytes()), told, "{from} {content:?}");
        }
    }

    #[test]
    fn what_counts_as_automatic() {
        let cases = [
            ("Subject: x", false),
            ("Auto-Submitted: no", false),
            ("Auto-Submitted: No (a person)", false),
            ("Auto-Submitted: auto-generated; owner=x", true),
            ("auto-submitted:\r\n auto-replied", true),
            ("Precedence: Bulk", true),
            ("Precedence: first-class", false),
            ("List-Id: <a.example>", true),
            ("Content-Type: Multipart/Report; report-type=delivery-status", true),
            ("Content-Type: multipart/mixed", false),
        ];
        for (field, automatic) in cases {
            assert_eq!(is_automatic(format!("{field}\r\n\r\n").as_bytes()), automatic, "{field}");
        }
    }

    #[test]
    fn who_wants_to_hear_of_what() {
        let all = Notify { success: true, failure: true, delay: true };
        let cases = [
            (None, false, [true, true, false]),
            (None, true, [true, false, false]),
            (Some(Notify::NEVER), false, [false, false, false]),
            (Some(all), true, [true, true, true]),
            (Some(Notify { success: true, ..Notify::NEVER }), false, [false, false, true]),
            (Some(Notify { failure: true, ..Notify::NEVER }), false, [true, false, false]),
            (Some(Notify { delay: true, ..Notify::NEVER }), true, [false, true, false]),
        ];
        for (notify, automatic, wanted) in cases {
            let told =
                [Kind::Failed, Kind::Delayed, Kind::Relayed].map(|kind| is_wanted(kind, notify, automatic));
            assert_eq!(told, wanted, "{notify:?}");
        }
    }
}
