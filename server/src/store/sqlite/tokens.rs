//! Enrolment tokens.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::rows::{Columns, json, time};
use crate::enrollment::Token;
use crate::fleet::{Digest, HostId};
use crate::store::StoreError;

const COLUMNS: &str = "token_id, cluster, uses_left, created_at, expires_at, revoked_at, replaces,
  labels";

fn token(row: &rusqlite::Row<'_>) -> Result<Token, rusqlite::Error> {
    let mut columns = Columns::of(row);
    Ok(Token {
        token_id: columns.get()?,
        cluster: columns.get()?,
        uses_left: columns.get()?,
        created_at: columns.time()?,
        expires_at: columns.time()?,
        revoked_at: columns.maybe_time()?,
        replaces: columns
            .get::<Option<String>>()?
            .and_then(|replaces| replaces.parse::<HostId>().ok()),
        labels: columns.json()?,
    })
}

pub(super) fn create(
    connection: &Connection,
    token: &Token,
    secret_hash: &Digest,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO tokens (token_id, secret_hash, cluster, uses_left, created_at, expires_at,
               revoked_at, replaces, labels)
             VALUES (:token_id, :secret_hash, :cluster, :uses_left, :created_at, :expires_at,
               :revoked_at, :replaces, :labels)",
        )
        .and_then(|mut insert| {
            insert.execute(named_params! {
                ":token_id": token.token_id,
                ":secret_hash": secret_hash,
                ":cluster": token.cluster,
                ":uses_left": token.uses_left,
                ":created_at": time(token.created_at),
                ":expires_at": time(token.expires_at),
                ":revoked_at": token.revoked_at.map(time),
                ":replaces": token.replaces.as_ref().map(HostId::as_str),
                ":labels": json(&token.labels)?,
            })
        })
        .map(drop)
        .map_err(|source| StoreError::of("write a token", source))
}

pub(super) fn list(connection: &Connection) -> Result<Vec<Token>, StoreError> {
    let read = || {
        connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM tokens ORDER BY created_at DESC, token_id"
            ))?
            .query_map([], token)?
            .collect::<Result<_, _>>()
    };
    read().map_err(|source| StoreError::of("read the tokens", source))
}

pub(super) fn by_secret(
    connection: &Connection,
    secret_hash: &Digest,
) -> Result<Option<Token>, rusqlite::Error> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM tokens WHERE secret_hash = ?1"))?
        .query_row([secret_hash], token)
        .optional()
}

pub(super) fn spend(connection: &Connection, token_id: &str) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached("UPDATE tokens SET uses_left = uses_left - 1 WHERE token_id = ?1")?
        .execute([token_id])
        .map(drop)
}

pub(super) fn revoke(
    connection: &Connection,
    token_id: &str,
    at: Timestamp,
) -> Result<bool, StoreError> {
    connection
        .prepare_cached(
            "UPDATE tokens SET revoked_at = coalesce(revoked_at, ?2) WHERE token_id = ?1",
        )
        .and_then(|mut update| update.execute((token_id, time(at))))
        .map(|rows| rows > 0)
        .map_err(|source| StoreError::of("revoke a token", source))
}

/// Tokens for a host's place that were made before it was revoked must not undo that.
pub(super) fn revoke_replacing(
    connection: &Connection,
    host: &HostId,
    at: Timestamp,
) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached(
            "UPDATE tokens SET revoked_at = ?2 WHERE replaces = ?1 AND revoked_at IS NULL",
        )?
        .execute((host.as_str(), time(at)))
        .map(drop)
}
