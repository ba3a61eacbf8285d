//! The grammar of main.cf: continuation lines, comments, the later of two, and `$name` in values.

use crate::import::{ImportError, Place};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// What an expanded value may grow to.
const LARGEST: usize = 64 * 1024;
/// How many references a value may have, those in what it refers to included.
const MOST: usize = 10_000;
/// How deep values may refer to others.
const DEEPEST: usize = 32;

/// The parameters of a main.cf. No `Debug`: `static:` and `inline:` tables have secrets in them.
pub(super) struct MainCf {
    path: PathBuf,
    parameters: BTreeMap<String, (Zeroizing<String>, usize)>,
    /// Those that another one refers to.
    referred: RefCell<BTreeSet<String>>,
    /// Look-ups for the value that is asked for.
    steps: Cell<usize>,
}

impl MainCf {
    /// Reads the text of a main.cf.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, ImportError> {
        let mut parameters = BTreeMap::new();
        for (line, text) in logical_lines(text) {
            let Some((name, value)) = text.split_once('=') else {
                return Err(ImportError::new(
                    Place::new(path, line),
                    "it is no `name = value`, as main.cf has them",
                ));
            };
            let name = name.trim();
            if name.is_empty() || name.contains(char::is_whitespace) {
                return Err(ImportError::new(
                    Place::new(path, line),
                    "there is no parameter's name before the =",
                ));
            }
            parameters.insert(name.to_owned(), (Zeroizing::new(value.trim().to_owned()), line));
        }
        Ok(Self { path: path.to_owned(), parameters, referred: RefCell::default(), steps: Cell::default() })
    }

    /// The directory that it lies in.
    pub(super) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Where a parameter is set; the file as a whole where it is not.
    pub(super) fn place(&self, name: &str) -> Place {
        Place::new(&self.path, self.parameters.get(name).map_or(0, |(_, line)| *line))
    }

    /// Whether a parameter is set.
    pub(super) fn has(&self, name: &str) -> bool {
        self.parameters.contains_key(name)
    }

    /// The names of all parameters in the order of their lines, those that others refer to left out.
    pub(super) fn names(&self) -> Vec<&str> {
        let referred = self.referred.borrow();
        let mut names: Vec<_> =
            self.parameters.iter().map(|(name, (_, line))| (*line, name.as_str())).collect();
        names.retain(|(_, name)| !referred.contains(*name));
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name).collect()
    }

    /// The value of a parameter with everything in it expanded, or what Postfix presumes.
    pub(super) fn value(&self, name: &str) -> Result<Zeroizing<String>, ImportError> {
        self.steps.set(0);
        self.look_up(name, 0)
    }

    /// Whether a parameter says yes.
    pub(super) fn is_yes(&self, name: &str) -> Result<bool, ImportError> {
        Ok(crate::import::names::yes(&self.value(name)?).unwrap_or(false))
    }

    fn look_up(&self, name: &str, depth: usize) -> Result<Zeroizing<String>, ImportError> {
        if depth > DEEPEST {
            return Err(ImportError::new(self.place(name), format!("`{name}` refers to itself")));
        }
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > MOST {
            return Err(ImportError::new(self.place(name), format!("`{name}` grows without end")));
        }
        match self.parameters.get(name) {
            Some((raw, _)) => self.expand(raw, name, depth),
            None => match presumed(name) {
                "" if name == "config_directory" => Ok(self.directory().display().to_string().into()),
                raw => self.expand(raw, name, depth),
            },
        }
    }

    fn expand(&self, raw: &str, of: &str, depth: usize) -> Result<Zeroizing<String>, ImportError> {
        let mut out = Zeroizing::new(String::with_capacity(raw.len().min(LARGEST)));
        let mut rest = raw;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(more) = rest.strip_prefix('$') {
                out.push('$');
                rest = more;
                continue;
            }
            let (inner, more) = match rest.chars().next() {
                Some('{') => between(rest, '{', '}'),
                Some('(') => between(rest, '(', ')'),
                _ => {
                    let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
                    Some((&rest[..end], &rest[end..]))
                }
            }
            .ok_or_else(|| ImportError::new(self.place(of), format!("a bracket of `{of}` does not close")))?;
            rest = more;
            out.push_str(&self.reference(inner, of, depth)?);
            if out.len() > LARGEST {
                return Err(ImportError::new(self.place(of), format!("`{of}` grows without end")));
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    /// `name`, `name?then`, `name:else`, `name?{then}:{else}`.
    fn reference(&self, inner: &str, of: &str, depth: usize) -> Result<Zeroizing<String>, ImportError> {
        let inner = inner.trim();
        let end = inner.find(|c: char| !is_name(c)).unwrap_or(inner.len());
        let (name, rest) = inner.split_at(end);
        if name.is_empty() {
            return Err(ImportError::new(
                self.place(of),
                format!("`{of}` compares values, which the importer cannot"),
            ));
        }
        self.referred.borrow_mut().insert(name.to_owned());
        let value = self.look_up(name, depth + 1)?;
        let (yes, no) = match rest.trim_start().split_at_checked(1) {
            Some(("?", then)) => {
                let (then, rest) = braced(then);
                (Some(then), rest.trim_start().strip_prefix(':').map(|rest| braced(rest).0))
            }
            Some((":", otherwise)) => (None, Some(braced(otherwise).0)),
            _ => return Ok(value),
        };
        let chosen = match (value.is_empty(), yes, no) {
            (false, Some(then), _) => then,
            (false, None, _) => return Ok(value),
            (true, _, Some(otherwise)) => otherwise,
            (true, _, None) => "",
        };
        self.expand(chosen, of, depth + 1)
    }
}

/// `{text}` and what follows, or all of it.
fn braced(text: &str) -> (&str, &str) {
    match text.trim_start().starts_with('{').then(|| between(text.trim_start(), '{', '}')).flatten() {
        Some((inner, rest)) => (inner.trim(), rest),
        None => (text, ""),
    }
}

/// What stands between the bracket at the beginning and its counterpart, and what follows.
fn between(text: &str, open: char, close: char) -> Option<(&str, &str)> {
    let mut deep = 0_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            deep += 1;
        } else if c == close {
            deep -= 1;
            if deep == 0 {
                return Some((&text[open.len_utf8()..at], &text[at + close.len_utf8()..]));
            }
        }
    }
    None
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// What Postfix presumes of those that matter here.
fn presumed(name: &str) -> &'static str {
    match name {
        "mydomain" | "myhostname" => "localhost",
        "myorigin" => "$myhostname",
        "queue_directory" => "/var/spool/postfix",
        "data_directory" => "/var/lib/postfix",
        "default_database_type" => "hash",
        "default_transport" => "smtp",
        "smtp_tcp_port" => "smtp",
        "smtp_sasl_security_options" => "noplaintext, noanonymous",
        "smtp_sasl_tls_security_options" => "$smtp_sasl_security_options",
        _ => "",
    }
}

