//! The outbox: what is to be told to whom, and what became of it.

use std::collections::BTreeMap;

use atrest_proto::model::Severity;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use super::alerts::{ALERT, alert};
use super::rows::{Columns, json, severity, time};
use crate::alert::{Alert, AlertState, Routes, Subject};
use crate::labels::Labels;
use crate::store::{
    Attempt, DeadLetter, DeliveryCounts, DeliveryRow, DeliveryStatus, Due, DueDelivery, Page,
    PageRequest, StoreError,
};

/// The same for all alerts of one check on one asset of a host: their messages go out in order.
const SUBJECT: &str =
    "alerts.host || ':' || (finding ->> '$.check') || ':' || (finding ->> '$.asset')";

/// Writes what an alert that began has to tell.
pub(super) fn fire(
    connection: &Connection,
    host: i64,
    alert: &Alert,
    routes: &Routes,
    at: Timestamp,
) -> Result<(), rusqlite::Error> {
    let mut labels = Labels::new();
    if routes.go_by_labels() {
        labels = connection
            .prepare_cached("SELECT labels FROM hosts WHERE id = ?1")?
            .query_row([host], |row| Columns::of(row).json())?;
    }
    for notifier in routes.of(&Subject::of(alert, &labels)) {
        tell(connection, &alert.alert_id, notifier, alert.finding.severity, at)?;
    }
    Ok(())
}

fn tell(
    connection: &Connection,
    alert_id: &str,
    notifier: &str,
    of: Severity,
    at: Timestamp,
) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached(&format!(
            "INSERT INTO deliveries (alert, notifier, state, next_at, severity, subject)
             SELECT id, ?2, 'firing', ?3, ?4, {SUBJECT} FROM alerts WHERE alert_id = ?1
             ON CONFLICT DO NOTHING"
        ))?
        .execute((alert_id, notifier, time(at), severity(of)))
        .map(drop)
}

/// The end of an alert is told to whoever is told of its beginning, whatever the routes say now.
pub(super) fn resolve(
    connection: &Connection,
    alert_id: &str,
    routes: &Routes,
    at: Timestamp,
) -> Result<(), rusqlite::Error> {
    // It was told before; that it goes on is not to be told any more.
    connection
        .prepare_cached(
            "UPDATE deliveries SET status = 'delivered' WHERE status IN ('pending', 'failed') AND repeat > 0
               AND alert = (SELECT id FROM alerts WHERE alert_id = ?1)",
        )?
        .execute([alert_id])?;
    // For a notifier that the configuration does not name now, the end waits until it does again.
    connection
        .prepare_cached(
            "INSERT INTO deliveries (alert, notifier, state, next_at, severity, subject, status, failed_at, last_error)
             SELECT alert, notifier, 'resolved', ?2, severity, subject,
               iif(notifier IN (SELECT value FROM json_each(?3)), 'pending', 'failed'),
               iif(notifier IN (SELECT value FROM json_each(?3)), NULL, ?2),
               iif(notifier IN (SELECT value FROM json_each(?3)), '', ?4)
             FROM deliveries
             WHERE alert = (SELECT id FROM alerts WHERE alert_id = ?1) AND state = 'firing'
             ON CONFLICT DO NOTHING",
        )?
        .execute((alert_id, time(at), json(&routes.notifiers())?, GONE))
        .map(drop)
}

