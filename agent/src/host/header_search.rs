//! Looks for copies of LUKS headers in the places where people leave them.
//!
//! Bounded: named directories, one or two levels, a number of names. Symbolic links and other file systems than local
//! ones are left alone, and of a file only the first bytes are read, to be compared with the magic number.

use atrest_proto::model::Reason;

use super::{FileKind, Host};
use crate::boot::Search;
use crate::filesystem;
use crate::mounts::Index;
use crate::path::HostPath;
use crate::snapshot::{Mount, Namespace, Observed, Trouble};

/// The directories, the likeliest first, and how many levels are listed.
const PLACES: [(&str, usize); 9] = [
    ("/etc/luks", 2),
    ("/etc/keys", 1),
    ("/etc/cryptsetup-keys.d", 1),
    ("/boot", 2),
    ("/root", 2),
    ("/var/backups", 2),
    ("/etc", 1),
    ("/var/lib", 1),
    ("/home", 2),
];
/// Names that are looked at in all.
const MAX_ENTRIES: usize = 4096;
/// A LUKS1 header without its keyslots, `LUKS_PHDR_SIZE` in cryptsetup's `luks1/luks.h`: 592 bytes.
const SMALLEST: u64 = 592;
/// A LUKS2 backup has 16 MiB as a rule. What is larger is a container, and reading all of them would take long.
const LARGEST: u64 = 64 * 1024 * 1024;
/// `LUKS_MAGIC`, of both versions.
const MAGIC: &[u8] = b"LUKS\xba\xbe";

/// The files that start as a LUKS header does, sorted, and how far was looked.
pub(super) fn search(host: &dyn Host, mounts: Option<&[Mount]>) -> (Vec<HostPath>, Search) {
    let mut walk =
        Walk { host, index: mounts.map(Index::new), found: Vec::new(), search: Search::default() };
    for (place, depth) in PLACES {
        walk.place(&place.into(), depth);
    }
    let Walk { mut found, mut search, .. } = walk;
    found.sort_unstable();
    found.dedup();
    search.looked.sort_unstable();
    search.looked.dedup();
    search.troubles.sort_unstable();
    (found, search)
}

struct Walk<'a> {
    host: &'a dyn Host,
    index: Option<Index<'a>>,
    found: Vec<HostPath>,
    search: Search,
}

