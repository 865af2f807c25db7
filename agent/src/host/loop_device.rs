//! Which file system holds a loop device's backing file: `LOOP_GET_STATUS64`.
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

/// The device number of the file system that holds the backing file.
pub(super) fn backing_device(device: &File) -> Option<DeviceNumber> {
    let mut info = [0_u8; INFO];
    // SAFETY: the kernel writes one `struct loop_info64`, which is INFO bytes, into `info`.
    unsafe { loop_get_status64(device.as_raw_fd(), &raw mut info) }.ok()?;
    let encoded = u64::from_ne_bytes(info.get(..8)?.try_into().ok()?);
    decode(encoded)
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
