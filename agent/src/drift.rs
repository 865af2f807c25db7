//! What each source says of one setting of a service: they agree unless something is about to change, or is hidden.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::lasting;
use crate::path::HostPath;

/// Whether a node keeps its memory out of swap: what its settings ask for, and what its API says came of it.
pub(crate) const MEMORY_LOCK: &str = "bootstrap.memory_lock";
/// The setting whose value has a random part, made anew at every start.
const TEMPORARY: &str = "java.io.tmpdir";

/// One source's word on one setting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Claim {
    pub service: String,
    /// Such as `path.data` or `-XX:HeapDumpPath`. Never one whose value may be secret.
    pub setting: String,
    pub source: Source,
    /// Sorted; paths are absolute and normalised.
    pub values: Vec<String>,
}

/// Where a claim comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The settings files as they are now: what the next start takes.
    Files,
    /// The arguments and environment of the running process.
    Process,
    /// The node's own API.
    Api,
}

impl Source {
    /// As it is named to people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Process => "process",
            Self::Api => "api",
        }
    }
}

/// What the sources that tell it say of one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comparison<'a> {
    pub(crate) setting: &'a str,
    /// As they said it.
    pub(crate) said: BTreeMap<Source, BTreeSet<&'a str>>,
    /// All of them mean the same.
    pub(crate) agree: bool,
}

/// The settings of a service that some source tells, by name. `follow` says where a path leads.
///
/// What still holds a variable is not known, and is not compared.
pub(crate) fn compare<'a>(
    claims: &'a [Claim],
    service: &str,
    follow: &dyn Fn(&HostPath) -> HostPath,
) -> Vec<Comparison<'a>> {
    let mut settings: BTreeMap<&str, BTreeMap<Source, BTreeSet<&str>>> = BTreeMap::new();
    let own = claims.iter().filter(|claim| claim.service == service);
    for claim in own.filter(|claim| claim.values.iter().all(|value| !value.contains("${"))) {
        let said = settings.entry(&claim.setting).or_default().entry(claim.source).or_default();
        said.extend(claim.values.iter().map(String::as_str));
    }
    let compared = |(setting, said): (&'a str, BTreeMap<Source, BTreeSet<&'a str>>)| {
        let meanings: BTreeSet<BTreeSet<String>> = said
            .values()
            .map(|values| values.iter().map(|value| meaning(setting, value, follow)).collect())
            .collect();
        Comparison { setting, agree: meanings.len() <= 1, said }
    };
    settings.into_iter().map(compared).collect()
}

/// One spelling for all that mean the same.
fn meaning(setting: &str, value: &str, follow: &dyn Fn(&HostPath) -> HostPath) -> String {
    let path = HostPath::from_shown(value).filter(HostPath::is_absolute);
    let Some(path) = path else { return value.trim().to_owned() };
    // Which one a start made says nothing.
    let path = if setting == TEMPORARY { lasting::temporary(&path) } else { path };
    follow(&path.normalised()).to_string()
}

