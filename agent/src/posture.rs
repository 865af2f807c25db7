//! From a snapshot to a posture: every check on every asset, sorted.

use std::collections::BTreeMap;

use atrest_proto::model::{
    Finding, Keystore, Layer, Outcome, Password, PathPosture, Posture, Repository, Verdict,
};

use crate::check::{self, Context};
use crate::policy::Policy;
use crate::snapshot::{Namespace, Observed, Resolved, Snapshot, Target};
use crate::volume::Evaluator;
use crate::{keystore, repository};

/// Judges everything that was observed. Same snapshot and policy, same posture.
pub fn evaluate(snapshot: &Snapshot, policy: &Policy) -> Posture {
    let evaluator = Evaluator::new(snapshot);
    let paths: Vec<PathPosture> =
        snapshot.targets.iter().map(|target| evaluator.target(target)).collect();
    let swaps: Vec<PathPosture> = snapshot
        .swaps
        .known()
        .map(|swaps| swaps.iter().map(|swap| evaluator.swap_area(swap)).collect())
        .unwrap_or_default();
    let keystore_volumes: Vec<PathPosture> =
        snapshot.keystores.iter().map(|keystore| evaluator.target(&volume_of(keystore))).collect();
    let context = Context {
        snapshot,
        policy,
        paths: &paths,
        swaps: &swaps,
        keystore_volumes: &keystore_volumes,
    };
    let mut findings: Vec<Finding> =
        check::ALL.iter().flat_map(|check| (check.evaluate)(&context)).collect();
    for finding in &mut findings {
        affects(finding, &paths);
    }
    findings.sort_by(|a, b| (&a.check, &a.asset).cmp(&(&b.check, &b.asset)));
    findings.dedup();
    let keystores = snapshot
        .keystores
        .iter()
        .zip(&keystore_volumes)
        .map(|(observation, volume)| keystore_posture(observation, volume.verdict))
        .collect();
    let repositories =
        snapshot.repositories.iter().map(|declared| repository_posture(declared, &paths)).collect();
    let mut posture = Posture {
        host: snapshot.host.clone(),
        observed_at: snapshot.observed_at,
        services: snapshot.services.clone(),
        paths: paths.into_iter().chain(swaps).collect(),
        keystores,
        repositories,
        findings,
        gaps: snapshot.gaps.clone(),
        catalogue_version: check::CATALOGUE_VERSION,
    };
    posture.services.sort_unstable();
    posture.paths.sort_by(|a, b| a.asset.cmp(&b.asset));
    // Two services that write to one path make one asset: what is said of it is the same.
    posture.paths.dedup_by(|a, b| a.asset == b.asset);
    posture.keystores.sort_by(|a, b| a.asset.cmp(&b.asset));
    posture.repositories.sort_by(|a, b| a.asset.cmp(&b.asset));
    posture
}

/// The stable id of a keystore, after the same rule as that of a path.
pub fn keystore_asset(observation: &keystore::Observation) -> String {
    match (&observation.namespace, &observation.service) {
        (Namespace::Process(_), Some(service)) if service.contains(':') => {
            format!("keystore:{}@{service}", observation.path)
        }
        (Namespace::Host | Namespace::Process(_), _) => format!("keystore:{}", observation.path),
    }
}

/// Names the paths that stand on the device that a finding is about.
fn affects(finding: &mut Finding, paths: &[PathPosture]) {
    fn holds(layers: &[Layer], device: &str) -> bool {
        layers.iter().any(|layer| layer.name == device || holds(&layer.children, device))
    }
    if let Some(device) = finding.asset.strip_prefix("luks:") {
        let standing = paths.iter().filter(|path| holds(&path.stack, device));
        finding.affects.extend(standing.map(|path| path.asset.clone()));
        finding.affects.sort_unstable();
        finding.affects.dedup();
    }
}

/// The keystore's own file as a target of the proof.
fn volume_of(observation: &keystore::Observation) -> Target {
    let resolution = match &observation.file {
        Observed::Known(_) => {
            observation.resolved.clone().map_or(Observed::Absent, Observed::Known)
        }
        Observed::Absent => Observed::Absent,
        Observed::Unreadable(trouble) => Observed::Unreadable(trouble.clone()),
    };
    Target {
        path: observation.path.clone(),
        usage: atrest_proto::model::Use::Config,
        service: observation.service.clone(),
        namespace: observation.namespace.clone(),
        resolution,
        nearest: None::<Resolved>,
    }
}

fn keystore_posture(observation: &keystore::Observation, at_rest: Verdict) -> Keystore {
    let file = observation.file.known();
    let contents = observation.contents.known();
    let problem = observation
        .file
        .trouble()
        .or_else(|| observation.contents.trouble())
        .map(ToString::to_string);
    Keystore {
        asset: keystore_asset(observation),
        path: observation.path.to_string(),
        product: observation.product.clone(),
        service: observation.service.clone(),
        format: contents.map(|contents| contents.format.clone()).unwrap_or_default(),
        format_version: contents.map(|contents| contents.version),
        password: match contents.and_then(|contents| contents.has_password) {
            Some(true) => Password::Protected,
            Some(false) => Password::Unprotected,
            None => Password::Unknown,
        },
        mode: file.map(|file| format!("{:04o}", file.mode)).unwrap_or_default(),
        owner: observation.owner.clone(),
        group: observation.group.clone(),
        at_rest,
        problem,
    }
}

/// A repository on a file system is as encrypted as its directory; of others nothing is proven yet.
fn repository_posture(declared: &repository::Declared, paths: &[PathPosture]) -> Repository {
    let location = declared.location.to_string();
    let volume = paths
        .iter()
        .find(|path| path.usage == atrest_proto::model::Use::Repository && path.path == location);
    let (encryption, evidence) = match volume {
        Some(volume) if declared.kind == "fs" => (
            volume.verdict.to_string(),
            format!("the volume proof of {}", volume.resolved.as_deref().unwrap_or(&volume.path)),
        ),
        Some(_) | None => (
            "unproven".to_owned(),
            format!("repositories of type {} are not looked at", declared.kind),
        ),
    };
    Repository {
        asset: format!("repository:{}", declared.name),
        name: declared.name.clone(),
        kind: declared.kind.clone(),
        location,
        service: declared.service.clone(),
        source: declared.source.clone(),
        encryption,
        evidence,
    }
}

/// How many findings there are of each outcome.
pub fn summary(findings: &[Finding]) -> BTreeMap<&'static str, usize> {
    let mut counts: BTreeMap<&'static str, usize> =
        Outcome::ALL.iter().map(|outcome| (outcome.as_str(), 0)).collect();
    for finding in findings {
        *counts.entry(finding.outcome.as_str()).or_default() += 1;
    }
    counts
}
