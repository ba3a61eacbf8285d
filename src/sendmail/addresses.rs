//! Address lists as people and programs write them (RFC 5322 §3.4, with the obsolete forms of §4.4). Pure.
//!
//! Of every mailbox only the `addr-spec` is of interest. Display names may be in any charset, or in encoded words, and
//! are passed over; comments and folding may stand between any two tokens; `@a,@b:` routes are dropped.

/// What stands where an address should be, as far as it can be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address")]
pub struct NoAddress(pub String);

/// An address in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    /// `local@domain`, or `local` alone.
    spec: String,
    /// Where a domain would have to stand, where there is none.
    open: Option<usize>,
}

/// The addresses of a list in its order, without their quotes where those are needless: `local@domain`, or `local`
/// alone. Groups are spread out. Empty places are passed over.
pub fn parse(list: &[u8]) -> Vec<Result<String, NoAddress>> {
    read(list).into_iter().map(|found| found.map(|address| address.spec)).collect()
}

/// The list with a domain put to every name that has none; all else stays as it is, octet for octet.
pub fn completed(list: &[u8], domain: &str) -> Vec<u8> {
    let (mut out, mut done) = (Vec::with_capacity(list.len()), 0);
    for place in read(list).into_iter().filter_map(|found| found.ok()?.open) {
        out.extend_from_slice(&list[done..place]);
        out.extend_from_slice(format!("@{domain}").as_bytes());
        done = place;
    }
    out.extend_from_slice(&list[done..]);
    out
}

fn read(list: &[u8]) -> Vec<Result<Address, NoAddress>> {
    let mut found = Vec::new();
    let (tokens, torn) = tokens(list);
    let (mut start, mut angle) = (0, false);
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Special(b'<') => angle = true,
            Kind::Special(b'>') => angle = false,
            Kind::Special(b',' | b';') if !angle => {
                found.extend(element(list, &tokens[start..at]));
                start = at + 1;
            }
            // What came so far is the name of a group; its members follow.
            Kind::Special(b':') if !angle => start = at + 1,
            _ => {}
        }
    }
    match torn {
        // A string, comment or literal without an end has swallowed what followed it.
        Some(torn) => {
            found.push(Err(shown(list, tokens.get(start).map_or(torn, |token| token.at), list.len())));
        }
        None => found.extend(element(list, &tokens[start..])),
    }
    found
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Atoms and dots.
    Word,
    Quoted,
    Literal,
    Special(u8),
}

/// A token, and where its octets are.
#[derive(Debug, Clone, Copy)]
struct Token {
    kind: Kind,
    at: usize,
    end: usize,
}

/// The tokens of a list, and where something began that has no end.
fn tokens(list: &[u8]) -> (Vec<Token>, Option<usize>) {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < list.len() {
        let start = at;
        let kind = match list[at] {
            b' ' | b'\t' | b'\r' | b'\n' => {
                at += 1;
                continue;
            }
            b'(' => match closing(list, at, b')') {
                Some(end) => {
                    at = end + 1;
                    continue;
                }
                None => return (tokens, Some(at)),
            },
            b'"' => Kind::Quoted,
            b'[' => Kind::Literal,
            special if is_special(special) => {
                at += 1;
                tokens.push(Token { kind: Kind::Special(special), at: start, end: at });
                continue;
            }
            _ => Kind::Word,
        };
        at = match kind {
            Kind::Word => {
                list[at..].iter().position(|b| is_special(*b) || is_blank(*b)).map_or(list.len(), |n| at + n)
            }
            kind => match closing(list, at, if kind == Kind::Quoted { b'"' } else { b']' }) {
                Some(end) => end + 1,
                None => {
                    tokens.push(Token { kind, at: start, end: list.len() });
                    return (tokens, Some(start));
                }
            },
        };
        tokens.push(Token { kind, at: start, end: at });
    }
    (tokens, None)
}

/// Where the quoted string, literal or comment that opens at `open` closes. Comments nest.
fn closing(list: &[u8], open: usize, close: u8) -> Option<usize> {
    let (mut deep, mut escaped) = (0usize, false);
    for (at, &octet) in list.iter().enumerate().skip(open + 1) {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' if close == b')' => deep += 1,
            _ if octet == close && deep > 0 => deep -= 1,
            _ if octet == close => return Some(at),
            _ => {}
        }
    }
    None
}

