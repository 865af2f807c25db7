//! The directory, against a stand-in.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::object_store::stand_in::{self, Asked, Reply, StandIn};
use crate::repository::facts::SealKey;

/// A file system with the files of a repository, of which those that are named plain lie in no zone.
struct Files {
    names: Vec<&'static str>,
    plain: BTreeSet<&'static str>,
    has_batches: bool,
}

const NAMES: [&str; 6] = [
    "es/r/index-0",
    "es/r/snap-a.dat",
    "es/r/indices/u1/meta-x.dat",
    "es/r/indices/u1/0/__1",
    "es/r/indices/u1/1/__1",
    "es/r/indices/u2/0/__1",
];

impl Files {
    fn new(plain: &[&'static str]) -> Self {
        let plain = plain.iter().copied().collect();
        Self { names: NAMES.to_vec(), plain, has_batches: true }
    }

    fn answer(&self, asked: &Asked) -> Reply {
        assert_eq!(asked.parameter("user.name"), Some("atrest"));
        let path = asked.line.split(['?', ' ']).nth(1).unwrap();
        let path = path.strip_prefix("/webhdfs/v1/").unwrap();
        let enc = |name: &str| if self.plain.contains(name) { "" } else { r#","encBit":true"# };
        let directory = |name: &str, suffix: &str| {
            format!(r#"{{"pathSuffix":"{suffix}","type":"DIRECTORY"{}}}"#, enc(name))
        };
        let entries = || {
            let mut found = BTreeSet::new();
            for name in &self.names {
                let Some(rest) = name.strip_prefix(path).and_then(|rest| rest.strip_prefix('/'))
                else {
                    continue;
                };
                let time = r#""modificationTime":1700000000000"#;
                let file =
                    format!(r#"{{"pathSuffix":"{rest}","type":"FILE",{time}{}}}"#, enc(name));
                let below = rest.split_once('/').map(|(below, _)| (below, directory(name, below)));
                found.insert(below.unwrap_or((rest, file)));
            }
            found.into_iter().collect::<Vec<_>>()
        };
        let statuses = |entries: &[(&str, String)]| {
            let entries: Vec<_> = entries.iter().map(|(_, text)| text.as_str()).collect();
            format!(r#"{{"FileStatuses":{{"FileStatus":[{}]}}}}"#, entries.join(","))
        };
        match asked.parameter("op") {
            Some("GETFILESTATUS") => {
                Reply::new(200, format!(r#"{{"FileStatus":{}}}"#, directory(path, "")))
            }
            Some("LISTSTATUS") => Reply::new(200, statuses(&entries())),
            // One at a time.
            Some("LISTSTATUS_BATCH") if self.has_batches => {
                let after = asked.parameter("startAfter").unwrap_or_default();
                let entries: Vec<_> =
                    entries().into_iter().filter(|(name, _)| *name > after).collect();
                let part = statuses(&entries[..entries.len().min(2)]);
                let left = entries.len().saturating_sub(2);
                let listing = format!(r#""partialListing":{part},"remainingEntries":{left}"#);
                Reply::new(200, format!(r#"{{"DirectoryListing":{{{listing}}}}}"#))
            }
            Some("LISTSTATUS_BATCH") => exception(400, "IllegalArgumentException"),
            other => panic!("{other:?}"),
        }
    }
}

fn exception(status: u16, class: &str) -> Reply {
    let text = format!(r#"{{"RemoteException":{{"exception":"{class}","message":"why"}}}}"#);
    Reply::new(status, text)
}

fn repository(web: &str, user: Option<&str>) -> Hdfs {
    Hdfs {
        uri: "hdfs://n:8020".to_owned(),
        path: "/es/r".to_owned(),
        web: Some(web.to_owned()),
        user: user.map(str::to_owned),
        web_path: None,
    }
}

fn told(repository: &Hdfs, timeout: Duration) -> Result<Facts, Failure> {
    stand_in::look(timeout, async |http, budget| look(repository, http, budget, &mut |_| 0).await)
}

fn asked(
    answers: impl Fn(&Asked) -> Reply + Send + 'static,
) -> (Result<Facts, Failure>, Vec<Asked>) {
    let store = StandIn::new(answers);
    let repository = repository(store.url.as_str(), Some("atrest"));
    (told(&repository, Duration::from_mins(1)), store.asked())
}

#[test]
fn a_zone_is_covered_with_all_that_lies_in_it() {
    for has_batches in [true, false] {
        let files = Files { has_batches, ..Files::new(&[]) };
        let (found, asked) = asked(move |asked| files.answer(asked));
        let found = found.unwrap();
        assert_eq!(found.provider, Provider::Hdfs);
        assert_eq!(found.default.known().map(|seal| &seal.key), Some(&SealKey::Unknown));
        let names: Vec<_> =
            found.sample.objects.iter().map(|object| object.name.as_str()).collect();
        let mut expected = NAMES.map(|name| name.strip_prefix("es/r/").unwrap());
        expected.sort_unstable();
        // A directory below an index that is not listed to its end is said to be.
        if has_batches {
            assert!(found.sample.cut.iter().any(|cut| cut.contains("first part")), "{found:?}");
        } else {
            assert!(found.sample.is_complete, "{:?}", found.sample.cut);
            assert_eq!(names, expected);
        }
        assert!(found.sample.objects.iter().all(|object| object.seal.known().is_some()));
        assert!(found.sample.objects.iter().all(|object| object.written_at.is_some()));
        assert!(asked.iter().all(|one| one.line.starts_with("GET ")), "nothing is ever written");
        assert_eq!(found.requests as usize, asked.len());
    }
}

#[test]
fn what_lies_in_no_zone_is_said_of_each_file() {
    let plain = "es/r/indices/u2/0/__1";
    let files = Files { has_batches: false, ..Files::new(&[plain]) };
    let (found, _) = asked(move |asked| files.answer(asked));
    let found = found.unwrap();
    let silent: Vec<_> = found
        .sample
        .objects
        .iter()
        .filter(|object| object.seal == Observed::Absent)
        .map(|object| object.name.as_str())
        .collect();
    assert_eq!(silent, ["indices/u2/0/__1"]);
}

#[test]
fn refusals_are_told_apart() {
    let of = |status, class: &'static str| asked(move |_| exception(status, class)).0.unwrap_err();
    assert!(of(401, "x").remedy().contains("HttpFS"));
    assert!(of(403, "AccessControlException").remedy().contains(READ));
    assert!(of(403, "StandbyException").to_string().contains("standby"));
    assert!(matches!(of(404, "FileNotFoundException"), Failure::Gone(_)));
    assert!(matches!(of(500, "RuntimeException"), Failure::Other(_)));
    let away = Reply::new(307, "").with("location", "http://127.0.0.1:1/");
    assert!(matches!(asked(move |_| away.clone()).0, Err(Failure::Other(_))));
    // A listing alone.
    let files = Files::new(&[]);
    let (found, _) = asked(move |asked| match asked.parameter("op") {
        Some("GETFILESTATUS") => files.answer(asked),
        _ => exception(403, "AccessControlException"),
    });
    let found = found.unwrap();
    assert!(found.sample.trouble.is_some() && found.sample.remedy.contains(READ), "{found:?}");
}

#[test]
fn what_is_no_answer_is_no_empty_directory() {
    for reply in [
        Reply::new(200, "<html>hunter2"),
        Reply::new(200, "{}"),
        Reply::new(200, r#"{"DirectoryListing":"#).cut(),
        Reply::giant(),
    ] {
        let files = Files::new(&[]);
        let (found, _) = asked(move |asked| match asked.parameter("op") {
            Some("GETFILESTATUS") => files.answer(asked),
            _ => reply.clone(),
        });
        let sample = found.unwrap().sample;
        assert!(!sample.is_complete && sample.objects.is_empty());
        let trouble = sample.trouble.unwrap();
        assert!(!trouble.detail.contains("hunter2"), "{trouble}");
    }
    let file = r#"{"FileStatus":{"pathSuffix":"","type":"FILE","encBit":true}}"#;
    assert!(matches!(asked(move |_| Reply::new(200, file)).0, Err(Failure::Gone(_))));
}

#[test]
fn what_is_not_configured_is_said() {
    let minute = Duration::from_mins(1);
    let mut one = repository("", None);
    one.web = None;
    assert!(told(&one, minute).unwrap_err().remedy().contains("webhdfs_url"));
    let mut one = repository("http://127.0.0.1:1", None);
    one.path = "es/r".to_owned();
    assert!(told(&one, minute).unwrap_err().remedy().contains("webhdfs_path"));
    one.web_path = Some("/user/es/es/r".to_owned());
    assert!(matches!(told(&one, minute), Err(Failure::Unreachable(_))));
}

#[test]
fn a_service_that_says_nothing_is_unreachable() {
    let store = StandIn::new(|_| Reply::silent());
    let repository = repository(store.url.as_str(), Some("atrest"));
    let found = told(&repository, Duration::from_millis(200));
    assert!(matches!(found, Err(Failure::Unreachable(_))), "{found:?}");
}
