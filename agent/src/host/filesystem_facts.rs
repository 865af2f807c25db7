//! What file systems say of themselves beyond mountinfo: the devices of btrfs, the journals of ext3 and ext4.

use std::collections::BTreeMap;

use super::{Host, read_text};
use crate::path::HostPath;
use crate::snapshot::{
    BlockDevice, DeviceNumber, FilesystemFacts, Journal, Mount, MountTable, Namespace, Observed,
    Trouble,
};

/// Asks about every mounted file system that needs it, once each.
pub fn observe(
    host: &dyn Host,
    tables: &[(Namespace, MountTable)],
    devices: &BTreeMap<DeviceNumber, BlockDevice>,
) -> FilesystemFacts {
    let mounts = || tables.iter().filter_map(|(_, table)| table.known()).flatten();
    let mut facts = FilesystemFacts::default();
    if mounts().any(|mount| mount.fstype == "btrfs") {
        let pools = btrfs_pools(host, devices);
        for mount in mounts().filter(|mount| mount.fstype == "btrfs") {
            facts
                .btrfs
                .entry(mount.device)
                .or_insert_with(|| btrfs_devices(host, mount, devices, &pools));
        }
    }
    for mount in mounts().filter(|mount| mount.fstype == "ext4" || mount.fstype == "ext3") {
        if let Some(device) = devices.get(&mount.device) {
            facts.journals.entry(mount.device).or_insert_with(|| journal(host, device, devices));
        }
    }
    facts
}

/// The devices of each btrfs file system: `/sys/fs/btrfs/FSID/devices/`.
fn btrfs_pools(
    host: &dyn Host,
    devices: &BTreeMap<DeviceNumber, BlockDevice>,
) -> Vec<Vec<DeviceNumber>> {
    const POOLS: &str = "/sys/fs/btrfs";
    let mut pools = Vec::new();
    for fsid in host.list(&Namespace::Host, &POOLS.into()).unwrap_or_default() {
        let directory = HostPath::from(POOLS).join(&fsid).join("devices");
        let Ok(names) = host.list(&Namespace::Host, &directory) else { continue };
        let members: Option<Vec<DeviceNumber>> = names
            .iter()
            .map(|name| {
                let name = String::from_utf8_lossy(name).replace('!', "/");
                devices.values().find(|device| device.name == name).map(|device| device.number)
            })
            .collect();
        // With a member that is not known the pool's legs are not all known: it is left out, hence unknown.
        pools.extend(members);
    }
    pools
}

/// mountinfo gives a number of its own to each btrfs; which file system it is, its source tells.
fn btrfs_devices(
    host: &dyn Host,
    mount: &Mount,
    devices: &BTreeMap<DeviceNumber, BlockDevice>,
    pools: &[Vec<DeviceNumber>],
) -> Vec<DeviceNumber> {
    let source = mount.source.to_string();
    let named = devices.values().find(|device| device.node() == source).map(|device| device.number);
    let number = named.or_else(|| {
        host.resolve(&Namespace::Host, &mount.source)
            .at
            .known()
            .and_then(|found| found.block_device)
    });
    number
        .and_then(|number| pools.iter().find(|pool| pool.contains(&number)))
        .cloned()
        .unwrap_or_default()
}

/// Where the superblock starts, and the fields of `struct ext4_super_block` (`fs/ext4/ext4.h`).
const SUPERBLOCK: u64 = 1024;
const MAGIC_AT: usize = 0x38;
const MAGIC: [u8; 2] = [0x53, 0xEF];
/// `s_journal_dev`, in the old encoding of device numbers.
const JOURNAL_DEVICE_AT: usize = 0xE4;

/// What runs is asked first: it is the truth, and needs no privilege. The superblock is needed only to name a journal
/// that is elsewhere.
fn journal(
    host: &dyn Host,
    device: &BlockDevice,
    devices: &BTreeMap<DeviceNumber, BlockDevice>,
) -> Observed<Journal> {
    match running_journal(host, device) {
        Ok(true) => return Observed::Known(Journal::Inside),
        Ok(false) => {}
        Err(trouble) => return Observed::Unreadable(trouble),
    }
    let named = host
        .read_device(device, SUPERBLOCK, 1024)
        .ok()
        .and_then(|superblock| read_superblock(&superblock))
        .filter(|named| is_running(host, *named, devices));
    Observed::Known(Journal::External(named))
}

/// Whether the journal runs inside the file system, or there is none. An error: the host does not tell.
///
/// `/sys/fs/ext4/DEVICE/journal_task` is `<none>` without a journal; jbd2 keeps a directory `DEVICE-INODE` for a
/// journal inside, and one named after the journal's own device for one elsewhere.
fn running_journal(host: &dyn Host, device: &BlockDevice) -> Result<bool, Trouble> {
    let name = device.name.replace('/', "!");
    let task = read_text(host, &format!("/sys/fs/ext4/{name}/journal_task").into())?;
    if task == "<none>" {
        return Ok(true);
    }
    let prefix = format!("{name}-");
    let names = host.list(&Namespace::Host, &RUNNING_JOURNALS.into())?;
    Ok(names.iter().any(|name| {
        name.strip_prefix(prefix.as_bytes())
            .is_some_and(|inode| !inode.is_empty() && inode.iter().all(u8::is_ascii_digit))
    }))
}

/// jbd2 keeps a directory for every journal in use.
const RUNNING_JOURNALS: &str = "/proc/fs/jbd2";

/// The number in the superblock may be stale, and a mount option may name another device.
fn is_running(
    host: &dyn Host,
    number: DeviceNumber,
    devices: &BTreeMap<DeviceNumber, BlockDevice>,
) -> bool {
    let running = host.list(&Namespace::Host, &RUNNING_JOURNALS.into()).unwrap_or_default();
    devices
        .get(&number)
        .is_some_and(|device| running.contains(&device.name.replace('/', "!").into_bytes()))
}

/// The device that a superblock names for an external journal.
fn read_superblock(superblock: &[u8]) -> Option<DeviceNumber> {
    let word = |at: usize| superblock.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    if superblock.get(MAGIC_AT..MAGIC_AT + 2)? != MAGIC {
        return None;
    }
    // `new_decode_dev`: minor bits 0–7, major, minor bits 8–19.
    let encoded = word(JOURNAL_DEVICE_AT)?;
    let number =
        DeviceNumber::new((encoded >> 8) & 0xfff, (encoded & 0xff) | ((encoded >> 12) & 0xfff00));
    (!number.is_anonymous()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superblock(device: u32) -> Vec<u8> {
        let mut bytes = vec![0_u8; 1024];
        bytes[MAGIC_AT..MAGIC_AT + 2].copy_from_slice(&MAGIC);
        bytes[JOURNAL_DEVICE_AT..JOURNAL_DEVICE_AT + 4].copy_from_slice(&device.to_le_bytes());
        bytes
    }

    #[test]
    fn a_journal_elsewhere_is_named_by_its_number() {
        assert_eq!(read_superblock(&superblock(0xfe10)), Some(DeviceNumber::new(254, 16)));
        assert_eq!(read_superblock(&superblock(0)), None);
    }

    #[test]
    fn another_file_system_names_nothing() {
        assert_eq!(read_superblock(&[0; 1024]), None);
        assert_eq!(read_superblock(&[]), None);
    }
}
