//! Who is told of which alerts. Pure.
//!
//! All routes that match are taken, and each of their notifiers is told once: one route more never tells somebody less.
//! What no route matches goes to those of the default, so that nothing is told to nobody.

use std::collections::BTreeSet;

use atrest_proto::model::Severity;

use super::Alert;
use crate::labels::Labels;

/// What routes go by.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub check: &'a str,
    pub severity: Severity,
    pub cluster: &'a str,
    /// Of the host.
    pub labels: &'a Labels,
}

impl<'a> Subject<'a> {
    pub fn of(alert: &'a Alert, labels: &'a Labels) -> Self {
        let finding = &alert.finding;
        let (check, severity) = (&*finding.check, finding.severity);
        Self { check, severity, cluster: &alert.cluster, labels }
    }
}

/// Alerts that have all of this, and who is told of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// This severity or a worse one.
    pub min_severity: Severity,
    /// One of these; empty: any.
    pub checks: Vec<String>,
    /// One of these; empty: any.
    pub clusters: Vec<String>,
    /// The host has all of these.
    pub labels: Labels,
    pub notifiers: Vec<String>,
}

impl Route {
    fn takes(&self, subject: &Subject<'_>) -> bool {
        let one_of =
            |all: &[String], one: &str| all.is_empty() || all.iter().any(|known| known == one);
        subject.severity >= self.min_severity
            && one_of(&self.checks, subject.check)
            && one_of(&self.clusters, subject.cluster)
            && self.labels.iter().all(|(key, value)| subject.labels.get(key) == Some(value))
    }
}

/// Every notifier, and which alerts it is told of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    notifiers: Vec<String>,
    /// All that match are taken.
    all: Vec<Route>,
    default: Vec<String>,
}

impl Routes {
    /// Everything to everybody.
    pub fn everybody(notifiers: impl IntoIterator<Item = String>) -> Self {
        Self::new(notifiers.into_iter().collect(), Vec::new(), None)
    }

    /// `default` is told of what no route takes; `None`: all notifiers are.
    pub fn new(notifiers: Vec<String>, all: Vec<Route>, default: Option<Vec<String>>) -> Self {
        let default = default.unwrap_or_else(|| notifiers.clone());
        Self { notifiers, all, default }
    }

    /// All of them, whatever they are told of.
    pub fn notifiers(&self) -> &[String] {
        &self.notifiers
    }

    /// Whether the labels of hosts matter.
    pub fn go_by_labels(&self) -> bool {
        self.all.iter().any(|route| !route.labels.is_empty())
    }

    /// Who is told of this.
    pub fn of(&self, subject: &Subject<'_>) -> BTreeSet<&str> {
        let mut taken = self.all.iter().filter(|route| route.takes(subject)).peekable();
        if taken.peek().is_none() {
            return self.default.iter().map(String::as_str).collect();
        }
        taken.flat_map(|route| &route.notifiers).map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn route(notifiers: &[&str]) -> Route {
        Route {
            min_severity: Severity::Info,
            checks: Vec::new(),
            clusters: Vec::new(),
            labels: Labels::new(),
            notifiers: notifiers.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn labels(key: &str, value: &str) -> Labels {
        Labels::from([(key.to_owned(), value.to_owned())])
    }

    #[test]
    fn all_routes_that_match_are_taken_and_the_rest_goes_to_the_default() {
        let routes = Routes::new(
            names(&["pager", "mail", "test"]),
            vec![
                Route { min_severity: Severity::High, ..route(&["pager", "mail"]) },
                Route { checks: names(&["luks_kdf"]), ..route(&["mail"]) },
                Route { labels: labels("env", "test"), ..route(&["test"]) },
                Route { clusters: names(&["lab"]), ..route(&["test"]) },
            ],
            Some(names(&["mail"])),
        );
        assert!(routes.go_by_labels());
        let told = |check, severity, cluster, of_host: &Labels| {
            let subject = Subject { check, severity, cluster, labels: of_host };
            routes.of(&subject).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let (none, test) = (Labels::new(), labels("env", "test"));
        assert_eq!(told("swap", Severity::Critical, "prod", &none), ["mail", "pager"]);
        assert_eq!(told("swap", Severity::High, "prod", &test), ["mail", "pager", "test"]);
        assert_eq!(told("luks_kdf", Severity::Low, "lab", &none), ["mail", "test"]);
        assert_eq!(told("swap", Severity::Low, "prod", &none), ["mail"], "no route takes it");
        assert_eq!(told("swap", Severity::Low, "prod", &labels("env", "prod")), ["mail"]);
    }

    #[test]
    fn without_routes_everybody_is_told_everything() {
        let routes = Routes::everybody(names(&["a", "b"]));
        let none = Labels::new();
        let subject = Subject { check: "x", severity: Severity::Info, cluster: "", labels: &none };
        assert_eq!(routes.of(&subject).len(), 2);
        assert!(!routes.go_by_labels());
    }

    fn any_route() -> impl Strategy<Value = Route> {
        let some =
            |words: &'static [&str]| prop::collection::vec(prop::sample::select(words), 0..2);
        (
            prop::sample::select(Severity::ALL),
            some(&["x", "y"]),
            some(&["p", "q"]),
            any::<bool>(),
            prop::collection::vec(prop::sample::select(&["a", "b", "c"][..]), 1..3),
        )
            .prop_map(|(min_severity, checks, clusters, labelled, notifiers)| Route {
                min_severity,
                checks: names(&checks),
                clusters: names(&clusters),
                labels: if labelled { labels("k", "v") } else { Labels::new() },
                notifiers: names(&notifiers),
            })
    }

    proptest! {
        /// Nothing is told to nobody; and where a route matched already, one more tells nobody less.
        #[test]
        fn somebody_is_told_of_everything(
            routes in prop::collection::vec(any_route(), 0..4),
            more in any_route(),
            severity in prop::sample::select(Severity::ALL),
            check in prop::sample::select(&["x", "y"][..]),
            cluster in prop::sample::select(&["p", "q"][..]),
            labelled in any::<bool>(),
        ) {
            let of_host = if labelled { labels("k", "v") } else { Labels::new() };
            let subject = Subject { check, severity, cluster, labels: &of_host };
            let matched = routes.iter().any(|route| route.takes(&subject));
            let all = names(&["a", "b", "c"]);
            let before = Routes::new(all.clone(), routes.clone(), Some(names(&["c"])));
            let told = before.of(&subject);
            prop_assert!(!told.is_empty());
            let after = Routes::new(all, [routes, vec![more]].concat(), Some(names(&["c"])));
            if matched {
                prop_assert!(after.of(&subject).is_superset(&told));
            }
        }
    }
}
