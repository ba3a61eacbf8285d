//! Cutting replies out of the octets that a server sends (RFC 5321 §4.2.1). Pure.
//!
//! Not smtp-proto's `ResponseReceiver`: it keeps enhanced codes in octets, so that Exchange's 5.7.511 and
//! 5.7.708 both become 5.7.255, which the classification would not recognise.

use crate::mail::{EnhancedCode, Reply};

/// Longest reply that is read, in octets, over all its lines.
const REPLY_LIMIT: usize = 64 * 1024;

/// What came is no SMTP reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoReply;

/// The first reply in `octets` and its length, `None` while it is not complete.
pub fn first_reply(octets: &[u8]) -> Result<Option<(Reply, usize)>, NoReply> {
    let mut text = String::new();
    let mut start = 0;
    let mut enhanced: Option<EnhancedCode> = None;
    let mut first = None;
    for end in memchr::memchr_iter(b'\n', octets) {
        let line = &octets[start..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let [a, b, c, rest @ ..] = line else { return Err(NoReply) };
        if !(b'2'..=b'5').contains(a) || !b.is_ascii_digit() || !c.is_ascii_digit() {
            return Err(NoReply);
        }
        let code = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
        // All lines of a reply have one code; where they differ, nobody knows what was said.
        if *first.get_or_insert(code) != code {
            return Err(NoReply);
        }
        let (last, rest) = match rest {
            [] => (true, rest),
            [b' ', rest @ ..] => (true, rest),
            [b'-', rest @ ..] => (false, rest),
            _ => return Err(NoReply),
        };
        let said = String::from_utf8_lossy(rest);
        let mut said = said.as_ref();
        // Every line repeats the enhanced code (RFC 2034 §4); it is kept once.
        if let Some(found) = EnhancedCode::parse_prefix(said).filter(|e| u16::from(e.0) == code / 100) {
            said = said.split_once([' ', '\t']).map_or("", |(_, rest)| rest);
            enhanced.get_or_insert(found);
        }
        if start > 0 {
            text.push('\n');
        }
        text.push_str(said);
        start = end + 1;
        if last {
            let reply = match enhanced {
                Some(enhanced) => Reply::new(code, enhanced, text),
                None => Reply::bare(code, text),
            };
            return Ok(Some((reply, start)));
        }
    }
    // Octets of TLS or of another protocol may never hold a line end: the first one of a line tells.
    let foreign = octets.get(start).is_some_and(|first| !(b'2'..=b'5').contains(first));
    if foreign || octets.len() > REPLY_LIMIT {
        return Err(NoReply);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_cut_one_at_a_time() {
        let octets = b"250 2.1.0 OK\r\n550-5.7.511 banned\r\n550 5.7.511 sender\r\n354";
        let (first, length) = first_reply(octets).unwrap().unwrap();
        assert_eq!(first.to_string(), "250 2.1.0 OK");
        let rest = &octets[length..];
        let (second, length) = first_reply(rest).unwrap().unwrap();
        assert_eq!(second.enhanced(), Some(EnhancedCode(5, 7, 511)));
        assert_eq!(second.text(), "banned\nsender");
        assert_eq!(first_reply(&rest[length..]), Ok(None));
    }

    #[test]
    fn odd_but_legible_replies() {
        for (octets, text) in [
            (&b"220\r\n"[..], "220"),
            (b"250 OK\n", "250 OK"),
            (b"334 \r\n", "334"),
            (b"250-\r\n250 end\r\n", "250 end"),
        ] {
            assert_eq!(first_reply(octets).unwrap().unwrap().0.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for octets in [
            &b"HTTP/1.1 400 Bad\r\n"[..],
            b"250-one\r\n550 two\r\n",
            b"\r\n",
            b"99 x\r\n",
            b"250_x\r\n",
            b"\x15\x03\x01\xff\x02",
        ] {
            assert_eq!(first_reply(octets), Err(NoReply), "{octets:?}");
        }
    }
}
