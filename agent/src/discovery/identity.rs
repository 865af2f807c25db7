//! Whether two names lead to one file: links and mounts give it many, and one name is many files in as many namespaces.

use crate::host::Host;
use crate::mounts::Index;
use crate::observe::mount_table;
use crate::path::HostPath;
use crate::snapshot::{DeviceNumber, Namespace, Observed, Resolved};

/// A name, and whose eyes it is seen with.
pub(super) type Name<'a> = (&'a Namespace, &'a HostPath);

/// Whether both names lead to one file, which need not be there. What cannot be told is taken for two: one that is looked
/// at twice is better than one that is not looked at.
pub(super) fn is_same_file(host: &dyn Host, one: Name<'_>, other: Name<'_>) -> bool {
    if one == other {
        return true;
    }
    if one.0 == other.0 {
        let real = |(seen_by, path): Name<'_>| match host.resolve(seen_by, path).at {
            Observed::Known(resolved) => Some(resolved.path),
            Observed::Absent | Observed::Unreadable(_) => None,
        };
        return matches!((real(one), real(other)), (Some(one), Some(other)) if one == other);
    }
    matches!((origin(host, one), origin(host, other)), (Some(one), Some(other)) if one == other)
}

/// The file system that holds a file, and the file's name in it.
fn origin(host: &dyn Host, (seen_by, path): Name<'_>) -> Option<(DeviceNumber, HostPath)> {
    let resolved = match host.resolve(seen_by, path).at {
        Observed::Known(resolved) => resolved,
        Observed::Absent => {
            let (device, directory) = origin(host, (seen_by, &path.parent()?))?;
            return Some((device, directory.join(path.file_name()?)));
        }
        Observed::Unreadable(_) => return None,
    };
    let Resolved { path, mount_id, .. } = resolved;
    let table = mount_table(host, seen_by);
    let mounts = Index::new(table.known()?);
    let mount = mount_id.map_or_else(|| mounts.holding(&path), |id| mounts.by_id(id))?;
    let depth = mount.mount_point.components().count();
    let below = path.components().skip(depth);
    Some((mount.device, below.fold(mount.root.clone(), |at, part| at.join(part))))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::host::recorded::RecordedHost;

    const HOST: &str =
        "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 8:2 / /srv rw - ext4 /dev/sda2 rw\n";

    /// Whether `/etc/es` of process 7, with these mounts, is that of the host.
    fn is_hosts(mounts: &str) -> bool {
        let root = tempfile::tempdir().unwrap();
        for directory in ["etc/es", "srv/etc/es", "proc/self", "proc/7/root/etc/es"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        fs::write(root.path().join("proc/self/mountinfo"), HOST).unwrap();
        fs::write(root.path().join("proc/7/mountinfo"), mounts).unwrap();
        let host = RecordedHost::new(root.path());
        let same = |file: &str| {
            let path = HostPath::from(file);
            is_same_file(&host, (&Namespace::Process(7), &path), (&Namespace::Host, &path))
        };
        // What is not there is what its directory is.
        assert_eq!(same("/etc/es"), same("/etc/es/none.yml"));
        same("/etc/es")
    }

    #[test]
    fn one_directory_of_one_file_system_is_the_same_in_every_namespace() {
        assert!(is_hosts("30 1 8:1 / / rw - ext4 /dev/sda1 rw\n"));
        // `ProtectSystem=` mounts it once more.
        let protected =
            "30 1 8:1 / / rw - ext4 /dev/sda1 rw\n31 30 8:1 /etc /etc ro - ext4 /dev/sda1 rw\n";
        assert!(is_hosts(protected));
    }

    #[test]
    fn one_name_in_two_file_systems_is_two_files() {
        assert!(!is_hosts("30 1 0:50 / / rw - overlay overlay rw\n"));
        assert!(!is_hosts("30 1 8:1 /jail / rw - ext4 /dev/sda1 rw\n"));
        assert!(!is_hosts(
            "30 1 8:1 / / rw - ext4 /dev/sda1 rw\n31 30 8:2 / /etc rw - ext4 /dev/sda2 rw\n"
        ));
        // A root that is no mount point is not in its table.
        assert!(!is_hosts("31 20 8:3 / /data rw - ext4 /dev/sda3 rw\n"));
    }

    #[test]
    fn what_cannot_be_told_is_two_files() {
        assert!(!is_hosts("damaged"));
    }
}
