//! The further devices of an f2fs file system, from its superblock.
//!
//! Layout: `struct f2fs_super_block` and `struct f2fs_device` of the kernel's `include/linux/f2fs_fs.h`. The devices are
//! named as they were when the file system was made; the kernel opens them by these names.

use atrest_proto::model::Reason;

use crate::host::Host;
use crate::path::HostPath;
use crate::snapshot::{BlockDevice, DeviceNumber, Namespace, Observed, Trouble};

/// `F2FS_SUPER_OFFSET`, and as much of it as holds the devices.
const SUPERBLOCK: u64 = 1024;
const LENGTH: usize = DEVICES_AT + MAX_DEVICES * DEVICE;
/// `F2FS_SUPER_MAGIC`, little-endian.
const MAGIC: [u8; 4] = [0x10, 0x20, 0xF5, 0xF2];
/// `devs`: behind `encrypt_pw_salt`, without padding.
const DEVICES_AT: usize = 2201;
/// `MAX_DEVICES`, and `MAX_PATH_LEN` with a 32-bit count of segments behind.
const MAX_DEVICES: usize = 8;
const DEVICE: usize = PATH + 4;
const PATH: usize = 64;
/// A recording's answer is a short list.
const RECORDED: usize = 4096;

pub(super) fn further_devices(
    host: &dyn Host,
    device: &BlockDevice,
) -> Observed<Vec<DeviceNumber>> {
    let paths = if host.is_live() {
        host.read_device(device, SUPERBLOCK, LENGTH).and_then(|superblock| {
            read_superblock(&superblock).ok_or_else(|| {
                let detail = format!("{}: no superblock of f2fs", device.node());
                Trouble::new(Reason::Unreadable, detail)
            })
        })
    } else {
        recorded(host, device)
    };
    let found = paths.and_then(|paths| {
        // The first is the one that is mounted.
        paths.iter().skip(1).map(|path| number(host, path)).collect()
    });
    match found {
        Ok(devices) => Observed::Known(devices),
        Err(trouble) => Observed::Unreadable(trouble),
    }
}

/// Where a recording keeps the names: `DIR/f2fs/MAJOR:MINOR.json`, a list of texts.
pub(in super::super) fn recorded_as(device: DeviceNumber) -> HostPath {
    format!("/f2fs/{device}.json").into()
}

fn recorded(host: &dyn Host, device: &BlockDevice) -> Result<Vec<HostPath>, Trouble> {
    let path = recorded_as(device.number);
    let bytes = host.read(&Namespace::Host, &path, RECORDED)?;
    serde_json::from_slice::<Vec<HostPath>>(&bytes)
        .map_err(|error| Trouble::new(Reason::Unreadable, format!("{path}: {error}")))
}

/// The names of all devices of the file system on `device`, for a recording.
pub(in super::super) fn names(host: &dyn Host, device: &BlockDevice) -> Option<Vec<HostPath>> {
    read_superblock(&host.read_device(device, SUPERBLOCK, LENGTH).ok()?)
}

fn number(host: &dyn Host, path: &HostPath) -> Result<DeviceNumber, Trouble> {
    match host.resolve(&Namespace::Host, path).at {
        Observed::Known(found) => found.block_device.ok_or_else(|| {
            Trouble::new(Reason::Unreadable, format!("{path}: no block device has that name now"))
        }),
        Observed::Absent => {
            Err(Trouble::new(Reason::Unreadable, format!("{path}: there is no such device now")))
        }
        Observed::Unreadable(trouble) => Err(trouble),
    }
}

/// The names of the devices, none when there is only one. `None`: this is no superblock of f2fs.
pub(crate) fn read_superblock(superblock: &[u8]) -> Option<Vec<HostPath>> {
    if superblock.get(..MAGIC.len())? != MAGIC {
        return None;
    }
    let devices = superblock.get(DEVICES_AT..LENGTH)?;
    let names = devices.chunks_exact(DEVICE).map_while(|device| {
        let name = device.get(..PATH)?.split(|byte| *byte == 0).next()?;
        (!name.is_empty()).then(|| HostPath::new(name.to_vec()))
    });
    Some(names.collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn superblock(names: &[&str]) -> Vec<u8> {
        let mut bytes = vec![0_u8; LENGTH];
        bytes[..4].copy_from_slice(&MAGIC);
        for (index, name) in names.iter().enumerate() {
            let at = DEVICES_AT + index * DEVICE;
            bytes[at..at + name.len()].copy_from_slice(name.as_bytes());
        }
        bytes
    }

    #[test]
    fn every_device_is_named_and_one_alone_is_not() {
        let two = read_superblock(&superblock(&["/dev/vda", "/dev/vdb"])).unwrap();
        assert_eq!(two, [HostPath::from("/dev/vda"), "/dev/vdb".into()]);
        assert_eq!(read_superblock(&superblock(&[])), Some(Vec::new()));
        assert_eq!(read_superblock(&superblock(&["/dev/x"; 8])).unwrap().len(), 8);
    }

    #[test]
    fn another_file_system_names_nothing() {
        assert_eq!(read_superblock(&vec![0; LENGTH]), None);
        assert_eq!(read_superblock(&MAGIC), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let _names = read_superblock(&bytes);
        }
    }
}
