//! The few requests of man(7) that our pages take.

use std::fmt::Write as _;

/// Begins a section.
pub(super) fn heading(out: &mut String, title: &str) {
    let _ = writeln!(out, ".SH \"{}\"", escaped(title));
}

/// A paragraph of prose.
pub(super) fn paragraph(out: &mut String, text: &str) {
    let _ = writeln!(out, ".PP\n{}", line(text));
}

/// A tagged paragraph: what it is about, and what is said of it.
pub(super) fn item(out: &mut String, tag: &str, text: &str) {
    let _ = writeln!(out, ".TP\n\\fB{}\\fR\n{}", escaped(tag), line(text));
}

/// Lines as they are.
pub(super) fn verbatim(out: &mut String, text: &str) {
    out.push_str(".PP\n.nf\n");
    for text in text.lines() {
        let _ = writeln!(out, "{}", line(text));
    }
    out.push_str(".fi\n");
}

/// A whole page of sections that are roff already.
pub(super) fn page(name: &str, section: u8, about: &str, sections: &str) -> String {
    format!(
        ".TH \"{0}\" \"{section}\" \"\" \"\" \"waxseal\"\n.SH NAME\n{0} \\- {1}\n{sections}",
        escaped(name),
        escaped(about)
    )
}

/// Text inside a line.
pub(super) fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq")
}

/// Text as a line of its own: a dot or a quote at its beginning would be a request.
pub(super) fn line(text: &str) -> String {
    let text = escaped(text.trim_end());
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_never_becomes_a_request() {
        for (text, want) in
            [(".TH", "\\&.TH"), ("'a", "\\(aqa"), ("a\\b", "a\\eb"), ("--x", "\\-\\-x"), ("", "")]
        {
            assert_eq!(line(text), want);
        }
    }
}
