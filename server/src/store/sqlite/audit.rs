//! The audit log.

use jiff::Timestamp;
use rusqlite::{Connection, Row, named_params};

use super::rows::{Columns, number, time};
use crate::access::Role;
use crate::audit::Entry;
use crate::store::{Page, PageRequest, StoreError};

/// Rows that are thrown away at one time: bounds how long other writers wait.
const TOGETHER: u32 = 10_000;

pub(super) fn append(connection: &Connection, entry: &Entry) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO audit (at, operator, role, rpc, object, address, outcome, detail, count)
             VALUES (:at, :operator, :role, :rpc, :object, :address, :outcome, :detail, :count)",
        )
        .and_then(|mut insert| {
            insert.execute(named_params! {
                ":at": time(entry.at),
                ":operator": entry.operator,
                ":role": entry.role.map(Role::as_str),
                ":rpc": entry.rpc,
                ":object": entry.object,
                ":address": entry.address,
                ":outcome": entry.outcome.as_str(),
                ":detail": entry.detail,
                ":count": number(entry.count),
            })
        })
        .map(drop)
        .map_err(|source| StoreError::of("write the audit log", source))
}

pub(super) fn list(connection: &Connection, page: &PageRequest) -> Result<Page<Entry>, StoreError> {
    let before: Option<i64> = page.after()?;
    let read = || {
        connection
            .prepare_cached(
                "SELECT id, at, operator, role, rpc, object, address, outcome, detail, count
                 FROM audit WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2",
            )?
            .query_map((before, page.size().saturating_add(1)), entry)?
            .collect::<Result<Vec<_>, rusqlite::Error>>()
    };
    let rows = read().map_err(|source| StoreError::of("read the audit log", source))?;
    let page = Page::cut(rows, page.size(), |(id, _)| *id);
    Ok(Page { items: page.items.into_iter().map(|(_, entry)| entry).collect(), next: page.next })
}

fn entry(row: &Row<'_>) -> Result<(i64, Entry), rusqlite::Error> {
    let mut columns = Columns::of(row);
    let id = columns.get()?;
    let entry = Entry {
        at: columns.time()?,
        operator: columns.get()?,
        role: columns.maybe_word()?,
        rpc: columns.get()?,
        object: columns.get()?,
        address: columns.get()?,
        outcome: columns.word()?,
        detail: columns.get()?,
        count: columns.number()?,
    };
    Ok((id, entry))
}

/// `true` when there is more to throw away.
pub(super) fn prune(
    connection: &Connection,
    before: Timestamp,
    keep: u64,
) -> Result<bool, StoreError> {
    connection
        .prepare_cached(
            "DELETE FROM audit WHERE id IN (
               SELECT id FROM audit
               WHERE at < ?1 OR id <= (SELECT id FROM audit ORDER BY id DESC LIMIT 1 OFFSET ?2)
               ORDER BY id LIMIT ?3)",
        )
        .and_then(|mut delete| delete.execute((time(before), number(keep), TOGETHER)))
        .map(|rows| u32::try_from(rows).is_ok_and(|rows| rows >= TOGETHER))
        .map_err(|source| StoreError::of("prune the audit log", source))
}
