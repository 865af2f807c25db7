//! What keeps a database trustworthy: it is looked through before it is used, and copied while it is.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use thiserror::Error;
use tracing::warn;

use super::{OpenError, migrations};

/// How long a start may wait for the check. Beyond it the server starts: `check` takes the time that it needs.
const PATIENCE: Duration = Duration::from_secs(30);
/// How soon an interrupt is repeated that came between two statements.
const AGAIN: Duration = Duration::from_millis(10);
/// Problems that are told of a database; there may be millions.
const MAX_PROBLEMS: usize = 20;
/// How often a copy that finds the database locked is tried: each try waits for the busy timeout.
const TRIES: u32 = 12;

/// Why there is no copy.
#[derive(Debug, Error)]
pub enum BackupError {
    #[error(transparent)]
    Source(#[from] OpenError),
    #[error("{0} exists: name another file, or replace it with --force")]
    Exists(PathBuf),
    #[error("{0} is the database itself: name another file")]
    Itself(PathBuf),
    #[error(
        "{log} lies beside the file to write, and would be taken for a part of it: move it away, or name another file"
    )]
    Log { log: PathBuf },
    #[error("could not copy the database")]
    Copy(#[source] rusqlite::Error),
    #[error("could not write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the copy was thrown away ({what}): look at the database with `atrest-server check`")]
    Bad { what: String },
}

/// What a database that was looked through is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    pub schema: u32,
    pub hosts: u64,
    pub bytes: u64,
}

/// A connection that changes nothing.
fn open_existing(path: &Path) -> Result<Connection, OpenError> {
    if let Err(source) = std::fs::metadata(path) {
        return Err(OpenError::Missing { path: path.to_owned(), source });
    }
    super::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(|source| OpenError::of(path, source))
}

/// Looks through a whole database: its pages, its foreign keys, its schema. Takes as long as that takes.
pub fn inspect(path: &Path) -> Result<Inspection, OpenError> {
    inspect_with(path, &open_existing(path)?)
}

fn inspect_with(path: &Path, connection: &Connection) -> Result<Inspection, OpenError> {
    let fail = |source| OpenError::of(path, source);
    let schema = migrations::version(path, connection)?;
    let problems = quick_check(connection).map_err(fail)?;
    if !problems.is_empty() {
        return Err(OpenError::damaged(path, &problems));
    }
    if schema == 0 {
        return Err(OpenError::NotOurs { path: path.to_owned() });
    }
    let orphans = foreign_keys(connection).map_err(fail)?;
    if !orphans.is_empty() {
        return Err(OpenError::damaged(path, &orphans));
    }
    let count = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(fail);
    let pages = count("SELECT page_count FROM pragma_page_count")?;
    let page = count("SELECT page_size FROM pragma_page_size")?;
    Ok(Inspection {
        schema,
        hosts: count("SELECT count(*) FROM hosts WHERE token_id <> ''")?
            .try_into()
            .unwrap_or_default(),
        bytes: pages.saturating_mul(page).try_into().unwrap_or_default(),
    })
}

/// What is wrong with the pages; empty when nothing is.
fn quick_check(connection: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    let mut statement = connection.prepare(&format!("PRAGMA quick_check({MAX_PROBLEMS})"))?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
    let lines = lines.take(MAX_PROBLEMS).collect::<Result<Vec<_>, _>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

/// Rows whose parents are missing.
fn foreign_keys(connection: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let rows = statement.query_map([], |row| {
        let (table, parent) = (row.get::<_, String>(0)?, row.get::<_, String>(2)?);
        Ok(format!("a row of {table} belongs to a row of {parent} that is not there"))
    })?;
    rows.take(MAX_PROBLEMS).collect()
}

/// The check before a start. One that takes too long is given up: a fleet without a server is worse.
pub(super) fn check_at_start(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    match bounded(connection, PATIENCE, quick_check) {
        Ok(problems) if problems.is_empty() => Ok(()),
        Ok(problems) => Err(OpenError::damaged(path, &problems)),
        Err(source) if source.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            warn!(
                database = %path.display(),
                "the database is too large to be looked through at the start: run `atrest-server check`"
            );
            Ok(())
        }
        Err(source) => Err(OpenError::of(path, source)),
    }
}

/// Runs a query that is interrupted when it takes longer than `patience`.
fn bounded<T>(
    connection: &Connection,
    patience: Duration,
    query: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
) -> Result<T, rusqlite::Error> {
    let handle = connection.get_interrupt_handle();
    let (done, waits) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut left = patience;
            // Again and again: an interrupt between two statements is lost.
            while waits.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                handle.interrupt();
                left = AGAIN;
            }
        });
        let result = query(connection);
        drop(done);
        // The scope waits for the thread: nothing that comes after is interrupted.
        result
    })
}

