//! The fleet in one `SQLite` file: write-ahead log, `synchronous=FULL`, one writing thread, one reading.

mod alerts;
mod audit;
mod changes;
mod clusters;
mod findings;
mod history;
mod hosts;
mod migrations;
mod operators;
mod outbox;
mod rows;
mod safety;
#[cfg(test)]
mod tests;
mod tokens;
mod worker;

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use atrest_proto::model::Severity;
use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use thiserror::Error;

use super::{
    Admitted, AlertRow, Attempt, DeadLetter, DeliveryCounts, Due, Exposure, ExposureFilter,
    FindingFilter, FindingRow, HostFilter, HostRow, Page, PageRequest, Repeat, Repeated,
    Revocation, Step, Store, StoreError,
};
use crate::access::Account;
use crate::alert::{Ack, AlertState, Routes};
use crate::audit::Entry;
use crate::enrollment::{Application, Refusal, Token};
use crate::fleet::cluster::{ClusterKey, Member};
use crate::fleet::roster::{Enrolled, Sighting, Standing};
use crate::fleet::{Digest, HostId};
pub use safety::{BackupError, Inspection, backup, inspect};
use worker::{Mode, Worker};

/// Pages that the writer keeps, in KiB: those of some thousand hosts. It writes the same ones again and again.
const CACHE: i32 = 16 << 10;
/// Pages of the log, of 4 KiB, after which they are moved into the database: those that are written often move once.
const LOG: i32 = 8_000;

/// Why the database could not be opened, with what to do about it.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("could not make the database {path}")]
    Make {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("could not find the database {path}: say where it is with --state-dir")]
    Missing {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("could not open the database {path}")]
    Open {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error(
        "the database {path} is damaged ({what}): stop the server, move {path}, {path}-wal and \
         {path}-shm away, and restore the last backup: put the copy that `atrest-server backup` made \
         in their place"
    )]
    Damaged { path: PathBuf, what: String },
    #[error("{path} is empty, or not a database of atrest-server")]
    NotOurs { path: PathBuf },
    #[error(
        "the database {path} was written by a newer atrest-server (schema {found}, this one knows \
         {known}): install that version again, or restore a backup made before the upgrade"
    )]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error("could not bring the database {path} to schema {version}")]
    Migrate {
        path: PathBuf,
        version: u32,
        #[source]
        source: rusqlite::Error,
    },
    #[error("could not start a thread of the store")]
    Thread(#[source] std::io::Error),
}

/// The store.
#[derive(Debug)]
pub struct Sqlite {
    writer: Worker,
    reader: Worker,
}

impl Sqlite {
    /// Opens the database, checks it, and brings its schema up to date. Makes it when there is none.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        make_private(path)?;
        let open = |flags| connect(path, flags).map_err(|source| OpenError::of(path, source));
        let mut writer = open(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        safety::check_at_start(path, &writer)?;
        migrations::run(path, &mut writer)?;
        let reader = open(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        Ok(Self {
            writer: Worker::spawn("store-writer", writer, Mode::Write)
                .map_err(OpenError::Thread)?,
            reader: Worker::spawn("store-reader", reader, Mode::Read).map_err(OpenError::Thread)?,
        })
    }

    /// Keeps the file from growing beyond this many pages; `None` lifts the limit. For tests of a full disk.
    pub async fn limit_pages(&self, pages: Option<u32>) -> Result<(), StoreError> {
        let pages = pages.unwrap_or(u32::MAX - 1);
        self.writer
            .run(move |connection| {
                connection
                    .pragma_update(None, "max_page_count", pages)
                    .map_err(|source| StoreError::of("limit the database", source))
            })
            .await
    }
}

/// The database holds what an attacker would like to know: nobody else reads it, nor the files beside it.
fn make_private(path: &Path) -> Result<(), OpenError> {
    std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|source| OpenError::Make { path: path.to_owned(), source })
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    if flags.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // Negative: KiB instead of pages.
        connection.pragma_update(None, "cache_size", -CACHE)?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG)?;
    }
    Ok(connection)
}

impl OpenError {
    fn is_damage(source: &rusqlite::Error) -> bool {
        matches!(
            source.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        )
    }

    /// Tells a file that is damaged from everything else.
    fn of(path: &Path, source: rusqlite::Error) -> Self {
        if Self::is_damage(&source) {
            Self::Damaged { path: path.to_owned(), what: source.to_string() }
        } else {
            Self::Open { path: path.to_owned(), source }
        }
    }

    fn damaged(path: &Path, problems: &[String]) -> Self {
        // Some of SQLite's are many lines.
        let what = problems.join("; ").replace('\n', " ");
        Self::Damaged { path: path.to_owned(), what }
    }
}