pub(super) fn of_alert(
    connection: &Connection,
    alert: i64,
) -> Result<Vec<DeliveryRow>, rusqlite::Error> {
    connection
        .prepare_cached(
            "SELECT delivery_id, notifier, state, status, attempts, last_error, delivered_at, repeat
             FROM deliveries WHERE alert = ?1 ORDER BY delivery_id",
        )?
        .query_map([alert], |row| {
            let mut columns = Columns::of(row);
            Ok(DeliveryRow {
                delivery_id: columns.get()?,
                notifier: columns.get()?,
                state: state(&mut columns)?,
                status: status(&mut columns)?,
                attempts: columns.get()?,
                last_error: columns.get()?,
                delivered_at: columns.maybe_time()?,
                repeat: columns.get()?,
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

/// Messages that nothing stands before: those of an asset go out in their order.
const IN_TURN: &str = "deliveries.status = 'pending' AND deliveries.notifier = ?1 AND NOT EXISTS (
  SELECT 1 FROM deliveries AS earlier WHERE earlier.status = 'pending'
    AND earlier.notifier = deliveries.notifier AND earlier.subject = deliveries.subject
    AND earlier.delivery_id < deliveries.delivery_id)";

/// Messages that may be told now: severe enough, or in the way of one that is.
const LOUD: &str = "(deliveries.severity >= ?3 OR EXISTS (
  SELECT 1 FROM deliveries AS later WHERE later.status = 'pending'
    AND later.notifier = deliveries.notifier AND later.subject = deliveries.subject
    AND later.delivery_id > deliveries.delivery_id AND later.severity >= ?3))";

/// By the index, in its order: however many wait, as many are read as are asked for.
pub(super) fn due_query() -> String {
    format!(
        "SELECT delivery_id, state, attempts, repeat, next_at, {ALERT}
         FROM deliveries JOIN alerts ON alerts.id = deliveries.alert
           JOIN hosts ON hosts.id = alerts.host
         WHERE {IN_TURN} AND next_at <= ?2 AND {LOUD} ORDER BY next_at, delivery_id LIMIT ?4"
    )
}

pub(super) fn due(
    connection: &Connection,
    notifier: &str,
    least: Severity,
    limit: usize,
    now: Timestamp,
) -> Result<Due, StoreError> {
    let least = severity(least);
    let read = || {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let deliveries = connection
            .prepare_cached(&due_query())?
            .query_map((notifier, time(now), least, limit), due_row)?
            .collect::<Result<_, _>>()?;
        let next_at = connection
            .prepare_cached(&format!(
                "SELECT next_at FROM deliveries
                 WHERE {IN_TURN} AND next_at > ?2 AND {LOUD} ORDER BY next_at LIMIT 1"
            ))?
            .query_row((notifier, time(now), least), |row| Columns::of(row).time())
            .optional()?;
        Ok(Due { deliveries, next_at })
    };
    read().map_err(|source| StoreError::of("read the outbox", source))
}

fn due_row(row: &Row<'_>) -> Result<DueDelivery, rusqlite::Error> {
    let mut columns = Columns::of(row);
    let delivery_id = columns.get()?;
    let state = state(&mut columns)?;
    let (attempts, repeat, due_at) = (columns.get()?, columns.get()?, columns.time()?);
    let (_, alert) = alert(&mut columns)?;
    Ok(DueDelivery { delivery_id, state, attempts, repeat, due_at, alert })
}

/// Messages that are to be told, and that were given up.
pub(super) fn counts(
    connection: &Connection,
) -> Result<BTreeMap<String, DeliveryCounts>, StoreError> {
    let read = || {
        let mut counts = BTreeMap::<String, DeliveryCounts>::new();
        let mut select = connection.prepare_cached(
            "SELECT notifier, count(*), 0 FROM deliveries WHERE status = 'pending' GROUP BY notifier
             UNION ALL
             SELECT notifier, 0, count(*) FROM deliveries WHERE status = 'failed' GROUP BY notifier",
        )?;
        let rows = select.query_map([], |row| {
            let mut columns = Columns::of(row);
            Ok((columns.get::<String>()?, columns.number()?, columns.number()?))
        })?;
        for row in rows {
            let (notifier, pending, failed) = row?;
            let count = counts.entry(notifier).or_default();
            count.pending = count.pending.saturating_add(pending);
            count.failed = count.failed.saturating_add(failed);
        }
        Ok(counts)
    };
    read().map_err(|source| StoreError::of("count the messages", source))
}

/// Why a message is given up whose notifier is gone.
const GONE: &str = "the configuration names no such notifier any more";

/// Makes the outbox fit the routes: what is firing is told to who was not told of it, and what is for a notifier that
/// is gone is given up until there is one of that name again.
pub(super) fn join(
    connection: &Connection,
    routes: &Routes,
    at: Timestamp,
) -> Result<(), StoreError> {
    let write = || {
        let notifiers = json(&routes.notifiers())?;
        connection
            .prepare_cached(
                "UPDATE deliveries SET status = 'failed', failed_at = ?2, last_error = ?3
                 WHERE status = 'pending' AND notifier NOT IN (SELECT value FROM json_each(?1))",
            )?
            .execute((&notifiers, time(at), GONE))?;
        connection
            .prepare_cached(
                "UPDATE deliveries SET status = 'pending', failed_at = NULL, last_error = '', next_at = ?2
                 WHERE status = 'failed' AND last_error = ?3
                   AND notifier IN (SELECT value FROM json_each(?1))",
            )?
            .execute((&notifiers, time(at), GONE))?;
        routes.notifiers().iter().try_for_each(|notifier| {
            untold(connection, notifier)?
                .into_iter()
                .filter(|alert| routes.of(&alert.subject()).contains(notifier.as_str()))
                .try_for_each(|alert| {
                    tell(connection, &alert.alert_id, notifier, alert.severity, at)
                })
        })
    };
    write().map_err(|source| StoreError::of("tell notifiers of what is firing", source))
}

/// What routes go by, of an alert that is firing.
struct Firing {
    alert_id: String,
    check: String,
    severity: Severity,
    cluster: String,
    labels: Labels,
}

impl Firing {
    fn subject(&self) -> Subject<'_> {
        let Self { check, severity, cluster, labels, .. } = self;
        Subject { check, severity: *severity, cluster, labels }
    }
}

/// What is firing and a notifier was not told of. Few, but for notifiers that are new or that routes leave out.
fn untold(connection: &Connection, notifier: &str) -> Result<Vec<Firing>, rusqlite::Error> {
    connection
        .prepare_cached(
            "SELECT alert_id, finding ->> '$.check', finding ->> '$.severity', alerts.cluster, labels
             FROM alerts JOIN hosts ON hosts.id = alerts.host
             WHERE ended_at IS NULL AND NOT EXISTS (
               SELECT 1 FROM deliveries WHERE deliveries.alert = alerts.id
                 AND deliveries.notifier = ?1 AND deliveries.state = 'firing')
             ORDER BY alerts.id",
        )?
        .query_map([notifier], |row| {
            let mut columns = Columns::of(row);
            Ok(Firing {
                alert_id: columns.get()?,
                check: columns.get()?,
                severity: columns.word()?,
                cluster: columns.get()?,
                labels: columns.json()?,
            })
        })?
        .collect()
}

/// What became of messages that were told together.
pub(super) fn record(
    connection: &Connection,
    attempts: &[(i64, Attempt)],
) -> Result<(), StoreError> {
    let write = |delivery_id: i64, attempt: &Attempt| match attempt {
        Attempt::Delivered { at } => connection
            .prepare_cached(
                "UPDATE deliveries SET attempts = attempts + 1, status = 'delivered',
                   delivered_at = ?2, last_error = '' WHERE delivery_id = ?1",
            )?
            .execute((delivery_id, time(*at))),
        Attempt::RetryAt { next_at, error } => connection
            .prepare_cached(
                "UPDATE deliveries SET attempts = attempts + 1, next_at = ?2, last_error = ?3
                 WHERE delivery_id = ?1 AND status = 'pending'",
            )?
            .execute((delivery_id, time(*next_at), error)),
        Attempt::GivenUp { at, error } => connection
            .prepare_cached(
                "UPDATE deliveries SET attempts = attempts + 1, status = 'failed', failed_at = ?2,
                   last_error = ?3 WHERE delivery_id = ?1 AND status = 'pending'",
            )?
            .execute((delivery_id, time(*at), error)),
    };
    attempts
        .iter()
        .try_for_each(|(delivery_id, attempt)| write(*delivery_id, attempt).map(drop))
        .map_err(|source| StoreError::of("record a delivery", source))
}

/// The receiver is there again: what waits for a long time is due.
pub(super) fn hasten(
    connection: &Connection,
    notifier: &str,
    later_than: Timestamp,
    at: Timestamp,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE deliveries SET next_at = ?3
             WHERE status = 'pending' AND notifier = ?1 AND next_at > ?2",
        )
        .and_then(|mut update| update.execute((notifier, time(later_than), time(at))))
        .map(drop)
        .map_err(|source| StoreError::of("hasten messages", source))
}