/// What the arguments of a Java machine say of the places that are compared. Of the same setting the last counts; logs of the
/// garbage collection may be several.
pub(crate) fn java_settings(arguments: &[String]) -> BTreeMap<&'static str, Vec<String>> {
    let mut settings: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for argument in arguments {
        let value = |prefix: &str| argument.strip_prefix(prefix).filter(|value| !value.is_empty());
        let single = [
            ("-XX:HeapDumpPath", "-XX:HeapDumpPath="),
            ("-XX:ErrorFile", "-XX:ErrorFile="),
            (TEMPORARY, "-Djava.io.tmpdir="),
        ];
        for (setting, prefix) in single {
            if let Some(value) = value(prefix) {
                settings.insert(setting, vec![value.to_owned()]);
            }
        }
        // `-Xlog:WHAT:file=PATH:DECORATORS:OUTPUT`.
        let file =
            value("-Xlog:").and_then(|log| log.split(':').find_map(|p| p.strip_prefix("file=")));
        if let Some(file) = value("-Xloggc:").or(file) {
            settings.entry("gc log").or_default().push(file.trim_matches('"').to_owned());
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(setting: &str, source: Source, values: &[&str]) -> Claim {
        Claim {
            service: "es".to_owned(),
            setting: setting.to_owned(),
            source,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        }
    }

    fn agree(setting: &str, files: &[&str], api: &[&str]) -> bool {
        let claims = [claim(setting, Source::Files, files), claim(setting, Source::Api, api)];
        let follow = |path: &HostPath| {
            if *path == HostPath::from("/data") { "/mnt/es".into() } else { path.clone() }
        };
        let compared = compare(&claims, "es", &follow);
        assert_eq!(compared.len(), 1);
        compared[0].agree
    }

    #[test]
    fn the_same_in_other_words_agrees() {
        assert!(agree("path.data", &["/b", "/a/"], &["/a", "/b"]));
        assert!(agree("path.data", &["//srv/./es"], &["/srv/es"]));
        assert!(agree("path.data", &["/data"], &["/mnt/es"]));
        assert!(agree("path.repo", &[], &[]));
        assert!(agree("bootstrap.memory_lock", &["true"], &["true "]));
        assert!(agree("java.io.tmpdir", &["/tmp"], &["/tmp/elasticsearch-2854703832"]));
        assert!(agree("java.io.tmpdir", &["/tmp/opensearch-1/"], &["/tmp/opensearch-2"]));
    }

    #[test]
    fn another_value_does_not() {
        assert!(!agree("path.data", &["/a"], &["/a", "/b"]));
        assert!(!agree("path.repo", &[], &["/mnt/backup"]));
        assert!(!agree("java.io.tmpdir", &["/tmp"], &["/var/tmp/elasticsearch-1"]));
        assert!(!agree("java.io.tmpdir", &["/tmp/x"], &["/tmp"]));
        // Only there a part is random.
        assert!(!agree("path.data", &["/srv/elasticsearch-1"], &["/srv/elasticsearch-2"]));
    }

    #[test]
    fn what_is_not_known_is_not_compared() {
        let claims = [
            claim("path.data", Source::Files, &["${DATA}/es"]),
            claim("path.data", Source::Process, &["/a"]),
            Claim { service: "other".to_owned(), ..claim("path.data", Source::Api, &["/b"]) },
        ];
        let compared = compare(&claims, "es", &HostPath::clone);
        assert_eq!(compared.len(), 1);
        assert_eq!(compared[0].said.keys().collect::<Vec<_>>(), [&Source::Process]);
    }

    #[test]
    fn arguments_of_java_are_settings() {
        let arguments = [
            "-XX:HeapDumpPath=/a",
            "-XX:HeapDumpPath=/b",
            "-XX:ErrorFile=logs/hs_err_pid%p.log",
            "-Djava.io.tmpdir=/tmp/x",
            "-Xlog:gc*,safepoint:file=/l/gc.log:utctime:filecount=32",
            "-Xloggc:/l/old.log",
            "-Xlog:disable",
            "-XX:HeapDumpPath=",
        ];
        let settings = java_settings(&arguments.map(str::to_owned));
        let of = |setting: &str| settings[setting].join(",");
        assert_eq!(of("-XX:HeapDumpPath"), "/b");
        assert_eq!(of("-XX:ErrorFile"), "logs/hs_err_pid%p.log");
        assert_eq!(of("java.io.tmpdir"), "/tmp/x");
        assert_eq!(of("gc log"), "/l/gc.log,/l/old.log");
        assert_eq!(settings.len(), 4);
    }

    proptest! {
        #[test]
        fn every_source_agrees_with_itself(values in proptest::collection::vec("/?[a-c./]{0,9}", 0..4)) {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            prop_assert!(agree("path.repo", &values, &values));
        }
    }
}
