//! Findings: the state of each, and its text where the posture of its host does not hold it.

use std::collections::BTreeMap;

use atrest_proto::convert::posture_from_bytes;
use atrest_proto::model::{Finding, Outcome, Severity};
use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use super::rows::{Columns, json, severity, time};
use crate::fleet::{Alerting, Body, Content, FindingKey, FindingState, bodies};
use crate::store::{FindingFilter, FindingRow, Page, PageRequest, StoreError};

/// The state of a host's findings, without their texts.
pub(super) fn of_host(
    connection: &Connection,
    host: i64,
) -> Result<BTreeMap<FindingKey, FindingState>, rusqlite::Error> {
    connection
        .prepare_cached(
            "SELECT check_id, asset, outcome, severity, content, first_seen_at, changed_at,
               opened_at, episode, alerting, alerted_severity, absent_since, retired_at
             FROM findings WHERE host = ?1",
        )?
        .query_map([host], |row| {
            let mut columns = Columns::of(row);
            let key = FindingKey { check: columns.get()?, asset: columns.get()? };
            let state = FindingState {
                outcome: columns.word::<Outcome>()?,
                severity: columns.severity()?,
                content: content(columns.get()?),
                first_seen_at: columns.time()?,
                changed_at: columns.time()?,
                opened_at: columns.maybe_time()?,
                episode: columns.get()?,
                alerting: alerting(&mut columns)?,
                absent_since: columns.maybe_time()?,
                retired_at: columns.maybe_time()?,
            };
            Ok((key, state))
        })?
        .collect()
}

/// The number of the alert that fires, 0 for none, and its severity.
fn alerting(columns: &mut Columns<'_, '_>) -> Result<Option<Alerting>, rusqlite::Error> {
    let (step, severity) = (columns.get()?, columns.severity()?);
    Ok((step > 0).then_some(Alerting { step, severity }))
}

/// None is an empty one, or one that is none.
fn content(bytes: Vec<u8>) -> Option<Content> {
    bytes.try_into().ok()
}

/// What becomes of the text that is kept with a finding.
#[derive(Debug, Clone, Copy)]
pub(super) enum Text<'a> {
    /// There is none: it is in the posture.
    InPosture,
    Keep(&'a Body),
    AsItIs,
}

pub(super) fn put(
    connection: &Connection,
    host: i64,
    key: &FindingKey,
    state: &FindingState,
    text: Text<'_>,
) -> Result<(), rusqlite::Error> {
    let (text, place) = match text {
        Text::InPosture => (Some(String::new()), Some(String::new())),
        Text::Keep(body) => (Some(json(&body.finding)?), Some(json(&body.place)?)),
        Text::AsItIs => (None, None),
    };
    connection
        .prepare_cached(
            "INSERT INTO findings (host, check_id, asset, outcome, severity, content,
               first_seen_at, changed_at, opened_at, episode, alerting, alerted_severity,
               absent_since, retired_at, body, place)
             VALUES (:host, :check, :asset, :outcome, :severity, :content,
               :first_seen_at, :changed_at, :opened_at, :episode, :alerting, :alerted_severity,
               :absent_since, :retired_at, coalesce(:body, ''), coalesce(:place, ''))
             ON CONFLICT (host, check_id, asset) DO UPDATE SET outcome = :outcome,
               severity = :severity, content = :content, first_seen_at = :first_seen_at,
               changed_at = :changed_at, opened_at = :opened_at, episode = :episode,
               alerting = :alerting, alerted_severity = :alerted_severity,
               absent_since = :absent_since, retired_at = :retired_at,
               body = coalesce(:body, body), place = coalesce(:place, place)",
        )?
        .execute(named_params! {
            ":host": host,
            ":check": key.check,
            ":asset": key.asset,
            ":outcome": state.outcome.as_str(),
            ":severity": severity(state.severity),
            ":content": state.content.as_ref().map_or(&[][..], |content| content),
            ":first_seen_at": time(state.first_seen_at),
            ":changed_at": time(state.changed_at),
            ":opened_at": state.opened_at.map(time),
            ":episode": state.episode,
            ":alerting": state.alerting.map_or(0, |told| told.step),
            ":alerted_severity": severity(state.alerting.map_or(Severity::Info, |told| told.severity)),
            ":absent_since": state.absent_since.map(time),
            ":retired_at": state.retired_at.map(time),
            ":body": text,
            ":place": place,
        })
        .map(drop)
}

pub(super) fn remove(
    connection: &Connection,
    host: i64,
    key: &FindingKey,
) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached("DELETE FROM findings WHERE host = ?1 AND check_id = ?2 AND asset = ?3")?
        .execute((host, &key.check, &key.asset))
        .map(drop)
}

/// The key of the list: the most severe first.
type Key = (i64, i64, String, String);

