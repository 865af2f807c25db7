//! When what was exposed: windows that are put together from the transitions of findings.

use jiff::Timestamp;
use rusqlite::{Connection, Row, named_params};

use super::rows::{Columns, time};
use crate::alert::AlertEnd;
use crate::fleet::TransitionKind;
use crate::store::{Exposure, ExposureFilter, Page, PageRequest, StoreError};

/// Episodes, and alerts, that are thrown away at one time: bounds how long other writers wait.
const TOGETHER: u32 = 500;

pub(super) fn list(
    connection: &Connection,
    filter: &ExposureFilter,
    page: &PageRequest,
) -> Result<Page<Exposure>, StoreError> {
    let before: Option<i64> = page.after()?;
    let read = || {
        connection
            .prepare_cached(
                "SELECT opened.id, host_id, hostname, opened.check_id, opened.asset,
                   opened.episode, opened.at, opened.told_at,
                   (SELECT max(at) FROM history AS gone
                    WHERE gone.host = opened.host AND gone.check_id = opened.check_id
                      AND gone.asset = opened.asset AND gone.id > opened.id
                      AND gone.episode = opened.episode AND gone.kind = 'absent'),
                   ended.at, ended.kind
                 FROM history AS opened JOIN hosts ON hosts.id = opened.host
                 LEFT JOIN history AS ended
                   ON ended.host = opened.host AND ended.check_id = opened.check_id
                     AND ended.asset = opened.asset AND ended.id > opened.id
                     AND ended.episode = opened.episode AND ended.kind IN ('resolved', 'retired', 'asset_retired')
                 WHERE opened.kind IN ('opened', 'reopened')
                   AND (:before IS NULL OR opened.id < :before)
                   AND (:check IS NULL OR opened.check_id = :check)
                   AND (:node IS NULL OR host_id = :node OR hostname = :node)
                   AND (:since IS NULL OR ended.at IS NULL OR ended.at >= :since)
                 ORDER BY opened.id DESC LIMIT :limit",
            )?
            .query_map(
                named_params! {
                    ":before": before,
                    ":check": filter.check,
                    ":node": filter.node,
                    ":since": filter.since.map(time),
                    ":limit": page.size().saturating_add(1),
                },
                exposure,
            )?
            .collect::<Result<Vec<_>, rusqlite::Error>>()
    };
    let rows = read().map_err(|source| StoreError::of("read the history", source))?;
    let page = Page::cut(rows, page.size(), |(id, _)| *id);
    Ok(Page { items: page.items.into_iter().map(|(_, row)| row).collect(), next: page.next })
}

fn exposure(row: &Row<'_>) -> Result<(i64, Exposure), rusqlite::Error> {
    let mut columns = Columns::of(row);
    let id = columns.get()?;
    let mut exposure = Exposure {
        host_id: columns.host_id()?,
        hostname: columns.get()?,
        check: columns.get()?,
        asset: columns.get()?,
        episode: columns.get()?,
        opened_at: columns.time()?,
        told_at: columns.time()?,
        absent_at: columns.maybe_time()?,
        ended: None,
    };
    // A host whose clock went back did not end it before it began.
    let opened_at = exposure.opened_at;
    exposure.absent_at = exposure.absent_at.map(|at| at.max(opened_at));
    if let Some(at) = columns.maybe_time()? {
        let kind: String = columns.get()?;
        let end = if kind == TransitionKind::Retired.as_str() {
            AlertEnd::HostRetired
        } else if kind == TransitionKind::AssetRetired.as_str() {
            AlertEnd::AssetRetired
        } else {
            AlertEnd::Passed
        };
        exposure.ended = Some((at.max(opened_at), end));
    }
    Ok((id, exposure))
}

/// Throws away episodes and alerts that the server was told the end of before `before`: whole ones, and some at a
/// time. What goes on is kept however old it is. `true` when there is more.
pub(super) fn prune(connection: &Connection, before: Timestamp) -> Result<bool, StoreError> {
    let before = time(before);
    let run = || {
        let ended: Vec<(i64, String, String, i64)> = connection
            .prepare_cached(
                "SELECT host, check_id, asset, episode FROM history
                 WHERE kind IN ('resolved', 'retired', 'asset_retired') AND told_at < ?1 ORDER BY told_at LIMIT ?2",
            )?
            .query_map((before, TOGETHER), |row| {
                let mut columns = Columns::of(row);
                Ok((columns.get()?, columns.get()?, columns.get()?, columns.get()?))
            })?
            .collect::<Result<_, _>>()?;
        let mut delete = connection.prepare_cached(
            "DELETE FROM history WHERE host = ?1 AND check_id = ?2 AND asset = ?3 AND episode = ?4",
        )?;
        for episode in &ended {
            delete.execute((episode.0, &episode.1, &episode.2, episode.3))?;
        }
        let unopened = connection
            .prepare_cached(
                "DELETE FROM history WHERE id IN (
                   SELECT id FROM history WHERE episode = 0 AND told_at < ?1 LIMIT ?2)",
            )?
            .execute((before, TOGETHER))?;
        // Their messages go with them; one that is still to be told is kept.
        let alerts = connection
            .prepare_cached(
                "DELETE FROM alerts WHERE id IN (
                   SELECT id FROM alerts WHERE ended_at IS NOT NULL AND over_at < ?1
                     AND NOT EXISTS (SELECT 1 FROM deliveries
                                     WHERE alert = alerts.id AND status = 'pending')
                   LIMIT ?2)",
            )?
            .execute((before, TOGETHER))?;
        let most = [ended.len(), unopened, alerts].into_iter().max().unwrap_or_default();
        Ok(u32::try_from(most).is_ok_and(|rows| rows >= TOGETHER))
    };
    run().map_err(|source| StoreError::of("prune the history", source))
}
