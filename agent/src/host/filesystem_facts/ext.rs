//! Where the journal of an ext3 or ext4 file system lies.

use std::collections::BTreeSet;

use atrest_proto::model::Reason;

use super::Devices;
use crate::host::{Host, read_text};
use crate::snapshot::{BlockDevice, DeviceNumber, Journal, Namespace, Observed, Trouble};

/// Where the superblock starts, and the fields of `struct ext4_super_block` (`fs/ext4/ext4.h`).
const SUPERBLOCK: u64 = 1024;
const MAGIC_AT: usize = 0x38;
const MAGIC: [u8; 2] = [0x53, 0xEF];
/// `s_journal_dev`, in the old encoding of device numbers.
const JOURNAL_DEVICE_AT: usize = 0xE4;

/// jbd2 keeps a directory for every journal that runs: `DEVICE-INODE` for one inside a file system on DEVICE, `DEVICE` for
/// one that is a device of its own.
const RUNNING_JOURNALS: &str = "/proc/fs/jbd2";

/// The journals that run.
pub(super) struct Running {
    /// The names in sysfs of devices whose file system has its journal inside.
    inside: BTreeSet<Vec<u8>>,
    /// The devices that are journals.
    external: BTreeSet<DeviceNumber>,
}

/// Asks for them, once for all file systems.
pub(super) fn running(host: &dyn Host, devices: &Devices) -> Result<Running, Trouble> {
    let names = match host.list(&Namespace::Host, &RUNNING_JOURNALS.into()) {
        Ok(names) => names,
        // Without jbd2 no journal runs.
        Err(trouble) if trouble.reason == Reason::NotFound && host.is_live() => Vec::new(),
        Err(trouble) => return Err(trouble),
    };
    let inside = names.iter().filter_map(|name| on_device(name)).map(<[u8]>::to_vec).collect();
    let names: BTreeSet<Vec<u8>> = names.into_iter().collect();
    let is_journal = |device: &&BlockDevice| names.contains(&in_sysfs(device));
    let external = devices.values().filter(is_journal).map(|device| device.number).collect();
    Ok(Running { inside, external })
}

/// The device whose file system has this journal inside.
fn on_device(journal: &[u8]) -> Option<&[u8]> {
    let (device, inode) = journal.split_at_checked(journal.iter().rposition(|at| *at == b'-')?)?;
    let inode = inode.strip_prefix(b"-")?;
    (!inode.is_empty() && inode.iter().all(u8::is_ascii_digit)).then_some(device)
}

/// What runs is asked first: it is the truth, and needs no privilege. The superblock is needed only to name a journal
/// that is elsewhere.
pub(super) fn journal(
    host: &dyn Host,
    device: &BlockDevice,
    running: &Result<Running, Trouble>,
) -> Observed<Journal> {
    let running = match running {
        Ok(running) => running,
        Err(trouble) => return Observed::Unreadable(trouble.clone()),
    };
    if running.inside.contains(&in_sysfs(device))
        || running.external.is_empty()
        || has_no_journal(host, device)
    {
        return Observed::Known(Journal::Inside);
    }
    // The number in the superblock may be stale, and a mount option may name another device.
    let named = host
        .read_device(device, SUPERBLOCK, 1024)
        .ok()
        .and_then(|superblock| read_superblock(&superblock))
        .filter(|named| running.external.contains(named));
    Observed::Known(Journal::External(named))
}

fn in_sysfs(device: &BlockDevice) -> Vec<u8> {
    device.name.replace('/', "!").into_bytes()
}

/// `/sys/fs/ext4/DEVICE/journal_task`, since Linux 5.1, says so.
fn has_no_journal(host: &dyn Host, device: &BlockDevice) -> bool {
    let name = device.name.replace('/', "!");
    read_text(host, &format!("/sys/fs/ext4/{name}/journal_task").into())
        .is_ok_and(|task| task == "<none>")
}

/// The device that a superblock names for an external journal.
pub(crate) fn read_superblock(superblock: &[u8]) -> Option<DeviceNumber> {
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
    fn a_running_journal_is_inside_only_with_an_inode() {
        assert_eq!(on_device(b"sda1-8"), Some(&b"sda1"[..]));
        assert_eq!(on_device(b"a-1-8"), Some(&b"a-1"[..]));
        for other in [&b"sda1"[..], b"sda1-", b"sda1-8x", b""] {
            assert_eq!(on_device(other), None, "{other:?}");
        }
    }

    #[test]
    fn another_file_system_names_nothing() {
        assert_eq!(read_superblock(&[0; 1024]), None);
        assert_eq!(read_superblock(&[]), None);
    }

    #[test]
    fn the_list_of_running_journals_decides_without_the_attribute_of_newer_kernels() {
        use crate::host::recorded::RecordedHost;
        let root = tempfile::tempdir().unwrap();
        let disk = |minor, name: &str| BlockDevice {
            number: DeviceNumber::new(8, minor),
            name: name.to_owned(),
            ..BlockDevice::default()
        };
        let devices: Devices = [disk(1, "sda1"), disk(2, "sda2")]
            .into_iter()
            .map(|device| (device.number, device))
            .collect();
        let found = |names: &[&str]| {
            let journals = root.path().join("proc/fs/jbd2");
            drop(std::fs::remove_dir_all(&journals));
            for name in names {
                std::fs::create_dir_all(journals.join(name)).unwrap();
            }
            let host = RecordedHost::new(root.path());
            let running = running(&host, &devices);
            journal(&host, &devices[&DeviceNumber::new(8, 1)], &running)
        };
        assert_eq!(found(&["sda1-8"]), Observed::Known(Journal::Inside));
        assert_eq!(found(&["sda2"]), Observed::Known(Journal::External(None)));
        assert_eq!(found(&["sda2-8"]), Observed::Known(Journal::Inside));
        // A recording that lacks the list.
        assert!(found(&[]).trouble().is_some());
    }
}
