//! Where a message's header section ends, while the message comes in pieces: what is missing in it goes there.

use super::HeaderScan;

/// Follows a message up to the end of its header section.
#[derive(Debug, Default)]
pub struct Heading {
    scan: HeaderScan,
    /// Octets known to belong to the header section.
    passed: u64,
    ended: bool,
}

/// What is to be done with the octets at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Headed {
    /// So many of them belong to the header section; what follows cannot be told yet.
    Part(usize),
    /// So many of them belong to the header section, and it ends behind them.
    End(usize),
    /// It has ended before.
    Past,
}

impl Heading {
    /// Looks at canonical octets that have not been passed on: those from `new` on have not been looked at yet.
    /// `complete` says that no more will come.
    pub fn advance(&mut self, octets: &[u8], new: usize, complete: bool) -> Headed {
        if self.ended {
            return Headed::Past;
        }
        self.ended = self.scan.advance(&octets[new..]) || complete;
        let part = usize::try_from(self.scan.settled() - self.passed).unwrap_or(octets.len());
        self.passed += part as u64;
        if self.ended { Headed::End(part) } else { Headed::Part(part) }
    }

    /// What has been seen of it.
    pub fn scan(&self) -> &HeaderScan {
        &self.scan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header section and what follows it, as told of octets that come in pieces of this size.
    fn split(content: &[u8], size: usize) -> (Vec<u8>, Vec<u8>) {
        let (mut heading, mut head, mut body) = (Heading::default(), Vec::new(), Vec::new());
        let mut pending = Vec::new();
        let mut pieces = content.chunks(size).peekable();
        loop {
            let new = pending.len();
            pending.extend_from_slice(pieces.next().unwrap_or_default());
            let complete = pieces.peek().is_none();
            match heading.advance(&pending, new, complete) {
                Headed::Part(part) => head.extend(pending.drain(..part)),
                Headed::End(part) => {
                    head.extend(pending.drain(..part));
                    body.append(&mut pending);
                }
                Headed::Past => body.append(&mut pending),
            }
            if complete {
                return (head, body);
            }
        }
    }

    #[test]
    fn the_header_section_is_told_from_the_rest_however_it_comes() {
        let cases: &[(&str, &str)] = &[
            ("A: 1\r\nB: 2\r\n folded\r\n", "\r\nbody\r\n"),
            ("", "no header at all\r\n\r\nA: 1\r\n"),
            ("", "\r\nbody\r\n"),
            ("A: 1\r\n", ""),
            ("A: 1\r\n", "no field\r\n"),
            ("", ""),
        ];
        for (head, rest) in cases {
            let content = [*head, *rest].concat();
            for size in 1..=content.len().max(1) {
                let (seen, body) = split(content.as_bytes(), size);
                let seen = (String::from_utf8_lossy(&seen), String::from_utf8_lossy(&body));
                assert_eq!(seen, ((*head).into(), (*rest).into()), "{content:?} in pieces of {size}");
            }
        }
    }
}
