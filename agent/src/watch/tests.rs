//! The thread as a whole, on this machine: something real happens, and it is told.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::path::HostPath;
use crate::snapshot::Namespace;

/// Longer than anything here takes, even on a loaded machine.
const HANG: Duration = Duration::from_mins(1);

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

fn file(path: &Path) -> Plan {
    let wanted = Wanted { access: true, contents: true, ..Wanted::default() };
    let names = [((Namespace::Host, HostPath::from(path)), wanted)].into();
    Plan { names, ..Plan::default() }
}

async fn told(signals: &mut Signals) {
    tokio::time::timeout(HANG, signals.next()).await.expect("it is told").expect("it runs");
}

/// Watches by the plan, and has told that it does. Other things happen on this machine too: they only tell more often.
async fn watching(plan: Plan) -> (Watch, Signals) {
    let watch = Watch::new("/", now);
    watch.renew(plan);
    let mut signals = watch.start().unwrap();
    told(&mut signals).await;
    (watch, signals)
}

#[tokio::test]
async fn a_changed_mode_is_told_and_so_is_a_file_that_takes_its_place() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("es.keystore");
    fs::write(&path, "x").unwrap();
    let (watch, mut signals) = watching(file(&path)).await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    told(&mut signals).await;
    let other = scratch.path().join("es.keystore.tmp");
    fs::write(&other, "y").unwrap();
    fs::rename(&other, &path).unwrap();
    told(&mut signals).await;
    // As a look that follows has it: the new file is watched now.
    watch.renew(file(&path));
    told(&mut signals).await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    told(&mut signals).await;
    assert_eq!(watch.gaps(now()).iter().filter(|gap| gap.subject.contains("keystore")).count(), 0);
}

#[tokio::test]
async fn the_end_of_a_process_is_told() {
    #[expect(clippy::disallowed_methods, reason = "a process that ends")]
    let mut child =
        std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let plan = Plan { processes: [pid].into(), tables: [pid].into(), ..Plan::default() };
    let (watch, mut signals) = watching(plan).await;
    assert_eq!(watch.gaps(now()).iter().filter(|gap| gap.subject.contains("process")).count(), 0);
    drop(child.stdin.take());
    told(&mut signals).await;
    child.wait().unwrap();
}

#[tokio::test]
async fn what_cannot_be_watched_is_a_gap() {
    let gone = Path::new("/proc/none/es.keystore");
    let (watch, mut signals) = watching(file(gone)).await;
    // Looked for once more, and then told.
    watch.renew(file(gone));
    while watch
        .gaps(now())
        .iter()
        .all(|gap| gap.subject != format!("changes of {}", gone.display()))
    {
        told(&mut signals).await;
    }
}

#[tokio::test]
async fn a_watch_that_ended_is_told_as_something_missed_and_another_one_tells_again() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("f");
    fs::write(&path, "x").unwrap();
    let (watch, signals) = watching(file(&path)).await;
    drop(signals);
    watch.lost("the thread has ended");
    let gaps = watch.gaps(now());
    assert!(gaps.iter().any(|gap| gap.detail.contains("the thread has ended")), "{gaps:?}");
    let mut signals = watch.start().unwrap();
    told(&mut signals).await;
    fs::write(&path, "y").unwrap();
    told(&mut signals).await;
}

#[tokio::test]
async fn a_second_watch_takes_the_place_of_the_first() {
    let watch = Watch::new("/", now);
    let mut first = watch.start().unwrap();
    let mut second = watch.start().unwrap();
    watch.renew(Plan::default());
    told(&mut second).await;
    // The end of the first is not the end of the second.
    while first.next().await.is_some() {}
    drop(first);
    watch.renew(file(Path::new("/proc/none")));
    told(&mut second).await;
}