/// Copies a database, beside a server that goes on writing or without one. The copy is one moment of it, in one file
/// that is looked through before it gets its name.
///
/// The copy holds one read transaction: in a write-ahead log that keeps no writer waiting. Copying in small steps
/// would start anew with every write of the server.
pub fn backup(database: &Path, to: &Path, force: bool) -> Result<Inspection, BackupError> {
    let source = open_existing(database)?;
    migrations::version(database, &source)?;
    refuse(database, to, force)?;
    let write = |source| BackupError::Write { path: to.to_owned(), source };
    let directory = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    // Of mode 0600, in the same directory, so that it gets its name at once and whole. Gone if anything fails.
    let file = tempfile::NamedTempFile::new_in(directory).map_err(write)?;
    let inspection = {
        let mut copy = Connection::open_with_flags(
            file.path(),
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(BackupError::Copy)?;
        copy_all(&source, &mut copy).map_err(|source| copy_failed(database, source))?;
        // One file instead of three; the server turns the log on again when it opens it.
        copy.pragma_update(None, "journal_mode", "DELETE").map_err(BackupError::Copy)?;
        inspect_with(database, &copy).map_err(|bad| BackupError::Bad { what: bad.to_string() })?
    };
    file.as_file().sync_all().map_err(write)?;
    if force {
        file.persist(to).map_err(|error| write(error.error))?;
    } else {
        file.persist_noclobber(to).map_err(|error| {
            if error.error.kind() == std::io::ErrorKind::AlreadyExists {
                BackupError::Exists(to.to_owned())
            } else {
                write(error.error)
            }
        })?;
    }
    std::fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(write)?;
    Ok(inspection)
}

fn copy_failed(database: &Path, source: rusqlite::Error) -> BackupError {
    if OpenError::is_damage(&source) {
        BackupError::Source(OpenError::of(database, source))
    } else {
        BackupError::Copy(source)
    }
}

fn copy_all(source: &Connection, copy: &mut Connection) -> Result<(), rusqlite::Error> {
    let backup = Backup::new(source, copy)?;
    for _ in 0..TRIES {
        if backup.step(i32::MAX)? == StepResult::Done {
            return Ok(());
        }
    }
    Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None))
}

/// What must not be written over, whoever insists.
fn refuse(database: &Path, to: &Path, force: bool) -> Result<(), BackupError> {
    let same = |path: &Path| match (std::fs::metadata(path), std::fs::metadata(to)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    };
    let of_database = [database.to_owned(), beside(database, "-wal"), beside(database, "-shm")];
    if of_database.iter().any(|path| same(path)) {
        return Err(BackupError::Itself(to.to_owned()));
    }
    // A log of another database would be replayed into the copy when it is opened.
    for log in [beside(to, "-wal"), beside(to, "-journal")] {
        if log.symlink_metadata().is_ok() {
            return Err(BackupError::Log { log });
        }
    }
    if !force && to.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_that_never_ends_is_interrupted_and_the_next_one_is_not() {
        let connection = Connection::open_in_memory().unwrap();
        let endless =
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
        let run = |sql: &'static str, patience| {
            bounded(&connection, patience, |connection| {
                connection.query_row(sql, [], |row| row.get::<_, i64>(0))
            })
        };
        let interrupted = run(endless, Duration::ZERO).unwrap_err();
        assert_eq!(interrupted.sqlite_error_code(), Some(ErrorCode::OperationInterrupted));
        assert_eq!(run("SELECT 7", Duration::from_mins(1)).unwrap(), 7);
        assert_eq!(run("SELECT 8", Duration::from_mins(1)).unwrap(), 8);
    }

    #[test]
    fn what_is_no_database_of_ours_is_not_copied() {
        let dir = tempfile::tempdir().unwrap();
        let (empty, copy) = (dir.path().join("empty.db"), dir.path().join("copy.db"));
        std::fs::write(&empty, "").unwrap();
        assert!(matches!(inspect(&empty), Err(OpenError::NotOurs { .. })));
        assert!(matches!(backup(&empty, &copy, false), Err(BackupError::Bad { .. })));
        assert!(!copy.exists());
        let missing = dir.path().join("missing.db");
        assert!(matches!(inspect(&missing), Err(OpenError::Missing { .. })));
        assert!(!missing.exists(), "looking makes nothing");
    }
}
