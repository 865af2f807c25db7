//! What is particular to this store: its file, its threads, and a disk that is full.

use std::path::PathBuf;

use jiff::Timestamp;

use super::*;
use crate::store::conformance;

fn path(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("atrest.db")
}

fn token(id: &str) -> Token {
    Token {
        token_id: id.to_owned(),
        cluster: "prod".to_owned(),
        uses_left: 1,
        created_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::MAX,
        revoked_at: None,
        replaces: None,
        labels: crate::labels::Labels::new(),
    }
}

fn entry() -> Entry {
    Entry {
        at: Timestamp::UNIX_EPOCH,
        operator: String::new(),
        role: None,
        rpc: String::new(),
        object: String::new(),
        address: String::new(),
        outcome: crate::audit::Outcome::Done,
        detail: String::new(),
        count: 1,
    }
}

#[tokio::test]
async fn it_is_a_store() {
    let dir = tempfile::tempdir().unwrap();
    conformance::run(&Sqlite::open(&path(&dir)).unwrap()).await;
}

#[tokio::test]
async fn a_machine_is_looked_for_by_an_index_however_many_hosts_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&path(&dir)).unwrap();
    let plan = store.writer.run(|connection| {
        let explain = format!("EXPLAIN QUERY PLAN {}", hosts::SAME_MACHINE);
        connection
            .query_row(&explain, ["m"], |row| row.get::<_, String>("detail"))
            .map_err(|source| StoreError::of("ask", source))
    });
    let plan = plan.await.unwrap();
    assert!(plan.starts_with("SEARCH hosts USING INDEX hosts_machine"), "{plan}");
}

#[tokio::test]
async fn what_is_due_is_read_by_an_index_however_much_waits() {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&path(&dir)).unwrap();
    let plan = store.writer.run(|connection| {
        let explain = format!("EXPLAIN QUERY PLAN {}", outbox::due_query());
        let fail = |source| StoreError::of("ask", source);
        let mut select = connection.prepare(&explain).map_err(fail)?;
        let steps = select
            .query_map(("ops", 0, 0, 9), |row| row.get::<_, String>("detail"))
            .and_then(Iterator::collect::<Result<Vec<_>, _>>);
        steps.map_err(fail)
    });
    let plan = plan.await.unwrap();
    let by = |index: &str| {
        plan.iter().any(|step| {
            step.contains(&format!("USING INDEX {index}"))
                || step.contains(&format!("USING COVERING INDEX {index}"))
        })
    };
    assert!(by("deliveries_pending") && by("deliveries_in_turn"), "{plan:#?}");
    let sorts = |step: &String| step.contains("TEMP B-TREE") || step.contains("SCAN");
    assert!(!plan.iter().any(sorts), "{plan:#?}");
}

#[tokio::test]
async fn its_file_is_private_and_durable() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&path(&dir)).unwrap();
    store.token_create(token("a"), [1; 32], entry()).await.unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().mode() & 0o077, 0);
    }
    let mode = |pragma: &'static str| {
        store.writer.run(move |connection| {
            connection
                .pragma_query_value(None, pragma, |row| row.get::<_, rusqlite::types::Value>(0))
                .map_err(|source| StoreError::of("ask", source))
        })
    };
    assert_eq!(mode("journal_mode").await.unwrap(), "wal".to_owned().into());
    assert_eq!(mode("synchronous").await.unwrap(), 2_i64.into(), "FULL");
    drop(store);
    let store = Sqlite::open(&path(&dir)).unwrap();
    assert_eq!(store.token_list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(Sqlite::open(&path(&dir)).unwrap());
    let connection = Connection::open(path(&dir)).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = Sqlite::open(&path(&dir)).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }));
    assert!(error.to_string().contains("newer atrest-server"), "{error}");
}

