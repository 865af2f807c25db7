//! Wire messages to what the server works with, and back. What comes from outside is bounded here.

mod alerts;
mod membership;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use atrest_proto::convert::{timestamp_from_wire, timestamp_to_wire};
use atrest_proto::{digest, model, v1};
use jiff::Timestamp;
use subtle::ConstantTimeEq as _;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

use crate::access::{Account, Operator, Role};
use crate::audit::{Entry, Outcome};
use crate::authority::Authority;
use crate::enrollment::Token;
use crate::fleet::clash::Machine;
use crate::fleet::cluster::KeystoreFacts;
use crate::fleet::roster::Counts;
use crate::fleet::vouching::{self, Directory, Offer, Words};
use crate::fleet::{Digest, NodeState, duty, outline};
use crate::hub::Incoming;
use crate::labels::GroupBy;
use crate::store::{Exposure, FindingRow, HostRow};

use alerts::alert_end;
pub(super) use alerts::{alert, alert_filter, dead_letter};
pub(super) use membership::{membership, search_cluster};

/// The most findings of one report: a node has dozens.
const MAX_FINDINGS: usize = 10_000;
/// The longest fact about a host; a host name has 253 characters at most.
const MAX_FACT: usize = 256;

pub(super) fn time(at: Timestamp) -> prost_types::Timestamp {
    timestamp_to_wire(at)
}

pub(super) fn timestamp(
    at: prost_types::Timestamp,
    field: &'static str,
) -> Result<Timestamp, Status> {
    timestamp_from_wire(Some(at), field)
        .map_err(|error| Status::invalid_argument(error.to_string()))
}

pub(super) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

/// What agents are to trust, each DER.
pub(super) fn authorities(authority: &Authority) -> Vec<Vec<u8>> {
    authority.authorities().iter().map(|one| one.to_vec()).collect()
}

/// A host must have a name, and all it says of itself must be short.
pub(super) fn check_host(host: &model::Host) -> Result<(), Status> {
    if host.hostname.is_empty() {
        return Err(Status::invalid_argument("field `host.hostname` is empty"));
    }
    let model::Host {
        hostname,
        machine_fingerprint,
        os,
        kernel,
        architecture,
        boot_id,
        agent_version,
    } = host;
    let facts = [hostname, machine_fingerprint, os, kernel, architecture, boot_id, agent_version];
    if facts.iter().any(|fact| fact.len() > MAX_FACT) {
        return Err(Status::invalid_argument("a field of `host` is too long"));
    }
    if facts.iter().any(|fact| fact.chars().any(char::is_control)) {
        return Err(Status::invalid_argument("a field of `host` holds control characters"));
    }
    Ok(())
}

/// A name for people, cut to a length that is bearable.
pub(super) fn short(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(MAX_FACT).collect()
}

/// What a host shares.
pub(super) fn shares(shares: v1::Shares) -> Result<BTreeSet<duty::Key>, Status> {
    if shares.keys.len() > duty::MAX_SHARES {
        return Err(Status::invalid_argument("field `keys` has too many items"));
    }
    let keys = shares.keys.into_iter().map(duty::Key::try_from).collect::<Result<_, _>>();
    keys.map_err(|_| Status::invalid_argument("field `keys` holds what is not 32 bytes"))
}

/// What a host lends.
pub(super) fn exports(exports: v1::Exports) -> Result<Offer, Status> {
    let v1::Exports { exports, addresses } = exports;
    if exports.len() > vouching::MAX_DIRECTORIES || addresses.len() > vouching::MAX_ADDRESSES {
        return Err(Status::invalid_argument("a field of `exports` has too many items"));
    }
    let exports = exports.into_iter().map(|export| {
        let verdict = v1::Verdict::try_from(export.verdict);
        Ok((path(export.path)?, verdict.map_or(model::Verdict::Unknown, Into::into)))
    });
    let addresses = addresses.iter().map(|bytes| address(bytes));
    Ok(Offer {
        exports: exports.collect::<Result<_, Status>>()?,
        addresses: addresses.collect::<Result<_, Status>>()?,
    })
}

