//! The fscrypt policy of a file or directory: `statx(2)` tells whether there is one, without the right to open it;
//! `FS_IOC_GET_ENCRYPTION_POLICY_EX` tells which.
//!
//! Layout and numbers: the kernel's `include/uapi/linux/fscrypt.h`.
#![expect(unsafe_code, reason = "an ioctl has no safe form")]

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statfs, statx};

use super::{FileKind, Final};
use crate::snapshot::Fscrypt;

/// `struct fscrypt_get_policy_ex_arg`: the size of the answer, then `struct fscrypt_policy_v2`, the larger of the two.
const ARGUMENT: usize = 8 + POLICY;
const POLICY: usize = 24;
/// Version, mode of contents, mode of names; the rest names the master key and is not kept.
const VERSION_AT: usize = 8;

// `_IOWR('f', 22, __u8[9])`; the size in the number is not that of the argument.
nix::ioctl_readwrite_bad!(
    get_encryption_policy_ex,
    nix::request_code_readwrite!(b'f', 22, 9),
    [u8; ARGUMENT]
);

/// File systems that set the attribute for fscrypt and nothing else (`EXT4_SUPER_MAGIC`, `F2FS_SUPER_MAGIC`,
/// `UBIFS_SUPER_MAGIC` in `include/uapi/linux/magic.h` and `fs/ubifs`). CIFS and NTFS set it for what a server or NTFS says.
const FILE_SYSTEMS: &[u32] = &[0xEF53, 0xF2F5_2010, 0x2405_1905];

/// The policy of `path`, which is of this kind; `None` when it has none.
pub(super) fn policy(path: &Path, kind: FileKind, last: Final) -> Option<Fscrypt> {
    if !matches!(kind, FileKind::File | FileKind::Directory) {
        return None;
    }
    let how = match last {
        Final::Itself => AtFlags::SYMLINK_NOFOLLOW,
        Final::Followed => AtFlags::empty(),
    };
    let found = statx(CWD, path, how, StatxFlags::empty()).ok()?;
    let encrypted = found.stx_attributes_mask.contains(StatxAttributes::ENCRYPTED)
        && found.stx_attributes.contains(StatxAttributes::ENCRYPTED);
    // The type is asked only here, where it matters: a dead server would be asked once more.
    let magic = || statfs(path).ok().and_then(|found| u32::try_from(found.f_type).ok());
    if !encrypted || !magic().is_some_and(|magic| FILE_SYSTEMS.contains(&magic)) {
        return None;
    }
    let said = Fscrypt { version: None, contents_mode: 0, names_mode: 0 };
    Some(ask(path, last).unwrap_or(said))
}

fn ask(path: &Path, last: Final) -> Option<Fscrypt> {
    let file = File::options()
        .read(true)
        .custom_flags(last.open_flags() | libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY)
        .open(path)
        .ok()?;
    let mut argument = [0_u8; ARGUMENT];
    let size = u64::try_from(POLICY).ok()?;
    argument.get_mut(..VERSION_AT)?.copy_from_slice(&size.to_ne_bytes());
    // SAFETY: `argument` holds ARGUMENT bytes and says so in its first field; the kernel writes no further.
    unsafe { get_encryption_policy_ex(file.as_raw_fd(), &raw mut argument) }.ok()?;
    read(&argument)
}

fn read(argument: &[u8]) -> Option<Fscrypt> {
    let [version, contents_mode, names_mode, ..] = *argument.get(VERSION_AT..)? else {
        return None;
    };
    // In the policy the versions are 0 (`FSCRYPT_POLICY_V1`) and 2.
    Some(Fscrypt {
        version: Some(if version == 0 { 1 } else { version }),
        contents_mode,
        names_mode,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_and_the_key_identifier_is_not() {
        let mut argument = [0xAA_u8; ARGUMENT];
        argument[VERSION_AT..VERSION_AT + 3].copy_from_slice(&[2, 1, 4]);
        let policy = Fscrypt { version: Some(2), contents_mode: 1, names_mode: 4 };
        assert_eq!(read(&argument), Some(policy));
        argument[VERSION_AT] = 0;
        assert_eq!(read(&argument).unwrap().version, Some(1));
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn an_ordinary_directory_has_no_policy() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(policy(directory.path(), FileKind::Directory, Final::Itself), None);
        assert_eq!(policy(Path::new("/nowhere/at/all"), FileKind::Directory, Final::Itself), None);
    }
}
