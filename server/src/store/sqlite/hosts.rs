//! Hosts: admission, lists, and when they were last heard of.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use super::rows::{Columns, json, time};
use super::tokens;
use crate::enrollment::{Admission, Application, Known, Refusal, Token, admit};
use crate::fleet::roster::{Enrolled, Sighting, Standing};
use crate::fleet::{HostId, NodeState};
use crate::store::{Admitted, HostFilter, HostRow, Page, PageRequest, Revocation, StoreError};

pub(super) fn enroll(
    connection: &Connection,
    application: &Application,
) -> Result<Result<Admitted, Refusal>, StoreError> {
    let fail = |source| StoreError::of("enrol a host", source);
    let token = tokens::by_secret(connection, &application.secret_hash).map_err(fail)?;
    let fingerprint = &application.host.machine_fingerprint;
    let same_machine = same_machine(connection, fingerprint).map_err(fail)?;
    let admission = match admit(application, token.as_ref(), same_machine.as_ref()) {
        Ok(admission) => admission,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let Some(token) = token else { return Ok(Err(Refusal::UnknownToken)) };
    let host_id = match admission {
        Admission::Again(host_id) => host_id,
        Admission::New => {
            tokens::spend(connection, &token.token_id).map_err(fail)?;
            insert(connection, application, &token).map_err(fail)?;
            application.host_id.clone()
        }
        Admission::Replaces(host_id) => {
            if !replace(connection, application, &token, &host_id).map_err(fail)? {
                return Ok(Err(Refusal::NothingToReplace { token_id: token.token_id }));
            }
            tokens::spend(connection, &token.token_id).map_err(fail)?;
            host_id
        }
    };
    let host = connection
        .prepare_cached(&format!("{ROSTER} AND host_id = ?1"))
        .and_then(|mut select| select.query_row([host_id.as_str()], enrolled))
        .map_err(fail)?;
    Ok(Ok(Admitted { host, cluster: token.cluster }))
}

/// The second condition says what the first one does, in the words of the partial index: without it every host is read.
pub(super) const SAME_MACHINE: &str =
    "SELECT host_id, hostname, key_pin, token_id, revoked_at IS NOT NULL
 FROM hosts WHERE machine_fingerprint = ?1 AND machine_fingerprint <> ''";

fn same_machine(
    connection: &Connection,
    fingerprint: &str,
) -> Result<Option<Known>, rusqlite::Error> {
    if fingerprint.is_empty() {
        return Ok(None);
    }
    connection
        .prepare_cached(SAME_MACHINE)?
        .query_row([fingerprint], |row| {
            let mut columns = Columns::of(row);
            Ok(Known {
                host_id: columns.host_id()?,
                hostname: columns.get()?,
                key_pin: columns.bytes()?,
                token_id: columns.get()?,
                revoked: columns.get()?,
            })
        })
        .optional()
}

fn insert(
    connection: &Connection,
    application: &Application,
    token: &Token,
) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached(
            "INSERT INTO hosts (host_id, hostname, machine_fingerprint, cluster, token_id, key_pin,
               facts, enrolled_at, last_seen_at, rank, labels)
             VALUES (:host_id, :hostname, :fingerprint, :cluster, :token_id, :key_pin,
               :facts, :at, :at, :rank, :labels)",
        )?
        .execute(named_params! {
            ":host_id": application.host_id.as_str(),
            ":hostname": application.host.hostname,
            ":fingerprint": application.host.machine_fingerprint,
            ":cluster": token.cluster,
            ":token_id": token.token_id,
            ":key_pin": application.key_pin,
            ":facts": json(&application.host)?,
            ":at": time(application.at),
            ":rank": NodeState::Unknown.rank(),
            ":labels": json(&token.labels)?,
        })
        .map(drop)
}

