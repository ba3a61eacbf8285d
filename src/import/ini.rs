//! INI files as Python's configparser reads them: continuation lines, comments on lines of their own, keys in any case.

use super::Place;
use std::path::Path;
use zeroize::Zeroizing;

/// A section. No `Debug`: values may be secrets.
pub(super) struct Section {
    /// Its name.
    pub(super) name: String,
    /// Where it begins.
    pub(super) place: Place,
    /// Its options.
    pub(super) options: Vec<Setting>,
}

/// An option of a section. No `Debug`.
pub(super) struct Setting {
    /// Its name, in lower case.
    pub(super) name: String,
    /// Where it stands.
    pub(super) place: Place,
    /// Its value, lines joined by newlines.
    pub(super) value: Zeroizing<String>,
}

impl Section {
    /// An option with a value.
    pub(super) fn option(&self, name: &str) -> Option<&Setting> {
        self.options.iter().rev().find(|option| option.name == name && !option.value.is_empty())
    }
}

/// The sections of a file; the line of what belongs to none, or is no option, is an error.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Section>, (usize, &'static str)> {
    let mut sections: Vec<Section> = Vec::new();
    let mut indent = None;
    for (index, line) in text.lines().enumerate() {
        let (number, trimmed) = (index + 1, line.trim());
        let depth = line.len() - line.trim_start().len();
        if trimmed.starts_with(['#', ';']) {
            continue;
        }
        if trimmed.is_empty() {
            continue;
        }
        let open = sections.last_mut().and_then(|section| section.options.last_mut());
        if let (Some(of_option), Some(option)) = (indent, open)
            && depth > of_option
        {
            option.value.push('\n');
            option.value.push_str(trimmed);
            continue;
        }
        if let Some(name) =
            trimmed.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(name, _)| name)
        {
            let place = Place::new(path, number);
            sections.push(Section { name: name.to_owned(), place, options: Vec::new() });
            indent = None;
            continue;
        }
        let Some(section) = sections.last_mut() else {
            return Err((number, "it stands before any [section]"));
        };
        let Some((name, value)) = trimmed.split_once(['=', ':']) else {
            return Err((number, "it is neither a [section] nor `name = value`"));
        };
        // Room for continuation lines, so that growing leaves no copies behind.
        let mut held = Zeroizing::new(String::with_capacity(4096.max(value.len())));
        held.push_str(value.trim());
        section.options.push(Setting {
            name: name.trim().to_lowercase(),
            place: Place::new(path, number),
            value: held,
        });
        indent = Some(depth);
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_options_comments_and_continuations() {
        let text = "; note\n[A b]\nName = one\n\ttwo\n\n  three\n# no\nother:x = y\n[c@d]\nempty =\n";
        let sections = parse(Path::new("f"), text).unwrap_or_else(|_| panic!("parses"));
        assert_eq!(sections.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["A b", "c@d"]);
        let option = sections[0].option("name").unwrap();
        assert_eq!((option.value.as_str(), option.place.line), ("one\ntwo\nthree", 3));
        assert_eq!(sections[0].option("other").unwrap().value.as_str(), "x = y");
        assert!(sections[1].option("empty").is_none() && sections[1].place.line == 9);
    }

    #[test]
    fn what_is_no_ini_is_refused_by_line() {
        assert!(matches!(parse(Path::new("f"), "a = b\n"), Err((1, _))));
        assert!(matches!(parse(Path::new("f"), "[a]\nxyz\n"), Err((2, _))));
    }
}
