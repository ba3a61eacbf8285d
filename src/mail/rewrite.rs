//! `sender = "rewrite"`: the account's own mailbox in `From`, and the old `From` in `Reply-To` (RFC 5322 §3.6.2). Pure.

use super::{
    Mailbox,
    header::{Extent, Field, HeaderScanner, fields},
};

/// A header section past this goes out as it is from there on.
const LIMIT: usize = 1 << 20;

/// Rewrites content on its way out, block by block: the header section is kept back until it ends, all else goes through.
#[derive(Debug)]
pub struct SenderRewriter {
    mailbox: String,
    scanner: HeaderScanner,
    /// The header section so far; `None` behind it.
    head: Option<Vec<u8>>,
}

impl SenderRewriter {
    /// Octets by which a message grows at most, for a `SIZE` that is declared ahead (RFC 1870 §6.1 asks for an estimate).
    pub const GROWTH: u64 = 1024;

    /// For mail that leaves as `mailbox`.
    pub fn new(mailbox: &Mailbox) -> Self {
        Self { mailbox: mailbox.to_string(), scanner: HeaderScanner::default(), head: Some(Vec::new()) }
    }

    /// Appends to `out` what of `block`, and of what came before, can go out by now.
    pub fn push(&mut self, block: &[u8], out: &mut Vec<u8>) {
        let Some(head) = &mut self.head else {
            out.extend_from_slice(block);
            return;
        };
        head.extend_from_slice(block);
        let extent = self.scanner.advance(head);
        if let Some(extent) = extent.or_else(|| (head.len() > LIMIT).then(|| self.scanner.finish())) {
            self.release(extent, out);
        }
    }

    /// Appends what has been kept back of content that has no body.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.head.is_some() {
            self.release(self.scanner.finish(), out);
        }
    }

    fn release(&mut self, extent: Extent, out: &mut Vec<u8>) {
        let Some(head) = self.head.take() else { return };
        out.extend_from_slice(&head[..extent.start]);
        rewrite(&head[extent.start..extent.end], &self.mailbox, out);
        out.extend_from_slice(&head[extent.end..]);
    }
}

fn rewrite(section: &[u8], mailbox: &str, out: &mut Vec<u8>) {
    let from = fields(section).find(|field| field.is("From"));
    // What says who it is already stays as it is.
    if from.is_some_and(|from| address(from.body).eq_ignore_ascii_case(mailbox.as_bytes())) {
        out.extend_from_slice(section);
        return;
    }
    let replies_elsewhere =
        fields(section).any(|field| field.is("Reply-To") && !field.body.trim_ascii().is_empty());
    let mut written = false;
    for field in fields(section) {
        if field.is("From") {
            if !written {
                write_from(Some(field), mailbox, out);
            }
            written = true;
        } else if !field.is("Sender") && (replies_elsewhere || !field.is("Reply-To")) {
            // `Sender` would name somebody who may not send here either.
            out.extend_from_slice(field.octets);
        }
    }
    if !written {
        write_from(None, mailbox, out);
    }
    if let Some(from) = from.filter(|from| !replies_elsewhere && !from.body.trim_ascii().is_empty()) {
        out.extend_from_slice(b"Reply-To:");
        out.extend_from_slice(from.body);
    }
}

fn write_from(old: Option<Field<'_>>, mailbox: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"From: ");
    if let Some(name) = old.and_then(|old| name(old.body)) {
        out.extend_from_slice(name);
        out.push(b' ');
    }
    out.extend_from_slice(format!("<{mailbox}>\r\n").as_bytes());
}

/// Where the octets outside of quoted strings and comments are that `wanted` picks.
fn find(body: &[u8], wanted: impl Fn(u8) -> bool) -> Option<usize> {
    let (mut quoted, mut comments, mut escaped) = (false, 0_usize, false);
    for (at, octet) in body.iter().copied().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted || comments > 0 => escaped = true,
            b'"' if comments == 0 => quoted = !quoted,
            b'(' if !quoted => comments += 1,
            b')' if !quoted => comments = comments.saturating_sub(1),
            octet if !quoted && comments == 0 && wanted(octet) => return Some(at),
            _ => {}
        }
    }
    None
}

