//! Alerts, and the outbox of what is to be told.

use jiff::Timestamp;
use rusqlite::{Connection, Row, named_params};

use super::rows::{Columns, json, time};
use crate::alert::{Alert, AlertChange, AlertEnd, AlertState};
use crate::store::{
    AlertRow, Attempt, DeliveryRow, DeliveryStatus, Due, DueDelivery, Page, PageRequest, StoreError,
};

/// Writes an alert, and a message for each notifier, unless that was done before.
pub(super) fn put(
    connection: &Connection,
    host: i64,
    change: &AlertChange,
    notifiers: &[String],
    at: Timestamp,
) -> Result<(), rusqlite::Error> {
    match change {
        AlertChange::Fire(alert) => fire(connection, host, alert)?,
        AlertChange::Resolve { alert_id, ended_at, end } => connection
            .prepare_cached(
                "UPDATE alerts SET ended_at = ?2, end_reason = ?3, over_at = ?4
                 WHERE alert_id = ?1 AND ended_at IS NULL",
            )?
            .execute((alert_id, time(*ended_at), end.as_str(), time(at)))?,
    };
    for notifier in notifiers {
        connection
            .prepare_cached(
                "INSERT INTO deliveries (alert, notifier, state, next_at)
                 SELECT id, ?2, ?3, ?4 FROM alerts WHERE alert_id = ?1
                 ON CONFLICT DO NOTHING",
            )?
            .execute((change.alert_id(), notifier, change.state().as_str(), time(at)))?;
    }
    Ok(())
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

const ALERT: &str = "alerts.id, alert_id, host_id, alerts.hostname, alerts.cluster, finding, path,
  devices, episode, started_at, ended_at, end_reason";

fn alert(columns: &mut Columns<'_, '_>) -> Result<(i64, Alert), rusqlite::Error> {
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
    let query = format!(
        "SELECT {ALERT} FROM alerts JOIN hosts ON hosts.id = alerts.host
         WHERE {ended} AND (?1 IS NULL OR alerts.id < ?1) ORDER BY alerts.id DESC LIMIT ?2"
    );
    let read = || {
        let alerts: Vec<(i64, Alert)> = connection
            .prepare_cached(&query)?
            .query_map((before, page.size().saturating_add(1)), |row| alert(&mut Columns::of(row)))?
            .collect::<Result<_, _>>()?;
        alerts
            .into_iter()
            .map(|(id, alert)| {
                let deliveries = deliveries(connection, id)?;
                Ok((id, AlertRow { alert, deliveries }))
            })
            .collect::<Result<Vec<_>, rusqlite::Error>>()
    };
    let rows = read().map_err(|source| StoreError::of("list the alerts", source))?;
    let page = Page::cut(rows, page.size(), |(id, _)| *id);
    Ok(Page { items: page.items.into_iter().map(|(_, row)| row).collect(), next: page.next })
}

fn deliveries(connection: &Connection, alert: i64) -> Result<Vec<DeliveryRow>, rusqlite::Error> {
    connection
        .prepare_cached(
            "SELECT notifier, state, status, attempts, last_error, delivered_at
             FROM deliveries WHERE alert = ?1 ORDER BY delivery_id",
        )?
        .query_map([alert], |row| {
            let mut columns = Columns::of(row);
            Ok(DeliveryRow {
                notifier: columns.get()?,
                state: state(&mut columns)?,
                status: status(&mut columns)?,
                attempts: columns.get()?,
                last_error: columns.get()?,
                delivered_at: columns.maybe_time()?,
            })
        })?
        .collect()
}

fn state(columns: &mut Columns<'_, '_>) -> Result<AlertState, rusqlite::Error> {
    Ok(if columns.get::<String>()? == AlertState::Firing.as_str() {
        AlertState::Firing
    } else {
        AlertState::Resolved
    })
}

fn status(columns: &mut Columns<'_, '_>) -> Result<DeliveryStatus, rusqlite::Error> {
    let word: String = columns.get()?;
    Ok(if word == DeliveryStatus::Delivered.as_str() {
        DeliveryStatus::Delivered
    } else if word == DeliveryStatus::Failed.as_str() {
        DeliveryStatus::Failed
    } else {
        DeliveryStatus::Pending
    })
}

/// Messages that nothing stands before: those of an alert go out in their order.
const IN_TURN: &str = "deliveries.status = 'pending' AND deliveries.notifier = ?1 AND NOT EXISTS (
  SELECT 1 FROM deliveries AS earlier WHERE earlier.alert = deliveries.alert
    AND earlier.notifier = deliveries.notifier AND earlier.status = 'pending'
    AND earlier.delivery_id < deliveries.delivery_id)";

