//! The commented reference of the configuration (`config/waxseal.toml`) as sections of its man page.

use super::roff;

/// Prose, tables and keys, in the order of the file.
pub(super) fn sections(reference: &str) -> String {
    let mut out = String::new();
    roff::heading(&mut out, "DESCRIPTION");
    let mut prose: Vec<&str> = Vec::new();
    let mut item: Option<Item<'_>> = None;
    for line in reference.lines().chain(std::iter::once("")) {
        match kind(line) {
            Kind::Continuation(text) => {
                if let Some(item) = &mut item {
                    item.said.push(text);
                }
                continue;
            }
            kind => {
                end(&mut out, item.take());
                if !matches!(kind, Kind::Prose(_)) && !prose.is_empty() {
                    roff::paragraph(&mut out, &prose.join(" "));
                    prose.clear();
                }
                match kind {
                    Kind::Prose(text) => prose.push(text),
                    Kind::Table(name) => roff::heading(&mut out, name),
                    Kind::Key { name, value, said } => {
                        item = Some(Item { name, value, said: said.into_iter().collect() });
                    }
                    Kind::Blank | Kind::Continuation(_) => {}
                }
            }
        }
    }
    out
}

struct Item<'a> {
    name: &'a str,
    value: &'a str,
    said: Vec<&'a str>,
}

fn end(out: &mut String, item: Option<Item<'_>>) {
    let Some(Item { name, value, said }) = item else { return };
    let value = roff::escaped(value);
    out.push_str(&format!(".TP\n\\fB{}\\fR = {value}\n", roff::escaped(name)));
    out.push_str(&roff::line(&said.join(" ")));
    out.push('\n');
}

enum Kind<'a> {
    Blank,
    /// `# Words`
    Prose(&'a str),
    /// `#[table]`
    Table(&'a str),
    /// `#key = value  # words`
    Key {
        name: &'a str,
        value: &'a str,
        said: Option<&'a str>,
    },
    /// `      # further words`
    Continuation(&'a str),
}

fn kind(line: &str) -> Kind<'_> {
    if line.starts_with(' ') {
        return Kind::Continuation(line.trim().trim_start_matches('#').trim());
    }
    let Some(switched_off) = line.strip_prefix('#') else { return Kind::Blank };
    if let Some(prose) = switched_off.strip_prefix(' ') {
        return Kind::Prose(prose);
    }
    if switched_off.starts_with('[') {
        return Kind::Table(switched_off);
    }
    let Some((name, rest)) = switched_off.split_once('=') else { return Kind::Blank };
    let (value, said) = match comment(rest) {
        Some(at) => (&rest[..at], Some(rest[at + 1..].trim())),
        None => (rest, None),
    };
    Kind::Key { name: name.trim(), value: value.trim(), said }
}

/// Where a comment begins behind a value: the first `#` outside of strings.
fn comment(value: &str) -> Option<usize> {
    let mut quoted = false;
    value.char_indices().find_map(|(at, c)| {
        quoted ^= c == '"';
        (c == '#' && !quoted).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tables_and_prose_become_items_headings_and_paragraphs() {
        let reference = "# All of\n# it.\n\n#[queue]\n#retry = [\"1m\"]   # waits; the last\n      # one repeats\n#x = \"a#b\"\n";
        let want = ".SH \"DESCRIPTION\"\n.PP\nAll of it.\n.SH \"[queue]\"\n.TP\n\\fBretry\\fR = [\"1m\"]\n\
                    waits; the last one repeats\n.TP\n\\fBx\\fR = \"a#b\"\n\n";
        assert_eq!(sections(reference), want);
    }
}
