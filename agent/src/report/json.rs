//! The JSON of `check` (`atrest.check/1`) and `scan` (`atrest.posture/1`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use atrest_proto::model::{
    Finding, Gap, Host, Keystore, PathPosture, Posture, Repository, Service,
};
use jiff::Timestamp;
use serde::Serialize;

use super::concerns;
use crate::path::HostPath;
use crate::posture::summary;

#[derive(Serialize)]
struct Check<'a> {
    schema: &'static str,
    observed_at: Timestamp,
    paths: Vec<Path<'a>>,
    gaps: &'a [Gap],
}

#[derive(Serialize)]
struct Path<'a> {
    #[serde(flatten)]
    path: Cow<'a, PathPosture>,
    findings: Vec<Cow<'a, Finding>>,
}

#[derive(Serialize)]
struct Scan<'a> {
    schema: &'static str,
    host: &'a Host,
    observed_at: Timestamp,
    services: &'a [Service],
    paths: Vec<Path<'a>>,
    keystores: &'a [Keystore],
    repositories: &'a [Repository],
    findings: &'a [Finding],
    gaps: &'a [Gap],
    summary: BTreeMap<&'static str, usize>,
    catalogue_version: u32,
}

/// The answer of `check`; the paths in the order in which they were asked for.
pub fn check(posture: &Posture, order: &[String]) -> String {
    let mut paths = paths(posture);
    paths.sort_by_key(|path| order.iter().position(|asset| *asset == path.path.asset));
    pretty(&Check {
        schema: "atrest.check/1",
        observed_at: seconds(posture.observed_at),
        paths,
        gaps: &posture.gaps,
    })
}

/// The answer of `scan`.
pub fn scan(posture: &Posture) -> String {
    pretty(&Scan {
        schema: "atrest.posture/1",
        host: &posture.host,
        observed_at: seconds(posture.observed_at),
        services: &posture.services,
        paths: paths(posture),
        keystores: &posture.keystores,
        repositories: &posture.repositories,
        findings: &posture.findings,
        gaps: &posture.gaps,
        summary: summary(&posture.findings),
        catalogue_version: posture.catalogue_version,
    })
}

fn paths(posture: &Posture) -> Vec<Path<'_>> {
    let with_findings = |path| Path {
        path: as_asked(path),
        findings: posture
            .findings
            .iter()
            .filter(|finding| concerns(finding, path))
            .map(|finding| of_path(finding, path))
            .collect(),
    };
    posture.paths.iter().map(with_findings).collect()
}

/// A finding as it stands below one of the paths that it is about: the others are not named again below each.
fn of_path<'a>(finding: &'a Finding, path: &PathPosture) -> Cow<'a, Finding> {
    if finding.affects.len() < 2 {
        return Cow::Borrowed(finding);
    }
    let affects = finding.affects.iter().filter(|asset| **asset == path.asset).cloned().collect();
    Cow::Owned(Finding { affects, ..finding.clone() })
}

/// Paths are escaped wherever they are shown. JSON has escapes of its own: there a path is the one that was asked for, as far
/// as it is text at all.
fn as_asked(path: &PathPosture) -> Cow<'_, PathPosture> {
    let shown = |text: &str| text.contains('\\');
    if !shown(&path.path) && !path.resolved.as_deref().is_some_and(shown) {
        return Cow::Borrowed(path);
    }
    let raw = |text: &str| {
        HostPath::from_shown(text).and_then(|path| String::from_utf8(path.as_bytes().to_vec()).ok())
    };
    let mut path = path.clone();
    if let Some(raw) = raw(&path.path) {
        path.path = raw;
    }
    if let Some(raw) = path.resolved.as_deref().and_then(raw) {
        path.resolved = Some(raw);
    }
    Cow::Owned(path)
}

/// Whole seconds, as the contract shows times.
fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn pretty(answer: &impl Serialize) -> String {
    // These types have string keys only and no fallible serialiser: there is nothing that can fail.
    let mut text = serde_json::to_string_pretty(answer).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::{Outcome, Severity, Use, Verdict};

    use super::*;
    use crate::volume::fixture::proof;

    #[test]
    fn below_a_path_a_finding_names_that_path_only() {
        let affects: Vec<String> = ["data:/a", "data:/b", "data:/c"].map(str::to_owned).into();
        let finding = Finding {
            check: "luks_kdf".to_owned(),
            asset: "luks:/dev/sda".to_owned(),
            outcome: Outcome::Fail,
            severity: Severity::Low,
            summary: String::new(),
            remedy: String::new(),
            reasons: Vec::new(),
            evidence: BTreeMap::new(),
            affects,
        };
        let path = proof(Use::Data, "/b", Verdict::Encrypted);
        assert_eq!(of_path(&finding, &path).affects, ["data:/b"]);
    }
}