impl Walk<'_> {
    fn place(&mut self, place: &HostPath, depth: usize) {
        // With a bound in time, unlike what follows.
        let at = match self.host.resolve(&Namespace::Host, place).at {
            Observed::Known(at) => at.path,
            Observed::Absent => return,
            Observed::Unreadable(trouble) => return self.search.troubles.push(trouble),
        };
        // A place that is a link is looked at by its own name, or not at all.
        if at == *place {
            self.directory(place, depth);
        }
    }

    fn directory(&mut self, directory: &HostPath, depth: usize) {
        if !self.is_local(directory) || self.search.capped_at.is_some() {
            return;
        }
        let names = match self.host.list(&Namespace::Host, directory) {
            Ok(names) => names,
            Err(trouble) => return self.keep(trouble),
        };
        self.search.looked.push(directory.clone());
        for name in names {
            if self.search.entries >= MAX_ENTRIES {
                self.search.capped_at = Some(MAX_ENTRIES);
                return;
            }
            self.search.entries += 1;
            self.entry(&directory.join(&name), depth);
        }
    }

    fn entry(&mut self, path: &HostPath, depth: usize) {
        // Before it is touched: what is mounted there may never answer.
        if !self.is_local(path) {
            return;
        }
        let metadata = match self.host.metadata(&Namespace::Host, path, false) {
            Ok(metadata) => metadata,
            Err(trouble) => return self.keep(trouble),
        };
        match metadata.kind {
            FileKind::Directory if depth > 1 => self.directory(path, depth - 1),
            FileKind::File if (SMALLEST..=LARGEST).contains(&metadata.size) => {
                match self.host.read_start_unlinked(path, MAGIC.len()) {
                    Ok(start) if start == MAGIC => self.found.push(path.clone()),
                    Ok(_) => {}
                    Err(trouble) => self.keep(trouble),
                }
            }
            FileKind::Directory
            | FileKind::File
            | FileKind::Symlink
            | FileKind::BlockDevice
            | FileKind::Other => {}
        }
    }

    /// Files come and go; a few troubles stand for all.
    fn keep(&mut self, trouble: Trouble) {
        const KEPT: usize = 8;
        if trouble.reason != Reason::NotFound && self.search.troubles.len() < KEPT {
            self.search.troubles.push(trouble);
        }
    }

    /// Whether the file system there is on this host, so that it answers.
    fn is_local(&self, path: &HostPath) -> bool {
        let holding = self.index.as_ref().and_then(|index| index.holding(path));
        holding.is_none_or(|mount| filesystem::is_local(&mount.fstype))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;
    use crate::host::live::LiveHost;
    use crate::mounts;

    const HEADER: [u8; 600] = {
        let mut bytes = [0; 600];
        let (magic, _) = bytes.split_at_mut(6);
        magic.copy_from_slice(MAGIC);
        bytes
    };

    fn root(files: &[(&str, &[u8])]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, bytes) in files {
            let real = root.path().join(path);
            fs::create_dir_all(real.parent().unwrap()).unwrap();
            fs::write(real, bytes).unwrap();
        }
        root
    }

    fn found(root: &TempDir, mounts: Option<&[Mount]>) -> (Vec<String>, Search) {
        let (found, search) = search(&LiveHost::new(root.path()), mounts);
        (found.iter().map(ToString::to_string).collect(), search)
    }

    #[test]
    fn headers_are_found_by_their_first_bytes_within_the_depth() {
        let root = root(&[
            ("root/header.img", &HEADER),
            ("root/a/b", &HEADER),
            ("root/a/deep/er", &HEADER),
            ("home/me/usb.luks", &HEADER),
            ("var/lib/x", &HEADER),
            ("var/lib/deep/x", &HEADER),
            ("srv/elsewhere", &HEADER),
            ("root/short", &HEADER[..591]),
            ("root/other", &[0; 600]),
        ]);
        let (found, search) = found(&root, None);
        assert_eq!(found, ["/home/me/usb.luks", "/root/a/b", "/root/header.img", "/var/lib/x"]);
        assert!(search.looked_at().contains("/var/lib"));
        assert_eq!((search.capped_at, search.troubles.len()), (None, 0));
    }

    #[test]
    fn links_and_fifos_are_left_alone() {
        let root = root(&[("srv/h", &HEADER), ("root/x", b"")]);
        symlink("/srv/h", root.path().join("root/link")).unwrap();
        symlink("/srv", root.path().join("root/directory")).unwrap();
        symlink("/srv", root.path().join("home")).unwrap();
        let fifo = root.path().join("root/fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (found, search) = found(&root, None);
        assert!(found.is_empty(), "{found:?}");
        assert!(search.troubles.is_empty());
    }

    #[test]
    fn what_is_mounted_from_a_server_is_not_touched() {
        let root = root(&[("home/me/h", &HEADER), ("home/you/h", &HEADER)]);
        let table = mounts::parse(
            b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:40 / /home/me rw - nfs4 files:/me rw\n",
        )
        .unwrap();
        assert_eq!(found(&root, Some(&table)).0, ["/home/you/h"]);
    }

    #[test]
    fn the_number_of_names_is_bounded_and_said() {
        let root = root(&[("home/me/h", &HEADER)]);
        fs::create_dir_all(root.path().join("root")).unwrap();
        for n in 0..=MAX_ENTRIES {
            fs::write(root.path().join(format!("root/{n}")), b"").unwrap();
        }
        let (found, search) = found(&root, None);
        assert!(found.is_empty());
        assert_eq!((search.capped_at, search.entries), (Some(MAX_ENTRIES), MAX_ENTRIES));
        assert_eq!(search.looked_at(), "/root");
    }
}