/// The host's id and history stay; who speaks for it changes. What the machine before it had proven is no evidence
/// for this one, which has to report in full.
fn replace(
    connection: &Connection,
    application: &Application,
    token: &Token,
    host_id: &HostId,
) -> Result<bool, rusqlite::Error> {
    let before = connection
        .prepare_cached(
            "SELECT verdict, silent, revoked_at IS NOT NULL FROM hosts WHERE host_id = ?1",
        )?
        .query_row([host_id.as_str()], |row| {
            let mut columns = Columns::of(row);
            Ok((columns.word::<NodeState>()?, columns.get::<bool>()?, columns.get::<bool>()?))
        })
        .optional()?;
    let Some((verdict, silent, revoked)) = before else { return Ok(false) };
    connection
        .prepare_cached(
            "DELETE FROM members WHERE host = (SELECT id FROM hosts WHERE host_id = ?1)",
        )?
        .execute([host_id.as_str()])?;
    let verdict = if revoked { NodeState::Unknown } else { verdict.min(NodeState::Unknown) };
    connection
        .prepare_cached(
            "UPDATE hosts SET hostname = :hostname, machine_fingerprint = :fingerprint,
               cluster = :cluster, token_id = :token_id, key_pin = :key_pin, facts = :facts,
               enrolled_at = :at, last_seen_at = :at, revision = revision + 1, digest = NULL, outline = NULL,
               verdict = :verdict, rank = :rank, labels = :labels,
               revoked_at = NULL, revoked_by = '', revoked_reason = ''
             WHERE host_id = :host_id",
        )?
        .execute(named_params! {
            ":host_id": host_id.as_str(),
            ":hostname": application.host.hostname,
            ":fingerprint": application.host.machine_fingerprint,
            ":cluster": token.cluster,
            ":token_id": token.token_id,
            ":key_pin": application.key_pin,
            ":facts": json(&application.host)?,
            ":at": time(application.at),
            ":verdict": verdict.as_str(),
            ":rank": NodeState::now(verdict, silent, false).rank(),
            ":labels": json(&token.labels)?,
        })
        .map(|rows| rows > 0)
}

/// The server itself, whose own certificates have findings as those of hosts do, and which is in no list of hosts: it
/// is the one that no token let in.
pub(super) fn own(
    connection: &Connection,
    hostname: &str,
    at: Timestamp,
) -> Result<HostId, StoreError> {
    let find = || {
        let known = connection
            .prepare_cached(
                "SELECT host_id, hostname FROM hosts
                 WHERE token_id = '' AND id NOT IN (SELECT host FROM search_clusters)",
            )?
            .query_row([], |row| {
                let mut columns = Columns::of(row);
                Ok((columns.host_id()?, columns.get::<String>()?))
            })
            .optional()?;
        if let Some((host_id, known)) = known {
            if known != hostname {
                rename(connection, &host_id, hostname)?;
            }
            return Ok(host_id);
        }
        insert_own(connection, hostname, "", at)
    };
    find().map_err(|source| StoreError::of("find the server itself", source))
}

pub(super) fn rename(
    connection: &Connection,
    host_id: &HostId,
    hostname: &str,
) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached("UPDATE hosts SET hostname = ?2 WHERE host_id = ?1")?
        .execute((host_id.as_str(), hostname))
        .map(drop)
}

/// Something that has findings as hosts do, and that no token let in.
pub(super) fn insert_own(
    connection: &Connection,
    name: &str,
    cluster: &str,
    at: Timestamp,
) -> Result<HostId, rusqlite::Error> {
    let host_id = HostId::random();
    connection
        .prepare_cached(
            "INSERT INTO hosts (host_id, hostname, machine_fingerprint, cluster, token_id, key_pin,
               facts, enrolled_at, last_seen_at, rank)
             VALUES (?1, ?2, '', ?5, '', zeroblob(32), '{}', ?3, ?3, ?4)",
        )?
        .execute((host_id.as_str(), name, time(at), NodeState::Unknown.rank(), cluster))?;
    Ok(host_id)
}

const ROSTER: &str =
    "SELECT host_id, key_pin, machine_fingerprint, cluster, labels, last_seen_at, observed_at, revision, verdict, silent,
  revoked_at IS NOT NULL, failing, firing, sequence, digest, outline FROM hosts WHERE token_id <> ''";

fn enrolled(row: &Row<'_>) -> Result<Enrolled, rusqlite::Error> {
    let mut columns = Columns::of(row);
    Ok(Enrolled {
        host_id: columns.host_id()?,
        key_pin: columns.bytes()?,
        machine: columns.get()?,
        cluster: columns.get()?,
        labels: columns.json()?,
        last_seen_at: columns.time()?,
        observed_at: columns.maybe_time()?,
        standing: Standing {
            revision: columns.number()?,
            verdict: columns.word()?,
            silent: columns.get()?,
            revoked: columns.get()?,
            failing: columns.get()?,
            firing: columns.get()?,
            sequence: columns.number()?,
            digest: columns.maybe_bytes()?,
            outline: columns.maybe_bytes()?,
        },
    })
}

