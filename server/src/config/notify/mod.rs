//! `[notify]`: whom alerts are told to, and how. One list of tables for each kind of notifier.

mod email;
mod kinds;
mod syslog;
mod values;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::reader::{Reader, Section};
use super::routing::{Draft, Routing, terms};
use super::values::{duration, non_empty, number};
pub use email::{Email, MailTls};
pub use kinds::{Alertmanager, Elasticsearch, Pagerduty, Slack, Webhook};
pub use syslog::{Facility, Syslog, Transport};

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
    Alertmanager(Alertmanager),
    Elasticsearch(Elasticsearch),
    Email(Email),
    Pagerduty(Pagerduty),
    Slack(Slack),
    Syslog(Syslog),
    Webhook(Webhook),
}

impl Kind {
    /// The name of its table.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Alertmanager(_) => "alertmanager",
            Self::Elasticsearch(_) => "elasticsearch",
            Self::Email(_) => "email",
            Self::Pagerduty(_) => "pagerduty",
            Self::Slack(_) => "slack",
            Self::Syslog(_) => "syslog",
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

/// How the server says who it is. The secrets are in the files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Auth {
    #[default]
    None,
    Basic {
        username: String,
        password_file: PathBuf,
    },
    Bearer {
        token_file: PathBuf,
    },
    ApiKey {
        file: PathBuf,
    },
}

/// Reads one kind. `None` when a problem was said.
type ReadKind = for<'a> fn(&mut Reader<'a>, &mut Section<'a>) -> Option<Kind>;

/// Every kind, by the name of its table.
const KINDS: [(&str, ReadKind); 7] = [
    ("alertmanager", kinds::alertmanager),
    ("elasticsearch", kinds::elasticsearch),
    ("email", email::email),
    ("pagerduty", kinds::pagerduty),
    ("slack", kinds::slack),
    ("syslog", syslog::syslog),
    ("webhook", kinds::webhook),
];

/// A table of each kind: the keys of lists are known only where there is one.
pub(super) fn one_of_each() -> String {
    KINDS.iter().map(|(name, _)| format!("[[notify.{name}]]\n")).collect()
}

pub(super) fn notify<'a>(reader: &mut Reader<'a>, mut section: Section<'a>) -> (Notify, Routing) {
    let expected =
        "a URL, with {alert_id}, {check}, {cluster}, {host} or {host_id} where they belong";
    let link =
        section.value(reader, "link", expected, values::link).filter(|link| !link.is_empty());
    let mut draft = Draft::read(reader, &mut section);
    let mut names = BTreeSet::new();
    let mut notifiers = Vec::new();
    for (kind, read) in KINDS {
        for mut section in section.sections(reader, kind) {
            let start = section.start();
            let terms = terms(reader, &mut section);
            let Some(notifier) = notifier(reader, section, kind, read) else { continue };
            if !names.insert(notifier.name.clone()) {
                let what = format!("two notifiers are called \"{}\"", notifier.name);
                reader.problem(start, what, "give each its own `name`");
            }
            draft.terms(&notifier.name, terms);
            notifiers.push(notifier);
        }
    }
    section.end(reader);
    (Notify { link, notifiers }, draft.finish(reader, &names))
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

    fn only(text: &str) -> Notifier {
        let mut config = Config::parse(text).unwrap();
        assert_eq!(config.notify.notifiers.len(), 1);
        config.notify.notifiers.remove(0)
    }

    #[test]
    fn a_table_of_each_kind_says_what_it_lacks() {
        expect![[r"
            1: `notify.alertmanager` is not complete: give it a `name` and `urls`
            2: `notify.elasticsearch` is not complete: give it a `name`, `urls` and an `index`
            3: `notify.email` is not complete: give it a `name`, a `host`, a `from` and a `to`
            4: `notify.pagerduty` is not complete: give it a `name` and a `routing_key_file`
            5: `notify.slack` is not complete: give it a `name` and a `url_file`
            6: `notify.syslog` is not complete: give it a `name` and an `address`
            7: `notify.webhook` is not complete: give it a `name`, a `url` and a `secret_file`"]]
        .assert_eq(&problems(&one_of_each()));
    }

    #[test]
    fn secrets_stay_out_of_urls_and_off_lines_without_tls() {
        expect![[r#"
            2: `notify.alertmanager` is not complete: give it a `name` and `urls`
            4: `notify.alertmanager.urls` is a list: write a list of URLs that start with https:// or http://, without a user or password
            5: `notify.alertmanager` has two ways to say who it is: keep one of `username` with `password_file`, and `bearer_token_file`
            11: `notify.email` would send in plain text to mail.example.com: set `tls` to "starttls" or "smtps"; "none" is for a relay on this machine
            22: `notify.elasticsearch` has a `username` without a `password_file`: give it both, or neither
            31: `notify.slack.proxy` is "http://me:secret@proxy:3128": write a URL that starts with http://, without a user or password"#]]
        .assert_eq(&problems(
            r#"
[[notify.alertmanager]]
name = "am"
urls = ["https://me:secret@example.com"]
[[notify.alertmanager]]
name = "am-2"
urls = ["https://example.com"]
username = "me"
password_file = "/etc/atrest/am.password"
bearer_token_file = "/etc/atrest/am.token"
[[notify.email]]
name = "mail"
host = "mail.example.com"
from = "atrest@example.com"
to = ["ops@example.com"]
tls = "none"

[[notify.webhook]]
name = "hook"
url = "https://example.com"
secret_file = "/etc/atrest/hook.secret"
[[notify.elasticsearch]]
name = "es"
urls = ["https://example.com"]
index = "atrest"
username = "me"

[[notify.slack]]
name = "chat"
url_file = "/etc/atrest/slack.url"
proxy = "http://me:secret@proxy:3128"
"#,
        ));
    }

    #[test]
    fn a_name_is_given_once_across_kinds() {
        let problems = problems(
            "[[notify.slack]]\nname = \"a\"\nurl_file = \"/a\"\n[[notify.webhook]]\nname = \"a\"\n\
             url = \"https://example.com\"\nsecret_file = \"/b\"\n",
        );
        assert_eq!(problems, "4: two notifiers are called \"a\": give each its own `name`");
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let mail = only(
            "[[notify.email]]\nname = \"mail\"\nhost = \"::1\"\nfrom = \"a@example.com\"\n\
             to = [\"Ops <ops@example.com>\"]\ntls = \"none\"\n",
        );
        let Kind::Email(email) = mail.kind else { panic!("{mail:?}") };
        assert_eq!((email.port, email.tls), (25, MailTls::None));
        let syslog = only("[[notify.syslog]]\nname = \"log\"\naddress = \"log.example.com\"\n");
        let Kind::Syslog(syslog) = syslog.kind else { panic!("{syslog:?}") };
        assert_eq!((syslog.transport, syslog.port), (Transport::Tls, 6514));
        assert_eq!(syslog.facility.code(), 10);
    }
}
