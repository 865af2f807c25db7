//! The database is copied beside a server that writes, looked through, and refused when it cannot be trusted.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use atrest_proto::model::Verdict;
use atrest_server::store::Store as _;
use atrest_server::store::sqlite::Sqlite;
use rusqlite::Connection;

use crate::harness::{Server, config, directory, report, within};

fn server(state: &Path, args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = Command::new(env!("CARGO_BIN_EXE_atrest-server"))
        .args(args)
        .arg("--state-dir")
        .arg(state)
        // The machine's own configuration is not asked.
        .args(["--config", "/dev/null"])
        .output()
        .unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

async fn beside(state: &Path, args: &[&str]) -> (Option<i32>, String) {
    let state = state.to_owned();
    let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let run = tokio::task::spawn_blocking(move || {
        server(&state, &args.iter().map(String::as_str).collect::<Vec<_>>())
    });
    within(run).await.unwrap()
}

/// What a server left that had one host with one report.
async fn used(state: &Path) -> PathBuf {
    let server = Server::start(config(state)).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    stream.report(report(1, agent.posture(&[("/srv", Verdict::Unencrypted)]))).await.unwrap();
    drop(stream);
    server.stop().await;
    state.join("atrest.db")
}

/// Writes nonsense over the first page of a table.
fn damage(database: &Path, table: &str) {
    let connection = Connection::open(database).unwrap();
    let page: u32 = connection
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [table], |row| row.get(0))
        .unwrap();
    let size: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0)).unwrap();
    drop(connection);
    let mut file = std::fs::File::options().write(true).open(database).unwrap();
    file.seek(SeekFrom::Start(u64::from(page - 1) * u64::from(size))).unwrap();
    file.write_all(&vec![0xa5; size as usize]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_beside_a_server_that_writes_is_one_moment_of_it() {
    let (dir, state) = directory();
    let running = Server::start(config(&state)).await;
    let agent = running.agent("es-1").await;
    let mut stream = running.attach(&agent).await;
    let said = |sequence| {
        let verdict = if sequence % 2 == 0 { Verdict::Encrypted } else { Verdict::Unencrypted };
        report(sequence, agent.posture(&[("/srv", verdict)]))
    };
    let mut acknowledged = stream.report(said(1)).await.unwrap();
    let copy = dir.path().join("copy.db");
    for round in 0..3 {
        let before = acknowledged;
        let force = if round == 0 { &[][..] } else { &["--force"][..] };
        let args = [&["backup", copy.to_str().unwrap()], force].concat();
        let mut copying = std::pin::pin!(beside(&state, &args));
        let (code, told) = loop {
            tokio::select! {
                done = &mut copying => break done,
                sequence = stream.report(said(acknowledged + 1)) => acknowledged = sequence.unwrap(),
            }
        };
        assert_eq!(code, Some(0), "{told}");
        // A report that was on its way when the copy was done is answered first.
        let held = until_acknowledged(&mut stream, &said, &mut acknowledged).await;
        assert_eq!(std::fs::metadata(&copy).unwrap().mode() & 0o777, 0o600);
        let at = dir.path().join(format!("restored-{round}.db"));
        std::fs::copy(&copy, &at).unwrap();
        let restored = Sqlite::open(&at).unwrap().host_roster().await.unwrap();
        let standing = &restored[0].standing;
        assert!((before..=held).contains(&standing.sequence), "{before} {standing:?} {held}");
        // The report and what follows from it are of the same moment.
        assert_eq!(standing.failing, u32::from(standing.sequence % 2 == 1), "{standing:?}");
    }
    let (code, told) = beside(&state, &["backup", copy.to_str().unwrap()]).await;
    assert!(code == Some(1) && told.contains("--force"), "{told}");
    let (code, told) = beside(&state, &["check", copy.to_str().unwrap()]).await;
    assert!(code == Some(0) && told.contains("is sound"), "{told}");
    // Neither the database nor what is beside it is ever written over.
    for name in ["atrest.db", "atrest.db-wal"] {
        let itself = state.join(name);
        let args = ["backup", itself.to_str().unwrap(), "--force"];
        let (code, told) = beside(&state, &args).await;
        assert!(code == Some(1) && told.contains("the database itself"), "{told}");
    }
    assert_eq!(running.operator().await.status().await.enrolled, 1);
    running.stop().await;
}

/// The highest sequence that was acknowledged, with nothing on its way.
async fn until_acknowledged(
    stream: &mut crate::harness::Stream,
    said: &impl Fn(u64) -> atrest_proto::v1::Report,
    acknowledged: &mut u64,
) -> u64 {
    // The same report twice is acknowledged twice: whatever comes first, the higher one follows.
    let next = *acknowledged + 1;
    let mut sequence = stream.report(said(next)).await.unwrap();
    while sequence < next {
        sequence = stream.report(said(next)).await.unwrap();
    }
    *acknowledged = next;
    next
}

#[tokio::test]
async fn without_a_server_it_is_copied_as_well_and_the_copy_serves() {
    let (dir, state) = directory();
    used(&state).await;
    let copy = dir.path().join("copy.db");
    let (code, told) = beside(&state, &["backup", copy.to_str().unwrap()]).await;
    assert!(code == Some(0) && told.contains("hosts 1"), "{told}");
    // A log of something else beside the file would become part of it.
    let other = dir.path().join("other.db");
    std::fs::write(dir.path().join("other.db-wal"), "a log").unwrap();
    let (code, told) = beside(&state, &["backup", other.to_str().unwrap(), "--force"]).await;
    assert!(code == Some(1) && told.contains("other.db-wal"), "{told}");
    assert!(!other.exists());
    for name in ["atrest.db", "atrest.db-wal", "atrest.db-shm"] {
        drop(std::fs::remove_file(state.join(name)));
    }
    std::fs::rename(&copy, state.join("atrest.db")).unwrap();
    let server = Server::start(config(&state)).await;
    let fleet = server.operator().await.status().await;
    assert_eq!((fleet.enrolled, fleet.firing_alerts), (1, 1));
    server.stop().await;
}

#[tokio::test]
async fn a_damaged_database_is_refused_by_everything_with_what_to_do() {
    let (dir, state) = directory();
    let database = used(&state).await;
    let (code, told) = beside(&state, &["check"]).await;
    assert_eq!(code, Some(0), "{told}");
    damage(&database, "hosts");
    let copy = dir.path().join("copy.db");
    for args in [&["serve"][..], &["check"], &["backup", copy.to_str().unwrap()]] {
        let (code, told) = beside(&state, args).await;
        assert_eq!(code, Some(1), "{args:?} {told}");
        assert!(told.contains("is damaged") && told.contains("restore the last backup"), "{told}");
    }
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["state"], "no copy of what is damaged");
}

#[tokio::test]
async fn rows_without_their_parents_are_found() {
    let (_dir, state) = directory();
    let connection = Connection::open(used(&state).await).unwrap();
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    connection.execute("DELETE FROM hosts", []).unwrap();
    drop(connection);
    let (code, told) = beside(&state, &["check"]).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("a row of findings belongs to a row of hosts"), "{told}");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_and_left_as_it_is() {
    let (dir, state) = directory();
    let database = used(&state).await;
    let connection = Connection::open(&database).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let before = std::fs::read(&database).unwrap();
    let copy = dir.path().join("copy.db");
    for args in [&["serve"][..], &["check"], &["backup", copy.to_str().unwrap()]] {
        let (code, told) = beside(&state, args).await;
        assert_eq!(code, Some(1), "{args:?} {told}");
        assert!(told.contains("newer atrest-server (schema 99"), "{told}");
    }
    assert!(!copy.exists());
    assert_eq!(std::fs::read(&database).unwrap(), before);
}
