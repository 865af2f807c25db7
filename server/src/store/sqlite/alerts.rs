//! Alerts: written with the change that they follow from, listed, and acknowledged.

use jiff::Timestamp;
use rusqlite::{Connection, named_params};

use super::outbox;
use super::rows::{Columns, json, time};
use crate::alert::{Ack, Alert, AlertChange, AlertEnd, AlertState, Routes};
use crate::store::{AlertRow, Page, PageRequest, StoreError};

/// Writes an alert, and a message for each notifier that is to be told, unless that was done before.
pub(super) fn put(
    connection: &Connection,
    host: i64,
    change: &AlertChange,
    routes: &Routes,
    at: Timestamp,
) -> Result<(), rusqlite::Error> {
    match change {
        AlertChange::Fire(alert) => {
            fire(connection, host, alert)?;
            outbox::fire(connection, host, alert, routes, at)
        }
        AlertChange::Resolve { alert_id, ended_at, end } => {
            connection
                .prepare_cached(
                    "UPDATE alerts SET ended_at = ?2, end_reason = ?3, over_at = ?4
                     WHERE alert_id = ?1 AND ended_at IS NULL",
                )?
                .execute((alert_id, time(*ended_at), end.as_str(), time(at)))?;
            outbox::resolve(connection, alert_id, routes, at)
        }
    }
}

fn fire(connection: &Connection, host: i64, alert: &Alert) -> Result<usize, rusqlite::Error> {
    connection
        .prepare_cached(
            "INSERT INTO alerts (alert_id, host, hostname, cluster, finding, path, devices,
               episode, started_at, ended_at, end_reason)
             VALUES (:alert_id, :host, :hostname, :cluster, :finding, :path, :devices,
               :episode, :started_at, :ended_at, :end)
             ON CONFLICT DO NOTHING",
        )?
        .execute(named_params! {
            ":alert_id": alert.alert_id,
            ":host": host,
            ":hostname": alert.hostname,
            ":cluster": alert.cluster,
            ":finding": json(&alert.finding)?,
            ":path": alert.path,
            ":devices": json(&alert.devices)?,
            ":episode": alert.episode,
            ":started_at": time(alert.started_at),
            ":ended_at": alert.ended_at.map(time),
            ":end": alert.end.map(AlertEnd::as_str),
        })
}

pub(super) const ALERT: &str =
    "alerts.id, alert_id, host_id, alerts.hostname, alerts.cluster, finding, path,
  devices, episode, started_at, ended_at, end_reason";

pub(super) fn alert(columns: &mut Columns<'_, '_>) -> Result<(i64, Alert), rusqlite::Error> {
    let id = columns.get()?;
    let alert = Alert {
        alert_id: columns.get()?,
        host_id: columns.get()?,
        hostname: columns.get()?,
        cluster: columns.get()?,
        finding: columns.json()?,
        path: columns.get()?,
        devices: columns.json()?,
        episode: columns.get()?,
        started_at: columns.time()?,
        ended_at: columns.maybe_time()?,
        end: columns.maybe_word()?,
    };
    Ok((id, alert))
}

const ACK: &str = "ack_at, ack_by, ack_comment, ack_until";

fn ack(columns: &mut Columns<'_, '_>) -> Result<Option<Ack>, rusqlite::Error> {
    let Some(at) = columns.maybe_time()? else { return Ok(None) };
    let (by, comment) = (columns.get()?, columns.get()?);
    Ok(Some(Ack { at, by, comment, until: columns.maybe_time()? }))
}

/// Alerts with what became of telling them: `WHERE` and what follows it.
fn read(
    connection: &Connection,
    which: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<(i64, AlertRow)>, rusqlite::Error> {
    let query = format!(
        "SELECT {ALERT}, {ACK} FROM alerts JOIN hosts ON hosts.id = alerts.host WHERE {which}"
    );
    let alerts: Vec<(i64, Alert, Option<Ack>)> = connection
        .prepare_cached(&query)?
        .query_map(parameters, |row| {
            let mut columns = Columns::of(row);
            let (id, alert) = alert(&mut columns)?;
            Ok((id, alert, ack(&mut columns)?))
        })?
        .collect::<Result<_, _>>()?;
    alerts
        .into_iter()
        .map(|(id, alert, ack)| {
            Ok((id, AlertRow { alert, ack, deliveries: outbox::of_alert(connection, id)? }))
        })
        .collect()
}

pub(super) fn list(
    connection: &Connection,
    state: AlertState,
    page: &PageRequest,
) -> Result<Page<AlertRow>, StoreError> {
    let before: Option<i64> = page.after()?;
    let ended = match state {
        AlertState::Firing => "ended_at IS NULL",
        AlertState::Resolved => "ended_at IS NOT NULL",
    };
    let which =
        format!("{ended} AND (?1 IS NULL OR alerts.id < ?1) ORDER BY alerts.id DESC LIMIT ?2");
    let rows = read(connection, &which, (before, page.size().saturating_add(1)))
        .map_err(|source| StoreError::of("list the alerts", source))?;
    let page = Page::cut(rows, page.size(), |(id, _)| *id);
    Ok(Page { items: page.items.into_iter().map(|(_, row)| row).collect(), next: page.next })
}

/// Alerts whose id begins so, at most two: whether it is one, is what matters.
pub(super) fn find(connection: &Connection, prefix: &str) -> Result<Vec<AlertRow>, StoreError> {
    // Between the prefix and the first text that comes after all that begin with it: by the index.
    let which = "alert_id >= ?1 AND alert_id < ?1 || char(0x10ffff) LIMIT 2";
    let rows = read(connection, which, [prefix])
        .map_err(|source| StoreError::of("look for an alert", source))?;
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// Whether there is such an alert, and it is firing.
pub(super) fn acknowledge(
    connection: &Connection,
    alert_id: &str,
    ack: &Ack,
) -> Result<bool, StoreError> {
    connection
        .prepare_cached(
            "UPDATE alerts SET ack_at = ?2, ack_by = ?3, ack_comment = ?4, ack_until = ?5
             WHERE alert_id = ?1 AND ended_at IS NULL",
        )
        .and_then(|mut update| {
            update.execute((alert_id, time(ack.at), &ack.by, &ack.comment, ack.until.map(time)))
        })
        .map(|rows| rows > 0)
        .map_err(|source| StoreError::of("acknowledge an alert", source))
}
