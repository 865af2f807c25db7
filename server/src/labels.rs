//! Labels: what operators sort hosts by, as `key=value`. Pure.

use std::collections::BTreeMap;

use thiserror::Error;

/// The labels of a token, and of the hosts that enrolled with it.
pub type Labels = BTreeMap<String, String>;

/// More would make lists unreadable, and every host carries them in memory.
pub const MAX_LABELS: usize = 16;
/// As Kubernetes has it, in bytes.
pub const MAX_LENGTH: usize = 63;

/// What is wrong with labels.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotLabels {
    #[error("there are {MAX_LABELS} labels at most")]
    TooMany,
    #[error("the key of a label has 1 to {MAX_LENGTH} letters, digits, `.`, `_`, `-` or `/`")]
    Key,
    #[error(
        "the value of a label has {MAX_LENGTH} letters, digits, `.`, `_`, `-`, `/`, `:` or `@` at most"
    )]
    Value,
}

/// Whether these can be labels.
pub fn check(labels: &Labels) -> Result<(), NotLabels> {
    if labels.len() > MAX_LABELS {
        return Err(NotLabels::TooMany);
    }
    let made_of = |text: &str, others: &str| {
        text.len() <= MAX_LENGTH
            && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
    };
    for (key, value) in labels {
        if key.is_empty() || !made_of(key, "._-/") {
            return Err(NotLabels::Key);
        }
        if !made_of(value, "._-/:@") {
            return Err(NotLabels::Value);
        }
    }
    Ok(())
}

/// What hosts can be counted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupBy {
    Cluster,
    /// The value of the label with this key.
    Label(String),
}

impl GroupBy {
    /// `cluster`, or `label:KEY`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("label:") {
            Some(key) if !key.is_empty() => Some(Self::Label(key.to_owned())),
            Some(_) => None,
            None => (text == "cluster").then_some(Self::Cluster),
        }
    }

    /// The group of a host; empty when it has no such label.
    pub fn of<'a>(&self, cluster: &'a str, labels: &'a Labels) -> &'a str {
        match self {
            Self::Cluster => cluster,
            Self::Label(key) => labels.get(key).map(String::as_str).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn labels_are_few_short_and_plain() {
        let long = "x".repeat(64);
        assert_eq!(
            check(&labels(&[("env", "prod"), ("team/owner", "a:b@c"), ("rack", "")])),
            Ok(())
        );
        for key in ["", "a b", "a=b", "\u{1b}", "größe", &long] {
            assert_eq!(check(&labels(&[(key, "v")])), Err(NotLabels::Key), "{key}");
        }
        for value in ["a b", "a=b", "\n", &long] {
            assert_eq!(check(&labels(&[("k", value)])), Err(NotLabels::Value), "{value}");
        }
        let many = (0..17).map(|at| (at.to_string(), String::new())).collect();
        assert_eq!(check(&many), Err(NotLabels::TooMany));
    }

    #[test]
    fn hosts_are_grouped_by_what_they_have() {
        let labels = labels(&[("env", "prod")]);
        let of = |text: &str| GroupBy::parse(text).map(|by| by.of("logs", &labels).to_owned());
        assert_eq!(of("cluster").as_deref(), Some("logs"));
        assert_eq!(of("label:env").as_deref(), Some("prod"));
        assert_eq!(of("label:rack").as_deref(), Some(""));
        for bad in ["", "label:", "host", "Cluster"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
