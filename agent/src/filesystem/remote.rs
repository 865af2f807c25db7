//! File systems whose contents rest where this host cannot look.

use atrest_proto::model::{Reason, Verdict};

use crate::layer::Leg;
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
    vec![leg]
}

#[cfg(test)]
mod tests {
    use super::super::tests::mount;
    use super::*;
    use crate::path::HostPath;

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
