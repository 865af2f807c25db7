//! A change of one host: its present state out, what was decided in, in the writer's transaction.

use std::collections::BTreeMap;

use atrest_proto::model::Host;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};

use super::findings::{self, Text};
use super::rows::{Columns, json, number, time};
use super::{alerts, tokens};
use crate::fleet::roster::Standing;
use crate::fleet::{HostId, HostState, NodeState};
use crate::store::{Change, Repeat, Repeated, Revocation, Step, StoreError};

pub(super) fn run(
    connection: &Connection,
    host: &HostId,
    step: Step,
) -> Result<Option<Standing>, StoreError> {
    let fail = |source| StoreError::of("change a host", source);
    let (row, state) = load(connection, host)
        .map_err(fail)?
        .ok_or_else(|| StoreError::NoSuchHost(host.clone()))?;
    if state.revoked_at.is_some() {
        return Err(StoreError::Revoked(host.clone()));
    }
    let before = Listed::of(&state);
    let Some(change) = step(state) else { return Ok(None) };
    write(connection, row, &before, &change).map_err(fail).map(Some)
}

pub(super) fn repeat(
    connection: &Connection,
    host: &HostId,
    repeat: &Repeat,
) -> Result<Repeated, StoreError> {
    let all = || {
        let found = connection
            .prepare_cached(
                "SELECT id, revision, verdict, silent, failing, firing, sequence, outline,
                   revoked_at IS NOT NULL FROM hosts WHERE host_id = ?1",
            )?
            .query_row([host.as_str()], |row| {
                let mut columns = Columns::of(row);
                let id: i64 = columns.get()?;
                let standing = Standing {
                    revision: columns.number()?.saturating_add(1),
                    verdict: columns.word()?,
                    silent: columns.get()?,
                    failing: columns.get()?,
                    firing: columns.get()?,
                    sequence: columns.number()?,
                    digest: Some(repeat.digest),
                    outline: columns.maybe_bytes()?,
                    revoked: columns.get()?,
                };
                Ok((id, standing))
            })
            .optional()?;
        let Some((id, mut standing)) = found else {
            return Ok(Err(StoreError::NoSuchHost(host.clone())));
        };
        if standing.revoked {
            return Ok(Err(StoreError::Revoked(host.clone())));
        }
        if repeat.sequence <= standing.sequence {
            return Ok(Ok(Repeated::Before));
        }
        if standing.outline != Some(repeat.outline) {
            return Ok(Ok(Repeated::Differs));
        }
        standing.sequence = repeat.sequence;
        update(connection, id, &standing, Some(repeat.observed_at), None)?;
        store_posture(connection, id, &repeat.posture)?;
        Ok(Ok(Repeated::Done(standing)))
    };
    all().map_err(|source| StoreError::of("repeat a report", source))?
}

pub(super) fn revoke(
    connection: &Connection,
    host: &HostId,
    revocation: &Revocation,
    step: Step,
) -> Result<Option<Standing>, StoreError> {
    let fail = |source| StoreError::of("revoke a host", source);
    let (row, state) = load(connection, host)
        .map_err(fail)?
        .ok_or_else(|| StoreError::NoSuchHost(host.clone()))?;
    if state.revoked_at.is_some() {
        return Ok(None);
    }
    let before = Listed::of(&state);
    let Some(change) = step(state) else { return Ok(None) };
    let all = || {
        let standing = write(connection, row, &before, &change)?;
        connection
            .prepare_cached("UPDATE hosts SET revoked_by = ?2, revoked_reason = ?3 WHERE id = ?1")?
            .execute((row, &revocation.by, &revocation.reason))?;
        tokens::revoke_replacing(connection, host, revocation.at)?;
        Ok(standing)
    };
    all().map(Some).map_err(fail)
}

fn load(
    connection: &Connection,
    host: &HostId,
) -> Result<Option<(i64, HostState)>, rusqlite::Error> {
    let found = connection
        .prepare_cached(
            "SELECT id, hostname, cluster, revision, sequence, digest, outline, verdict, revoked_at
             FROM hosts WHERE host_id = ?1",
        )?
        .query_row([host.as_str()], |row| {
            let mut columns = Columns::of(row);
            let id = columns.get()?;
            let state = HostState {
                host_id: host.clone(),
                hostname: columns.get()?,
                cluster: columns.get()?,
                revision: columns.number()?,
                sequence: columns.number()?,
                digest: columns.maybe_bytes()?,
                outline: columns.maybe_bytes()?,
                verdict: columns.word()?,
                revoked_at: columns.maybe_time()?,
                findings: BTreeMap::new(),
            };
            Ok((id, state))
        })
        .optional()?;
    let Some((id, mut state)) = found else { return Ok(None) };
    state.findings = findings::of_host(connection, id)?;
    Ok(Some((id, state)))
}

