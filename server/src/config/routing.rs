//! Who is told of what, when, and how often: `[[notify.route]]`, `[[notify.quiet]]`, and the keys that every notifier has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use atrest_proto::model::Severity;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use toml::de::DeValue;

use super::reader::{Reader, Section};
use super::values::{duration, non_empty, text};
use crate::alert::{Route, Routes};
use crate::labels::{self, Labels};
use crate::notify::courier::Terms;
use crate::notify::quiet::Quiet;

/// What `[notify]` says beside the notifiers themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routing {
    /// Who is told of what no route takes; empty: everybody.
    pub default: Vec<String>,
    pub routes: Vec<Route>,
    pub quiet: Vec<QuietTime>,
    /// How notifiers are told, by name.
    pub terms: BTreeMap<String, Terms>,
}

/// A quiet time, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuietTime {
    /// Empty: for everybody.
    pub notifiers: Vec<String>,
    pub quiet: Quiet,
}

impl Routing {
    /// The routes among these notifiers.
    pub fn routes(&self, notifiers: Vec<String>) -> Routes {
        let default = (!self.default.is_empty()).then(|| self.default.clone());
        Routes::new(notifiers, self.routes.clone(), default)
    }

    /// How this notifier is told.
    pub fn terms(&self, notifier: &str) -> Terms {
        let holds = |time: &&QuietTime| {
            time.notifiers.is_empty() || time.notifiers.iter().any(|name| name == notifier)
        };
        let quiet = self.quiet.iter().filter(holds).map(|time| time.quiet.clone()).collect();
        Terms { quiet, ..self.terms.get(notifier).cloned().unwrap_or_default() }
    }
}

/// A notifier's name, and where it stands: whether there is such a notifier is known in the end.
type Named = (String, usize);

/// What is read before all notifiers are known.
#[derive(Debug, Default)]
pub(super) struct Draft {
    routing: Routing,
    named: Vec<(&'static str, Named)>,
}

impl Draft {
    /// Reads the routes and quiet times.
    pub(super) fn read<'a>(reader: &mut Reader<'a>, notify: &mut Section<'a>) -> Self {
        let mut draft = Self::default();
        let default = notify.value(reader, "default", NAMES, names).unwrap_or_default();
        draft.routing.default = draft.note("notify.default", default);
        for section in notify.sections(reader, "route") {
            draft.route(reader, section);
        }
        for section in notify.sections(reader, "quiet") {
            draft.quiet(reader, section);
        }
        draft
    }

    /// Notes how a notifier is told.
    pub(super) fn terms(&mut self, notifier: &str, terms: Terms) {
        self.routing.terms.insert(notifier.to_owned(), terms);
    }

    /// Now that all notifiers are known.
    pub(super) fn finish(self, reader: &mut Reader<'_>, notifiers: &BTreeSet<String>) -> Routing {
        let known: Vec<_> = notifiers.iter().map(String::as_str).collect();
        for (key, (name, at)) in self.named {
            if !notifiers.contains(&name) {
                let what = format!("`{key}` names \"{name}\", and no notifier is called so");
                let remedy = if known.is_empty() {
                    "there are no notifiers: write one, such as `[[notify.webhook]]`".to_owned()
                } else {
                    format!("the notifiers are {}", known.join(", "))
                };
                reader.problem(at, what, remedy);
            }
        }
        self.routing
    }

    fn note(&mut self, key: &'static str, named: Vec<Named>) -> Vec<String> {
        let names = named.iter().map(|(name, _)| name.clone()).collect();
        self.named.extend(named.into_iter().map(|named| (key, named)));
        names
    }

