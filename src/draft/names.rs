//! Ids out of names, each once.

use std::collections::BTreeSet;

/// An id of the configuration out of any name: letters, digits, `-` and `_`; `otherwise` where nothing of it is left.
pub fn id_of(name: &str, otherwise: &str) -> String {
    let mut id = String::new();
    for c in name.trim().chars().take(64) {
        match c {
            c if c.is_ascii_alphanumeric() || c == '_' => id.push(c.to_ascii_lowercase()),
            _ if id.is_empty() || id.ends_with('-') => {}
            _ => id.push('-'),
        }
    }
    let id = id.trim_end_matches('-');
    if id.is_empty() { otherwise.to_owned() } else { id.to_owned() }
}

/// The id, or with a number behind it where it is taken; it is taken then.
pub fn tell_apart(id: String, taken: &mut BTreeSet<String>) -> String {
    let mut free = id.clone();
    let mut number = 2;
    while !taken.insert(free.clone()) {
        free = format!("{id}-{number}");
        number += 1;
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_what_the_configuration_takes_and_are_told_apart() {
        for (name, wanted) in [
            ("your.email@Gmail.com", "your-email-gmail-com"),
            ("[mail.isp.example]", "mail-isp-example"),
            ("Büro", "b-ro"),
            ("..", "account"),
            ("", "account"),
            ("a_b ", "a_b"),
        ] {
            assert_eq!(id_of(name, "account"), wanted, "{name}");
            assert!(crate::account::is_id(wanted));
        }
        let mut taken = BTreeSet::from(["a".to_owned()]);
        assert_eq!(tell_apart("a".into(), &mut taken), "a-2");
        assert_eq!(tell_apart("a".into(), &mut taken), "a-3");
        assert_eq!(tell_apart("b".into(), &mut taken), "b");
    }
}