/// Tells once more of what is firing, was last told before `told_before`, and has no acknowledgement that holds.
pub(super) fn repeat(
    connection: &Connection,
    notifier: &str,
    told_before: Timestamp,
    at: Timestamp,
) -> Result<bool, StoreError> {
    connection
        .prepare_cached(
            "UPDATE deliveries SET status = 'pending', attempts = 0, next_at = ?3, repeat = repeat + 1
             WHERE status = 'delivered' AND state = 'firing' AND notifier = ?1 AND delivered_at < ?2
               AND EXISTS (SELECT 1 FROM alerts WHERE alerts.id = deliveries.alert
                 AND ended_at IS NULL
                 AND (ack_at IS NULL OR (ack_until IS NOT NULL AND ack_until <= ?3)))",
        )
        .and_then(|mut update| update.execute((notifier, time(told_before), time(at))))
        .map(|rows| rows > 0)
        .map_err(|source| StoreError::of("repeat messages", source))
}

/// Messages that were given up, the newest first.
pub(super) fn dead(
    connection: &Connection,
    page: &PageRequest,
) -> Result<Page<DeadLetter>, StoreError> {
    let before: Option<i64> = page.after()?;
    let read = || {
        connection
            .prepare_cached(&format!(
                "SELECT delivery_id, notifier, state, attempts, last_error, failed_at, {ALERT}
                 FROM deliveries JOIN alerts ON alerts.id = deliveries.alert
                   JOIN hosts ON hosts.id = alerts.host
                 WHERE status = 'failed' AND (?1 IS NULL OR delivery_id < ?1)
                 ORDER BY delivery_id DESC LIMIT ?2"
            ))?
            .query_map((before, page.size().saturating_add(1)), |row| {
                let mut columns = Columns::of(row);
                Ok(DeadLetter {
                    delivery_id: columns.get()?,
                    notifier: columns.get()?,
                    state: state(&mut columns)?,
                    attempts: columns.get()?,
                    error: columns.get()?,
                    failed_at: columns.maybe_time()?,
                    alert: alert(&mut columns)?.1,
                })
            })?
            .collect::<Result<Vec<_>, rusqlite::Error>>()
    };
    let rows = read().map_err(|source| StoreError::of("list what was given up", source))?;
    Ok(Page::cut(rows, page.size(), |letter| letter.delivery_id))
}

