//! The schema, as steps that are only ever added to.

use std::path::Path;

use rusqlite::Connection;

use super::OpenError;

/// Step n brings schema n to n + 1. Released steps never change.
pub(super) const STEPS: &[&str] = &[
    include_str!("../../../migrations/sqlite/0001_init.sql"),
    include_str!("../../../migrations/sqlite/0002_revocation.sql"),
    include_str!("../../../migrations/sqlite/0003_operators.sql"),
    include_str!("../../../migrations/sqlite/0004_audit.sql"),
    include_str!("../../../migrations/sqlite/0005_labels.sql"),
    include_str!("../../../migrations/sqlite/0006_history.sql"),
    include_str!("../../../migrations/sqlite/0007_metrics.sql"),
    include_str!("../../../migrations/sqlite/0008_alerting.sql"),
    include_str!("../../../migrations/sqlite/0009_worsened.sql"),
    include_str!("../../../migrations/sqlite/0010_retired_assets.sql"),
    include_str!("../../../migrations/sqlite/0011_clusters.sql"),
    include_str!("../../../migrations/sqlite/0012_outline.sql"),
];

/// "atrs": tells our files from other people's.
const APPLICATION_ID: u32 = 0x6174_7273;

/// The schema of a database; refused when it is newer than what this version knows.
pub(super) fn version(path: &Path, connection: &Connection) -> Result<u32, OpenError> {
    let found: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|source| OpenError::of(path, source))?;
    let known = u32::try_from(STEPS.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    Ok(found)
}

pub(super) fn run(path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
    let found = version(path, connection)?;
    for (step, version) in STEPS.iter().zip(1..).skip(usize::try_from(found).unwrap_or(usize::MAX))
    {
        migrate(connection, step, version).map_err(|source| OpenError::Migrate {
            path: path.to_owned(),
            version,
            source,
        })?;
    }
    Ok(())
}

/// One step, whole or not at all.
fn migrate(connection: &mut Connection, step: &str, version: u32) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(step)?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.commit()
}
