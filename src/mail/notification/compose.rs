//! The parts put together: header section, boundary, multipart/report (RFC 6522, RFC 2046 §5.1).

use super::{
    Kind, Letterhead, MARK, Notification, Report, explain, header,
    lines::{self, date_field, field, text_field},
    returned::{self, Encoding, Part},
    status, words,
};
use crate::mail::BodyType;
use std::collections::BTreeSet;

/// Characters of the original's subject that are repeated.
const SUBJECT: usize = 150;

/// A whole report of this kind.
pub(super) fn report(report: &Report<'_>, kind: Kind) -> Notification {
    let returned = returned::part(&report.original, kind, report.ret());
    let whole = returned.as_ref().map(|part| part.whole);
    let text = text_part(&explain::text(report, kind, whole));
    let parts: Vec<Part> = [Some(text), Some(status::part(report)), returned].into_iter().flatten().collect();

    let boundary = boundary(report, &parts);
    let mut head = String::with_capacity(1024);
    letterhead(&mut head, &report.letterhead, &subject(report, kind));
    if let Some(id) = header::message_id(report.original.header()) {
        field(&mut head, "In-Reply-To", &id);
        field(&mut head, "References", &id);
    }
    field(&mut head, "Auto-Submitted", "auto-replied");
    field(&mut head, MARK, &report.queue_id.to_string());
    field(&mut head, "MIME-Version", "1.0");
    head.push_str("Content-Type: multipart/report; report-type=delivery-status;\r\n");
    head.push_str(&format!("\tboundary=\"{boundary}\"\r\n"));
    let eight_bit = parts.iter().any(|part| part.encoding == Encoding::EightBit);
    if eight_bit {
        field(&mut head, "Content-Transfer-Encoding", Encoding::EightBit.name());
    }
    let smtputf8 = !head.is_ascii();
    let mut octets = head.into_bytes();
    for part in &parts {
        octets.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
        octets.extend_from_slice(part_header(part).as_bytes());
        octets.extend_from_slice(&part.octets);
    }
    octets.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let body = if eight_bit || smtputf8 { BodyType::EightBitMime } else { BodyType::SevenBit };
    Notification { octets, body, smtputf8 }
}

/// The fields that every notification starts with.
pub(super) fn letterhead(head: &mut String, letterhead: &Letterhead, subject: &str) {
    let Letterhead { hostname, from, to, id, date } = letterhead;
    date_field(head, "Date", *date);
    field(head, "From", &format!("Mail Delivery System <{}>", lines::address(from)));
    field(head, "To", &format!("<{}>", lines::address(to)));
    text_field(head, "Subject", &words::encode(subject));
    let host: String = lines::host(hostname).replace(['[', ']', ':'], "-");
    field(head, "Message-ID", &format!("<{id}@{host}>"));
}

fn subject(report: &Report<'_>, kind: Kind) -> String {
    let start = match kind {
        Kind::Failed => "Undelivered mail",
        Kind::Delayed => "Delayed mail (still being tried)",
        Kind::Relayed => "Relayed mail",
    };
    match (header::text(report.original.header(), "Subject", SUBJECT), &report.recipients[..]) {
        (Some(subject), _) => format!("{start}: {subject}"),
        (None, [only]) => format!("{start} to {}", status::path(&only.final_recipient)),
        (None, recipients) => format!("{start} to {} recipients", recipients.len()),
    }
}

/// Text for people as a part: as it is where all of it is ASCII in short lines.
pub(super) fn text_part(text: &str) -> Part {
    let plain = text.is_ascii() && text.lines().all(|line| line.len() <= 78);
    let crlf = text.replace('\n', "\r\n").into_bytes();
    let (encoding, octets) = if plain {
        (Encoding::SevenBit, crlf)
    } else {
        let mut octets = Vec::with_capacity(crlf.len() * 2);
        lines::quoted_printable(&mut octets, &crlf);
        (Encoding::QuotedPrintable, octets)
    };
    let charset = if text.is_ascii() { "text/plain; charset=us-ascii" } else { "text/plain; charset=utf-8" };
    Part { content_type: charset, description: "Notification", encoding, octets, whole: false }
}

fn part_header(part: &Part) -> String {
    format!(
        "Content-Type: {}\r\nContent-Description: {}\r\nContent-Transfer-Encoding: {}\r\n\r\n",
        part.content_type,
        part.description,
        part.encoding.name()
    )
}

/// A boundary that occurs in no part. Numbers found behind its beginning are avoided, all in one pass, so that nobody
/// can make the search long.
fn boundary(report: &Report<'_>, parts: &[Part]) -> String {
    let start = format!("waxseal-{}-", report.letterhead.id);
    let mut taken = BTreeSet::new();
    for part in parts {
        for at in memchr::memmem::find_iter(&part.octets, &start) {
            let digits = part.octets.get(at + start.len()..at + start.len() + 8);
            let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
            taken.extend(digits.and_then(|digits| digits.parse::<u32>().ok()));
        }
    }
    let free = (0..).zip(&taken).find(|(number, taken)| number != *taken);
    let number = free.map_or(taken.len() as u32, |(number, _)| number);
    format!("{start}{number:08}")
}