/// Takes up again what was given up: one message, or all. How many that are.
pub(super) fn retry(
    connection: &Connection,
    which: Option<i64>,
    notifiers: &[String],
    at: Timestamp,
) -> Result<u64, StoreError> {
    let write = || {
        let notifiers = json(&notifiers)?;
        // The end goes out again with its beginning: who is told of that late must not take the alert for one that
        // goes on.
        let ends = connection
            .prepare_cached(
                "UPDATE deliveries SET status = 'pending', attempts = 0, next_at = :at,
                   last_error = '', failed_at = NULL
                 WHERE state = 'resolved' AND status <> 'pending'
                   AND notifier IN (SELECT value FROM json_each(:notifiers))
                   AND EXISTS (SELECT 1 FROM deliveries AS first
                     WHERE first.alert = deliveries.alert AND first.notifier = deliveries.notifier
                       AND first.state = 'firing' AND first.status = 'failed'
                       AND (:which IS NULL OR first.delivery_id = :which))",
            )?
            .execute(named_params! { ":at": time(at), ":notifiers": notifiers, ":which": which })?;
        let failed = connection
            .prepare_cached(
                "UPDATE deliveries SET status = 'pending', attempts = 0, next_at = :at,
                   last_error = '', failed_at = NULL
                 WHERE status = 'failed' AND notifier IN (SELECT value FROM json_each(:notifiers))
                   AND (:which IS NULL OR delivery_id = :which)",
            )?
            .execute(named_params! { ":at": time(at), ":notifiers": notifiers, ":which": which })?;
        Ok(ends.saturating_add(failed))
    };
    write()
        .map(|rows| u64::try_from(rows).unwrap_or(u64::MAX))
        .map_err(|source| StoreError::of("take up what was given up", source))
}
