//! What is searched for: a queue id, a Message-ID or an address. Pure.

use super::event::Event;
use crate::mail::{Domain, ForwardPath, Mailbox, QueueId};

/// A search.
#[derive(Debug, Clone)]
pub enum Query {
    /// The message with this queue id.
    Id(QueueId),
    /// Messages with a name or an address like this.
    Text(Text),
}

/// A Message-ID, or an address; `left@right` may be either.
#[derive(Debug, Clone)]
pub struct Text {
    /// As typed, without angle brackets.
    written: String,
    address: Option<Pattern>,
    needle: Needle,
}

#[derive(Debug, Clone)]
enum Pattern {
    Mailbox(Mailbox),
    Domain(Domain),
    Postmaster,
}

/// What a line has in it that may match, as it stands in JSON.
#[derive(Debug, Clone)]
enum Needle {
    /// `before@after`, whatever the case of ASCII letters.
    At { before: Vec<u8>, after: Vec<u8> },
    /// Without `@`: these octets.
    Plain(Vec<u8>),
    /// In any line that is not ASCII, beside `@after` in A-labels.
    International { after: Vec<u8> },
}

impl Query {
    /// Reads what a person types: `1N85GP5PM0000`, `<left@right>` or `left@right`, `someone@example.org`,
    /// `*@example.org`, `postmaster`.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let written = text.strip_prefix('<').and_then(|t| t.strip_suffix('>')).unwrap_or(text);
        match written.parse() {
            Ok(id) => Self::Id(id),
            Err(_) => Self::Text(Text::new(written)),
        }
    }

    /// Whether it can match nothing at all.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Text(text) if text.written.is_empty())
    }
}

impl Text {
    fn new(written: &str) -> Self {
        let domain = written.strip_prefix("*@").or_else(|| written.strip_prefix('@'));
        let address = match domain {
            Some(domain) => Domain::parse(domain).ok().map(Pattern::Domain),
            None => match ForwardPath::parse(written) {
                Ok(ForwardPath::Mailbox(mailbox)) => Some(Pattern::Mailbox(mailbox)),
                Ok(ForwardPath::Postmaster) => Some(Pattern::Postmaster),
                Err(_) => None,
            },
        };
        Self { written: written.to_owned(), needle: Needle::of(written, address.as_ref()), address }
    }

    /// Whether a line is worth reading: never wrong where it says no.
    pub(super) fn may_match(&self, line: &[u8]) -> bool {
        match &self.needle {
            Needle::At { before, after } => finds_at(line, before, after),
            Needle::Plain(octets) => memchr::memmem::find(line, octets).is_some(),
            Needle::International { after } => !line.is_ascii() || finds_at(line, b"", after),
        }
    }

    /// Whether an event names what is searched for.
    pub(super) fn matches(&self, event: &Event) -> bool {
        let named =
            event.message_id.as_deref().is_some_and(|id| bare(id).eq_ignore_ascii_case(&self.written));
        let addresses = || event.from.iter().chain(&event.to);
        named
            || match &self.address {
                None => false,
                Some(Pattern::Postmaster) => addresses().any(|path| path.eq_ignore_ascii_case("postmaster")),
                Some(Pattern::Mailbox(mailbox)) => {
                    addresses().any(|path| Mailbox::parse(path).is_ok_and(|other| other.matches(mailbox)))
                }
                Some(Pattern::Domain(domain)) => {
                    addresses().any(|path| Mailbox::parse(path).is_ok_and(|other| other.domain() == domain))
                }
            }
    }
}

impl Needle {
    fn of(written: &str, address: Option<&Pattern>) -> Self {
        let domain = match address {
            Some(Pattern::Mailbox(mailbox)) => Some(mailbox.domain()),
            Some(Pattern::Domain(domain)) => Some(domain),
            _ => None,
        };
        // The same domain may have been written in U-labels, whose letters have case as well.
        let foreign = |domain: &Domain| domain.ascii().split('.').any(|label| label.starts_with("xn--"));
        match domain {
            Some(domain) if foreign(domain) || !written.is_ascii() => {
                Self::International { after: domain.ascii().as_bytes().to_vec() }
            }
            _ => match written.split_once('@') {
                // What JSON escapes is left out of the comparison.
                Some((before, after)) if plain(after) => {
                    let before = if plain(before) && before != "*" { before } else { "" };
                    Self::At { before: before.as_bytes().to_vec(), after: trimmed(domain, after) }
                }
                _ if plain(written) && !matches!(address, Some(Pattern::Postmaster)) => {
                    Self::Plain(written.as_bytes().to_vec())
                }
                _ => Self::Plain(Vec::new()),
            },
        }
    }
}