/// What it has mounted of others.
pub(super) fn remote_directories(
    directories: v1::RemoteDirectories,
) -> Result<BTreeSet<Directory>, Status> {
    let v1::RemoteDirectories { directories } = directories;
    if directories.len() > vouching::MAX_DIRECTORIES {
        return Err(Status::invalid_argument("field `directories` has too many items"));
    }
    let one = |directory: v1::RemoteDirectory| {
        Ok(Directory { address: address(&directory.address)?, path: path(directory.path)? })
    };
    directories.into_iter().map(one).collect()
}

/// What a host is told of the directories that it has mounted.
pub(super) fn vouches(words: Words) -> Vec<v1::Vouch> {
    let said = words.vouches.into_iter().map(|vouch| v1::Vouch {
        directory: Some(remote_directory(vouch.directory)),
        hostname: vouch.hostname,
        verdict: v1::Verdict::from(vouch.verdict).into(),
    });
    let withdrawn = words.withdrawn.into_iter().map(|directory| v1::Vouch {
        directory: Some(remote_directory(directory)),
        ..v1::Vouch::default()
    });
    said.chain(withdrawn).collect()
}

fn remote_directory(directory: Directory) -> v1::RemoteDirectory {
    let address = match directory.address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    v1::RemoteDirectory { address, path: directory.path }
}

fn address(bytes: &[u8]) -> Result<IpAddr, Status> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .map_err(|_| Status::invalid_argument("an address is of 4 or 16 bytes"))
}

/// `PATH_MAX` of Linux.
fn path(path: Vec<u8>) -> Result<Vec<u8>, Status> {
    if path.len() > 4096 || !path.starts_with(b"/") {
        return Err(Status::invalid_argument("a path is absolute and of 4096 bytes at most"));
    }
    Ok(path)
}

/// The machine behind a stream, as it says of itself. An old agent says nothing.
pub(super) fn machine(host: Option<&v1::Host>, address: String) -> Result<Machine, Status> {
    let Some(host) = host else { return Ok(Machine { address, ..Machine::default() }) };
    let facts = [&host.hostname, &host.machine_fingerprint, &host.boot_id, &host.agent_version];
    if facts.iter().any(|fact| fact.len() > MAX_FACT || fact.chars().any(char::is_control)) {
        return Err(Status::invalid_argument("a field of `host` is too long or not plain text"));
    }
    Ok(Machine {
        hostname: host.hostname.clone(),
        fingerprint: host.machine_fingerprint.clone(),
        boot_id: host.boot_id.clone(),
        address,
    })
}

/// A report, checked and made ready, and what is compared of it with those of other hosts.
pub(super) fn incoming(
    report: v1::Report,
    place: Option<OwnedSemaphorePermit>,
) -> Result<(Incoming, BTreeSet<KeystoreFacts>), Status> {
    let v1::Report { sequence, digest: claimed, posture } = report;
    // The store's numbers are signed.
    if sequence == 0 || i64::try_from(sequence).is_err() {
        return Err(Status::invalid_argument("field `sequence` is out of range"));
    }
    let mut posture =
        posture.ok_or_else(|| Status::invalid_argument("field `posture` is missing"))?;
    if posture.findings.len() > MAX_FINDINGS {
        return Err(Status::invalid_argument("field `findings` has too many items"));
    }
    let (computed, kept): (Digest, _) = digest::encoded(&mut posture);
    if !bool::from(computed.as_slice().ct_eq(&claimed)) {
        return Err(Status::invalid_argument("the digest is not that of the posture"));
    }
    let posture = model::Posture::try_from(posture)
        .map_err(|error| Status::invalid_argument(format!("posture: {error}")))?;
    check_host(&posture.host)?;
    let keystores = KeystoreFacts::of(&posture);
    let outline = outline(&posture);
    let incoming =
        Incoming { sequence, digest: computed, outline, posture, bytes: kept.into(), place };
    Ok((incoming, keystores))
}

