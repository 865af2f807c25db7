//! Which devices paths may stand on, for deciding what need not be looked at: never for a verdict.
//!
//! Generous: whatever a device names counts as below it. Where a way leads through names of files, all devices count.

use std::collections::{BTreeMap, BTreeSet};

use crate::filesystem;
use crate::layer::Leg;
use crate::mounts::Index;
use crate::snapshot::{
    BlockDevice, DeviceNumber, FilesystemFacts, MountTable, Namespace, Observed, Resolved, Swap,
    Target,
};

/// What is known before anything else is looked at.
pub(crate) struct Facts<'a> {
    pub(crate) targets: &'a [Target],
    pub(crate) mounts: &'a [(Namespace, MountTable)],
    pub(crate) devices: &'a BTreeMap<DeviceNumber, BlockDevice>,
    pub(crate) filesystems: &'a FilesystemFacts,
    pub(crate) swaps: &'a Observed<Vec<Swap>>,
}

/// The devices that the targets may stand on; `None` when it may be any.
pub(crate) fn devices(facts: &Facts<'_>) -> Option<BTreeSet<DeviceNumber>> {
    let mut todo = Vec::new();
    let mut in_memory = false;
    for target in facts.targets {
        let Some(resolved) = target.resolution.known().or(target.nearest.as_ref()) else {
            continue;
        };
        in_memory |= start(facts, resolved, &target.namespace, &mut todo)?;
    }
    if in_memory {
        for swap in facts.swaps.known().into_iter().flatten() {
            if let Some(resolved) = swap.resolution.known() {
                todo.push(resolved.block_device?);
            }
        }
    }
    let mut found = BTreeSet::new();
    while let Some(number) = todo.pop() {
        if found.insert(number)
            && let Some(device) = facts.devices.get(&number)
        {
            below(device, &mut todo)?;
        }
    }
    // The store of a snapshot is a leg of its origin, which does not name it.
    let has_snapshots = facts.devices.values().filter_map(|device| device.dm.as_ref()).any(|dm| {
        dm.table.known().is_none_or(|table| table.iter().any(|at| at.kind.starts_with("snapshot")))
    });
    (!has_snapshots).then_some(found)
}

/// Where the file systems below a path lie; whether some lie in memory.
fn start(
    facts: &Facts<'_>,
    resolved: &Resolved,
    namespace: &Namespace,
    todo: &mut Vec<DeviceNumber>,
) -> Option<bool> {
    if let Some(device) = resolved.block_device {
        todo.push(device);
        return Some(false);
    }
    let (_, table) = facts.mounts.iter().find(|(of, _)| of == namespace)?;
    let covering = Index::new(table.known()?).covering(&resolved.path, resolved.mount_id)?;
    let mut in_memory = false;
    for mount in std::iter::once(covering.own).chain(covering.below) {
        todo.push(mount.device);
        for leg in filesystem::dissect(mount, facts.filesystems) {
            match leg {
                Leg::Device { device, .. } => todo.push(device),
                Leg::LoopFile(_)
                | Leg::Node { .. }
                | Leg::Path { .. }
                | Leg::MountTimePath { .. } => return None,
                Leg::SwappableMemory => in_memory = true,
                Leg::Encrypted(_)
                | Leg::Plain(_)
                | Leg::Claimed { .. }
                | Leg::Memory
                | Leg::Nothing
                | Leg::Unknown { .. } => {}
            }
        }
    }
    Some(in_memory)
}

fn below(device: &BlockDevice, todo: &mut Vec<DeviceNumber>) -> Option<()> {
    if device.looped.is_some() || device.zram_backing.is_some() {
        return None;
    }
    todo.extend(&device.slaves);
    todo.extend(device.partition_of);
    todo.extend(&device.caches);
    todo.extend(device.md.iter().flat_map(|md| &md.members).map(|member| member.device));
    let targets = device.dm.iter().filter_map(|dm| dm.table.known()).flatten();
    todo.extend(
        targets
            .flat_map(|target| &target.args)
            .filter_map(|word| word.parse::<DeviceNumber>().ok()),
    );
    Some(())
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Use;

    use super::*;
    use crate::dm_table::parse_target;
    use crate::mounts::parse;
    use crate::snapshot::{DmFacts, LoopFacts};

    const DISK: DeviceNumber = DeviceNumber::new(8, 0);
    const CRYPT: DeviceNumber = DeviceNumber::new(254, 0);
    const OTHER: DeviceNumber = DeviceNumber::new(254, 1);

    fn mapped(number: DeviceNumber, line: &str) -> BlockDevice {
        let table = Observed::Known(vec![parse_target(line.as_bytes()).unwrap()]);
        let (name, uuid) = (number.to_string(), String::new());
        let dm = Some(DmFacts { name, uuid, suspended: false, table, dependencies: None });
        BlockDevice { number, dm, ..BlockDevice::default() }
    }

    /// What `/` and, beside it, `/srv` may stand on.
    fn reached(
        root: &str,
        path: &str,
        devices: Vec<BlockDevice>,
    ) -> Option<BTreeSet<DeviceNumber>> {
        let table = format!("{root}\n2 1 254:1 / /srv rw - ext4 /dev/mapper/y rw\n");
        let mounts = [(Namespace::Host, Observed::Known(parse(table.as_bytes()).unwrap()))];
        let target = Target {
            path: path.into(),
            usage: Use::Declared,
            service: None,
            namespace: Namespace::Host,
            resolution: Observed::Known(Resolved::at(path)),
            nearest: None,
        };
        super::devices(&Facts {
            targets: &[target],
            mounts: &mounts,
            devices: &devices.into_iter().map(|device| (device.number, device)).collect(),
            filesystems: &FilesystemFacts::default(),
            swaps: &Observed::Known(Vec::new()),
        })
    }

    const ROOT: &str = "1 0 254:0 / / rw - ext4 /dev/mapper/x rw";
    const LINE: &str = "0 8 crypt aes-xts-plain64 :64:logon:x 0 8:0 32768";
    const BESIDE: &str = "0 8 crypt aes-xts-plain64 :64:logon:x 0 8:16 32768";

    #[test]
    fn a_path_stands_on_its_own_devices_and_not_on_those_beside() {
        let devices = || vec![mapped(CRYPT, LINE), mapped(OTHER, BESIDE)];
        assert_eq!(reached(ROOT, "/etc", devices()), Some([CRYPT, DISK].into()));
        // What is mounted below counts.
        assert!(reached(ROOT, "/", devices()).unwrap().contains(&OTHER));
    }

    #[test]
    fn where_the_way_goes_through_names_it_may_be_any_device() {
        let looped = LoopFacts { backing_file: "/x".into(), deleted: false, backing: None };
        let disk = BlockDevice { number: DISK, looped: Some(looped), ..BlockDevice::default() };
        assert_eq!(reached(ROOT, "/etc", vec![mapped(CRYPT, LINE), disk]), None);
        let overlay = "1 0 0:30 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w";
        assert_eq!(reached(overlay, "/etc", Vec::new()), None);
        let snapshot = mapped(OTHER, "0 8 snapshot 8:1 8:2 P 8");
        assert_eq!(reached(ROOT, "/etc", vec![mapped(CRYPT, LINE), snapshot]), None);
    }
}
