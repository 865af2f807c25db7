//! What is to be watched, as it follows from the latest look. Nothing here touches a descriptor.

use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::model::Use;

use crate::host::{Host, way};
use crate::path::HostPath;
use crate::snapshot::{Namespace, Snapshot};

/// More names than this are not watched: the limit of the kernel is there for all programs of a user.
pub const MOST: usize = 4096;

/// What is watched for at one name. Links are not followed: they are names of their own.
///
/// That the name stops to lead where it does is always watched for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Its mode, owner and access-control list.
    pub access: bool,
    /// What it holds: of a file its bytes, of a directory the files in it, with their names and modes.
    pub contents: bool,
    /// Names that may come to be in the directory.
    pub awaited: BTreeSet<Vec<u8>>,
    /// Names that mention a product, coming and going.
    pub products: bool,
}

/// What is to be watched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub names: BTreeMap<(Namespace, HostPath), Wanted>,
    /// Services, and those with mounts of their own.
    pub processes: BTreeSet<i32>,
    /// The processes whose mount table is watched; the host's own always is.
    pub tables: BTreeSet<i32>,
    /// Names that there was no room for.
    pub left_out: usize,
}

/// Directories in which a service shows that is started, or has come to be.
const SIGNS: &[&str] =
    &["/etc", "/etc/systemd/system", "/opt", "/run", "/run/systemd/units", "/usr/share"];

/// Files of the host that decide something, whatever services there are.
const FILES: &[&str] = &[
    "/etc/crypttab",
    "/etc/fstab",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/systemd/coredump.conf",
    "/etc/systemd/sleep.conf",
    "/etc/passwd",
    "/var/lib/nfs/etab",
];

impl Plan {
    /// What is watched before anything was looked at, and always.
    pub fn base(host: &dyn Host) -> Self {
        let mut plan = Self::default();
        for directory in SIGNS {
            let directory = HostPath::from(*directory);
            // A host without it does not show a start there; at the latest the interval does.
            if host.metadata(&Namespace::Host, &directory, true).is_ok() {
                plan.add(&Namespace::Host, directory).products = true;
            }
        }
        for path in FILES {
            plan.file(host, &Namespace::Host, &HostPath::from(*path));
        }
        plan
    }

    /// What decides the posture that follows from this snapshot.
    pub fn of(host: &dyn Host, snapshot: &Snapshot) -> Self {
        let mut plan = Self::base(host);
        for keystore in &snapshot.keystores {
            plan.keystore(host, &keystore.namespace, &keystore.path);
        }
        for target in &snapshot.targets {
            plan.way(host, &target.namespace, &target.path);
            if target.usage == Use::Config
                && let Some(resolved) = target.resolution.known()
            {
                plan.add(&target.namespace, resolved.path.clone()).contents = true;
            }
        }
        for place in snapshot.secrets.iter().map(|seen| &seen.place) {
            if !place.form.is_memory() {
                plan.file(host, &place.namespace, &place.path);
            }
        }
        // A link that led out of a data directory may lead elsewhere.
        for walk in &snapshot.links {
            for link in walk.found.iter().flat_map(|found| &found.leaving) {
                plan.way(host, &walk.namespace, &link.path);
            }
        }
        for file in &snapshot.boot.surroundings.files {
            plan.file(host, &Namespace::Host, &file.id.path);
        }
        for (namespace, _) in &snapshot.mounts {
            if let Namespace::Process(pid) = namespace {
                plan.tables.insert(*pid);
            }
        }
        plan.processes = snapshot.services.iter().filter_map(|service| service.pid).collect();
        plan.processes.extend(&plan.tables);
        while plan.names.len() > MOST {
            plan.left_out += 1;
            plan.names.pop_last();
        }
        plan
    }

    fn add(&mut self, namespace: &Namespace, path: HostPath) -> &mut Wanted {
        self.names.entry((namespace.clone(), path)).or_default()
    }

