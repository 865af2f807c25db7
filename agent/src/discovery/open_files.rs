//! The files that a running program holds open: where it writes, whatever its settings say now.

use std::collections::BTreeSet;

use atrest_proto::model::Use;

use super::instance::Instance;
use crate::host::{Host, read_text};
use crate::path::HostPath;
use crate::snapshot::Namespace;

/// A node with many shards has tens of thousands.
const LIMIT: usize = 200_000;

/// What every node holds open in each of its data directories; until 8.0 below `nodes/0`.
const LOCK: &[u8] = b"node.lock";

/// The data directories that the node has locked.
pub(super) fn data(host: &dyn Host, instance: &Instance) -> BTreeSet<HostPath> {
    let locks =
        targets(host, instance).into_iter().filter(|(_, path)| path.file_name() == Some(LOCK));
    locks.filter_map(|(_, path)| data_directory(&path)).collect()
}

fn data_directory(lock: &HostPath) -> Option<HostPath> {
    let directory = lock.parent()?;
    let is_number = |name: &[u8]| !name.is_empty() && name.iter().all(u8::is_ascii_digit);
    if directory.file_name().is_some_and(is_number)
        && let Some(nodes) = directory.parent()
        && nodes.file_name() == Some(b"nodes")
    {
        return nodes.parent();
    }
    Some(directory)
}

/// The directories of the files that are open for writing.
pub(super) fn written(host: &dyn Host, instance: &Instance) -> BTreeSet<(Use, HostPath)> {
    let mut places = BTreeSet::new();
    for (descriptor, path) in targets(host, instance) {
        let is_own = |prefix: &str| path.is_at_or_below(&HostPath::from(prefix));
        if ["/dev", "/proc", "/sys"].iter().any(|prefix| is_own(prefix)) {
            continue;
        }
        let Some(pid) = instance.pid else { continue };
        let info = HostPath::from(format!("/proc/{pid}/fdinfo/{descriptor}"));
        let writes = read_text(host, &info).is_ok_and(|text| is_written(&text));
        let Some(directory) = path.parent().filter(|_| writes) else { continue };
        let name = path.file_name().unwrap_or_default();
        let is_log = [&b".log"[..], b".json", b".out"].iter().any(|end| name.ends_with(end));
        places.insert((if is_log { Use::Logs } else { Use::Data }, directory));
    }
    places
}

/// Whether the flags of `/proc/PID/fdinfo/N` say that it is open for writing: `proc_pid_fdinfo(5)`, in octal.
pub(crate) fn is_written(info: &str) -> bool {
    /// `O_WRONLY` and `O_RDWR` are the two low bits.
    const WRITES: u32 = 0o3;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & WRITES != 0)
}

/// The paths that its descriptors lead to, as the process sees them. A file without a name still rests where it had one.
fn targets(host: &dyn Host, instance: &Instance) -> Vec<(String, HostPath)> {
    let Some(pid) = instance.pid else { return Vec::new() };
    let directory = HostPath::from(format!("/proc/{pid}/fd"));
    let names = host.list(&Namespace::Host, &directory).unwrap_or_default();
    let root = host.read_link(&Namespace::Host, &HostPath::from(format!("/proc/{pid}/root")));
    let root = root.unwrap_or_else(|_| HostPath::root());
    let mut targets = Vec::new();
    for name in names.into_iter().take(LIMIT) {
        let Ok(descriptor) = String::from_utf8(name) else { continue };
        let Ok(path) = host.read_link(&Namespace::Host, &directory.join(&descriptor)) else {
            continue;
        };
        if path.is_absolute() {
            let path = match path.as_bytes().strip_suffix(b" (deleted)") {
                Some(named) => HostPath::new(named.to_vec()),
                None => path,
            };
            targets.push((descriptor, below(&root, path)));
        }
    }
    targets
}

/// The kernel names files from the root of who asks: what is below another root is so for the process.
fn below(root: &HostPath, path: HostPath) -> HostPath {
    if *root == HostPath::root() || !path.is_at_or_below(root) {
        return path;
    }
    let depth = root.components().count();
    path.components().skip(depth).fold(HostPath::root(), |path, part| path.join(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_tells_its_data_directory() {
        let of = |lock: &str| data_directory(&HostPath::from(lock)).map(|path| path.to_string());
        assert_eq!(of("/srv/es/node.lock").as_deref(), Some("/srv/es"));
        assert_eq!(of("/srv/es/nodes/0/node.lock").as_deref(), Some("/srv/es"));
        assert_eq!(of("/srv/nodes/node.lock").as_deref(), Some("/srv/nodes"));
    }

    #[test]
    fn flags_tell_who_writes() {
        assert!(is_written("pos:\t0\nflags:\t0100001\nmnt_id:\t25\n"));
        assert!(is_written("flags:\t0102002"));
        assert!(!is_written("flags:\t0100000"));
        assert!(!is_written("pos:\t3\n") && !is_written("flags:\tx"));
    }

    #[test]
    fn another_root_is_taken_off() {
        let below = |root: &str, path: &str| below(&root.into(), path.into()).to_string();
        assert_eq!(below("/srv/jail", "/srv/jail/var/x"), "/var/x");
        assert_eq!(below("/srv/jail", "/srv/jailor/x"), "/srv/jailor/x");
        assert_eq!(below("/", "/var/x"), "/var/x");
    }
}
