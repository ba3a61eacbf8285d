//! SMTP replies (RFC 5321 §4.2, RFC 2034, RFC 3463).

use std::fmt;

/// The first digit of a reply code (RFC 5321 §4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyClass {
    /// 2yz.
    Completed,
    /// 3yz.
    Intermediate,
    /// 4yz.
    Temporary,
    /// 5yz.
    Permanent,
}

/// An enhanced status code `class.subject.detail` (RFC 3463).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnhancedCode(pub u8, pub u16, pub u16);

impl EnhancedCode {
    /// Reads `5.7.1` from the start of a text; `None` where there is none.
    pub fn parse_prefix(text: &str) -> Option<Self> {
        let word = text.split([' ', '\t', ':', ';', ',']).next()?;
        let mut parts = word.split('.');
        let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
        let digits =
            |s: &str, most: usize| !s.is_empty() && s.len() <= most && s.bytes().all(|b| b.is_ascii_digit());
        if parts.next().is_some()
            || !matches!(class, "2" | "4" | "5")
            || !digits(subject, 3)
            || !digits(detail, 3)
        {
            return None;
        }
        Some(Self(class.parse().ok()?, subject.parse().ok()?, detail.parse().ok()?))
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// A reply: a code, an enhanced code that agrees with its class, and lines of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<EnhancedCode>,
    text: String,
}

impl Reply {
    /// A reply with an enhanced code. `text` may have several lines, separated by `\n`. An enhanced code of another
    /// class than `code`'s is dropped: the two never disagree.
    pub fn new(code: u16, enhanced: EnhancedCode, text: impl Into<String>) -> Self {
        let code = code.clamp(200, 599);
        let enhanced = (u16::from(enhanced.0) == code / 100).then_some(enhanced);
        Self { code, enhanced, text: clean(text.into()) }
    }

    /// A reply without an enhanced code: the greeting, EHLO, 334, 354 and 221 to ancient clients.
    pub fn bare(code: u16, text: impl Into<String>) -> Self {
        Self { code: code.clamp(200, 599), enhanced: None, text: clean(text.into()) }
    }

    /// A reply as a server sent it: an enhanced code at the start of the text is taken out of it.
    pub fn received(code: u16, text: &str) -> Self {
        let code = code.clamp(200, 599);
        let enhanced = EnhancedCode::parse_prefix(text).filter(|e| u16::from(e.0) == code / 100);
        let text = match enhanced {
            Some(_) => text.split_once([' ', '\t']).map_or("", |(_, rest)| rest),
            None => text,
        };
        Self { code, enhanced, text: clean(text.to_owned()) }
    }

    /// The three-digit code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced code, where there is one.
    pub fn enhanced(&self) -> Option<EnhancedCode> {
        self.enhanced
    }

    /// The text without codes; lines are separated by `\n`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The class of the code.
    pub fn class(&self) -> ReplyClass {
        match self.code / 100 {
            2 => ReplyClass::Completed,
            3 => ReplyClass::Intermediate,
            4 => ReplyClass::Temporary,
            _ => ReplyClass::Permanent,
        }
    }

    /// Appends the wire form: every line with code and enhanced code, ended by CRLF (RFC 5321 §4.2.1).
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let separator = if lines.peek().is_some() { '-' } else { ' ' };
            out.extend_from_slice(format!("{}{separator}", self.code).as_bytes());
            if let Some(enhanced) = self.enhanced {
                out.extend_from_slice(format!("{enhanced} ").as_bytes());
            }
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Control characters would end the line early, or draw on an operator's terminal.
fn clean(text: String) -> String {
    if text.chars().any(|c| c.is_control() && c != '\n') {
        text.chars().filter(|c| !c.is_control() || *c == '\n').collect()
    } else {
        text
    }
}

impl fmt::Display for Reply {
    /// One line, for logs and listings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        for line in self.text.split('\n').filter(|l| !l.is_empty()) {
            write!(f, " {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_carries_both_codes() {
        let mut out = Vec::new();
        Reply::new(550, EnhancedCode(5, 7, 1), "one\ntwo").write_to(&mut out);
        assert_eq!(out, b"550-5.7.1 one\r\n550 5.7.1 two\r\n");
    }

    #[test]
    fn received_replies_give_up_their_enhanced_code() {
        let reply = Reply::received(535, "5.7.139 Authentication unsuccessful");
        assert_eq!(reply.enhanced(), Some(EnhancedCode(5, 7, 139)));
        assert_eq!(reply.to_string(), "535 5.7.139 Authentication unsuccessful");
        assert_eq!(Reply::received(250, "5.7.1 odd").enhanced(), None);
        assert_eq!(Reply::received(250, "OK").to_string(), "250 OK");
    }

    #[test]
    fn an_enhanced_code_of_another_class_is_dropped() {
        for (code, class) in [(250, 5), (550, 4), (100, 1), (65_535, 5)] {
            let reply = Reply::new(code, EnhancedCode(class, 0, 0), "x");
            assert_eq!(
                reply.enhanced().map(|e| u16::from(e.0)),
                (code == 65_535).then_some(reply.code() / 100)
            );
        }
    }

    #[test]
    fn control_characters_never_get_out() {
        let mut out = Vec::new();
        Reply::bare(250, "a\r\n250 b\x1b[31m").write_to(&mut out);
        assert_eq!(out, b"250-a\r\n250 250 b[31m\r\n");
    }
}