impl StoreError {
    /// Tells a full disk from everything else.
    fn of(operation: &'static str, source: rusqlite::Error) -> Self {
        let full = source.sqlite_error_code() == Some(ErrorCode::DiskFull);
        let source: Arc<dyn std::error::Error + Send + Sync> = Arc::new(source);
        if full { Self::Full(source) } else { Self::Failed { operation, source } }
    }

    fn full() -> Self {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        Self::Full(Arc::new(rusqlite::Error::SqliteFailure(code, None)))
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn token_create(
        &self,
        token: Token,
        secret_hash: Digest,
        entry: Entry,
    ) -> Result<(), StoreError> {
        self.writer
            .run(move |connection| {
                tokens::create(connection, &token, &secret_hash)?;
                audit::append(connection, &entry)
            })
            .await
    }

    async fn token_list(&self) -> Result<Vec<Token>, StoreError> {
        self.reader.run(tokens::list).await
    }

    async fn token_revoke(
        &self,
        token_id: String,
        at: Timestamp,
        entry: Entry,
    ) -> Result<bool, StoreError> {
        self.writer
            .run(move |connection| {
                let found = tokens::revoke(connection, &token_id, at)?;
                if found {
                    audit::append(connection, &entry)?;
                }
                Ok(found)
            })
            .await
    }

    async fn operator_create(&self, account: Account, entry: Entry) -> Result<bool, StoreError> {
        self.writer
            .run(move |connection| {
                let made = operators::create(connection, &account)?;
                if made {
                    audit::append(connection, &entry)?;
                }
                Ok(made)
            })
            .await
    }

    async fn operator_list(&self) -> Result<Vec<Account>, StoreError> {
        self.reader.run(operators::list).await
    }

    async fn operator_revoke(
        &self,
        operator: String,
        at: Timestamp,
        entry: Entry,
    ) -> Result<Option<Account>, StoreError> {
        self.writer
            .run(move |connection| {
                let found = operators::revoke(connection, &operator, at)?;
                if found.is_some() {
                    audit::append(connection, &entry)?;
                }
                Ok(found)
            })
            .await
    }

    async fn host_enroll(
        &self,
        application: Application,
    ) -> Result<Result<Admitted, Refusal>, StoreError> {
        self.writer.run(move |connection| hosts::enroll(connection, &application)).await
    }

    async fn host_change(&self, host: HostId, step: Step) -> Result<Option<Standing>, StoreError> {
        self.writer.run(move |connection| changes::run(connection, &host, step)).await
    }

    async fn host_repeat(&self, host: HostId, repeat: Repeat) -> Result<Repeated, StoreError> {
        self.writer.run(move |connection| changes::repeat(connection, &host, &repeat)).await
    }

    async fn host_amend(
        &self,
        host: HostId,
        step: Step,
        entry: Entry,
    ) -> Result<Option<Standing>, StoreError> {
        self.writer
            .run(move |connection| {
                let standing = changes::run(connection, &host, step)?;
                if standing.is_some() {
                    audit::append(connection, &entry)?;
                }
                Ok(standing)
            })
            .await
    }

    async fn host_revoke(
        &self,
        host: HostId,
        revocation: Revocation,
        step: Step,
        entry: Entry,
    ) -> Result<Option<Standing>, StoreError> {
        self.writer
            .run(move |connection| {
                let standing = changes::revoke(connection, &host, &revocation, step)?;
                audit::append(connection, &entry)?;
                Ok(standing)
            })
            .await
    }

    async fn host_own(&self, hostname: String, at: Timestamp) -> Result<HostId, StoreError> {
        self.writer.run(move |connection| hosts::own(connection, &hostname, at)).await
    }

    async fn cluster_own(
        &self,
        cluster: ClusterKey,
        name: String,
        at: Timestamp,
    ) -> Result<HostId, StoreError> {
        self.writer.run(move |connection| clusters::own(connection, &cluster, &name, at)).await
    }

    async fn cluster_list(&self) -> Result<Vec<(ClusterKey, HostId)>, StoreError> {
        self.reader.run(clusters::list).await
    }

    async fn member_keep(&self, host: HostId, member: Member) -> Result<(), StoreError> {
        self.writer.run(move |connection| clusters::keep(connection, &host, &member)).await
    }

    async fn member_list(&self) -> Result<Vec<(HostId, Member)>, StoreError> {
        self.reader.run(clusters::members).await
    }

    async fn host_sightings(&self, sightings: Vec<Sighting>) -> Result<(), StoreError> {
        self.writer.run(move |connection| hosts::sightings(connection, &sightings)).await
    }

    async fn host_roster(&self) -> Result<Vec<Enrolled>, StoreError> {
        self.reader.run(hosts::roster).await
    }

    async fn host_list(
        &self,
        filter: HostFilter,
        page: PageRequest,
    ) -> Result<Page<HostRow>, StoreError> {
        self.reader.run(move |connection| hosts::list(connection, &filter, &page)).await
    }

    async fn host_posture(&self, host: HostId) -> Result<Option<Vec<u8>>, StoreError> {
        self.reader.run(move |connection| hosts::posture(connection, &host)).await
    }

    async fn finding_list(
        &self,
        filter: FindingFilter,
        page: PageRequest,
    ) -> Result<Page<FindingRow>, StoreError> {
        self.reader.run(move |connection| findings::list(connection, &filter, &page)).await
    }

    async fn alert_list(
        &self,
        state: AlertState,
        page: PageRequest,
    ) -> Result<Page<AlertRow>, StoreError> {
        self.reader.run(move |connection| alerts::list(connection, state, &page)).await
    }

    async fn history_list(
        &self,
        filter: ExposureFilter,
        page: PageRequest,
    ) -> Result<Page<Exposure>, StoreError> {
        self.reader.run(move |connection| history::list(connection, &filter, &page)).await
    }

    async fn history_prune(&self, before: Timestamp) -> Result<bool, StoreError> {
        self.writer.run(move |connection| history::prune(connection, before)).await
    }

    async fn alert_find(&self, prefix: String) -> Result<Vec<AlertRow>, StoreError> {
        self.reader.run(move |connection| alerts::find(connection, &prefix)).await
    }

    async fn alert_acknowledge(
        &self,
        alert_id: String,
        ack: Ack,
        entry: Entry,
    ) -> Result<bool, StoreError> {
        self.writer
            .run(move |connection| {
                let found = alerts::acknowledge(connection, &alert_id, &ack)?;
                if found {
                    audit::append(connection, &entry)?;
                }
                Ok(found)
            })
            .await
    }

    async fn delivery_due(
        &self,
        notifier: String,
        least: Severity,
        limit: usize,
        now: Timestamp,
    ) -> Result<Due, StoreError> {
        self.reader
            .run(move |connection| outbox::due(connection, &notifier, least, limit, now))
            .await
    }

    async fn delivery_record(&self, attempts: Vec<(i64, Attempt)>) -> Result<(), StoreError> {
        self.writer.run(move |connection| outbox::record(connection, &attempts)).await
    }

    async fn delivery_hasten(
        &self,
        notifier: String,
        later_than: Timestamp,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.writer
            .run(move |connection| outbox::hasten(connection, &notifier, later_than, at))
            .await
    }

    async fn delivery_repeat(
        &self,
        notifier: String,
        told_before: Timestamp,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.writer
            .run(move |connection| outbox::repeat(connection, &notifier, told_before, at))
            .await
    }

    async fn delivery_counts(&self) -> Result<BTreeMap<String, DeliveryCounts>, StoreError> {
        self.reader.run(outbox::counts).await
    }

    async fn delivery_dead(&self, page: PageRequest) -> Result<Page<DeadLetter>, StoreError> {
        self.reader.run(move |connection| outbox::dead(connection, &page)).await
    }

    async fn delivery_retry(
        &self,
        which: Option<i64>,
        notifiers: Vec<String>,
        at: Timestamp,
        entry: Entry,
    ) -> Result<u64, StoreError> {
        self.writer
            .run(move |connection| {
                let taken = outbox::retry(connection, which, &notifiers, at)?;
                if taken > 0 {
                    audit::append(connection, &entry)?;
                }
                Ok(taken)
            })
            .await
    }

    async fn delivery_join(&self, routes: Arc<Routes>, at: Timestamp) -> Result<(), StoreError> {
        self.writer.run(move |connection| outbox::join(connection, &routes, at)).await
    }

    fn waiting(&self) -> usize {
        self.writer.waiting().saturating_add(self.reader.waiting())
    }

    async fn audit_append(&self, entries: Vec<Entry>) -> Result<(), StoreError> {
        self.writer
            .run(move |connection| {
                entries.iter().try_for_each(|entry| audit::append(connection, entry))
            })
            .await
    }

    async fn audit_list(&self, page: PageRequest) -> Result<Page<Entry>, StoreError> {
        self.reader.run(move |connection| audit::list(connection, &page)).await
    }

    async fn audit_prune(&self, before: Timestamp, keep: u64) -> Result<bool, StoreError> {
        self.writer.run(move |connection| audit::prune(connection, before, keep)).await
    }
}
