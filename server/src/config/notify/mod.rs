//! `[notify]`: whom alerts are told to, and how. One list of tables for each kind of notifier.

mod kinds;
mod values;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::reader::{Reader, Section};
use super::values::{duration, non_empty, number};
pub use kinds::Webhook;

/// Whom alerts are told to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notify {
    /// Where people read more: `{alert_id}` and other words in braces stand for fields of the alert.
    pub link: Option<String>,
    pub notifiers: Vec<Notifier>,
}

/// One receiver: what all kinds have, and its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notifier {
    pub name: String,
    /// For one attempt.
    pub timeout: Duration,
    /// After this many attempts a message is given up.
    pub max_attempts: u32,
    pub kind: Kind,
}

/// What speaks to the receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Webhook(Webhook),
}

impl Kind {
    /// The name of its table.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
        }
    }
}

/// How a receiver is reached by HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Http {
    /// The authority of the receiver's certificate, when it is not a public one.
    pub ca_file: Option<PathBuf>,
    pub proxy: Option<Url>,
}

/// Reads one kind. `None` when a problem was said.
type ReadKind = for<'a> fn(&mut Reader<'a>, &mut Section<'a>) -> Option<Kind>;

/// Every kind, by the name of its table.
const KINDS: [(&str, ReadKind); 1] = [("webhook", kinds::webhook)];

/// A table of each kind: the keys of lists are known only where there is one.
pub(super) fn one_of_each() -> String {
    KINDS.iter().map(|(name, _)| format!("[[notify.{name}]]\n")).collect()
}

pub(super) fn notify<'a>(reader: &mut Reader<'a>, mut section: Section<'a>) -> Notify {
    let expected =
        "a URL, with {alert_id}, {check}, {cluster}, {host} or {host_id} where they belong";
    let link =
        section.value(reader, "link", expected, values::link).filter(|link| !link.is_empty());
    let mut names = BTreeSet::new();
    let mut notifiers = Vec::new();
    for (kind, read) in KINDS {
        for section in section.sections(reader, kind) {
            let start = section.start();
            let Some(notifier) = notifier(reader, section, kind, read) else { continue };
            if !names.insert(notifier.name.clone()) {
                let what = format!("two notifiers are called \"{}\"", notifier.name);
                reader.problem(start, what, "give each its own `name`");
            }
            notifiers.push(notifier);
        }
    }
    section.end(reader);
    Notify { link, notifiers }
}

fn notifier<'a>(
    reader: &mut Reader<'a>,
    mut section: Section<'a>,
    kind: &str,
    read: ReadKind,
) -> Option<Notifier> {
    let start = section.start();
    let name = section.value(reader, "name", "a name", non_empty);
    let timeout = section
        .value(reader, "timeout", "a time from 1s to 2m", |value| {
            duration(value, Duration::from_secs(1), Duration::from_mins(2))
        })
        .unwrap_or(Duration::from_secs(10));
    let max_attempts = section
        .value(reader, "max_attempts", "a number from 1 to 1000", |value| {
            number(value).filter(|attempts| (1..=1_000).contains(attempts))
        })
        .unwrap_or(20);
    let read = read(reader, &mut section);
    section.end(reader);
    if name.is_none() && read.is_some() {
        reader.problem(start, format!("`notify.{kind}` has no name"), "give it a `name`");
    }
    Some(Notifier { name: name?, timeout, max_attempts, kind: read? })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::Config;
    use super::*;

    fn problems(text: &str) -> String {
        let problems = Config::parse(text).unwrap_err();
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    #[test]
    fn a_table_of_each_kind_says_what_it_lacks() {
        expect![[r"
            1: `notify.webhook` is not complete: give it a `name`, a `url` and a `secret_file`"]]
        .assert_eq(&problems(&one_of_each()));
    }

    #[test]
    fn a_name_is_given_once() {
        let problems = problems(
            "[[notify.webhook]]\nname = \"a\"\nurl = \"https://example.com\"\nsecret_file = \"/b\"\n[[notify.webhook]]\nname = \"a\"\n\
             url = \"https://example.com\"\nsecret_file = \"/b\"\n",
        );
        assert_eq!(problems, "5: two notifiers are called \"a\": give each its own `name`");
    }
}
