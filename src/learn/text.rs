//! Words for people: comments, names, sizes.

/// Columns of a comment.
const COLUMNS: usize = 110;

/// What a client said, with its control characters shown.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Appends a comment, its lines broken between words; further lines begin with so many blanks.
pub(super) fn comment(out: &mut String, indent: usize, text: &str) {
    let mut column = 0;
    for word in shown(text).split(' ') {
        let width = word.chars().count() + 1;
        if column == 0 {
            out.push('#');
            column = 1;
        } else if column + width > COLUMNS && column > indent + 2 {
            out.push_str("\n#");
            out.extend(std::iter::repeat_n(' ', indent));
            column = 1 + indent;
        }
        out.push(' ');
        out.push_str(word);
        column += width;
    }
    out.push('\n');
}

/// Octets for people.
pub(super) fn size(octets: u64) -> String {
    match octets {
        0..1024 => format!("{octets} octets"),
        1024..0x10_0000 => format!("{} KiB", octets.div_ceil(1024)),
        _ => format!("{} MiB", octets.div_ceil(0x10_0000)),
    }
}

/// `1 message`, `2 messages`.
pub(super) fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// Some of many, and how many more there are.
pub(super) fn some(items: impl IntoIterator<Item = String>, most: usize, left_out: u64) -> String {
    let mut items: Vec<String> = items.into_iter().collect();
    let more = items.len().saturating_sub(most) as u64 + left_out;
    items.truncate(most);
    if more > 0 {
        items.push(format!("and {more} more"));
    }
    items.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_stay_comments() {
        let mut out = String::new();
        comment(&mut out, 2, &format!("a\nb\r\u{1b}[1m {}", "word ".repeat(40)));
        assert!(out.starts_with("# a\\nb\\r\\u{1b}[1m word"), "{out}");
        assert!(out.lines().count() > 1);
        for line in out.lines() {
            assert!(line.starts_with('#') && line.len() <= COLUMNS + 1, "{line}");
        }
    }

    #[test]
    fn numbers_for_people() {
        for (octets, wanted) in [(0, "0 octets"), (1024, "1 KiB"), (1025, "2 KiB"), (3 << 20, "3 MiB")] {
            assert_eq!(size(octets), wanted);
        }
        assert_eq!((count(1, "message"), count(2, "message")), ("1 message".into(), "2 messages".into()));
        let items = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(some(items.clone(), 2, 4), "a, b, and 5 more");
        assert_eq!(some(items, 3, 0), "a, b, c");
    }
}