pub(super) fn due(
    connection: &Connection,
    notifier: &str,
    limit: usize,
    now: Timestamp,
) -> Result<Due, StoreError> {
    let read = || {
        let deliveries = connection
            .prepare_cached(&format!(
                "SELECT delivery_id, state, attempts, {ALERT}
                 FROM deliveries JOIN alerts ON alerts.id = deliveries.alert
                   JOIN hosts ON hosts.id = alerts.host
                 WHERE {IN_TURN} AND next_at <= ?2 ORDER BY delivery_id LIMIT ?3"
            ))?
            .query_map((notifier, time(now), i64::try_from(limit).unwrap_or(i64::MAX)), due_row)?
            .collect::<Result<_, _>>()?;
        let next_at = connection
            .prepare_cached(&format!(
                "SELECT min(next_at) FROM deliveries WHERE {IN_TURN} AND next_at > ?2"
            ))?
            .query_row((notifier, time(now)), |row| Columns::of(row).maybe_time())?;
        Ok(Due { deliveries, next_at })
    };
    read().map_err(|source| StoreError::of("read the outbox", source))
}

fn due_row(row: &Row<'_>) -> Result<DueDelivery, rusqlite::Error> {
    let mut columns = Columns::of(row);
    let delivery_id = columns.get()?;
    let state = state(&mut columns)?;
    let attempts = columns.get()?;
    let (_, alert) = alert(&mut columns)?;
    Ok(DueDelivery { delivery_id, state, attempts, alert })
}

/// Messages that are to be told, and that were given up.
pub(super) fn counts(connection: &Connection) -> Result<(u64, u64), StoreError> {
    connection
        .prepare_cached(
            "SELECT (SELECT count(*) FROM deliveries WHERE status = 'pending'),
               (SELECT count(*) FROM deliveries WHERE status = 'failed')",
        )
        .and_then(|mut select| {
            select.query_row([], |row| {
                let mut columns = Columns::of(row);
                Ok((columns.number()?, columns.number()?))
            })
        })
        .map_err(|source| StoreError::of("count the messages", source))
}

pub(super) fn join(
    connection: &Connection,
    notifier: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO deliveries (alert, notifier, state, next_at)
             SELECT id, ?1, 'firing', ?2 FROM alerts WHERE ended_at IS NULL
             ON CONFLICT DO NOTHING",
        )
        .and_then(|mut insert| insert.execute((notifier, time(at))))
        .map(drop)
        .map_err(|source| StoreError::of("tell a notifier of what is firing", source))
}

pub(super) fn record(
    connection: &Connection,
    delivery_id: i64,
    attempt: &Attempt,
) -> Result<(), StoreError> {
    let write = || match attempt {
        Attempt::Delivered { at } => connection
            .prepare_cached(
                "UPDATE deliveries SET attempts = attempts + 1, status = 'delivered',
                   delivered_at = ?2, last_error = '' WHERE delivery_id = ?1",
            )?
            .execute((delivery_id, time(*at))),
        Attempt::RetryAt { next_at, error } => connection
            .prepare_cached(
                "UPDATE deliveries SET attempts = attempts + 1, next_at = ?2, last_error = ?3
                 WHERE delivery_id = ?1",
            )?
            .execute((delivery_id, time(*next_at), error)),
        Attempt::GivenUp { error } => connection
            .prepare_cached(
                "UPDATE deliveries SET attempts = attempts + 1, status = 'failed', last_error = ?2
                 WHERE delivery_id = ?1",
            )?
            .execute((delivery_id, error)),
    };
    write().map(drop).map_err(|source| StoreError::of("record a delivery", source))
}
