//! The border post: [`model`] to [`v1`] and back.
//!
//! What comes from the wire is checked here. A word that this version does not know becomes the
//! word for "unknown", never a pass and never an error: a newer agent must not be cut off.

use jiff::Timestamp;
use thiserror::Error;

use crate::model;
use crate::v1;

/// A message that cannot be what its sender meant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid field `{field}`: {why}")]
pub struct InvalidField {
    pub field: &'static str,
    pub why: &'static str,
}

/// Layers deeper than this are refused: no storage stack is, and recursion needs a bound.
const MAX_STACK_DEPTH: usize = 64;
/// The most layers one stack may hold.
const MAX_STACK_LAYERS: usize = 20_000;

/// The wire form of a point in time.
pub fn timestamp_to_wire(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

/// A point in time from its wire form.
pub fn timestamp_from_wire(
    at: Option<prost_types::Timestamp>,
    field: &'static str,
) -> Result<Timestamp, InvalidField> {
    let at = at.ok_or(InvalidField { field, why: "missing" })?;
    Timestamp::new(at.seconds, at.nanos)
        .map_err(|_| InvalidField { field, why: "not a point in time" })
}

/// An empty string on the wire stands for "none".
fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Pairs the variants of a word enum with those of the wire.
macro_rules! pair_words {
    ($model:ty, $wire:ty, unspecified => $unspecified:ident, { $($m:ident <=> $w:ident),+ $(,)? }) => {
        impl From<$model> for $wire {
            fn from(word: $model) -> Self {
                match word { $(<$model>::$m => <$wire>::$w,)+ }
            }
        }

        impl From<$wire> for $model {
            fn from(word: $wire) -> Self {
                match word {
                    <$wire>::Unspecified => <$model>::$unspecified,
                    $(<$wire>::$w => <$model>::$m,)+
                }
            }
        }
    };
}

pair_words!(model::Verdict, v1::Verdict, unspecified => Unknown, {
    Unencrypted <=> Unencrypted,
    Partial <=> Partial,
    Unknown <=> Unknown,
    Claimed <=> Claimed,
    Volatile <=> Volatile,
    Encrypted <=> Encrypted,
});

pair_words!(model::Outcome, v1::Outcome, unspecified => Unknown, {
    Fail <=> Fail,
    Unknown <=> Unknown,
    Pass <=> Pass,
    NotApplicable <=> NotApplicable,
});

pair_words!(model::Severity, v1::Severity, unspecified => Info, {
    Info <=> Info,
    Low <=> Low,
    Medium <=> Medium,
    High <=> High,
    Critical <=> Critical,
});

fn reasons_to_wire(reasons: Vec<model::Reason>) -> Vec<String> {
    reasons.into_iter().map(|reason| reason.as_str().to_owned()).collect()
}

fn reasons_from_wire(reasons: &[String]) -> Vec<model::Reason> {
    let mut known: Vec<_> =
        reasons.iter().map(|reason| reason.parse().unwrap_or(model::Reason::Unreadable)).collect();
    known.sort_unstable();
    known.dedup();
    known
}

/// A severity that is not known yet does not make less of what fails.
fn severity_from_wire(severity: i32, outcome: i32) -> model::Severity {
    match v1::Severity::try_from(severity) {
        Ok(v1::Severity::Unspecified) | Err(_) if outcome == i32::from(v1::Outcome::Fail) => {
            model::Severity::High
        }
        known => known.map_or(model::Severity::Info, Into::into),
    }
}

fn verdict_from_wire(verdict: i32) -> model::Verdict {
    v1::Verdict::try_from(verdict).map_or(model::Verdict::Unknown, Into::into)
}

impl From<model::Host> for v1::Host {
    fn from(host: model::Host) -> Self {
        let model::Host {
            hostname,
            machine_fingerprint,
            os,
            kernel,
            architecture,
            boot_id,
            agent_version,
        } = host;
        Self { hostname, machine_fingerprint, os, kernel, architecture, boot_id, agent_version }
    }
}

impl From<v1::Host> for model::Host {
    fn from(host: v1::Host) -> Self {
        let v1::Host {
            hostname,
            machine_fingerprint,
            os,
            kernel,
            architecture,
            boot_id,
            agent_version,
        } = host;
        Self { hostname, machine_fingerprint, os, kernel, architecture, boot_id, agent_version }
    }
}

impl From<model::Service> for v1::Service {
    fn from(service: model::Service) -> Self {
        Self {
            product: service.product,
            name: service.name,
            state: service.state,
            version: service.version.unwrap_or_default(),
            cluster_name: service.cluster_name.unwrap_or_default(),
            cluster_uuid: service.cluster_uuid.unwrap_or_default(),
            node_name: service.node_name.unwrap_or_default(),
            roles: service.roles,
            tiers: service.tiers,
            config_dir: service.config_dir.unwrap_or_default(),
            pid: service.pid.unwrap_or_default(),
        }
    }
}

impl From<v1::Service> for model::Service {
    fn from(service: v1::Service) -> Self {
        Self {
            product: service.product,
            name: service.name,
            state: service.state,
            version: non_empty(service.version),
            cluster_name: non_empty(service.cluster_name),
            cluster_uuid: non_empty(service.cluster_uuid),
            node_name: non_empty(service.node_name),
            roles: service.roles,
            tiers: service.tiers,
            config_dir: non_empty(service.config_dir),
            pid: (service.pid != 0).then_some(service.pid),
        }
    }
}

impl From<model::PlainLeg> for v1::PlainLeg {
    fn from(leg: model::PlainLeg) -> Self {
        Self { device: leg.device, via: leg.via, reason: leg.reason.as_str().to_owned() }
    }
}

impl From<v1::PlainLeg> for model::PlainLeg {
    fn from(leg: v1::PlainLeg) -> Self {
        Self {
            device: leg.device,
            via: leg.via,
            reason: leg.reason.parse().unwrap_or(model::Reason::PlainDevice),
        }
    }
}

impl From<model::EncryptedBy> for v1::EncryptedBy {
    fn from(by: model::EncryptedBy) -> Self {
        Self {
            technology: by.technology,
            device: by.device,
            cipher: by.cipher,
            key_bits: by.key_bits.unwrap_or_default(),
        }
    }
}

impl From<v1::EncryptedBy> for model::EncryptedBy {
    fn from(by: v1::EncryptedBy) -> Self {
        Self {
            technology: by.technology,
            device: by.device,
            cipher: by.cipher,
            key_bits: (by.key_bits != 0).then_some(by.key_bits),
        }
    }
}

/// Flattens a tree; returns the index of its root. Parents stand before their children.
fn flatten(layer: model::Layer, into: &mut Vec<v1::Layer>) -> u32 {
    let at = into.len();
    into.push(v1::Layer {
        kind: layer.kind,
        name: layer.name,
        major_minor: layer.major_minor.unwrap_or_default(),
        detail: layer.detail,
        children: Vec::new(),
        repeated_above: layer.repeated_above,
    });
    let children = layer.children.into_iter().map(|child| flatten(child, into)).collect();
    if let Some(flat) = into.get_mut(at) {
        flat.children = children;
    }
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Rebuilds the tree below `at`. Indices must grow towards the leaves, so there is no cycle.
fn grow(
    layers: &mut [Option<v1::Layer>],
    at: u32,
    depth: usize,
) -> Result<model::Layer, InvalidField> {
    const FIELD: &str = "layers";
    if depth > MAX_STACK_DEPTH {
        return Err(InvalidField { field: FIELD, why: "nested too deeply" });
    }
    let layer = usize::try_from(at)
        .ok()
        .and_then(|index| layers.get_mut(index))
        .and_then(Option::take)
        .ok_or(InvalidField { field: FIELD, why: "a child is missing or has two parents" })?;
    let mut children = Vec::with_capacity(layer.children.len());
    for child in layer.children {
        if child <= at {
            return Err(InvalidField { field: FIELD, why: "a child stands before its parent" });
        }
        children.push(grow(layers, child, depth + 1)?);
    }
    Ok(model::Layer {
        kind: layer.kind,
        name: layer.name,
        major_minor: non_empty(layer.major_minor),
        detail: layer.detail,
        repeated_above: layer.repeated_above,
        children,
    })
}

impl From<model::PathPosture> for v1::PathPosture {
    fn from(path: model::PathPosture) -> Self {
        let mut layers = Vec::new();
        let roots = path.stack.into_iter().map(|root| flatten(root, &mut layers)).collect();
        Self {
            asset: path.asset,
            path: path.path,
            resolved: path.resolved.unwrap_or_default(),
            r#use: path.usage.as_str().to_owned(),
            service: path.service.unwrap_or_default(),
            verdict: v1::Verdict::from(path.verdict).into(),
            reasons: reasons_to_wire(path.reasons),
            plain: path.plain.into_iter().map(Into::into).collect(),
            encrypted_by: path.encrypted_by.into_iter().map(Into::into).collect(),
            claimed_by: path.claimed_by,
            undecided: path
                .undecided
                .into_iter()
                .map(|leg| v1::Undecided {
                    reason: leg.reason.as_str().to_owned(),
                    detail: leg.detail,
                })
                .collect(),
            layers,
            roots,
            nearest: path.nearest.map(|nearest| v1::NearestParent {
                path: nearest.path,
                verdict: v1::Verdict::from(nearest.verdict).into(),
            }),
        }
    }
}

impl TryFrom<v1::PathPosture> for model::PathPosture {
    type Error = InvalidField;

    fn try_from(path: v1::PathPosture) -> Result<Self, InvalidField> {
        if path.asset.is_empty() {
            return Err(InvalidField { field: "asset", why: "empty" });
        }
        if path.layers.len() > MAX_STACK_LAYERS {
            return Err(InvalidField { field: "layers", why: "too many" });
        }
        let mut layers: Vec<_> = path.layers.into_iter().map(Some).collect();
        let mut stack = Vec::with_capacity(path.roots.len());
        for root in path.roots {
            stack.push(grow(&mut layers, root, 0)?);
        }
        Ok(Self {
            asset: path.asset,
            path: path.path,
            resolved: non_empty(path.resolved),
            usage: path.r#use.parse().unwrap_or(model::Use::Declared),
            service: non_empty(path.service),
            verdict: verdict_from_wire(path.verdict),
            reasons: reasons_from_wire(&path.reasons),
            plain: path.plain.into_iter().map(Into::into).collect(),
            encrypted_by: path.encrypted_by.into_iter().map(Into::into).collect(),
            claimed_by: path.claimed_by,
            undecided: path
                .undecided
                .into_iter()
                .map(|leg| model::Undecided {
                    reason: leg.reason.parse().unwrap_or(model::Reason::Unreadable),
                    detail: leg.detail,
                })
                .collect(),
            stack,
            nearest: path.nearest.map(|nearest| model::NearestParent {
                path: nearest.path,
                verdict: verdict_from_wire(nearest.verdict),
            }),
        })
    }
}

impl From<model::Keystore> for v1::Keystore {
    fn from(keystore: model::Keystore) -> Self {
        Self {
            asset: keystore.asset,
            path: keystore.path,
            product: keystore.product,
            service: keystore.service.unwrap_or_default(),
            format: keystore.format,
            format_version: keystore.format_version.unwrap_or_default(),
            password: keystore.password.as_str().to_owned(),
            mode: keystore.mode,
            owner: keystore.owner,
            group: keystore.group,
            at_rest: v1::Verdict::from(keystore.at_rest).into(),
            problem: keystore.problem.unwrap_or_default(),
            kdf: keystore.kdf,
            cipher: keystore.cipher,
            opens_without_password: keystore.opens_without_password,
            fingerprint: keystore.fingerprint.unwrap_or_default(),
        }
    }
}

impl From<v1::Keystore> for model::Keystore {
    fn from(keystore: v1::Keystore) -> Self {
        Self {
            asset: keystore.asset,
            path: keystore.path,
            product: keystore.product,
            service: non_empty(keystore.service),
            format: keystore.format,
            format_version: (keystore.format_version != 0).then_some(keystore.format_version),
            password: keystore.password.parse().unwrap_or(model::Password::Unknown),
            mode: keystore.mode,
            owner: keystore.owner,
            group: keystore.group,
            at_rest: verdict_from_wire(keystore.at_rest),
            problem: non_empty(keystore.problem),
            kdf: keystore.kdf,
            cipher: keystore.cipher,
            opens_without_password: keystore.opens_without_password,
            fingerprint: non_empty(keystore.fingerprint),
        }
    }
}

impl From<model::Repository> for v1::Repository {
    fn from(repository: model::Repository) -> Self {
        Self {
            asset: repository.asset,
            name: repository.name,
            r#type: repository.kind,
            location: repository.location,
            service: repository.service.unwrap_or_default(),
            source: repository.source,
            encryption: repository.encryption,
            evidence: repository.evidence,
            keys: repository.keys,
            cluster: repository.cluster.unwrap_or_default(),
        }
    }
}

impl From<v1::Repository> for model::Repository {
    fn from(repository: v1::Repository) -> Self {
        Self {
            asset: repository.asset,
            name: repository.name,
            kind: repository.r#type,
            location: repository.location,
            service: non_empty(repository.service),
            source: repository.source,
            encryption: repository.encryption,
            evidence: repository.evidence,
            keys: repository.keys,
            cluster: non_empty(repository.cluster),
        }
    }
}

impl From<model::Finding> for v1::Finding {
    fn from(finding: model::Finding) -> Self {
        Self {
            check: finding.check,
            asset: finding.asset,
            outcome: v1::Outcome::from(finding.outcome).into(),
            severity: v1::Severity::from(finding.severity).into(),
            summary: finding.summary,
            remedy: finding.remedy,
            reasons: reasons_to_wire(finding.reasons),
            evidence: finding.evidence,
            affects: finding.affects,
        }
    }
}

impl TryFrom<v1::Finding> for model::Finding {
    type Error = InvalidField;

    fn try_from(finding: v1::Finding) -> Result<Self, InvalidField> {
        if finding.check.is_empty() {
            return Err(InvalidField { field: "check", why: "empty" });
        }
        if finding.asset.is_empty() {
            return Err(InvalidField { field: "asset", why: "empty" });
        }
        Ok(Self {
            check: finding.check,
            asset: finding.asset,
            outcome: v1::Outcome::try_from(finding.outcome)
                .map_or(model::Outcome::Unknown, Into::into),
            severity: severity_from_wire(finding.severity, finding.outcome),
            summary: finding.summary,
            remedy: finding.remedy,
            reasons: reasons_from_wire(&finding.reasons),
            evidence: finding.evidence,
            affects: finding.affects,
        })
    }
}

impl From<model::Gap> for v1::Gap {
    fn from(gap: model::Gap) -> Self {
        Self {
            subject: gap.subject,
            reason: gap.reason.as_str().to_owned(),
            detail: gap.detail,
            remedy: gap.remedy,
        }
    }
}

impl From<v1::Gap> for model::Gap {
    fn from(gap: v1::Gap) -> Self {
        Self {
            subject: gap.subject,
            reason: gap.reason.parse().unwrap_or(model::Reason::Unreadable),
            detail: gap.detail,
            remedy: gap.remedy,
        }
    }
}

impl From<model::Posture> for v1::Posture {
    fn from(posture: model::Posture) -> Self {
        Self {
            host: Some(posture.host.into()),
            observed_at: Some(timestamp_to_wire(posture.observed_at)),
            services: posture.services.into_iter().map(Into::into).collect(),
            paths: posture.paths.into_iter().map(Into::into).collect(),
            keystores: posture.keystores.into_iter().map(Into::into).collect(),
            repositories: posture.repositories.into_iter().map(Into::into).collect(),
            findings: posture.findings.into_iter().map(Into::into).collect(),
            gaps: posture.gaps.into_iter().map(Into::into).collect(),
            catalogue_version: posture.catalogue_version,
        }
    }
}

/// A posture from the bytes of its wire form.
pub fn posture_from_bytes(bytes: &[u8]) -> Result<model::Posture, InvalidField> {
    use prost::Message as _;
    v1::Posture::decode(bytes)
        .map_err(|_| InvalidField { field: "posture", why: "not a posture" })?
        .try_into()
}

impl TryFrom<v1::Posture> for model::Posture {
    type Error = InvalidField;

    fn try_from(posture: v1::Posture) -> Result<Self, InvalidField> {
        Ok(Self {
            host: posture.host.ok_or(InvalidField { field: "host", why: "missing" })?.into(),
            observed_at: timestamp_from_wire(posture.observed_at, "observed_at")?,
            services: posture.services.into_iter().map(Into::into).collect(),
            paths: posture.paths.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            keystores: posture.keystores.into_iter().map(Into::into).collect(),
            repositories: posture.repositories.into_iter().map(Into::into).collect(),
            findings: posture
                .findings
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
            gaps: posture.gaps.into_iter().map(Into::into).collect(),
            catalogue_version: posture.catalogue_version,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn layer(name: &str, children: Vec<model::Layer>) -> model::Layer {
        model::Layer {
            kind: "dm-linear".to_owned(),
            name: name.to_owned(),
            major_minor: Some("254:0".to_owned()),
            detail: BTreeMap::from([("fstype".to_owned(), "ext4".to_owned())]),
            repeated_above: false,
            children,
        }
    }

    fn path() -> model::PathPosture {
        model::PathPosture {
            asset: "data:/srv/es".to_owned(),
            path: "/srv/es".to_owned(),
            resolved: Some("/srv/es".to_owned()),
            usage: model::Use::Data,
            service: None,
            verdict: model::Verdict::Partial,
            reasons: vec![model::Reason::PlainDevice],
            plain: vec![model::PlainLeg {
                device: "/dev/sdb".to_owned(),
                via: vec!["/dev/mapper/vg-es".to_owned()],
                reason: model::Reason::PlainDevice,
            }],
            encrypted_by: Vec::new(),
            claimed_by: Vec::new(),
            undecided: vec![model::Undecided {
                reason: model::Reason::Timeout,
                detail: "no answer".to_owned(),
            }],
            stack: vec![layer("a", vec![layer("b", vec![layer("c", vec![])]), layer("d", vec![])])],
            nearest: None,
        }
    }

    #[test]
    fn a_path_round_trips_with_its_stack() {
        let wire = v1::PathPosture::from(path());
        assert_eq!(model::PathPosture::try_from(wire), Ok(path()));
    }

    #[test]
    fn a_severity_that_is_not_known_makes_a_failure_no_smaller() {
        let severity = |severity: i32, outcome: v1::Outcome| {
            let finding = v1::Finding {
                check: "c".to_owned(),
                asset: "a".to_owned(),
                severity,
                outcome: outcome.into(),
                ..v1::Finding::default()
            };
            model::Finding::try_from(finding).unwrap().severity
        };
        for unknown in [0, 999] {
            assert_eq!(severity(unknown, v1::Outcome::Fail), model::Severity::High);
            assert_eq!(severity(unknown, v1::Outcome::Pass), model::Severity::Info);
        }
        let low = v1::Severity::Low.into();
        assert_eq!(severity(low, v1::Outcome::Fail), model::Severity::Low);
    }

    #[test]
    fn a_cycle_or_a_shared_child_is_refused() {
        let mut wire = v1::PathPosture::from(path());
        wire.layers[2].children = vec![0];
        assert!(model::PathPosture::try_from(wire).is_err());
        let mut wire = v1::PathPosture::from(path());
        wire.layers[0].children.push(2);
        assert!(model::PathPosture::try_from(wire).is_err());
    }

    #[test]
    fn a_deep_stack_is_refused_before_the_call_stack_is() {
        let mut wire = v1::PathPosture::from(path());
        wire.layers = (0..10_000_u32)
            .map(|at| v1::Layer { children: vec![at + 1], ..v1::Layer::default() })
            .collect();
        wire.roots = vec![0];
        assert_eq!(model::PathPosture::try_from(wire).unwrap_err().why, "nested too deeply");
    }

    #[test]
    fn words_of_a_newer_version_never_become_a_pass() {
        let mut wire = v1::PathPosture::from(path());
        wire.verdict = 99;
        wire.reasons = vec!["from_the_future".to_owned()];
        let back = model::PathPosture::try_from(wire).unwrap();
        assert_eq!(back.verdict, model::Verdict::Unknown);
        assert_eq!(back.reasons, [model::Reason::Unreadable]);
    }
}