    fn route<'a>(&mut self, reader: &mut Reader<'a>, mut section: Section<'a>) {
        let r = reader;
        let start = section.start();
        let words = "a list of words";
        let min_severity = section
            .value(r, "min_severity", SEVERITY, |value| text(value)?.parse::<Severity>().ok());
        let checks = section.value(r, "checks", words, list).unwrap_or_default();
        let clusters = section.value(r, "clusters", words, list).unwrap_or_default();
        let labels = section
            .value(r, "labels", "labels, such as { env = \"production\" }", of_host)
            .unwrap_or_default();
        let notifiers = section.value(r, "notifiers", NAMES, names).unwrap_or_default();
        section.end(r);
        if notifiers.is_empty() {
            let what = "`notify.route` tells nobody".to_owned();
            r.problem(start, what, "give it `notifiers`");
        }
        let notifiers = self.note("notify.route.notifiers", notifiers);
        let min_severity = min_severity.unwrap_or(Severity::Info);
        self.routing.routes.push(Route { min_severity, checks, clusters, labels, notifiers });
    }

    fn quiet<'a>(&mut self, reader: &mut Reader<'a>, mut section: Section<'a>) {
        let r = reader;
        let start = section.start();
        let time = |value: &DeValue<'_>| text(value)?.parse::<Time>().ok();
        let from = section.value(r, "from", "a time of day, such as \"22:00\"", time);
        let until = section.value(r, "until", "a time of day, such as \"07:00\"", time);
        let days = section
            .value(r, "days", "a list of days, such as [\"saturday\", \"sunday\"]", |value| {
                list(value)?.iter().map(|day| weekday(day)).collect::<Option<Vec<_>>>()
            })
            .unwrap_or_else(|| DAYS.map(|(_, day)| day).to_vec());
        let expected =
            "a time zone that this machine knows, such as \"Europe/Berlin\" (package tzdata)";
        let zone = section
            .value(r, "time_zone", expected, |value| zone(&text(value)?))
            .unwrap_or(TimeZone::UTC);
        let expected = "info, low, medium, high, critical or nothing";
        let passes = section
            .value(r, "passes", expected, |value| match &*text(value)? {
                "nothing" => Some(None),
                severity => severity.parse().ok().map(Some),
            })
            .unwrap_or(Some(Severity::Critical));
        let notifiers = section.value(r, "notifiers", NAMES, names).unwrap_or_default();
        section.end(r);
        let notifiers = self.note("notify.quiet.notifiers", notifiers);
        let (Some(from), Some(until)) = (from, until) else {
            let what = "`notify.quiet` is not complete".to_owned();
            r.problem(start, what, "give it `from` and `until`");
            return;
        };
        let quiet = Quiet { from, until, days, zone, passes };
        self.routing.quiet.push(QuietTime { notifiers, quiet });
    }
}

/// The keys that every notifier has beside its own.
pub(super) fn terms<'a>(reader: &mut Reader<'a>, section: &mut Section<'a>) -> Terms {
    let r = reader;
    let short = |value: &DeValue<'_>| duration(value, Duration::ZERO, Duration::from_hours(1));
    let group_wait = section.value(r, "group_wait", "a time from 0s to 1h", short);
    let group_interval = section.value(r, "group_interval", "a time from 0s to 1h", short);
    let rate = section.value(r, "rate", "a number in a time, such as \"30/1m\"", |value| {
        text(value)?.parse().ok()
    });
    let expected = "a time from 1m to 30 days, or \"never\"";
    let repeat_every = section
        .value(r, "repeat_every", expected, |value| match &*text(value)? {
            "never" => Some(None),
            _ => duration(value, Duration::from_mins(1), Duration::from_hours(30 * 24)).map(Some),
        })
        .flatten();
    Terms { group_wait, group_interval, rate, repeat_every, quiet: Vec::new() }
}

const NAMES: &str = "a list of names of notifiers";
const SEVERITY: &str = "info, low, medium, high or critical";

const DAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

fn weekday(text: &str) -> Option<Weekday> {
    let text = text.to_lowercase();
    // Whole, or its first three letters.
    let named = |(name, _): &&(&str, Weekday)| {
        *name == text || (text.len() == 3 && name.starts_with(&text))
    };
    DAYS.iter().find(named).map(|(_, day)| *day)
}

fn zone(name: &str) -> Option<TimeZone> {
    // A machine without any rules knows this one.
    if name == "UTC" { Some(TimeZone::UTC) } else { TimeZone::get(name).ok() }
}

fn list(value: &DeValue<'_>) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| non_empty(item.get_ref())).collect()
}