pub(super) fn roster(connection: &Connection) -> Result<Vec<Enrolled>, StoreError> {
    let read =
        || connection.prepare_cached(ROSTER)?.query_map([], enrolled)?.collect::<Result<_, _>>();
    read().map_err(|source| StoreError::of("read the hosts", source))
}

pub(super) fn sightings(connection: &Connection, sightings: &[Sighting]) -> Result<(), StoreError> {
    let write = || {
        let mut update = connection.prepare_cached(
            "UPDATE hosts SET last_seen_at = ?2,
               observed_at = max(coalesce(observed_at, ?3), coalesce(?3, observed_at))
             WHERE host_id = ?1",
        )?;
        for sighting in sightings {
            update.execute((
                sighting.host_id.as_str(),
                time(sighting.last_seen_at),
                sighting.observed_at.map(time),
            ))?;
        }
        Ok(())
    };
    write().map_err(|source| StoreError::of("note who was heard of", source))
}

/// The key of the list: worst first, then by name.
type Key = (u8, String, String);

pub(super) fn list(
    connection: &Connection,
    filter: &HostFilter,
    page: &PageRequest,
) -> Result<Page<HostRow>, StoreError> {
    let after: Option<Key> = page.after()?;
    let (rank, hostname, host_id) =
        after.map_or((None, None, None), |(rank, name, id)| (Some(rank), Some(name), Some(id)));
    let read = || {
        connection
            .prepare_cached(
                "SELECT host_id, hostname, cluster, verdict, silent, enrolled_at, last_seen_at,
                   observed_at, sequence, failing, facts ->> 'agent_version', labels, revoked_at,
                   revoked_by, revoked_reason
                 FROM hosts
                 WHERE token_id <> '' AND (rank = :state
                     OR (:state IS NULL AND (revoked_at IS NULL OR :node IS NOT NULL)))
                   AND NOT EXISTS (
                     SELECT 1 FROM json_each(:labels) AS wanted WHERE NOT EXISTS (
                       SELECT 1 FROM json_each(hosts.labels) AS had
                       WHERE had.key = wanted.key AND had.value = wanted.value))
                   AND (:node IS NULL OR host_id = :node OR hostname = :node)
                   AND (:rank IS NULL OR (rank, hostname, host_id) > (:rank, :hostname, :host_id))
                 ORDER BY rank, hostname, host_id LIMIT :limit",
            )?
            .query_map(
                named_params! {
                    ":state": filter.state.map(NodeState::rank),
                    ":node": filter.node,
                    ":labels": json(&filter.labels)?,
                    ":rank": rank,
                    ":hostname": hostname,
                    ":host_id": host_id,
                    ":limit": page.size().saturating_add(1),
                },
                host,
            )?
            .collect::<Result<_, _>>()
    };
    let rows = read().map_err(|source| StoreError::of("list the hosts", source))?;
    Ok(Page::cut(rows, page.size(), |row| -> Key {
        (row.state.rank(), row.hostname.clone(), row.host_id.as_str().to_owned())
    }))
}

fn host(row: &Row<'_>) -> Result<HostRow, rusqlite::Error> {
    let mut columns = Columns::of(row);
    let (host_id, hostname, cluster) = (columns.host_id()?, columns.get()?, columns.get()?);
    let (verdict, silent) = (columns.word()?, columns.get()?);
    let mut row = HostRow {
        host_id,
        hostname,
        cluster,
        state: NodeState::now(verdict, silent, false),
        enrolled_at: columns.time()?,
        last_seen_at: columns.time()?,
        observed_at: columns.maybe_time()?,
        sequence: columns.number()?,
        failing: columns.get()?,
        agent_version: columns.get::<Option<String>>()?.unwrap_or_default(),
        labels: columns.json()?,
        revocation: None,
    };
    if let Some(at) = columns.maybe_time()? {
        row.state = NodeState::Revoked;
        row.revocation = Some(Revocation { at, by: columns.get()?, reason: columns.get()? });
    }
    Ok(row)
}

pub(super) fn posture(
    connection: &Connection,
    host: &HostId,
) -> Result<Option<Vec<u8>>, StoreError> {
    connection
        .prepare_cached(
            "SELECT body FROM postures JOIN hosts ON hosts.id = postures.host WHERE host_id = ?1",
        )
        .and_then(|mut select| select.query_row([host.as_str()], |row| row.get(0)).optional())
        .map_err(|source| StoreError::of("read a posture", source))
}
