//! A change of one host: its present state out, what was decided in, in the writer's transaction.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::rows::{Columns, json, number, time};
use super::{alerts, findings, tokens};
use crate::fleet::roster::Standing;
use crate::fleet::{HostId, HostState, NodeState};
use crate::store::{Change, Revocation, Step, StoreError, StoredReport};

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
    let Some(change) = step(state) else { return Ok(None) };
    write(connection, row, &change).map_err(fail).map(Some)
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
    let Some(change) = step(state) else { return Ok(None) };
    let all = || {
        let standing = write(connection, row, &change)?;
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
            "SELECT id, hostname, cluster, revision, sequence, digest, verdict, revoked_at
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

fn write(connection: &Connection, host: i64, change: &Change) -> Result<Standing, rusqlite::Error> {
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
    };
    update(connection, host, state, &standing)?;
    if let Some(report) = &change.report {
        store_report(connection, host, report)?;
    }
    for (key, finding, body) in &change.findings {
        findings::put(connection, host, key, finding, body.as_ref())?;
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
    state: &HostState,
    standing: &Standing,
) -> Result<(), rusqlite::Error> {
    let present: NodeState = standing.state();
    connection
        .prepare_cached(
            "UPDATE hosts SET hostname = :hostname, revision = :revision, sequence = :sequence,
               digest = :digest, verdict = :verdict, silent = :silent, rank = :rank,
               failing = :failing, firing = :firing, revoked_at = :revoked_at
             WHERE id = :id",
        )?
        .execute(named_params! {
            ":id": host,
            ":hostname": state.hostname,
            ":revision": number(standing.revision),
            ":sequence": number(standing.sequence),
            ":digest": standing.digest,
            ":verdict": standing.verdict.as_str(),
            ":silent": standing.silent,
            ":rank": present.rank(),
            ":failing": standing.failing,
            ":firing": standing.firing,
            ":revoked_at": state.revoked_at.map(time),
        })
        .map(drop)
}

fn store_report(
    connection: &Connection,
    host: i64,
    report: &StoredReport,
) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached("UPDATE hosts SET observed_at = ?2, facts = ?3 WHERE id = ?1")?
        .execute((host, time(report.observed_at), json(&report.host)?))?;
    connection
        .prepare_cached(
            "INSERT INTO postures (host, body) VALUES (?1, ?2)
             ON CONFLICT (host) DO UPDATE SET body = ?2",
        )?
        .execute((host, &report.posture))
        .map(drop)
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
