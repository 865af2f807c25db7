//! Operators that admins made.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::rows::{Columns, time};
use crate::access::Account;
use crate::store::StoreError;

const COLUMNS: &str =
    "operator_id, name, role, token_hash, created_at, created_by, expires_at, revoked_at";

fn account(row: &rusqlite::Row<'_>) -> Result<Account, rusqlite::Error> {
    let mut columns = Columns::of(row);
    Ok(Account {
        operator_id: columns.get()?,
        name: columns.get()?,
        role: columns.word()?,
        token_hash: columns.bytes()?,
        created_at: columns.time()?,
        created_by: columns.get()?,
        expires_at: columns.maybe_time()?,
        revoked_at: columns.maybe_time()?,
    })
}

/// `false` when an account that is not revoked has the name.
pub(super) fn create(connection: &Connection, account: &Account) -> Result<bool, StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO operators (operator_id, name, role, token_hash, created_at, created_by,
               expires_at, revoked_at)
             VALUES (:operator_id, :name, :role, :token_hash, :created_at, :created_by,
               :expires_at, :revoked_at)
             ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING",
        )
        .and_then(|mut insert| {
            insert.execute(named_params! {
                ":operator_id": account.operator_id,
                ":name": account.name,
                ":role": account.role.as_str(),
                ":token_hash": account.token_hash,
                ":created_at": time(account.created_at),
                ":created_by": account.created_by,
                ":expires_at": account.expires_at.map(time),
                ":revoked_at": account.revoked_at.map(time),
            })
        })
        .map(|rows| rows > 0)
        .map_err(|source| StoreError::of("write an operator", source))
}

pub(super) fn list(connection: &Connection) -> Result<Vec<Account>, StoreError> {
    let read = || {
        connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM operators ORDER BY revoked_at IS NOT NULL, id DESC"
            ))?
            .query_map([], account)?
            .collect::<Result<_, _>>()
    };
    read().map_err(|source| StoreError::of("read the operators", source))
}

/// By id, or by the name of the one that is not revoked, or of the last one that was.
pub(super) fn revoke(
    connection: &Connection,
    operator: &str,
    at: Timestamp,
) -> Result<Option<Account>, StoreError> {
    let write = || {
        let found = connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM operators WHERE operator_id = ?1 OR name = ?1
                 ORDER BY operator_id = ?1 DESC, revoked_at IS NOT NULL, id DESC LIMIT 1"
            ))?
            .query_row([operator], account)
            .optional()?;
        let Some(mut account) = found else { return Ok(None) };
        if account.revoked_at.is_none() {
            connection
                .prepare_cached("UPDATE operators SET revoked_at = ?2 WHERE operator_id = ?1")?
                .execute((&account.operator_id, time(at)))?;
            account.revoked_at = Some(at);
        }
        Ok(Some(account))
    };
    write().map_err(|source| StoreError::of("revoke an operator", source))
}
