//! What is wrong with a configuration, said so that it can be put right.

use std::fmt;

/// One thing that is wrong: where, what was found, what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// `file:line:column`, a file alone, or `environment`.
    pub location: String,
    /// The key path, or the environment variable; empty where the whole file is meant.
    pub key: String,
    /// What was found.
    pub problem: String,
    /// The source line with a caret, secrets masked.
    pub excerpt: Option<String>,
    /// What is allowed, or the way out.
    pub help: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: error: ", self.location)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)?;
        for line in self.excerpt.iter().flat_map(|excerpt| excerpt.lines()) {
            write!(f, "\n    {line}")?;
        }
        match &self.help {
            Some(help) => write!(f, "\n    = {help}"),
            None => Ok(()),
        }
    }
}

/// Everything wrong that was found in one reading; never empty. Exit code 78 (`EX_CONFIG`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl ConfigErrors {
    /// The same in one line, without the sources' own: for the log and for status lines.
    pub fn in_one_line(&self) -> String {
        let in_one_line = |error: &ConfigError| {
            let mut line = format!("{}: ", error.location);
            if !error.key.is_empty() {
                line.push_str(&format!("{}: ", error.key));
            }
            line.push_str(&error.problem);
            if let Some(help) = &error.help {
                line.push_str(&format!(" ({help})"));
            }
            line.replace('\n', " ")
        };
        self.0.iter().map(in_one_line).collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

/// `"did you mean `x`?"` where one of `known` is near `found`.
pub(super) fn did_you_mean<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let found = found.to_lowercase();
    known
        .into_iter()
        .map(|word| (strsim::jaro_winkler(&found, word), word))
        .filter(|(nearness, _)| *nearness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| format!("did you mean `{word}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses() {
        let known = ["address", "application", "port"];
        assert_eq!(did_you_mean("adress", known).as_deref(), Some("did you mean `address`?"));
        assert_eq!(did_you_mean("PORT", known).as_deref(), Some("did you mean `port`?"));
        assert_eq!(did_you_mean("zzz", known), None);
    }
}
