//! Looks up the names that mounts and devices have for others: the directories of an overlay, the log of an xfs, the backing
//! device of zram. They may go through symbolic links, which only the host can follow.

use std::collections::{BTreeMap, BTreeSet};

use super::Host;
use crate::filesystem;
use crate::layer::{self, Leg};
use crate::path::HostPath;
use crate::snapshot::{
    BlockDevice, DeviceNumber, FilesystemFacts, MountTable, Namespace, Observed, Resolved,
};

type Named = Vec<((Namespace, HostPath), Observed<Resolved>)>;

/// What each name leads to, sorted by namespace and name.
pub fn observe(
    host: &dyn Host,
    tables: &[(Namespace, MountTable)],
    devices: &BTreeMap<DeviceNumber, BlockDevice>,
    filesystems: &FilesystemFacts,
) -> Named {
    let of_host = tables.iter().find(|(namespace, _)| *namespace == Namespace::Host);
    let on_host: BTreeSet<DeviceNumber> = of_host
        .and_then(|(_, table)| table.known())
        .map(|mounts| mounts.iter().map(|mount| mount.device).collect())
        .unwrap_or_default();
    let mut wanted = BTreeSet::new();
    for (namespace, table) in tables {
        for mount in table.known().into_iter().flatten() {
            // A container's root was mounted by its runtime, in the host's namespace.
            let seen_by =
                if on_host.contains(&mount.device) { &Namespace::Host } else { namespace };
            for leg in filesystem::dissect(mount, filesystems) {
                match leg {
                    Leg::MountTimePath { path, .. } => {
                        wanted.insert((seen_by.clone(), path));
                    }
                    Leg::Node { path, .. } | Leg::Path { path, .. } => {
                        wanted.insert((Namespace::Host, path));
                    }
                    Leg::Device { .. }
                    | Leg::LoopFile(_)
                    | Leg::Encrypted(_)
                    | Leg::Plain(_)
                    | Leg::Claimed { .. }
                    | Leg::Memory
                    | Leg::SwappableMemory
                    | Leg::Nothing
                    | Leg::Unknown { .. } => {}
                }
            }
        }
    }
    for device in devices.values().filter(|device| device.zram_backing.is_some()) {
        for leg in layer::dissect(device).legs {
            if let Leg::Node { path, .. } = leg {
                wanted.insert((Namespace::Host, path));
            }
        }
    }
    wanted
        .into_iter()
        .map(|(namespace, path)| {
            let resolved = host.resolve(&namespace, &path).at;
            ((namespace, path), resolved)
        })
        .collect()
}