fn names(value: &DeValue<'_>) -> Option<Vec<Named>> {
    let named =
        |item: &toml::Spanned<DeValue<'_>>| Some((non_empty(item.get_ref())?, item.span().start));
    value.as_array()?.iter().map(named).collect()
}

fn of_host(value: &DeValue<'_>) -> Option<Labels> {
    let pairs = value.as_table()?.iter();
    let labels: Labels = pairs
        .map(|(key, value)| Some((key.get_ref().to_string(), text(value.get_ref())?)))
        .collect::<Option<_>>()?;
    labels::check(&labels).ok().map(|()| labels)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use crate::config::Config;

    use super::*;

    const HOOKS: &str = r#"
[[notify.webhook]]
name = "mail"
url = "https://example.com/a"
secret_file = "/a"
group_wait = "5s"
rate = "10/1h"
repeat_every = "24h"
[[notify.webhook]]
name = "pager"
url = "https://example.com/b"
secret_file = "/b"
repeat_every = "never"
"#;

    fn check(text: &str, expected: &Expect) {
        let problems = Config::parse(text).unwrap_err();
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        expected.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn routes_quiet_times_and_terms_are_read() {
        let text = format!(
            r#"[notify]
default = ["mail"]
[[notify.route]]
min_severity = "high"
labels = {{ env = "production" }}
clusters = ["a", "b"]
notifiers = ["pager", "mail"]
[[notify.quiet]]
notifiers = ["mail"]
from = "22:00"
until = "07:30"
days = ["fri", "Saturday"]
{HOOKS}"#
        );
        let routing = Config::parse(&text).unwrap().routing;
        assert_eq!(routing.default, ["mail"]);
        let route = &routing.routes[0];
        assert_eq!((route.min_severity, &*route.notifiers[0]), (Severity::High, "pager"));
        assert_eq!(route.labels.get("env").map(String::as_str), Some("production"));
        let mail = routing.terms("mail");
        assert_eq!(mail.group_wait, Some(Duration::from_secs(5)));
        assert_eq!(mail.repeat_every, Some(Duration::from_hours(24)));
        assert_eq!(mail.rate, "10/1h".parse().ok());
        assert_eq!(mail.quiet[0].days, [Weekday::Friday, Weekday::Saturday]);
        assert_eq!(mail.quiet[0].passes, Some(Severity::Critical), "unless said otherwise");
        assert_eq!(routing.terms("pager"), Terms::default());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let text = format!(
            r#"[notify]
default = [
  "mail",
  "mial",
]
[[notify.route]]
checks = "volume_encrypted"
notifiers = ["nobody"]
[[notify.route]]
labels = {{ env = "no such" }}
[[notify.quiet]]
from = "25:00"
days = ["someday"]
time_zone = "Atlantis"
passes = "all"
{HOOKS}
rate = "0/1m"
"#
        );
        check(
            &text,
            &expect![[r#"
                4: `notify.default` names "mial", and no notifier is called so: the notifiers are mail, pager
                7: `notify.route.checks` is "volume_encrypted": write a list of words
                8: `notify.route.notifiers` names "nobody", and no notifier is called so: the notifiers are mail, pager
                9: `notify.route` tells nobody: give it `notifiers`
                10: `notify.route.labels` is a table: write labels, such as { env = "production" }
                11: `notify.quiet` is not complete: give it `from` and `until`
                12: `notify.quiet.from` is "25:00": write a time of day, such as "22:00"
                13: `notify.quiet.days` is a list: write a list of days, such as ["saturday", "sunday"]
                14: `notify.quiet.time_zone` is "Atlantis": write a time zone that this machine knows, such as "Europe/Berlin" (package tzdata)
                15: `notify.quiet.passes` is "all": write info, low, medium, high, critical or nothing
                30: `notify.webhook.rate` is "0/1m": write a number in a time, such as "30/1m""#]],
        );
        check(
            "[notify]\ndefault = [\"x\"]\n",
            &expect![[r#"
                2: `notify.default` names "x", and no notifier is called so: there are no notifiers: write one, such as `[[notify.webhook]]`"#]],
        );
    }
}
