//! What changes on this machine becomes a report, without a command and long before the interval.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use atrest_agent::path::HostPath;
use atrest_agent::snapshot::Namespace;
use atrest_agent::watch::{Plan, Wanted, Watch};
use atrest_proto::model::Posture;

use crate::agent::{Node, posture};
use crate::authority::now;

fn watching(path: &Path) -> Plan {
    let wanted = Wanted { access: true, contents: true, ..Wanted::default() };
    Plan { names: [((Namespace::Host, HostPath::from(path)), wanted)].into(), ..Plan::default() }
}

/// A look at the mode of a file, which says what to watch next, as that of the agent does.
fn look(watch: Watch, path: &Path) -> impl FnMut() -> Posture + Send + 'static {
    let path = path.to_owned();
    move || {
        let mode = fs::metadata(&path).map_or(0, |found| found.permissions().mode() & 0o777);
        watch.renew(watching(&path));
        posture(&format!("{mode:o}"))
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a file of ours");
}

#[tokio::test]
async fn every_change_of_a_watched_file_is_reported() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("es.keystore");
    fs::write(&path, "x").expect("a file");
    chmod(&path, 0o600);
    let watch = Watch::new("/", now);
    let node = Node::watched(watch.clone());
    let agent = node.start_with(look(watch, &path));
    node.spooled(1).await;
    chmod(&path, 0o666);
    node.spooled(2).await;
    // Another file in its place is watched like the first.
    let other = scratch.path().join("other");
    fs::write(&other, "y").expect("a file");
    chmod(&other, 0o640);
    fs::rename(&other, &path).expect("it takes the place");
    node.spooled(3).await;
    chmod(&path, 0o604);
    node.spooled(4).await;
    agent.stop().await.expect("in good order");
}

#[tokio::test]
async fn a_change_while_it_looks_leads_to_another_look() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("es.keystore");
    fs::write(&path, "x").expect("a file");
    chmod(&path, 0o600);
    let watch = Watch::new("/", now);
    let node = Node::watched(watch.clone());
    let (mut inner, looks) = (look(watch, &path), Arc::new(AtomicUsize::new(0)));
    let (counted, changed) = (Arc::clone(&looks), path.clone());
    // The mode changes after it was looked at, and before the look ends.
    let agent = node.start_with(move || {
        let found = inner();
        if counted.fetch_add(1, Ordering::Relaxed) == 3 {
            chmod(&changed, 0o666);
        }
        found
    });
    node.spooled(1).await;
    // However many looks the start takes: the fourth is one that something led to.
    while looks.load(Ordering::Relaxed) < 4 {
        agent.rescan().await;
        tokio::task::yield_now().await;
    }
    node.spooled(2).await;
    agent.stop().await.expect("in good order");
}