    /// Every name that a lookup goes through, and the one that it misses.
    fn way(&mut self, host: &dyn Host, namespace: &Namespace, path: &HostPath) -> way::Way {
        let way = way::walk(host, namespace, path);
        for (at, step) in way.steps.iter().enumerate() {
            if is_kernels(&step.entry) {
                continue;
            }
            if way.trouble.is_some() && at + 1 == way.steps.len() {
                let name = step.entry.file_name().unwrap_or_default().to_vec();
                self.add(namespace, step.directory.clone()).awaited.insert(name);
            } else {
                self.add(namespace, step.entry.clone());
            }
        }
        way
    }

    /// A file whose bytes and mode decide something.
    fn file(&mut self, host: &dyn Host, namespace: &Namespace, path: &HostPath) {
        let way = self.way(host, namespace, path);
        if let (None, Some(last)) = (&way.trouble, way.steps.last()) {
            let wanted = self.add(namespace, last.entry.clone());
            (wanted.access, wanted.contents) = (true, true);
        }
    }

    /// A keystore: whoever can write a directory on the way to it can replace it, and copies lie beside it.
    fn keystore(&mut self, host: &dyn Host, namespace: &Namespace, path: &HostPath) {
        self.file(host, namespace, path);
        let way = way::walk(host, namespace, path);
        for step in &way.steps {
            self.add(namespace, step.directory.clone()).access = true;
        }
        if let Some(last) = way.steps.last() {
            self.add(namespace, last.directory.clone()).contents = true;
        }
    }
}

/// What the kernel makes up is not watched by name.
fn is_kernels(path: &HostPath) -> bool {
    matches!(path.components().next(), Some(b"proc" | b"sys" | b"dev"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::live::LiveHost;
    use crate::snapshot::{Observed, Target};

    fn target(path: &HostPath) -> Target {
        Target {
            path: path.clone(),
            usage: Use::Data,
            service: None,
            namespace: Namespace::Host,
            resolution: Observed::Absent,
            nearest: None,
        }
    }

    fn planned(path: &HostPath) -> Plan {
        let snapshot = Snapshot { targets: vec![target(path)], ..Snapshot::empty() };
        Plan::of(&LiveHost::new("/"), &snapshot)
    }

    #[test]
    fn every_name_on_the_way_is_watched_links_too_and_the_missing_one_is_awaited() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("real/deep")).unwrap();
        std::os::unix::fs::symlink("real", root.join("link")).unwrap();
        let at = |name: &str| HostPath::from(root.join(name));
        let plan = planned(&at("link/deep/gone/below"));
        let watched = |path: &HostPath| plan.names.get(&(Namespace::Host, path.clone()));
        for name in ["link", "real", "real/deep"] {
            assert!(watched(&at(name)).is_some(), "{name}");
        }
        let awaited = &watched(&at("real/deep")).unwrap().awaited;
        assert_eq!(awaited.iter().collect::<Vec<_>>(), [b"gone"]);
        assert_eq!(watched(&at("real/deep/gone")), None);
    }

    #[test]
    fn a_keystore_is_watched_with_its_directory_and_who_may_write_above() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("etc/es")).unwrap();
        std::fs::write(root.join("etc/es/es.keystore"), "x").unwrap();
        let at = |name: &str| HostPath::from(root.join(name));
        let mut plan = Plan::default();
        plan.keystore(&LiveHost::new("/"), &Namespace::Host, &at("etc/es/es.keystore"));
        let watched = |name: &str| plan.names[&(Namespace::Host, at(name))].clone();
        let file = watched("etc/es/es.keystore");
        assert!(file.access && file.contents);
        assert!(watched("etc/es").contents && watched("etc/es").access);
        assert!(watched("etc").access && !watched("etc").contents);
    }

    #[test]
    fn what_the_kernel_makes_up_is_no_name_to_watch() {
        let plan = planned(&"/proc/self/status".into());
        assert!(plan.names.keys().all(|(_, path)| !is_kernels(path)));
    }
}
