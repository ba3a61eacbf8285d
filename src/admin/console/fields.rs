//! What a form brought (application/x-www-form-urlencoded).

/// Names and values, in the order of the form.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads a query, or the body of a form.
    pub(super) fn parse(octets: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(octets).into_owned().collect())
    }

    /// The first value of a name, without blanks around it; empty where there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// The first value of a name as it was typed; empty where there is none.
    pub(super) fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Whether the form has this field.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// All values of a name.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_come_more_than_once() {
        let fields = Fields::parse(b"id=a+b&id=%3Cc%3E&empty=&pass=+x+");
        assert_eq!(fields.all("id"), ["a b", "<c>"]);
        assert_eq!((fields.get("empty"), fields.get("absent")), ("", ""));
        assert_eq!((fields.get("pass"), fields.raw("pass")), ("x", " x "));
    }
}
