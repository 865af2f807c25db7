//! Which programs the tier takes from the host, which Debian package each is in, and which shared
//! libraries come along with a program into the guest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::process::{Job, find};

/// A program that comes from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Program {
    /// The name it is called by.
    pub name: &'static str,
    /// The Debian package that it is in.
    pub package: &'static str,
    /// What the tier needs it for.
    pub role: Role,
}

/// What a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Runs on the host; nothing works without it.
    Host,
    /// Goes into the guest; nothing works without it.
    Guest,
    /// Goes into the guest where it is there; scenarios that need it are skipped otherwise.
    Optional,
}

const fn program(name: &'static str, package: &'static str, role: Role) -> Program {
    Program { name, package, role }
}

/// Every program that the tier knows of.
pub(super) const PROGRAMS: &[Program] = &[
    program("qemu-system-x86_64", "qemu-system-x86", Role::Host),
    program("apt-cache", "apt", Role::Host),
    program("apt-get", "apt", Role::Host),
    program("dpkg-deb", "dpkg", Role::Host),
    program("depmod", "kmod", Role::Host),
    program("modprobe", "kmod", Role::Host),
    program("ldd", "libc-bin", Role::Host),
    program("setpriv", "util-linux", Role::Host),
    program("busybox", "busybox-static", Role::Guest),
    program("cryptsetup", "cryptsetup-bin", Role::Guest),
    program("veritysetup", "cryptsetup-bin", Role::Guest),
    program("integritysetup", "cryptsetup-bin", Role::Guest),
    program("dmsetup", "dmsetup", Role::Guest),
    program("lvm", "lvm2", Role::Guest),
    program("mdadm", "mdadm", Role::Guest),
    program("mkfs.ext4", "e2fsprogs", Role::Guest),
    program("mkfs.xfs", "xfsprogs", Role::Guest),
    program("lsblk", "util-linux", Role::Guest),
    program("findmnt", "util-linux", Role::Guest),
    program("losetup", "mount", Role::Guest),
    program("mount", "mount", Role::Guest),
    program("mkfs.btrfs", "btrfs-progs", Role::Optional),
    program("btrfs", "btrfs-progs", Role::Optional),
    program("btrfstune", "btrfs-progs", Role::Optional),
    program("xfs_io", "xfsprogs", Role::Optional),
    program("unshare", "util-linux", Role::Optional),
    program("make-bcache", "bcache-tools", Role::Optional),
    program("keyctl", "keyutils", Role::Optional),
    program("mkfs.f2fs", "f2fs-tools", Role::Optional),
    program("mkfs.jfs", "jfsutils", Role::Optional),
    program("mkfs.nilfs2", "nilfs-tools", Role::Optional),
    program("mkfs.reiserfs", "reiserfsprogs", Role::Optional),
    program("mksquashfs", "squashfs-tools", Role::Optional),
    program("nbd-client", "nbd-client", Role::Optional),
    program("nbd-server", "nbd-server", Role::Optional),
    program("drbdmeta", "drbd-utils", Role::Optional),
    program("drbdsetup-84", "drbd-utils", Role::Optional),
];

/// The Debian packages that the tier needs, sorted; those of optional programs included.
pub(super) fn packages() -> BTreeSet<&'static str> {
    PROGRAMS.iter().map(|program| program.package).collect()
}

/// The programs, optional ones aside, that this machine lacks.
pub(super) fn missing() -> Vec<Program> {
    let needed = PROGRAMS.iter().filter(|program| program.role != Role::Optional);
    needed.filter(|program| find(program.name).is_none()).copied().collect()
}

/// The programs that go into the guest and are there, with their places on the host.
pub(super) fn for_guest() -> BTreeMap<&'static str, PathBuf> {
    let wanted = PROGRAMS.iter().filter(|program| program.role != Role::Host);
    wanted.filter_map(|program| Some((program.name, find(program.name)?))).collect()
}

/// The shared libraries of a program, by the path under which its loader looks for them.
pub(super) fn libraries(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let listing = Job::new("ldd").arg(program).text();
    let Ok(listing) = listing else {
        // A static program: `ldd` fails, and there is nothing to bring along.
        return Ok(BTreeSet::new());
    };
    let mut libraries = listed(&listing);
    // The C library opens this one by name when a thread is cancelled.
    let libc = libraries.iter().find(|path| path.ends_with("libc.so.6"));
    if let Some(libc) = libc {
        let unwinder = libc.parent().context("a library without a directory")?;
        let unwinder = unwinder.join("libgcc_s.so.1");
        if unwinder.is_file() {
            libraries.insert(unwinder);
        }
    }
    Ok(libraries)
}

/// Reads `libc.so.6 => /lib/libc.so.6 (0x7f…)` and `/lib64/ld-linux-x86-64.so.2 (0x7f…)`.
fn listed(listing: &str) -> BTreeSet<PathBuf> {
    let target = |line: &str| {
        let target = line.split_once("=>").map_or(line, |(_, target)| target);
        let path = target.trim().split(" (").next()?;
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    listing.lines().filter_map(target).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_the_listing_of_the_loader() {
        let listing = "\tlinux-vdso.so.1 (0x00007f44477e0000)\n\
                       \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f44473e9000)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x00007f44477e2000)\n";
        let found: Vec<_> = listed(listing).into_iter().collect();
        assert_eq!(
            found,
            [
                PathBuf::from("/lib/x86_64-linux-gnu/libc.so.6"),
                PathBuf::from("/lib64/ld-linux-x86-64.so.2")
            ]
        );
    }

    #[test]
    fn the_loader_of_a_program_on_this_host_is_found() {
        let shell = find("sh").unwrap();
        let found = libraries(&shell).unwrap();
        assert!(found.iter().any(|path| path.ends_with("libc.so.6")), "{found:?}");
    }
}