/// What hosts are listed by. Most changes leave it as it is, and then its indexes are not written.
#[derive(PartialEq, Eq)]
struct Listed {
    hostname: String,
    verdict: NodeState,
    silent: bool,
    revoked_at: Option<Timestamp>,
}

impl Listed {
    fn of(state: &HostState) -> Self {
        Self {
            hostname: state.hostname.clone(),
            verdict: state.verdict,
            silent: state.is_silent(),
            revoked_at: state.revoked_at,
        }
    }
}

fn write(
    connection: &Connection,
    host: i64,
    before: &Listed,
    change: &Change,
) -> Result<Standing, rusqlite::Error> {
    let state = &change.state;
    let standing = Standing {
        revision: state.revision,
        verdict: state.verdict,
        silent: state.is_silent(),
        revoked: state.revoked_at.is_some(),
        failing: state.failing(),
        firing: state.firing(),
        sequence: state.sequence,
        digest: state.digest,
        outline: state.outline,
    };
    let report = change.report.as_ref();
    update(
        connection,
        host,
        &standing,
        report.map(|report| report.observed_at),
        report.map(|report| &report.host),
    )?;
    let listed = Listed::of(state);
    if *before != listed {
        list(connection, host, &listed)?;
    }
    // While the posture before is still there: texts that the next one does not have are kept from it.
    let mut last = None;
    for (key, finding, body) in &change.findings {
        let text = match (finding.content, body) {
            (None, _) => Text::InPosture,
            (Some(_), Some(body)) => Text::Keep(body),
            (Some(_), None) => {
                if last.is_none() {
                    last = Some(findings::of_posture(connection, host)?);
                }
                last.as_ref().and_then(|said| said.get(key)).map_or(Text::AsItIs, Text::Keep)
            }
        };
        findings::put(connection, host, key, finding, text)?;
    }
    if let Some(report) = &change.report {
        store_posture(connection, host, &report.posture)?;
    }
    for key in &change.removed {
        findings::remove(connection, host, key)?;
    }
    for transition in &change.transitions {
        connection
            .prepare_cached(
                "INSERT INTO history (host, check_id, asset, episode, kind, at, told_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute((
                host,
                &transition.key.check,
                &transition.key.asset,
                transition.episode,
                transition.kind.as_str(),
                time(transition.at),
                time(change.at),
            ))?;
    }
    for alert in &change.alerts {
        alerts::put(connection, host, alert, &change.routes, change.at)?;
    }
    Ok(standing)
}

fn update(
    connection: &Connection,
    host: i64,
    standing: &Standing,
    observed_at: Option<Timestamp>,
    facts: Option<&Host>,
) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached(
            "UPDATE hosts SET revision = ?2, sequence = ?3, digest = ?4, failing = ?5, firing = ?6,
               observed_at = coalesce(?7, observed_at), facts = coalesce(?8, facts), outline = ?9
             WHERE id = ?1",
        )?
        .execute((
            host,
            number(standing.revision),
            number(standing.sequence),
            standing.digest,
            standing.failing,
            standing.firing,
            observed_at.map(time),
            facts.map(json).transpose()?,
            standing.outline,
        ))
        .map(drop)
}

fn list(connection: &Connection, host: i64, listed: &Listed) -> Result<(), rusqlite::Error> {
    let Listed { hostname, verdict, silent, revoked_at } = listed;
    let rank = NodeState::now(*verdict, *silent, revoked_at.is_some()).rank();
    connection
        .prepare_cached(
            "UPDATE hosts SET hostname = ?2, verdict = ?3, silent = ?4, revoked_at = ?5, rank = ?6
             WHERE id = ?1",
        )?
        .execute((host, hostname, verdict.as_str(), silent, revoked_at.map(time), rank))
        .map(drop)
}

fn store_posture(
    connection: &Connection,
    host: i64,
    posture: &[u8],
) -> Result<(), rusqlite::Error> {
    let updated = connection
        .prepare_cached("UPDATE postures SET body = ?2 WHERE host = ?1")?
        .execute((host, posture))?;
    if updated == 0 {
        connection
            .prepare_cached("INSERT INTO postures (host, body) VALUES (?1, ?2)")?
            .execute((host, posture))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Severity;

    use crate::store::sqlite::rows::severity;

    #[test]
    fn a_severity_keeps_its_order_in_the_database() {
        let ranks: Vec<_> = Severity::ALL.iter().map(|word| severity(*word)).collect();
        assert!(ranks.is_sorted());
    }
}