/// What follows the `@`: of a domain, without the dot at its end that is dropped when it is parsed.
fn trimmed(domain: Option<&Domain>, after: &str) -> Vec<u8> {
    domain.map_or(after, Domain::as_str).as_bytes().to_vec()
}

/// Whether JSON writes it as it is.
fn plain(text: &str) -> bool {
    text.bytes().all(|octet| octet.is_ascii() && !octet.is_ascii_control() && octet != b'"' && octet != b'\\')
}

/// A Message-ID without its angle brackets.
fn bare(id: &str) -> &str {
    id.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(id)
}

fn finds_at(line: &[u8], before: &[u8], after: &[u8]) -> bool {
    memchr::memchr_iter(b'@', line).any(|at| {
        let ahead = at.checked_sub(before.len()).map(|start| &line[start..at]);
        let behind = line.get(at + 1..at + 1 + after.len());
        behind.is_some_and(|octets| octets.eq_ignore_ascii_case(after))
            && ahead.is_some_and(|octets| octets.eq_ignore_ascii_case(before))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::What;

    fn event() -> Event {
        Event {
            from: Some("App@Example.COM".into()),
            to: ["\"a \\\"b\"@x.example", "someone@bücher.example", "jürgen@EXAMPLE.net", "postmaster"]
                .map(str::to_owned)
                .to_vec(),
            message_id: Some("<20261124.Abc$1@app.example.com>".into()),
            ..Event::new(5, QueueId::new(5, 0), What::Received)
        }
    }

    #[test]
    fn messages_are_found_by_what_people_type() {
        let cases = [
            ("app@example.com", true),
            ("APP@EXAMPLE.com.", true),
            ("<app@example.com>", true),
            (" app@example.com ", true),
            ("pp@example.com", false),
            ("app@example.co", false),
            ("app@example.com.au", false),
            ("*@example.com", true),
            ("@example.com", true),
            ("*@sub.example.com", false),
            ("*@ample.com", false),
            ("\"a \\\"b\"@X.example", true),
            ("\"a \\\"c\"@x.example", false),
            ("someone@bücher.example", true),
            ("someone@BÜCHER.example", true),
            ("someone@xn--bcher-kva.example", true),
            ("*@xn--bcher-kva.example", true),
            ("jürgen@example.net", true),
            ("JÜRGEN@example.net", true),
            ("jurgen@example.net", false),
            ("postmaster", true),
            ("Postmaster", true),
            ("<20261124.Abc$1@app.example.com>", true),
            ("20261124.Abc$1@app.example.com", true),
            ("20261124", false),
            ("20261124.Abc$1@app.example.org", false),
            ("delivered", false),
        ];
        let mut line = Vec::new();
        event().write_to(&mut line);
        for (text, want) in cases {
            let Query::Text(query) = Query::parse(text) else { panic!("{text} is taken for an id") };
            assert_eq!(query.matches(&event()), want, "{text}");
            assert!(!want || query.may_match(&line), "{text} is passed over");
        }
    }

    #[test]
    fn odd_message_ids_are_found_too() {
        for name in ["<no-at-sign>", "not even brackets", "<quo\"te@back\\slash>", "<é@x>", "<a@b@c>"] {
            let event = Event { message_id: Some(name.into()), ..event() };
            let mut line = Vec::new();
            event.write_to(&mut line);
            for typed in [name, name.trim_matches(['<', '>'])] {
                let Query::Text(query) = Query::parse(typed) else { panic!("{typed}") };
                assert!(query.may_match(&line) && query.matches(&event), "{typed}");
            }
        }
    }

    #[test]
    fn a_queue_id_is_one_and_nothing_is_nothing() {
        let id = QueueId::new(1_763_900_000_000, 3);
        assert!(matches!(Query::parse(&id.to_string().to_lowercase()), Query::Id(found) if found == id));
        assert!(Query::parse(" <> ").is_empty());
        assert!(!Query::parse("x").is_empty());
    }

    #[test]
    fn lines_without_it_are_passed_over_unread() {
        let mut line = Vec::new();
        Event { to: vec!["a@example.org".into()], ..Event::new(5, QueueId::new(5, 0), What::Delivered) }
            .write_to(&mut line);
        for text in ["b@example.org", "*@example.com", "x@y", "no-at", "someone@bücher.example"] {
            let Query::Text(query) = Query::parse(text) else { panic!("{text}") };
            assert!(!query.may_match(&line), "{text}");
        }
    }
}