pub(super) fn list(
    connection: &Connection,
    filter: &FindingFilter,
    page: &PageRequest,
) -> Result<Page<FindingRow>, StoreError> {
    let after: Option<Key> = page.after()?;
    let (rank, host, check, asset) = match after {
        None => (None, None, None, None),
        Some((rank, host, check, asset)) => (Some(rank), Some(host), Some(check), Some(asset)),
    };
    // The planner uses the partial index only when its condition stands in the query as it is.
    let outcome = if filter.outcome.is_some() {
        "outcome = :outcome"
    } else {
        "(opened_at IS NOT NULL OR outcome IN ('fail', 'unknown')) AND :outcome IS NULL"
    };
    let untold = if filter.untold.is_some() {
        "opened_at IS NOT NULL AND NOT alerting AND severity >= :untold"
    } else {
        ":untold IS NULL"
    };
    let query = format!(
        "SELECT findings.host, host_id, hostname, check_id, asset, outcome, severity, body, place,
           first_seen_at, changed_at, opened_at, absent_since, retired_at, alerting
         FROM findings JOIN hosts ON hosts.id = findings.host
         WHERE {outcome} AND {untold}
           AND (:check IS NULL OR check_id = :check)
           AND (:node IS NULL OR host_id = :node OR hostname = :node)
           AND ((hosts.revoked_at IS NULL AND retired_at IS NULL)
             OR (hosts.revoked_at IS NOT NULL AND :node IS NOT NULL))
           AND (:rank IS NULL
             OR (-severity, findings.host, check_id, asset) > (-:rank, :host, :after_check, :asset))
         ORDER BY severity DESC, findings.host, check_id, asset LIMIT :limit"
    );
    let read = || {
        // Findings and postures of one moment.
        let moment = connection.unchecked_transaction()?;
        let mut rows = moment
            .prepare_cached(&query)?
            .query_map(
                named_params! {
                    ":outcome": filter.outcome.map(Outcome::as_str),
                    ":untold": filter.untold.map(severity),
                    ":check": filter.check,
                    ":node": filter.node,
                    ":rank": rank,
                    ":host": host,
                    ":after_check": check,
                    ":asset": asset,
                    ":limit": page.size().saturating_add(1),
                },
                finding,
            )?
            .collect::<Result<Vec<_>, rusqlite::Error>>()?;
        fill(&moment, &mut rows)?;
        Ok(rows)
    };
    let rows = read().map_err(|source| StoreError::of("list the findings", source))?;
    let page = Page::cut(rows, page.size(), |Listed { host, key, row, .. }| -> Key {
        (severity(row.finding.severity), *host, key.check.clone(), key.asset.clone())
    });
    Ok(Page { items: page.items.into_iter().map(|listed| listed.row).collect(), next: page.next })
}

/// A row of a list.
struct Listed {
    host: i64,
    key: FindingKey,
    row: FindingRow,
    /// Its text is yet to be read from the posture of its host.
    in_posture: bool,
}

/// Reads the texts that postures hold, each posture once.
fn fill(connection: &Connection, rows: &mut [Listed]) -> Result<(), rusqlite::Error> {
    let mut by_host = BTreeMap::<i64, Vec<&mut Listed>>::new();
    for listed in rows.iter_mut().filter(|listed| listed.in_posture) {
        by_host.entry(listed.host).or_default().push(listed);
    }
    for (host, rows) in by_host {
        let mut said = of_posture(connection, host)?;
        for listed in rows {
            if let Some(body) = said.remove(&listed.key) {
                listed.row.finding = body.finding;
                listed.row.place = body.place;
            }
        }
    }
    Ok(())
}

/// What the present posture of a host says. One that cannot be read says nothing: its findings are listed without texts.
pub(super) fn of_posture(
    connection: &Connection,
    host: i64,
) -> Result<BTreeMap<FindingKey, Body>, rusqlite::Error> {
    let bytes: Option<Vec<u8>> = connection
        .prepare_cached("SELECT body FROM postures WHERE host = ?1")?
        .query_row([host], |row| row.get(0))
        .optional()?;
    let posture = bytes.map(|bytes| posture_from_bytes(&bytes));
    Ok(match posture {
        Some(Ok(posture)) => bodies(posture.paths, posture.keystores, posture.findings),
        Some(Err(_)) | None => BTreeMap::new(),
    })
}

fn finding(row: &Row<'_>) -> Result<Listed, rusqlite::Error> {
    let mut columns = Columns::of(row);
    let host = columns.get()?;
    let (host_id, hostname) = (columns.host_id()?, columns.get()?);
    let key = FindingKey { check: columns.get()?, asset: columns.get()? };
    let mut finding = Finding {
        check: key.check.clone(),
        asset: key.asset.clone(),
        outcome: columns.word()?,
        severity: columns.severity()?,
        summary: String::new(),
        remedy: String::new(),
        reasons: Vec::new(),
        evidence: BTreeMap::new(),
        affects: Vec::new(),
    };
    let (text, place) = (columns.maybe_json()?, columns.maybe_json()?);
    let in_posture = text.is_none();
    if let Some(text) = text {
        finding = text;
    }
    let row = FindingRow {
        host_id,
        hostname,
        finding,
        place: place.unwrap_or_default(),
        first_seen_at: columns.time()?,
        changed_at: columns.time()?,
        opened_at: columns.maybe_time()?,
        absent_since: columns.maybe_time()?,
        retired_at: columns.maybe_time()?,
        alerting: columns.get()?,
    };
    Ok(Listed { host, key, row, in_posture })
}