/// Lines with those that continue them, by the number of the first; comments and empty lines are no lines.
pub(super) fn logical_lines(text: &str) -> Vec<(usize, Zeroizing<String>)> {
    let mut lines: Vec<(usize, Zeroizing<String>)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some((_, last)) if line.starts_with([' ', '\t']) => {
                // As with all secrets: no copies left behind by growing.
                let mut joined = Zeroizing::new(String::with_capacity(last.len() + trimmed.len() + 1));
                joined.push_str(last);
                joined.push(' ');
                joined.push_str(trimmed);
                *last = joined;
            }
            _ => lines.push((index + 1, Zeroizing::new(trimmed.to_owned()))),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, name: &str) -> String {
        let cf = MainCf::parse(Path::new("/p/main.cf"), text).unwrap_or_else(|error| panic!("{error}"));
        cf.value(name).map_or_else(|error| error.to_string(), |value| value.to_string())
    }

    #[test]
    fn values_are_expanded_as_postfix_does() {
        for (text, wanted) in [
            ("a = 1\na = 2", "2"),
            ("a = x,\n# no\n   y,\n\n\tz", "x, y, z"),
            ("a = $b/${b}/$(b)$$\nb = v", "v/v/v$"),
            ("a = ${b?yes}${c?no}${c:none}\nb = v", "yesnone"),
            ("a = ${b?{x}:{y}} ${c?{x}:{y $b}}\nb = v", "x y v"),
            ("a = $config_directory", "/p"),
            ("a = $myorigin\nmyhostname = h.example", "h.example"),
            ("a = $a", "/p/main.cf:1: `a` refers to itself"),
            ("a = ${b", "/p/main.cf:1: a bracket of `a` does not close"),
            (
                "a = ${{$b} == {x} ? {y} : {z}}",
                "/p/main.cf:1: `a` compares values, which the importer cannot",
            ),
        ] {
            assert_eq!(value(text, "a"), wanted, "{text}");
        }
    }

    #[test]
    fn a_value_that_doubles_and_doubles_ends() {
        let text: String = (0..30).map(|n| format!("a{n} = $a{}$a{}\n", n + 1, n + 1)).collect();
        assert!(value(&format!("{text}a30 = xxxxxxxxxxxxxxxx\n"), "a0").contains("grows without end"));
        assert!(value(&format!("{text}a30 =\n"), "a0").contains("grows without end"));
    }

    #[test]
    fn what_is_no_main_cf_is_refused_by_line() {
        for (text, line) in [("a = b\nnonsense", 2), ("= b", 1), ("a b = c", 1)] {
            let error = MainCf::parse(Path::new("m"), text).err().map(|error| error.place.line);
            assert_eq!(error, Some(line), "{text}");
        }
    }
}
