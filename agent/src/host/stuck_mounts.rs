//! Mounts whose server or disk does not answer: one deadline is paid for each, and not one for each path on it.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use atrest_proto::model::Reason;

use super::deadline;
use crate::mounts::{self, Index};
use crate::path::HostPath;
use crate::snapshot::Trouble;

/// How long a mount may take to answer for itself, after a look at a path on it got no answer.
const PROBE: Duration = Duration::from_secs(1);

/// The ids of mounts that did not answer, with the name of the probe that is stuck: ids are unique across namespaces.
static STUCK: Mutex<Vec<(u64, String)>> = Mutex::new(Vec::new());

/// Refuses a look at a path on a mount that is known to be stuck. `table` reads the mounts that the path is seen among; it is
/// read only when there is any such mount.
pub(super) fn refuse(path: &HostPath, table: impl FnOnce() -> Option<Vec<u8>>) -> Option<Trouble> {
    let stuck: Vec<u64> = {
        let mut stuck = STUCK.lock().unwrap_or_else(PoisonError::into_inner);
        stuck.retain(|(_, probe)| deadline::is_stuck(probe));
        stuck.iter().map(|(id, _)| *id).collect()
    };
    if stuck.is_empty() {
        return None;
    }
    let mounts = mounts::parse(&table()?).ok()?;
    let mount = Index::new(&mounts).holding(&path.normalised())?;
    stuck.contains(&mount.id).then(|| {
        let detail = format!("{path}: {} does not answer", mount.mount_point);
        Trouble::new(Reason::Timeout, detail)
    })
}

/// After a look at `path` got no answer: asks its mount, and remembers it when that does not answer either. The path may
/// also have led elsewhere, through a link.
pub(super) fn suspect(
    path: &HostPath,
    table: impl FnOnce() -> Option<Vec<u8>>,
    real: impl FnOnce(&HostPath) -> std::path::PathBuf,
) {
    let Some(mounts) = table().and_then(|text| mounts::parse(&text).ok()) else { return };
    let Some(mount) = Index::new(&mounts).holding(&path.normalised()) else { return };
    let probe = format!("the mount {} at {}", mount.id, mount.mount_point);
    let point = real(&mount.mount_point);
    // Servers are asked for this each time; it needs no look at the disk that a healthy file system would wait for.
    let answer = deadline::run(PROBE, &probe, move || statfs(&point));
    if answer.is_err_and(|trouble| trouble.reason == Reason::Timeout) {
        STUCK.lock().unwrap_or_else(PoisonError::into_inner).push((mount.id, probe));
    }
}

/// Any answer will do: whether there was one.
fn statfs(point: &Path) -> bool {
    rustix::fs::statfs(point).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"1 0 8:1 / / rw - ext4 x rw\n987654321 1 0:9 / /mnt rw - nfs4 x rw\n";

    #[test]
    fn a_mount_is_refused_as_long_as_its_probe_is_stuck() {
        let on_it = HostPath::from("/mnt/es");
        assert_eq!(refuse(&on_it, || Some(TABLE.to_vec())), None);
        let (release, held) = std::sync::mpsc::channel::<()>();
        let probe = "the mount of this test";
        let stuck = deadline::run(Duration::from_millis(5), probe, move || held.recv().is_ok());
        assert!(stuck.is_err());
        STUCK.lock().unwrap().push((987_654_321, probe.to_owned()));
        assert_eq!(refuse(&on_it, || Some(TABLE.to_vec())).unwrap().reason, Reason::Timeout);
        assert_eq!(refuse(&"/srv".into(), || Some(TABLE.to_vec())), None);
        drop(release);
        while deadline::is_stuck(probe) {
            std::thread::yield_now();
        }
        assert_eq!(refuse(&on_it, || Some(TABLE.to_vec())), None);
    }

    #[test]
    fn a_mount_that_answers_is_not_suspected() {
        let root = || Some(b"12345 0 8:1 / / rw - ext4 x rw\n".to_vec());
        suspect(&"/anything".into(), root, |_| "/".into());
        assert!(STUCK.lock().unwrap().iter().all(|(id, _)| *id != 12345));
    }
}
