//! Who gets a message: what was found on the command line and in the header section, made addresses. Pure.

use super::{
    addresses::{self, NoAddress},
    aliases::Aliases,
};
use crate::mail::{ForwardPath, Mailbox, ReversePath};
use std::collections::BTreeSet;

/// Recipients, and what could not be made one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recipients {
    /// In their order, each once.
    pub paths: Vec<ForwardPath>,
    /// One sentence each.
    pub complaints: Vec<String>,
}

/// Makes addresses of what was found. A name without a domain is what `aliases` say of it, else a name at `domain`.
pub fn resolve(
    found: impl IntoIterator<Item = Result<String, NoAddress>>,
    aliases: &Aliases,
    domain: &str,
) -> Recipients {
    let (mut recipients, mut seen) = (Recipients::default(), BTreeSet::new());
    for found in found {
        let specs = match found {
            Ok(spec) if spec.contains('@') => vec![spec],
            Ok(name) => {
                let expanded = aliases.expand(&name);
                // A circle of names leads nowhere; the name itself is then as good as any.
                if expanded.is_empty() { vec![name] } else { expanded }
            }
            Err(error) => {
                recipients.complaints.push(error.to_string());
                continue;
            }
        };
        for spec in specs {
            match mailbox(&spec, domain) {
                Ok(mailbox) => {
                    if seen.insert(format!("{}@{}", mailbox.local_part(), mailbox.domain().ascii())) {
                        recipients.paths.push(ForwardPath::Mailbox(mailbox));
                    }
                }
                Err(complaint) => recipients.complaints.push(complaint),
            }
        }
    }
    recipients
}

/// The sender as `-f` has it; a name alone is one at `domain`.
///
/// # Errors
/// A sentence, where it is no address, or several.
pub fn sender(typed: &str, domain: &str) -> Result<ReversePath, String> {
    let typed = typed.trim();
    if typed.is_empty() || typed == "<>" {
        return Ok(ReversePath::Null);
    }
    match addresses::parse(typed.as_bytes()).as_slice() {
        [Ok(spec)] => mailbox(spec, domain).map(ReversePath::Mailbox),
        [Err(error)] => Err(error.to_string()),
        _ => Err(format!("`{typed}` is not one address")),
    }
}

fn mailbox(spec: &str, domain: &str) -> Result<Mailbox, String> {
    // A quoted local part may have an @ of its own; a name alone is never quoted around one.
    let whole = if spec.contains('@') { spec.to_owned() } else { format!("{spec}@{domain}") };
    Mailbox::parse(&whole).map_err(|error| format!("`{whole}` is no address: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(list: &str) -> (Vec<String>, usize) {
        let aliases = Aliases::parse("root: ops@example.com, root\nweb: www\nwww: web\n");
        let recipients = resolve(addresses::parse(list.as_bytes()), &aliases, "x.example");
        (recipients.paths.iter().map(ToString::to_string).collect(), recipients.complaints.len())
    }

    #[test]
    fn recipients_are_made_whole_and_told_once() {
        let cases: &[(&str, &[&str], usize)] = &[
            ("a@b, c", &["a@b", "c@x.example"], 0),
            ("a@B, a@b, A@b", &["a@B", "A@b"], 0),
            ("root", &["ops@example.com", "root@x.example"], 0),
            ("root@b", &["root@b"], 0),
            ("postmaster", &["postmaster@x.example"], 0),
            ("web", &["web@x.example"], 0),
            ("\"a@b\"@c", &["\"a@b\"@c"], 0),
            ("x@bücher.example, x@xn--bcher-kva.example", &["x@bücher.example"], 0),
            ("two words, a@b..c, a@[1.2, x@y", &[], 3),
            ("two words, a@b..c, x@y", &["x@y"], 2),
            ("a@b\0c", &[], 1),
        ];
        for (list, wanted, complaints) in cases {
            let (paths, found) = paths(list);
            assert_eq!(
                (paths, found),
                (wanted.iter().map(ToString::to_string).collect(), *complaints),
                "{list}"
            );
        }
    }

    #[test]
    fn senders() {
        let cases = [
            ("", Some("")),
            ("<>", Some("")),
            (" a@b ", Some("a@b")),
            ("<a@b>", Some("a@b")),
            ("Name <a@b>", Some("a@b")),
            ("root", Some("root@x.example")),
            ("a@b, c@d", None),
            ("a b", None),
            (",", None),
        ];
        for (typed, wanted) in cases {
            let path = sender(typed, "x.example").ok().map(|path| path.to_string());
            assert_eq!(path.as_deref(), wanted, "{typed}");
        }
    }
}
