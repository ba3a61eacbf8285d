//! Names of this host that stand for addresses elsewhere, as `/etc/aliases` has them: `root: ops@example.com`. Pure.
//!
//! Mail is delivered nowhere on this host, so that files, pipes and `:include:` are passed over.

use super::addresses;
use std::collections::{BTreeMap, BTreeSet};

/// The aliases of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aliases(BTreeMap<String, Vec<String>>);

impl Aliases {
    /// Reads `name: address, address` lines; folded lines go on, `#` starts a comment. What cannot be read is passed
    /// over: a name without an alias is still a name.
    pub fn parse(text: &str) -> Self {
        let mut entries: Vec<String> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            match entries.last_mut() {
                Some(entry) if line.starts_with([' ', '\t']) => entry.push_str(line),
                _ => entries.push(line.to_owned()),
            }
        }
        let entry = |entry: String| {
            let (name, targets) = entry.split_once(':')?;
            let name = name.trim().trim_matches('"').to_ascii_lowercase();
            let local = |target: &str| target.starts_with(['/', '|', '"']) || target.starts_with(":include:");
            let targets =
                targets.split(',').map(str::trim).filter(|target| !local(target)).collect::<Vec<_>>();
            let targets: Vec<_> = targets
                .iter()
                .flat_map(|target| addresses::parse(target.trim_start_matches('\\').as_bytes()))
                .filter_map(Result::ok)
                .collect();
            (!name.is_empty() && !targets.is_empty()).then_some((name, targets))
        };
        Self(entries.into_iter().filter_map(entry).collect())
    }

    /// What a name without a domain stands for in the end: addresses, and names that stand for themselves.
    pub fn expand(&self, name: &str) -> Vec<String> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        self.follow(name, &mut seen, &mut found);
        found
    }

    fn follow(&self, name: &str, seen: &mut BTreeSet<String>, found: &mut Vec<String>) {
        let key = name.to_ascii_lowercase();
        let targets = self.0.get(&key).filter(|_| !name.contains('@') && seen.insert(key.clone()));
        match targets {
            Some(targets) => {
                for target in targets {
                    // A name that stands for itself as well is a mailbox of that name.
                    let itself = target.eq_ignore_ascii_case(name);
                    if itself { found.push(target.clone()) } else { self.follow(target, seen, found) }
                }
            }
            // Followed already: what it stands for is there, unless it stands for nothing but itself.
            None if seen.contains(&key) => {}
            None => found.push(name.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_stand_for() {
        let aliases = Aliases::parse(
            "# Who gets what\n\
             postmaster:    root\n\
             MAILER-DAEMON: postmaster\n\
             root: ops@example.com,\n\
             \tsecond@example.com\n\
             \"quoted\" : x@y\n\
             web: www\n\
             www: web\n\
             me: me, copy@x\n\
             slash: \\slash\n\
             pipe: \"|/usr/bin/vacation\", |/bin/true, /dev/null, :include:/etc/list\n\
             mixed: /var/mail/x, a@b\n\
             no colon\n\
             empty:\n",
        );
        let cases: &[(&str, &[&str])] = &[
            ("root", &["ops@example.com", "second@example.com"]),
            ("Root", &["ops@example.com", "second@example.com"]),
            ("mailer-daemon", &["ops@example.com", "second@example.com"]),
            ("quoted", &["x@y"]),
            ("nobody", &["nobody"]),
            ("root@example.org", &["root@example.org"]),
            ("me", &["me", "copy@x"]),
            ("slash", &["slash"]),
            ("pipe", &["pipe"]),
            ("mixed", &["a@b"]),
            ("empty", &["empty"]),
        ];
        for (name, wanted) in cases {
            assert_eq!(aliases.expand(name), *wanted, "{name}");
        }
        assert_eq!(aliases.expand("web"), Vec::<String>::new(), "a circle leads nowhere");
        assert_eq!(Aliases::default().expand("root"), ["root"]);
    }
}