/// Not the dot: it is taken for a part of the words beside it.
fn is_special(octet: u8) -> bool {
    b"()<>[]:;@\\,\"".contains(&octet)
}

fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

/// The address between two commas; `None` where there is nothing.
fn element(list: &[u8], tokens: &[Token]) -> Option<Result<Address, NoAddress>> {
    let (first, last) = (tokens.first()?, tokens.last()?);
    let is = |token: &Token, special: u8| token.kind == Kind::Special(special);
    let spec = match tokens.iter().position(|token| is(token, b'<')) {
        None => Some(tokens),
        Some(open) => {
            let inside = &tokens[open + 1..];
            // Nothing may follow: an address that is not read is one that gets no mail.
            inside.split_last().filter(|(last, _)| is(last, b'>')).map(|(_, inside)| without_route(inside))
        }
    };
    Some(spec.and_then(|spec| addr_spec(list, spec)).ok_or_else(|| shown(list, first.at, last.end)))
}

fn without_route(tokens: &[Token]) -> &[Token] {
    if tokens.first().is_none_or(|token| token.kind != Kind::Special(b'@')) {
        return tokens;
    }
    let colon = tokens.iter().position(|token| token.kind == Kind::Special(b':'));
    colon.map_or(tokens, |colon| &tokens[colon + 1..])
}

/// An address, where the tokens are nothing else.
fn addr_spec(list: &[u8], tokens: &[Token]) -> Option<Address> {
    let mut sides = tokens.split(|token| token.kind == Kind::Special(b'@'));
    let words = sides.next()?;
    let local = local_part(list, words)?;
    let domain = match sides.next() {
        None => return Some(Address { spec: local, open: words.last().map(|word| word.end) }),
        Some([Token { kind: Kind::Literal, at, end }]) => text(list, *at, *end)?,
        Some(words) => joined(list, words)?,
    };
    sides.next().is_none().then(|| Address { spec: format!("{local}@{domain}"), open: None })
}

/// Words with dots between them, blanks and comments around the dots left out.
fn joined(list: &[u8], words: &[Token]) -> Option<String> {
    let mut out = String::new();
    for word in words {
        let part = match word.kind {
            Kind::Word => text(list, word.at, word.end)?,
            Kind::Quoted => unquoted(list, word)?,
            _ => return None,
        };
        if !out.is_empty() && !out.ends_with('.') && !part.starts_with('.') {
            return None;
        }
        out.push_str(&part);
    }
    (!out.is_empty()).then_some(out)
}

fn local_part(list: &[u8], words: &[Token]) -> Option<String> {
    let plain = |text: &str| {
        let atom = |c: char| c.is_ascii_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii();
        !text.is_empty() && text.chars().all(atom)
    };
    if let [Token { kind: Kind::Quoted, .. }] = words {
        let inside = unquoted(list, &words[0])?;
        // An empty one is an address all the same.
        return Some(if plain(&inside) { inside } else { quoted(&inside) });
    }
    let local = joined(list, words)?;
    Some(if plain(&local) { local } else { quoted(&local) })
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The inside of a quoted string: escapes undone, folding taken out.
fn unquoted(list: &[u8], token: &Token) -> Option<String> {
    let mut octets = Vec::new();
    let mut escaped = false;
    for &octet in list.get(token.at + 1..token.end - 1)? {
        match octet {
            b'\\' if !escaped => {
                escaped = true;
                continue;
            }
            b'\r' | b'\n' => {}
            octet => octets.push(octet),
        }
        escaped = false;
    }
    String::from_utf8(octets).ok()
}

fn text(list: &[u8], at: usize, end: usize) -> Option<String> {
    String::from_utf8(list.get(at..end)?.to_vec()).ok()
}

/// What cannot be read, on one line and not all of it where it is long.
fn shown(list: &[u8], at: usize, end: usize) -> NoAddress {
    let text = String::from_utf8_lossy(&list[at.min(end)..end]);
    let words: Vec<&str> = text.split_whitespace().collect();
    let printable = words.join(" ").chars().map(|c| if c.is_control() { '?' } else { c }).take(120).collect();
    NoAddress(printable)
}

#[cfg(test)]
#[path = "addresses_tests.rs"]
mod tests;
