//! Search clusters, and what hosts say of their nodes.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};

use super::hosts;
use super::rows::{Columns, json};
use crate::fleet::HostId;
use crate::fleet::cluster::{ClusterKey, Member};
use crate::store::StoreError;

/// The cluster as the rest of the database knows it: as one that no token let in.
pub(super) fn own(
    connection: &Connection,
    key: &ClusterKey,
    name: &str,
    at: Timestamp,
) -> Result<HostId, StoreError> {
    let find = || {
        let known = connection
            .prepare_cached(
                "SELECT host_id, hostname FROM search_clusters JOIN hosts ON hosts.id = host
                 WHERE search_clusters.cluster = ?1 AND uuid = ?2",
            )?
            .query_row((&key.cluster, &key.uuid), |row| {
                let mut columns = Columns::of(row);
                Ok((columns.host_id()?, columns.get::<String>()?))
            })
            .optional()?;
        if let Some((host_id, known)) = known {
            if known != name {
                hosts::rename(connection, &host_id, name)?;
            }
            return Ok(host_id);
        }
        let host_id = hosts::insert_own(connection, name, &key.cluster, at)?;
        connection
            .prepare_cached(
                "INSERT INTO search_clusters (host, cluster, uuid)
                 SELECT id, ?2, ?3 FROM hosts WHERE host_id = ?1",
            )?
            .execute((host_id.as_str(), &key.cluster, &key.uuid))?;
        Ok(host_id)
    };
    find().map_err(|source| StoreError::of("find a search cluster", source))
}

pub(super) fn list(connection: &Connection) -> Result<Vec<(ClusterKey, HostId)>, StoreError> {
    let read = || {
        connection
            .prepare_cached(
                "SELECT search_clusters.cluster, uuid, host_id
                 FROM search_clusters JOIN hosts ON hosts.id = host",
            )?
            .query_map([], |row| {
                let mut columns = Columns::of(row);
                let key = ClusterKey { cluster: columns.get()?, uuid: columns.get()? };
                Ok((key, columns.host_id()?))
            })?
            .collect::<Result<_, _>>()
    };
    read().map_err(|source| StoreError::of("list the search clusters", source))
}

pub(super) fn keep(
    connection: &Connection,
    host: &HostId,
    member: &Member,
) -> Result<(), StoreError> {
    let write = || {
        connection
            .prepare_cached(
                "INSERT INTO members (host, member)
                 SELECT id, ?2 FROM hosts WHERE host_id = ?1 AND revoked_at IS NULL
                 ON CONFLICT (host) DO UPDATE SET member = ?2",
            )?
            .execute((host.as_str(), json(member)?))
            .map(drop)
    };
    write().map_err(|source| StoreError::of("keep what a host says of its nodes", source))
}

pub(super) fn members(connection: &Connection) -> Result<Vec<(HostId, Member)>, StoreError> {
    let read = || {
        connection
            .prepare_cached(
                "SELECT host_id, member FROM members JOIN hosts ON hosts.id = host
                 WHERE revoked_at IS NULL",
            )?
            .query_map([], |row| {
                let mut columns = Columns::of(row);
                Ok((columns.host_id()?, columns.json()?))
            })?
            .collect::<Result<_, _>>()
    };
    read().map_err(|source| StoreError::of("read whose nodes are whose", source))
}