#[tokio::test]
async fn an_older_schema_is_brought_up_with_what_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let connection = Connection::open(path(&dir)).unwrap();
    connection.execute_batch(migrations::STEPS[0]).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    let id = HostId::random();
    let host = format!(
        "INSERT INTO hosts (id, host_id, hostname, machine_fingerprint, cluster, token_id, key_pin,
           facts, enrolled_at, last_seen_at, verdict, rank)
         VALUES (1, '{id}', 'es-1', 'm', 'prod', 't', zeroblob(32), '{{}}', 0, 0, 'encrypted', 5)"
    );
    connection.execute_batch(&host).unwrap();
    let finding = r#"{"check":"c","asset":"a","outcome":"fail","severity":"high","summary":"","remedy":"",
        "reasons":[],"evidence":{},"affects":[]}"#;
    for (alert, ended_at) in [("on", None), ("off", Some(5))] {
        connection
            .execute(
                "INSERT INTO alerts (alert_id, host, hostname, cluster, finding, path, devices,
                   episode, started_at, ended_at) VALUES (?1, 1, 'es-1', 'prod', ?2, '', '[]', 1, 0, ?3)",
                (alert, finding, ended_at),
            )
            .unwrap();
    }
    // Findings had their text with them.
    connection
        .execute(
            "INSERT INTO findings (host, check_id, asset, outcome, severity, content, first_seen_at,
               changed_at, opened_at, episode, alerting, body, place)
             VALUES (1, 'c', 'a', 'fail', 3, zeroblob(16), 0, 0, 0, 1, 1, ?1, ?2)",
            (finding, r#"{"path":"/srv","devices":["/dev/sdb"]}"#),
        )
        .unwrap();
    drop(connection);
    let store = Sqlite::open(&path(&dir)).unwrap();
    let roster = store.host_roster().await.unwrap();
    assert!(roster.len() == 1 && !roster[0].standing.revoked);
    assert_eq!(roster[0].standing.outline, None, "the next report is applied in full");
    let found = store.finding_list(FindingFilter::default(), PageRequest::default()).await.unwrap();
    let found = found.items.iter().map(|row| (row.finding.asset.as_str(), row.place.path.as_str()));
    assert_eq!(found.collect::<Vec<_>>(), [("a", "/srv")]);
    let end = async |state| {
        let alerts = store.alert_list(state, PageRequest::default()).await.unwrap().items;
        alerts.into_iter().map(|row| row.alert.end).collect::<Vec<_>>()
    };
    assert_eq!(end(AlertState::Firing).await, [None]);
    assert_eq!(end(AlertState::Resolved).await, [Some(crate::alert::AlertEnd::Passed)]);
}

#[tokio::test]
async fn a_damaged_file_is_refused_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    drop(Sqlite::open(&path(&dir)).unwrap());
    let mut bytes = std::fs::File::options().write(true).open(path(&dir)).unwrap();
    // Beyond the header: a page of the schema's indexes.
    std::io::Seek::seek(&mut bytes, std::io::SeekFrom::Start(4096)).unwrap();
    std::io::Write::write_all(&mut bytes, &[0xa5; 8192]).unwrap();
    drop(bytes);
    let error = Sqlite::open(&path(&dir)).unwrap_err();
    assert!(error.to_string().contains("restore the last backup"), "{error}");
    std::fs::write(path(&dir), "not a database at all, whatever its name says").unwrap();
    let error = Sqlite::open(&path(&dir)).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn one_bad_job_does_not_undo_those_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&path(&dir)).unwrap();
    // The same secret twice is refused by the schema.
    let jobs = [("a", 1), ("b", 1), ("c", 3), ("d", 1), ("e", 5)]
        .map(|(id, secret)| store.token_create(token(id), [secret; 32], entry()));
    let results = futures_util::future::join_all(jobs).await;
    let worked: Vec<_> = results.iter().map(Result::is_ok).collect();
    assert_eq!(worked, [true, false, true, false, true]);
    assert_eq!(store.token_list().await.unwrap().len(), 3);
}

#[tokio::test]
async fn many_callers_share_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&path(&dir)).unwrap();
    let jobs = (0..500_u32).map(|id| {
        let mut secret = [0; 32];
        secret[..4].copy_from_slice(&id.to_be_bytes());
        store.token_create(token(&id.to_string()), secret, entry())
    });
    for result in futures_util::future::join_all(jobs).await {
        result.unwrap();
    }
    assert_eq!(store.token_list().await.unwrap().len(), 500);
}

#[tokio::test]
async fn without_room_nothing_is_acknowledged_and_with_room_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&path(&dir)).unwrap();
    store.token_create(token("before"), [0; 32], entry()).await.unwrap();
    store.limit_pages(Some(1)).await.unwrap();
    let big = Token { cluster: "x".repeat(1 << 20), ..token("big") };
    let (big, small) = tokio::join!(
        store.token_create(big, [1; 32], entry()),
        store.token_create(token("small"), [2; 32], entry())
    );
    assert!(matches!(big, Err(StoreError::Full(_))), "{big:?}");
    let kept: Vec<_> =
        store.token_list().await.unwrap().into_iter().map(|token| token.token_id).collect();
    assert_eq!(kept.contains(&"small".to_owned()), small.is_ok(), "told the truth about each");
    assert!(!kept.contains(&"big".to_owned()));

    store.limit_pages(None).await.unwrap();
    store.token_create(token("after"), [3; 32], entry()).await.unwrap();
}
