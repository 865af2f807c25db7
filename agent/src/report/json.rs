//! The JSON of `check` (`atrest.check/1`) and `scan` (`atrest.posture/1`).

use std::collections::BTreeMap;

use atrest_proto::model::{
    Finding, Gap, Host, Keystore, PathPosture, Posture, Repository, Service,
};
use jiff::Timestamp;
use serde::Serialize;

use super::concerns;
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
    path: &'a PathPosture,
    findings: Vec<&'a Finding>,
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
        path,
        findings: posture.findings.iter().filter(|finding| concerns(finding, path)).collect(),
    };
    posture.paths.iter().map(with_findings).collect()
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
