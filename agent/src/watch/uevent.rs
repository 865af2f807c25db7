//! What the kernel says of devices: `NETLINK_KOBJECT_UEVENT`. See the kernel's `lib/kobject_uevent.c`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink, recv, socket_with, sockopt,
};

/// The group that the kernel sends to; udev's own is another.
const KERNEL: u32 = 1;

/// `UEVENT_BUFFER_SIZE` is 2 KiB, and the header with the device's path comes before.
const LARGEST: usize = 8 << 10;

/// In bytes. A host that brings a thousand volumes up at one time says a megabyte.
const QUEUE: usize = 1 << 20;

/// The socket.
#[derive(Debug)]
pub(super) struct Devices {
    socket: OwnedFd,
}

/// What was heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// A block device came, went, or is another one now.
    pub(super) changed: bool,
    /// The queue was full, and something was not heard.
    pub(super) overflowed: bool,
}

impl Devices {
    pub(super) fn open() -> rustix::io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::KOBJECT_UEVENT);
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        // What the limit of the system does not allow, is not needed either: an overflow is noticed.
        sockopt::set_socket_recv_buffer_size(&socket, QUEUE).ok();
        bind(&socket, &netlink::SocketAddrNetlink::new(0, KERNEL))?;
        Ok(Self { socket })
    }

    /// Hears all that was said until now.
    pub(super) fn hear(&self) -> rustix::io::Result<Heard> {
        let mut heard = Heard::default();
        let mut message = [0_u8; LARGEST];
        loop {
            match recv(&self.socket, &mut message[..], RecvFlags::TRUNC) {
                Ok((_, length)) => match message.get(..length) {
                    Some(message) => heard.changed |= is_of_block_device(message),
                    // Longer than any: whatever it is of.
                    None => heard.changed = true,
                },
                Err(Errno::AGAIN) => return Ok(heard),
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => heard.overflowed = true,
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl AsFd for Devices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether `ACTION@DEVPATH` and `KEY=value` texts, each with a NUL at its end, are of a block device.
pub(crate) fn is_of_block_device(message: &[u8]) -> bool {
    message.split(|byte| *byte == 0).skip(1).any(|pair| pair == b"SUBSYSTEM=block")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_devices_are_told_by_their_subsystem_alone() {
        let add = b"add@/devices/virtual/block/dm-0\0ACTION=add\0SUBSYSTEM=block\0MAJOR=254\0";
        assert!(is_of_block_device(add));
        let net = b"add@/devices/SUBSYSTEM=block\0ACTION=add\0SUBSYSTEM=net\0X=SUBSYSTEM=block\0";
        assert!(!is_of_block_device(net));
        assert!(!is_of_block_device(b"SUBSYSTEM=block\0"));
        assert!(!is_of_block_device(b""));
    }

    #[test]
    fn a_socket_that_nothing_was_said_to_has_nothing_to_tell() {
        // A sandbox may refuse the family: that is what the gap is for.
        if let Ok(devices) = Devices::open() {
            assert!(!devices.hear().unwrap().overflowed);
        }
    }
}
