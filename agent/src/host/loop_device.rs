//! Which file a loop device stands on: `LOOP_GET_STATUS64`.
//!
//! The path in sysfs may be stale, hidden by a later mount, or of another namespace; the device is not.
#![expect(unsafe_code, reason = "an ioctl has no safe form")]

use std::fs::File;
use std::os::fd::AsRawFd as _;

use crate::snapshot::DeviceNumber;

/// `struct loop_info64` of the kernel's `include/uapi/linux/loop.h`: `lo_device` comes first.
const INFO: usize = 232;

// LOOP_GET_STATUS64, an old number without direction or size.
nix::ioctl_read_bad!(loop_get_status64, 0x4C05, [u8; INFO]);

/// What the kernel says of the backing file: the device and inode that `stat(2)` gives, and for a device node its own
/// number.
pub(super) struct Status {
    pub(super) device: DeviceNumber,
    pub(super) inode: u64,
    pub(super) block_device: Option<DeviceNumber>,
}

/// Asks an open loop device. `None` where it may not be asked, or nothing is attached.
pub(super) fn status(device: &File) -> Option<Status> {
    let mut info = [0_u8; INFO];
    // SAFETY: the kernel writes one `struct loop_info64`, which is INFO bytes, into `info`.
    unsafe { loop_get_status64(device.as_raw_fd(), &raw mut info) }.ok()?;
    // `lo_device`, `lo_inode`, `lo_rdevice`: three 64-bit fields from the start.
    let mut fields =
        info.chunks_exact(8).filter_map(|bytes| bytes.try_into().ok().map(u64::from_ne_bytes));
    let (device, inode, node) = (fields.next()?, fields.next()?, fields.next()?);
    Some(Status {
        device: decode(device)?,
        inode,
        // Older kernels repeat `lo_device` for a plain file, newer ones say 0.
        block_device: if node == 0 || node == device { None } else { decode(node) },
    })
}

/// The kernel's `huge_decode_dev`.
fn decode(encoded: u64) -> Option<DeviceNumber> {
    let major = (encoded >> 8) & 0xfff;
    let minor = (encoded & 0xff) | ((encoded >> 12) & 0xfff_ff00);
    Some(DeviceNumber::new(u32::try_from(major).ok()?, u32::try_from(minor).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_decode_as_the_kernel_encodes_them() {
        assert_eq!(decode(0xfe03), Some(DeviceNumber::new(254, 3)));
        assert_eq!(decode(0x10_fe_ff), Some(DeviceNumber::new(254, 0x1ff)));
    }
}
