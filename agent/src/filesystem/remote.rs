//! File systems whose contents rest where this host cannot look.

use atrest_proto::model::{Reason, Verdict};

use super::{flag, option};
use crate::layer::{Leg, Role};
use crate::nfs::{self, Vouch};
use crate::snapshot::{FilesystemFacts, Mount};

/// A server, or the hypervisor, stores the files.
pub(super) const REMOTE: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ceph",
    "afs",
    "9p",
    "virtiofs",
    "glusterfs",
    "lustre",
    "beegfs",
    "gpfs",
    "orangefs",
    "coda",
    "vboxsf",
    "vmhgfs",
    "prl_fs",
];

pub(super) fn remote(mount: &Mount, facts: &FilesystemFacts) -> Vec<Leg> {
    let said = nfs::RemoteDirectory::of(mount).and_then(|directory| {
        let (_, vouch) = facts.vouches.iter().find(|(place, _)| *place == directory)?;
        Some((directory, vouch))
    });
    let at = format!("{}: {} from {}", mount.mount_point, mount.fstype, mount.source);
    let leg = match said {
        Some((directory, Vouch { host, verdict: Verdict::Encrypted })) => Leg::Claimed {
            reason: Reason::ServerClaim,
            who: format!("the agent of {host} ({})", directory.path),
        },
        // Who proves the opposite raises the alarm there, where it can be mended.
        Some((_, Vouch { host, verdict })) => Leg::Unknown {
            reason: Reason::RemoteFilesystem,
            detail: format!("{at}; the agent of {host} says that it is {verdict} there"),
        },
        None => Leg::Unknown { reason: Reason::RemoteFilesystem, detail: at },
    };
    let cache = is_cached(mount).then(|| Leg::Path { path: CACHE.into(), role: Role::Cache });
    std::iter::once(leg).chain(cache).collect()
}

/// Where `cachefilesd` keeps copies on a local disk, in plaintext, unless its configuration names another place
/// (`Documentation/filesystems/caching/cachefiles.rst`).
const CACHE: &str = "/var/cache/fscache";

/// Whether what is read is kept on a local disk: `nfs(5)`, `mount.cifs(8)`, `Documentation/filesystems/{ceph,9p}.rst`. Since
/// Linux 6.4 the kernel shows the cache of 9p as bits, of which `0x80` is this (`fs/9p/v9fs.h`).
fn is_cached(mount: &Mount) -> bool {
    const BIT: u32 = 0x80;
    let is_bit = |value: &str| {
        u32::from_str_radix(value.trim_start_matches("0x"), 16).is_ok_and(|bits| bits & BIT != 0)
    };
    flag(mount, "fsc")
        || option(mount, "fsc").is_some()
        || (mount.fstype == "9p"
            && option(mount, "cache").is_some_and(|value| value == "fscache" || is_bit(value)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::mount;
    use super::*;
    use crate::path::HostPath;

    #[test]
    fn what_is_cached_on_a_local_disk_rests_there_too() {
        let legs = |fstype: &str, options: &str| {
            let legs = remote(&mount(fstype, options), &FilesystemFacts::default());
            legs.get(1).cloned()
        };
        let cache = Some(Leg::Path { path: "/var/cache/fscache".into(), role: Role::Cache });
        for (fstype, options) in [
            ("nfs4", "rw,vers=4.2,fsc,addr=10.0.0.5"),
            ("cifs", "rw,fsc"),
            ("ceph", "rw,fsc=mine"),
            ("9p", "rw,cache=fscache"),
            ("9p", "rw,cache=8f"),
        ] {
            assert_eq!(legs(fstype, options), cache, "{fstype} {options}");
        }
        for (fstype, options) in
            [("nfs4", "rw,addr=10.0.0.5"), ("9p", "rw,cache=5"), ("9p", "rw,cache=loose")]
        {
            assert_eq!(legs(fstype, options), None, "{fstype} {options}");
        }
    }

    #[test]
    fn only_the_word_of_the_machine_that_the_kernel_speaks_to_is_a_claim() {
        let mounted = Mount {
            source: HostPath::from("fs-1:/srv/b"),
            ..mount("nfs4", "rw,vers=4.2,addr=10.0.0.5")
        };
        let place = |address: &str| nfs::RemoteDirectory {
            address: address.parse().unwrap(),
            path: "/srv/b".into(),
        };
        let leg = |vouches: &[(nfs::RemoteDirectory, Vouch)]| {
            let facts = FilesystemFacts { vouches: vouches.to_vec(), ..FilesystemFacts::default() };
            remote(&mounted, &facts).remove(0)
        };
        let word = |verdict| Vouch { host: "fs-1".to_owned(), verdict };
        let is_unknown =
            |leg: &Leg| matches!(leg, Leg::Unknown { reason: Reason::RemoteFilesystem, .. });
        let claimed = leg(&[(place("10.0.0.5"), word(Verdict::Encrypted))]);
        let who = "the agent of fs-1 (/srv/b)".to_owned();
        assert_eq!(claimed, Leg::Claimed { reason: Reason::ServerClaim, who });
        assert!(is_unknown(&leg(&[])));
        assert!(is_unknown(&leg(&[(place("10.0.0.6"), word(Verdict::Encrypted))])));
        for verdict in Verdict::ALL.iter().filter(|verdict| **verdict != Verdict::Encrypted) {
            assert!(is_unknown(&leg(&[(place("10.0.0.5"), word(*verdict))])), "{verdict}");
        }
    }
}