pub(super) fn node_state(state: NodeState) -> v1::NodeState {
    match state {
        NodeState::Encrypted => v1::NodeState::Encrypted,
        NodeState::Partial => v1::NodeState::Partial,
        NodeState::Unencrypted => v1::NodeState::Unencrypted,
        NodeState::Claimed => v1::NodeState::Claimed,
        NodeState::Unknown => v1::NodeState::Unknown,
        NodeState::Stale => v1::NodeState::Stale,
        NodeState::Revoked => v1::NodeState::Revoked,
    }
}

pub(super) fn counts(counts: Counts) -> v1::GetFleetStatusResponse {
    v1::GetFleetStatusResponse {
        enrolled: counts.enrolled,
        encrypted: counts.of(NodeState::Encrypted),
        partial: counts.of(NodeState::Partial),
        unencrypted: counts.of(NodeState::Unencrypted),
        claimed: counts.of(NodeState::Claimed),
        unknown: counts.of(NodeState::Unknown),
        stale: counts.of(NodeState::Stale),
        failing_findings: counts.failing,
        firing_alerts: counts.firing,
        connected: counts.connected,
        revoked: counts.revoked,
        groups: Vec::new(),
        search_clusters: Vec::new(),
    }
}

/// What to count by; `None` when nothing was said.
pub(super) fn group_by(text: &str) -> Result<Option<GroupBy>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let by = GroupBy::parse(text);
    by.map(Some).ok_or_else(|| {
        Status::invalid_argument("field `group_by` is neither `cluster` nor `label:KEY`")
    })
}

/// A state to filter by; `None` when none was given.
pub(super) fn state_filter(state: i32) -> Result<Option<NodeState>, Status> {
    match v1::NodeState::try_from(state) {
        Ok(v1::NodeState::Unspecified) => Ok(None),
        Ok(v1::NodeState::Encrypted) => Ok(Some(NodeState::Encrypted)),
        Ok(v1::NodeState::Partial) => Ok(Some(NodeState::Partial)),
        Ok(v1::NodeState::Unencrypted) => Ok(Some(NodeState::Unencrypted)),
        Ok(v1::NodeState::Claimed) => Ok(Some(NodeState::Claimed)),
        Ok(v1::NodeState::Unknown) => Ok(Some(NodeState::Unknown)),
        Ok(v1::NodeState::Stale) => Ok(Some(NodeState::Stale)),
        Ok(v1::NodeState::Revoked) => Ok(Some(NodeState::Revoked)),
        Err(_) => Err(Status::invalid_argument("field `state` is not a state of a node")),
    }
}

/// An outcome to filter by; `None` when none was given.
pub(super) fn outcome_filter(outcome: i32) -> Result<Option<model::Outcome>, Status> {
    match v1::Outcome::try_from(outcome) {
        Ok(v1::Outcome::Unspecified) => Ok(None),
        Ok(outcome) => Ok(Some(outcome.into())),
        Err(_) => Err(Status::invalid_argument("field `outcome` is not an outcome")),
    }
}

pub(super) fn node(row: HostRow, connected: bool) -> v1::Node {
    let revoked_at = row.revocation.as_ref().map(|revocation| time(revocation.at));
    let (revoked_by, revoked_reason) =
        row.revocation.map(|revocation| (revocation.by, revocation.reason)).unwrap_or_default();
    v1::Node {
        host_id: row.host_id.as_str().to_owned(),
        hostname: row.hostname,
        state: node_state(row.state).into(),
        enrolled_at: Some(time(row.enrolled_at)),
        last_seen_at: Some(time(row.last_seen_at)),
        observed_at: row.observed_at.map(time),
        sequence: row.sequence,
        failing_findings: row.failing,
        cluster: row.cluster,
        connected,
        agent_version: row.agent_version,
        labels: row.labels,
        revoked_at,
        revoked_by,
        revoked_reason,
    }
}