/// The display name of the one mailbox in a `From`, as it is written there.
fn name(body: &[u8]) -> Option<&[u8]> {
    let end = find(body, |octet| octet == b'<')?;
    let name = body[..end].trim_ascii();
    // A list or a group has no one name.
    (!name.is_empty() && find(name, |octet| b",:;@".contains(&octet)).is_none()).then_some(name)
}

/// The address of the one mailbox in a `From`; anything else is no mailbox.
fn address(body: &[u8]) -> &[u8] {
    let Some(start) = find(body, |octet| octet == b'<') else { return body.trim_ascii() };
    let rest = &body[start + 1..];
    find(rest, |octet| octet == b'>').map_or(rest, |end| &rest[..end]).trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str, pieces: usize) -> String {
        let octets = text.replace('\n', "\r\n").into_bytes();
        let mut rewriter = SenderRewriter::new(&Mailbox::parse("support@example.com").unwrap());
        let mut out = Vec::new();
        for block in octets.chunks(pieces.max(1)) {
            rewriter.push(block, &mut out);
        }
        rewriter.finish(&mut out);
        String::from_utf8_lossy(&out).replace("\r\n", "\n")
    }

    #[test]
    fn the_table() {
        for (text, expected) in [
            ("From: a@b.example\n\nx\n", "From: <support@example.com>\nReply-To: a@b.example\n\nx\n"),
            (
                "To: c@d\nFrom: \"Doe, Jane\" <a@b>\nSubject: s\n\nFrom: x\n",
                "To: c@d\nFrom: \"Doe, Jane\" <support@example.com>\nSubject: s\nReply-To: \"Doe, Jane\" <a@b>\n\nFrom: x\n",
            ),
            (
                "FROM : Printer\n <a@b>\n\n",
                "From: Printer <support@example.com>\nReply-To: Printer\n <a@b>\n\n",
            ),
            (
                "From: =?utf-8?Q?J=C3=BCrgen?= <a@b>\n\n",
                "From: =?utf-8?Q?J=C3=BCrgen?= <support@example.com>\nReply-To: =?utf-8?Q?J=C3=BCrgen?= <a@b>\n\n",
            ),
            // An author who wants replies elsewhere gets them there.
            ("From: a@b\nReply-To: c@d\n\n", "From: <support@example.com>\nReply-To: c@d\n\n"),
            ("Reply-To:\nFrom: a@b\n\n", "From: <support@example.com>\nReply-To: a@b\n\n"),
            // Several authors, or a group, have no one name.
            (
                "From: A <a@b>, C <c@d>\nSender: a@b\n\n",
                "From: A <support@example.com>\nReply-To: A <a@b>, C <c@d>\n\n",
            ),
            ("From: Ops: a@b, c@d;\n\n", "From: <support@example.com>\nReply-To: Ops: a@b, c@d;\n\n"),
            ("From: a@b\nFrom: c@d\n\n", "From: <support@example.com>\nReply-To: a@b\n\n"),
            (
                "From: (a <x>) \"q<y>\" <a@b>\n\n",
                "From: (a <x>) \"q<y>\" <support@example.com>\nReply-To: (a <x>) \"q<y>\" <a@b>\n\n",
            ),
            // It is itself.
            (
                "From: S <Support@example.com>\nSender: a@b\n\nx\n",
                "From: S <Support@example.com>\nSender: a@b\n\nx\n",
            ),
            ("From: support@EXAMPLE.com\n\nx\n", "From: support@EXAMPLE.com\n\nx\n"),
            // Nobody wrote it.
            ("Subject: s\n\nx\n", "Subject: s\nFrom: <support@example.com>\n\nx\n"),
            ("From:\n\nx\n", "From: <support@example.com>\n\nx\n"),
            ("Subject: s\n", "Subject: s\nFrom: <support@example.com>\n"),
            ("", "From: <support@example.com>\n"),
        ] {
            for pieces in [1, 3, 7, 4096] {
                assert_eq!(rewritten(text, pieces), expected, "{text:?} in pieces of {pieces}");
            }
        }
    }

    #[test]
    fn a_header_section_without_end_is_let_go() {
        let text = format!("From: a@b\n{}", "X: y\n".repeat(LIMIT / 4));
        let out = rewritten(&text, 65_536);
        assert!(out.starts_with("From: <support@example.com>\n") && out.len() > text.len());
        assert!(out.len() as u64 - text.len() as u64 <= SenderRewriter::GROWTH);
    }
}