pub(super) fn finding(row: FindingRow) -> v1::FleetFinding {
    v1::FleetFinding {
        host_id: row.host_id.as_str().to_owned(),
        hostname: row.hostname,
        finding: Some(row.finding.into()),
        first_seen_at: Some(time(row.first_seen_at)),
        changed_at: Some(time(row.changed_at)),
        opened_at: row.opened_at.map(time),
        absent_since: row.absent_since.map(time),
        retired_at: row.retired_at.map(time),
    }
}

pub(super) fn exposure(row: Exposure) -> v1::Exposure {
    v1::Exposure {
        host_id: row.host_id.as_str().to_owned(),
        hostname: row.hostname,
        check: row.check,
        asset: row.asset,
        episode: row.episode,
        opened_at: Some(time(row.opened_at)),
        told_at: Some(time(row.told_at)),
        ended_at: row.ended.map(|(at, _)| time(at)),
        end: row.ended.map_or(v1::AlertEnd::Unspecified, |(_, end)| alert_end(end)).into(),
        absent_at: row.absent_at.map(time),
    }
}

pub(super) fn token(token: Token) -> v1::Token {
    v1::Token {
        token_id: token.token_id,
        cluster: token.cluster,
        uses_left: token.uses_left,
        created_at: Some(time(token.created_at)),
        expires_at: Some(time(token.expires_at)),
        revoked: token.revoked_at.is_some(),
        replaces: token.replaces.map(|host| host.as_str().to_owned()).unwrap_or_default(),
        labels: token.labels,
    }
}

/// A role to be given.
pub(super) fn role(role: i32) -> Result<Role, Status> {
    match v1::OperatorRole::try_from(role) {
        Ok(v1::OperatorRole::Viewer) => Ok(Role::Viewer),
        Ok(v1::OperatorRole::Operator) => Ok(Role::Operator),
        Ok(v1::OperatorRole::Admin) => Ok(Role::Admin),
        Ok(v1::OperatorRole::Unspecified) | Err(_) => {
            Err(Status::invalid_argument("field `role` is not viewer, operator or admin"))
        }
    }
}

const fn role_to_wire(role: Role) -> v1::OperatorRole {
    match role {
        Role::Viewer => v1::OperatorRole::Viewer,
        Role::Operator => v1::OperatorRole::Operator,
        Role::Admin => v1::OperatorRole::Admin,
    }
}

/// An operator that an admin made, without what it calls with.
pub(super) fn operator(account: Account) -> v1::Operator {
    v1::Operator {
        operator_id: account.operator_id,
        name: account.name,
        role: role_to_wire(account.role).into(),
        created_at: Some(time(account.created_at)),
        created_by: account.created_by,
        expires_at: account.expires_at.map(time),
        revoked_at: account.revoked_at.map(time),
        configured: false,
    }
}

pub(super) fn configured_operator(operator: &Operator) -> v1::Operator {
    v1::Operator {
        name: operator.name.clone(),
        role: role_to_wire(operator.role).into(),
        expires_at: operator.expires_at.map(time),
        configured: true,
        ..v1::Operator::default()
    }
}

pub(super) fn audit_entry(entry: Entry) -> v1::AuditEntry {
    let outcome = match entry.outcome {
        Outcome::Done => v1::AuditOutcome::Done,
        Outcome::Denied => v1::AuditOutcome::Denied,
        Outcome::Failed => v1::AuditOutcome::Failed,
    };
    v1::AuditEntry {
        at: Some(time(entry.at)),
        operator: entry.operator,
        role: entry.role.map_or(v1::OperatorRole::Unspecified, role_to_wire).into(),
        rpc: entry.rpc,
        object: entry.object,
        address: entry.address,
        outcome: outcome.into(),
        detail: entry.detail,
        count: entry.count,
    }
}
